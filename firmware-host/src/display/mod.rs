//! Where camera frames with answers on them are shown: framebuffers, small panels, PNG files.
//!
//! [`open`] makes a [`Screen`] of what the user names as a [`DisplaySpec`]; a [`Scene`] says what is to be seen. A screen
//! scales the frame into what it has, keeps its shape, and lays the answer on it at the screen's own resolution, so
//! that outlines and letters are sharp whatever the camera's size.

mod bits;
mod error;
mod fit;
#[cfg(unix)]
pub mod framebuffer;
mod mono;
mod paint;
#[cfg(feature = "panel")]
mod panel;
#[cfg(any(unix, feature = "panel"))]
mod pixels;
mod png;
mod scene;
mod spans;
mod spec;

pub use bits::BitCanvas;
pub use error::DisplayError;
pub use mono::MonoPainter;
pub use paint::Painter;
pub use scene::{Object, Scene, Track};
pub use spec::{DisplaySpec, FramebufferSpec, PanelKind, PanelSpec, PngSpec, Turn};

/// Something that shows scenes.
pub trait Screen: Send {
    /// Shows a scene in place of what is shown.
    ///
    /// # Errors
    /// One that says what is wrong and who can mend it. The screen stays usable: the next scene tries again, opening the
    /// device anew where that is needed.
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError>;

    /// What this is, for a log: `framebuffer /dev/fb0, 800x480, 16 bits`.
    fn describe(&self) -> String;

    /// Whether it can show [`Scene::picture`]; a caller need not convert one for a screen that cannot.
    fn shows_picture(&self) -> bool {
        true
    }
}

/// Opens what the specification names.
///
/// # Errors
/// Where it is not there, may not be written or is of a kind that is not known; what to do is said.
pub fn open(spec: &DisplaySpec) -> Result<Box<dyn Screen>, DisplayError> {
    match spec {
        #[cfg(unix)]
        DisplaySpec::Framebuffer(spec) => {
            Ok(Box::new(framebuffer::Framebuffer::open(spec, std::path::Path::new(framebuffer::SYSFS))?))
        }
        #[cfg(not(unix))]
        DisplaySpec::Framebuffer(spec) => Err(DisplayError::unfit(&spec.device, "framebuffers are a thing of Linux")),
        DisplaySpec::Png(spec) => Ok(Box::new(png::PngFiles::open(spec)?)),
        #[cfg(feature = "panel")]
        DisplaySpec::Panel(spec) => panel::open(spec),
        #[cfg(not(feature = "panel"))]
        DisplaySpec::Panel(_) => Err(DisplayError::NotBuilt { what: spec.to_string(), feature: "panel" }),
    }
}

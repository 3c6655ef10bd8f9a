//! Small panels on I2C and SPI, by the drivers of the embedded world.
//!
//! What draws is generic over the traits of `embedded-hal`, so that tests run it on chips in memory; only [`linux`] opens
//! devices.

mod lcd;
#[cfg(target_os = "linux")]
mod linux;
mod oled;
#[cfg(test)]
mod tests;

use super::{DisplayError, PanelKind, PanelSpec, Scene, Screen};

/// A panel that has been set up.
trait Glass: Send {
    /// Shows a scene; fails as the bus does.
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError>;
}

/// Sets a panel up.
type Open = Box<dyn FnMut(&PanelSpec) -> Result<Box<dyn Glass>, DisplayError> + Send>;

/// A panel that is set up again after a fault.
struct Panel {
    spec: PanelSpec,
    open: Open,
    glass: Option<Box<dyn Glass>>,
}

impl Panel {
    fn new(spec: &PanelSpec, mut open: Open) -> Result<Self, DisplayError> {
        let glass = Some(open(spec)?);
        Ok(Panel { spec: spec.clone(), open, glass })
    }
}

impl Screen for Panel {
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let mut glass = match self.glass.take() {
            Some(glass) => glass,
            None => (self.open)(&self.spec)?,
        };
        let shown = glass.show(scene);
        if matches!(shown, Ok(()) | Err(DisplayError::Picture(_))) {
            self.glass = Some(glass);
        }
        shown
    }

    fn describe(&self) -> String {
        let PanelSpec { kind, bus, size: (width, height), .. } = &self.spec;
        format!("panel {} on {}, {width}x{height}", kind.name(), bus.display())
    }

    fn shows_picture(&self) -> bool {
        self.spec.kind != PanelKind::Ssd1306
    }
}

/// Opens a panel on the buses of this machine.
pub(super) fn open(spec: &PanelSpec) -> Result<Box<dyn Screen>, DisplayError> {
    #[cfg(target_os = "linux")]
    return Ok(Box::new(Panel::new(spec, Box::new(linux::open))?));
    #[cfg(not(target_os = "linux"))]
    Err(DisplayError::unfit(&spec.bus, "panels can be driven on Linux only"))
}

//! What is asked of a system that has cameras. Here only, so that all else can be tried on one that is made up.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choose::Mode;
use super::{BufferFormat, CameraInfo};
use crate::source::CameraSpec;

/// A system with cameras.
pub(super) trait Driver: Send {
    /// The devices that may be cameras, the one to take first first.
    fn cameras(&mut self) -> io::Result<Vec<CameraInfo>>;

    /// What a camera offers, of sizes in steps the one nearest to what is looked for.
    fn offers(&mut self, path: &Path, spec: &CameraSpec) -> io::Result<Offers>;

    /// Opens a camera in a mode, or what it makes of it, and has it give frames.
    fn start(&mut self, path: &Path, mode: &Mode, rate: Option<f64>) -> io::Result<Box<dyn Stream>>;
}

/// What a camera offers.
#[derive(Debug, Default)]
pub(super) struct Offers {
    /// Its name.
    pub(super) name: String,
    /// What can be read.
    pub(super) modes: Vec<Mode>,
    /// Formats that cannot be read.
    pub(super) unread: Vec<String>,
}

/// A camera that gives frames.
pub(super) trait Stream: Send {
    /// What its buffers hold: what the driver made of what it was asked for.
    fn format(&self) -> BufferFormat;

    /// Hands over the next filled buffer, waiting for it at most so long. `false` if there was none by then.
    ///
    /// # Errors
    /// The camera is gone or at odds with itself: it has to be opened again.
    fn next(&mut self, patience: Duration, take: &mut dyn FnMut(Buffer<'_>)) -> io::Result<bool>;
}

/// A filled buffer, which goes back to the driver.
pub(super) struct Buffer<'a> {
    /// What is in it.
    pub(super) bytes: &'a [u8],
    /// Whether the driver says that some of it is missing.
    pub(super) is_damaged: bool,
}

/// A camera that is open.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) stream: Box<dyn Stream>,
}

impl Opened {
    /// The camera and what it gives, for people.
    pub(super) fn describe(&self) -> String {
        let name = if self.name.is_empty() { String::new() } else { format!(" ({})", self.name) };
        format!("camera {}{name}: {}", self.path.display(), self.stream.format())
    }
}

//! Cameras: the newest frame of a device that may be unplugged at any time.
//!
//! A thread takes each buffer from the driver as it is filled, so that none grows old in its queue, and opens the camera again
//! when it is gone. Whoever asks gets the newest; nothing is copied while nobody does.

mod buffer;
mod choose;
mod colour;
mod driver;
mod encoding;
mod opening;
#[cfg(target_os = "linux")]
mod v4l2;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use buffer::BufferFormat;
pub use encoding::Encoding;

use self::driver::Driver;
use self::worker::{Filled, Worker};
use super::described::Described;
use super::newest::Newest;
use super::skipped::Skipped;
use super::{CameraSpec, Frame, ImageSource, SourceError};

/// A camera of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraInfo {
    /// Its device.
    pub path: PathBuf,
    /// What its driver calls it.
    pub name: String,
    /// What it offers of that which is read.
    pub encodings: Vec<Encoding>,
    /// Why it cannot be used, and what to do about it.
    pub fault: Option<String>,
}

impl fmt::Display for CameraInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), if self.name.is_empty() { "no name" } else { &self.name })?;
        match &self.fault {
            Some(fault) => write!(f, ": {fault}"),
            None if self.encodings.is_empty() => f.write_str(": nothing that is read"),
            None => {
                let names: Vec<String> = self.encodings.iter().map(Encoding::to_string).collect();
                write!(f, ": {}", names.join(", "))
            }
        }
    }
}

/// The cameras of this machine, in the order in which [`open`](super::open) tries them; also those that cannot be used just now.
///
/// # Errors
/// [`SourceError::NoCamera`] where there is none, or they cannot be listed; says what to do.
pub fn cameras() -> Result<Vec<CameraInfo>, SourceError> {
    opening::list(&mut *system()?)
}

/// Opens a camera.
pub(super) fn open(spec: &CameraSpec) -> Result<Box<dyn ImageSource>, SourceError> {
    Ok(Box::new(Camera::open(system()?, spec)?))
}

#[cfg(target_os = "linux")]
fn system() -> Result<Box<dyn Driver>, SourceError> {
    Ok(Box::new(v4l2::System))
}

#[cfg(not(target_os = "linux"))]
fn system() -> Result<Box<dyn Driver>, SourceError> {
    Err(SourceError::NoCamera("cameras are read on Linux only: give a folder, a recording or a stream".into()))
}

/// A camera that is open, or is waited for after it was lost.
struct Camera {
    path: PathBuf,
    description: Described,
    newest: Newest<Filled>,
    skipped: Skipped,
    thread: Option<JoinHandle<()>>,
}

impl Camera {
    fn open(mut driver: Box<dyn Driver>, spec: &CameraSpec) -> Result<Self, SourceError> {
        // What is wrong at the start is told at once; only what comes later is waited out.
        let opened = opening::open(&mut *driver, spec)?;
        tracing::info!("{}", opened.describe());
        let path = opened.path.clone();
        let (description, newest, skipped) = (Described::default(), Newest::new(), Skipped::default());
        description.set(opened.describe());
        let worker = Worker {
            driver,
            spec: spec.clone(),
            newest: newest.clone(),
            skipped: skipped.clone(),
            description: description.clone(),
        };
        let thread = std::thread::Builder::new().name("camera".into()).spawn(move || worker.run(opened));
        match thread {
            Ok(thread) => Ok(Camera { path, description, newest, skipped, thread: Some(thread) }),
            Err(error) => Err(SourceError::Camera { path, why: format!("cannot be given a thread: {error}") }),
        }
    }
}

impl ImageSource for Camera {
    fn describe(&self) -> String {
        self.description.get()
    }

    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError> {
        let until = Instant::now().checked_add(patience);
        while let Some(Filled { format, bytes, taken }) = self.newest.take(until) {
            match format.pixels(bytes) {
                Ok(pixels) => return Ok(Some(Frame { pixels, taken })),
                Err(error) => self.skipped.count("a frame of the camera", error),
            }
        }
        match &self.thread {
            Some(thread) if thread.is_finished() => {
                let why = "is read no more, by a fault of this program or its driver: open it again".into();
                Err(SourceError::Camera { path: self.path.clone(), why })
            }
            _ => Ok(None),
        }
    }

    fn is_live(&self) -> bool {
        true
    }

    fn finished(&self) -> bool {
        false
    }

    fn skipped(&self) -> u64 {
        self.skipped.total()
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.newest.close();
        if let Some(thread) = self.thread.take() {
            // What it panicked of was said then.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests;

//! Where camera frames come from.
//!
//! A [`SourceSpec`] names a camera, a folder, a recording or a stream; [`open`] makes an [`ImageSource`] of it, which gives the newest
//! [`Frame`] there is whenever it is asked. Frames that nobody asks for in time are passed over, so that a slow consumer is
//! never behind; frames that are damaged are passed over and counted.

pub mod camera;
mod collection;
mod described;
mod error;
mod folder;
mod frame;
mod jpeg;
mod newest;
mod paced;
mod recording;
mod skipped;
mod spec;
mod stream;

use std::time::Duration;

pub use collection::Collection;
pub use error::SourceError;
pub use folder::Folder;
pub use frame::{Frame, Pixels, Raster};
pub use recording::Recording;
pub use spec::{CameraSpec, FilesSpec, SourceSpec};

/// Something that gives frames one after the other.
pub trait ImageSource: Send {
    /// What it is, for people: the device or file, and what it gives.
    fn describe(&self) -> String;

    /// The newest frame that was not given yet, waiting for one for at most `patience`; `None` if there is none by then.
    /// Frames older than it are not given any more.
    ///
    /// # Errors
    /// Only what asking again does not mend. A camera that is unplugged is waited for; damaged frames are passed over.
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError>;

    /// Whether frames are of what is happening now, as a camera's are.
    fn is_live(&self) -> bool;

    /// Whether no frame will come any more: the last one of a recording was given.
    fn finished(&self) -> bool;

    /// Frames so far that could not be used: damaged, cut short, or gone before they were read.
    fn skipped(&self) -> u64;
}

/// Opens a source.
///
/// # Errors
/// Where there is no such camera or file, or it may not be used; says what to do.
pub fn open(spec: &SourceSpec) -> Result<Box<dyn ImageSource>, SourceError> {
    match spec {
        SourceSpec::Camera(camera) => camera::open(camera),
        SourceSpec::Files(files) if stream::is_pipe(&files.path) => {
            stream::open(stream::Input::Pipe(files.path.clone()))
        }
        SourceSpec::Files(files) => paced::open(files),
        SourceSpec::Input => stream::open(stream::Input::Standard),
    }
}

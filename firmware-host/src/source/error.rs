//! Why there is no source, or no frame.

use std::io;
use std::path::{Path, PathBuf};

use crate::photo::Fault;

/// A failure of a source, sorted by what it is about. Prints as one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The text names no source: the user writes it otherwise.
    #[error("{text:?} is no source: {why}")]
    Spec {
        /// What was given.
        text: String,
        /// What is wrong with it, and how to write it.
        why: String,
    },
    /// There is no camera that can be used.
    #[error("{0}")]
    NoCamera(String),
    /// A camera cannot be opened, or gives nothing that can be read.
    #[error("camera {}: {why}", path.display())]
    Camera {
        /// The device.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A folder, a recording or a picture in a file cannot be read.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A compressed frame is damaged or of a kind that is not decoded. The next one may be good.
    #[error("{0}")]
    Damaged(Fault),
    /// Size, stride, format and number of bytes of a frame contradict each other, or it is too large.
    #[error("{0}")]
    Pixels(cutout_runtime::Error),
}

impl SourceError {
    pub(crate) fn file(path: &Path, why: impl Into<String>) -> Self {
        SourceError::File { path: path.into(), why: why.into() }
    }

    /// A file that the system does not give, with what to do about it.
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such file or folder: check the path".into(),
            io::ErrorKind::PermissionDenied => "may not be read: check its permissions".into(),
            _ => format!("cannot be read: {error}"),
        };
        SourceError::File { path: path.into(), why }
    }
}

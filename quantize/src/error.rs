//! Errors of this crate, sorted by who must act.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an evaluation could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read: the owner of the machine must act.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The folder is no data set, or holds nothing of what was asked for: choose another folder, split or source.
    #[error("{what}")]
    Dataset {
        /// What is missing, and what there is.
        what: String,
    },
    /// The model failed on an image or a prompt.
    #[error("{}: {source}", image.display())]
    Model {
        /// The image at hand.
        image: PathBuf,
        /// The cause.
        source: cutout_runtime::Error,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.into(), source }
    }

    pub(crate) fn dataset(what: impl Into<String>) -> Self {
        Error::Dataset { what: what.into() }
    }
}

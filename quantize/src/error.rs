//! Errors of this crate, sorted by who must act.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an evaluation or a quantisation could not be done.
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
    /// The network is of another form than quantisation needs.
    #[error("{what}")]
    Graph {
        /// What is missing or unknown.
        what: String,
    },
    /// Pictures or statistics are no calibration of this model: give others.
    #[error("{what}")]
    Calibration {
        /// What is wrong with them, and what to do.
        what: String,
    },
    /// A model could not be read or written.
    #[error(transparent)]
    Bundle(#[from] cutout_models::Error),
    /// A network could not be run.
    #[error(transparent)]
    Engine(#[from] cutout_runtime::Error),
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

    pub(crate) fn graph(what: impl Into<String>) -> Self {
        Error::Graph { what: what.into() }
    }

    pub(crate) fn calibration(what: impl Into<String>) -> Self {
        Error::Calibration { what: what.into() }
    }

    pub(crate) fn dataset(what: impl Into<String>) -> Self {
        Error::Dataset { what: what.into() }
    }
}

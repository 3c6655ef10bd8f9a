//! Errors of this crate, sorted by who must act.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written: the owner of the machine must act.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is damaged, truncated or of another kind: fetch it again.
    #[error("{what}")]
    Malformed {
        /// What is wrong, and where.
        what: String,
    },
    /// The file asks for something that Cutout refuses to do, such as running code from a pickle.
    #[error("refused: {what}")]
    Refused {
        /// What it asked for, by name.
        what: String,
    },
    /// The tensors do not fit the model: choose another model or another file.
    #[error("{what}")]
    Mismatch {
        /// Which tensor, what was expected, what was found.
        what: String,
    },
    /// No model of that name is known: choose one of those listed.
    #[error("no model is called '{name}'; known: {known}")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The names that exist, comma-separated.
        known: String,
    },
}

impl Error {
    /// An input or output error on `path`.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.into(), source }
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Error::Malformed { what: what.into() }
    }

    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Error::Refused { what: what.into() }
    }

    /// Puts the path before a message about a file's content.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        self.prefixed(path.display())
    }

    /// Puts the name before a message about a tensor.
    pub(crate) fn about_tensor(self, name: &str) -> Self {
        self.prefixed(format_args!("tensor '{name}'"))
    }

    fn prefixed(self, prefix: impl std::fmt::Display) -> Self {
        match self {
            Error::Malformed { what } => Error::Malformed { what: format!("{prefix}: {what}") },
            Error::Refused { what } => Error::Refused { what: format!("{prefix}: {what}") },
            Error::Mismatch { what } => Error::Mismatch { what: format!("{prefix}: {what}") },
            other => other,
        }
    }

    pub(crate) fn mismatch(what: impl Into<String>) -> Self {
        Error::Mismatch { what: what.into() }
    }
}

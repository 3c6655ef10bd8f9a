//! Errors of this crate, sorted by who must act.

use std::error::Error as StdError;
use std::fmt;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: its kind (who must act), what happened in words, and the cause below it where there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
}

/// Who must act on an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller: pixels, a mask or a mask's encoding do not have the form that was promised.
    InvalidImage,
    /// The caller: the prompt is empty, not finite, outside the image or contradicts itself.
    InvalidPrompt,
    /// Who installs: no model of that name, or its files are missing.
    ModelNotFound,
    /// Who installs: a model's file is damaged or does not fit the model, the input size or the embedding.
    ModelMismatch,
    /// Us, or the engine below: a graph was refused or failed while running.
    Engine,
    /// The owner of the machine: a file could not be read or written.
    Io,
}

impl Error {
    /// An error of `kind`; `context` says what happened and, where it can, what to do next.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Error { kind, context: context.into(), source: None }
    }

    /// The same error with the cause below it.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync + 'static>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<cutout_models::Error> for Error {
    fn from(error: cutout_models::Error) -> Self {
        use cutout_models::Error as Models;
        let kind = match &error {
            Models::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::ModelNotFound,
            Models::Io { .. } => ErrorKind::Io,
            Models::UnknownModel { .. } => ErrorKind::ModelNotFound,
            // Malformed, Refused, Mismatch and whatever comes: the files do not make the model.
            _ => ErrorKind::ModelMismatch,
        };
        // The model crate's error already says it all; its own cause, if any, goes below it.
        match error {
            Models::Io { path, source } => {
                Error::new(kind, format!("cannot use model file {}", path.display())).with_source(source)
            }
            other => Error::new(kind, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_file_is_not_found_and_keeps_its_cause() {
        let io = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::from(cutout_models::Error::io("a/b.safetensors".as_ref(), io));
        assert_eq!(error.kind(), ErrorKind::ModelNotFound);
        assert_eq!(error.to_string(), "cannot use model file a/b.safetensors");
        assert!(error.source().is_some());
    }

    #[test]
    fn kinds_of_the_model_crate_map_to_who_must_act() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let cases = [
            (cutout_models::Error::io("x".as_ref(), denied), ErrorKind::Io),
            (cutout_models::Error::Malformed { what: "bad magic".into() }, ErrorKind::ModelMismatch),
            (cutout_models::Error::Refused { what: "REDUCE".into() }, ErrorKind::ModelMismatch),
            (cutout_models::Error::Mismatch { what: "shape".into() }, ErrorKind::ModelMismatch),
            (cutout_models::Error::UnknownModel { name: "a".into(), known: "b".into() }, ErrorKind::ModelNotFound),
        ];
        for (error, kind) in cases {
            assert_eq!(Error::from(error).kind(), kind);
        }
    }
}

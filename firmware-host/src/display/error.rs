//! [`DisplayError`].

use std::io;
use std::path::{Path, PathBuf};

/// Why a display cannot be opened, or a scene not be shown on it. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisplayError {
    /// The text names no display.
    #[error("'{text}' names no display: {problem}")]
    Spec {
        /// What was given.
        text: String,
        /// What is wrong with it, and what it may be.
        problem: String,
    },
    /// The program was built without what drives this display.
    #[error("{what}: this program is built without such displays; build it with --features {feature}")]
    NotBuilt {
        /// The display.
        what: String,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// The device is not there, or may not be used.
    #[error("{}: {problem}", device.display())]
    Device {
        /// Its file.
        device: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
        /// What the system said.
        #[source]
        source: Option<io::Error>,
    },
    /// A file was not written, or cannot be; the message names it.
    #[error(transparent)]
    File(io::Error),
    /// The picture of the scene is no picture.
    #[error("the picture cannot be shown: {0}")]
    Picture(cutout_runtime::Error),
}

impl DisplayError {
    /// What the system's answer about a device means for its user.
    pub(super) fn device(device: &Path, doing: &str, source: io::Error) -> Self {
        let problem = match source.kind() {
            io::ErrorKind::NotFound => "there is no such device; is the display connected, its driver loaded?".into(),
            io::ErrorKind::PermissionDenied => {
                "may not be used; run as a user of its group (ls -l shows it: video, i2c, spi, gpio)".into()
            }
            _ => format!("cannot be {doing}: {source}"),
        };
        DisplayError::Device { device: device.into(), problem, source: Some(source) }
    }

    /// A folder that files cannot be written to.
    pub(super) fn folder(folder: &Path, source: &io::Error) -> Self {
        let name = folder.display();
        let what = match source.kind() {
            io::ErrorKind::PermissionDenied => format!("the folder {name} may not be written; choose another"),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                format!("{name} is no folder; name one to fill, or a file that ends in .png")
            }
            _ => format!("the folder {name} cannot be made or written ({source}); choose another"),
        };
        DisplayError::File(io::Error::new(source.kind(), what))
    }

    /// A device that is there and is not as it should be.
    pub(super) fn unfit(device: &Path, problem: impl Into<String>) -> Self {
        DisplayError::Device { device: device.into(), problem: problem.into(), source: None }
    }
}

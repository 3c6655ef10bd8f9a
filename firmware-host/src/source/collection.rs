//! [`Collection`]: many pictures by number, whether they are files or frames of a recording.

use std::path::{Path, PathBuf};

use super::folder::is_picture;
use super::{Folder, Pixels, Recording, SourceError};

/// Pictures by number.
#[derive(Debug)]
pub enum Collection {
    /// Files.
    Folder(Folder),
    /// Frames of a recording.
    Recording(Recording),
}

impl Collection {
    /// The pictures that a path means: those of a folder, the frames of a recording, or a single picture.
    ///
    /// # Errors
    /// [`SourceError::File`] where it cannot be read or is a file of another kind.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let kind = std::fs::metadata(path).map_err(|error| SourceError::io(path, &error))?;
        if kind.is_dir() || (kind.is_file() && is_picture(path)) {
            return Folder::open(path).map(Collection::Folder);
        }
        if !kind.is_file() {
            return Err(SourceError::file(path, "is no file: give a folder of pictures or a recording"));
        }
        Recording::open(path).map(Collection::Recording)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Collection::Folder(folder) => folder.len(),
            Collection::Recording(recording) => recording.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What to call one in messages.
    pub fn name(&self, number: usize) -> String {
        match self {
            Collection::Folder(folder) => {
                folder.path(number).map_or_else(String::new, |path| path.display().to_string())
            }
            Collection::Recording(recording) => format!("{} frame {}", recording.path().display(), number + 1),
        }
    }

    /// Reads one, not yet decoded.
    ///
    /// # Errors
    /// Says why it cannot be read; the others may be good.
    pub fn read(&self, number: usize) -> Result<Pixels, SourceError> {
        match self {
            Collection::Folder(folder) => folder.read(number),
            Collection::Recording(recording) => recording.read(number),
        }
    }

    /// Frames per second that it was recorded at, if it says so.
    pub fn rate(&self) -> Option<f64> {
        match self {
            Collection::Folder(_) => None,
            Collection::Recording(recording) => recording.rate(),
        }
    }

    /// Looks again for what a folder holds, and says how many of its pictures come up to the one that was `number`.
    pub(super) fn refresh(&mut self, number: usize) -> Result<usize, SourceError> {
        match self {
            Collection::Folder(folder) => {
                let last = folder.path(number).map(PathBuf::from);
                folder.refresh()?;
                Ok(last.map_or(0, |last| folder.up_to(&last)))
            }
            Collection::Recording(_) => Ok(number.saturating_add(1)),
        }
    }
}

//! [`Folder`]: pictures in files.

use std::path::{Path, PathBuf};

use super::{Pixels, SourceError};
use crate::photo;

/// Endings of files that are taken for pictures.
const ENDINGS: [&str; 10] = ["jpg", "jpeg", "png", "webp", "bmp", "pnm", "ppm", "pgm", "pbm", "pam"];

/// The pictures in a folder and those below it, by name; or a single one.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl Folder {
    /// Finds the pictures. Files are told by their endings and not opened yet; if `root` is a file, it is the only one.
    ///
    /// # Errors
    /// [`SourceError::File`] where a folder cannot be read.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        let mut folder = Folder { root: root.into(), files: Vec::new() };
        folder.refresh()?;
        Ok(folder)
    }

    /// Looks again for what is there now. Nothing changes where that fails.
    ///
    /// # Errors
    /// [`SourceError::File`] where a folder cannot be read.
    pub fn refresh(&mut self) -> Result<(), SourceError> {
        self.files = if self.root.is_dir() { pictures_in(&self.root)? } else { vec![self.root.clone()] };
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The file of one.
    pub fn path(&self, number: usize) -> Option<&Path> {
        self.files.get(number).map(PathBuf::as_path)
    }

    /// How many come before this file, or would if it were there, itself included.
    pub(super) fn up_to(&self, path: &Path) -> usize {
        self.files.partition_point(|file| file.as_path() <= path)
    }

    /// Reads one, compressed as it is.
    ///
    /// # Errors
    /// [`SourceError::File`] where the file is gone or cannot be read, [`SourceError::Damaged`] where it has no end or is no
    /// picture.
    pub fn read(&self, number: usize) -> Result<Pixels, SourceError> {
        let path = self.path(number).ok_or_else(|| SourceError::file(&self.root, "has fewer pictures than that"))?;
        // Opening a pipe would wait for who writes to it.
        let kind = std::fs::metadata(path).map_err(|error| SourceError::io(path, &error))?;
        if !kind.is_file() {
            return Err(SourceError::file(path, "is no file: take it out of the folder"));
        }
        let bytes = photo::read(path).map_err(|fault| SourceError::file(path, fault.to_string()))?;
        photo::Photo::check(&bytes).map_err(SourceError::Damaged)?;
        Ok(Pixels::Compressed(bytes))
    }
}

fn pictures_in(root: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let cannot = |error: std::io::Error| SourceError::io(&folder, &error);
        for entry in std::fs::read_dir(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let path = entry.path();
            if entry.file_type().map_err(cannot)?.is_dir() {
                folders.push(path);
            } else if is_picture(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file's name is that of a picture.
pub(super) fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|e| ENDINGS.contains(&e.to_string_lossy().to_lowercase().as_str()))
}

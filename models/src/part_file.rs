//! [`PartFile`]: a file that appears when it is complete, or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Most unfinished files beside one destination.
const MAX_PARTS: u32 = 1000;

/// A file beside its destination that is removed again unless it is published.
pub(crate) struct PartFile {
    file: File,
    path: PathBuf,
    published: bool,
}

impl PartFile {
    /// Makes the file.
    ///
    /// # Errors
    /// `Io` if the folder is not there or not writable.
    pub(crate) fn create(destination: &Path) -> Result<Self> {
        let Some(name) = destination.file_name() else {
            return Err(Error::io(destination, io::Error::new(io::ErrorKind::InvalidInput, "names no file")));
        };
        let mut attempt = 0;
        loop {
            let mut name = name.to_owned();
            name.push(format!(".{}-{attempt}.part", std::process::id()));
            let path = destination.with_file_name(name);
            match File::create_new(&path) {
                Ok(file) => return Ok(PartFile { file, path, published: false }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < MAX_PARTS => attempt += 1,
                Err(e) => return Err(Error::io(destination, e)),
            }
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the bytes on the disk, and the file in the place of its destination.
    ///
    /// # Errors
    /// `Io` if the disk is full or not writable; the file is gone then.
    pub(crate) fn publish(mut self, destination: &Path) -> Result<()> {
        self.file.sync_all().map_err(|e| Error::io(&self.path, e))?;
        std::fs::rename(&self.path, destination).map_err(|e| Error::io(destination, e))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.published {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

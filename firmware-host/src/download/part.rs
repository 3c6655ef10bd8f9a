//! [`Part`]: a file that is still arriving.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cutout_models::digest::Sha256Stream;

use super::DownloadError;

/// The bytes of a file that have arrived so far, as `NAME.part` beside the place where the whole file will be.
///
/// The hash runs along, so that the file is read again only when a later run goes on where an earlier one stopped. What
/// the server said the version of its file is, its validator, is kept in `NAME.part.version`.
pub(super) struct Part {
    path: PathBuf,
    version_path: PathBuf,
    target: PathBuf,
    file: File,
    length: u64,
    hash: Sha256Stream,
    version: Option<String>,
}

impl Part {
    /// Opens the part of `target`, with whatever an earlier run has left in it.
    pub(super) fn open(target: &Path) -> Result<Self, DownloadError> {
        let path = with_suffix(target, ".part");
        let version_path = with_suffix(target, ".part.version");
        let failed = |e| DownloadError::file(&path, e);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        let mut hash = Sha256Stream::new();
        let mut length = 0;
        if file.metadata().map_err(failed)?.len() > 0 {
            let mut buffer = vec![0; 1 << 20];
            loop {
                let read = file.read(&mut buffer).map_err(failed)?;
                if read == 0 {
                    break;
                }
                hash.update(&buffer[..read]);
                length += read as u64;
            }
        }
        let version = std::fs::read_to_string(&version_path).ok().filter(|v| !v.is_empty());
        Ok(Part { path, version_path, target: target.into(), file, length, hash, version })
    }

    /// Bytes that have arrived.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The validator of the version that the bytes belong to.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.file.write_all(bytes).map_err(|e| DownloadError::file(&self.path, e))?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets all bytes, and takes on the version that the next ones belong to.
    pub(super) fn restart(&mut self, version: Option<&str>) -> Result<(), DownloadError> {
        if self.length > 0 {
            self.file.set_len(0).map_err(|e| DownloadError::file(&self.path, e))?;
        }
        self.length = 0;
        self.hash = Sha256Stream::new();
        self.version = version.map(str::to_owned);
        match version {
            Some(v) => std::fs::write(&self.version_path, v).map_err(|e| DownloadError::file(&self.version_path, e)),
            None => remove_if_there(&self.version_path).map_err(|e| DownloadError::file(&self.version_path, e)),
        }
    }

    /// SHA-256 of the bytes so far.
    pub(super) fn sha256(&self) -> String {
        self.hash.clone().finish()
    }

    /// Removes the part.
    pub(super) fn discard(self) {
        // Only called on the way to an error that says more than a failed removal would.
        let _ = std::fs::remove_file(&self.path);
        let _ = remove_if_there(&self.version_path);
    }

    /// Gives the whole file its name, once its bytes are on the disk.
    pub(super) fn finish(self) -> Result<(), DownloadError> {
        let failed = |e| DownloadError::file(&self.path, e);
        self.file.sync_all().map_err(failed)?;
        std::fs::rename(&self.path, &self.target).map_err(failed)?;
        remove_if_there(&self.version_path).map_err(failed)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

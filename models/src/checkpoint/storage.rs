//! [`Storage`]: a range of bytes that tensors share.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use mmap_io::{MemoryMappedFile, MmapAdvice, MmapIoError};

use crate::error::{Error, Result};

/// A range of a file or of memory; cheap to clone and to narrow, never copied.
#[derive(Clone)]
pub(crate) struct Storage {
    source: Source,
    start: usize,
    len: usize,
}

#[derive(Clone)]
enum Source {
    Mapped(MemoryMappedFile),
    Static(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

impl Storage {
    /// Maps a whole file read-only.
    ///
    /// # Errors
    /// `Io` if there is no such file or it is not a regular one, `Malformed` if it is empty.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let info = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if info.is_dir() {
            return Err(Error::io(path, io::Error::new(io::ErrorKind::IsADirectory, "is a directory, not a file")));
        }
        if !info.is_file() {
            return Err(Error::io(path, io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")));
        }
        if info.len() == 0 {
            return Err(Error::malformed("the file is empty").in_file(path));
        }
        let map = MemoryMappedFile::open_ro(path).map_err(|e| match e {
            MmapIoError::Io(e) => Error::io(path, e),
            other => Error::io(path, io::Error::other(other)),
        })?;
        let len = usize::try_from(map.len()).map_err(|_| Error::malformed("the file is too large").in_file(path))?;
        Ok(Storage { source: Source::Mapped(map), start: 0, len })
    }

    /// Bytes built into the program.
    pub(crate) fn from_static(bytes: &'static [u8]) -> Self {
        Storage { source: Source::Static(bytes), start: 0, len: bytes.len() }
    }

    /// Bytes in memory.
    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        Storage { start: 0, len: bytes.len(), source: Source::Owned(Arc::new(bytes)) }
    }

    /// Gives the pages of a mapped file back to the system, which reads them again where they are asked for.
    pub(crate) fn release(&self) {
        if let Source::Mapped(map) = &self.source {
            // A hint: where it is not taken, the pages stay.
            let _ = map.advise(self.start as u64, self.len as u64, MmapAdvice::DontNeed);
        }
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A part of this storage, `None` if it reaches outside.
    pub(crate) fn slice(&self, range: Range<usize>) -> Option<Storage> {
        if range.start > range.end || range.end > self.len {
            return None;
        }
        Some(Storage { source: self.source.clone(), start: self.start + range.start, len: range.end - range.start })
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        let all = match &self.source {
            Source::Mapped(map) => map
                .as_slice_bytes(self.start as u64, self.len as u64)
                .map_err(|e| Error::malformed(format!("the mapped file cannot be read: {e}")))?,
            Source::Static(bytes) => &bytes[self.start..self.start + self.len],
            Source::Owned(bytes) => &bytes[self.start..self.start + self.len],
        };
        Ok(all)
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

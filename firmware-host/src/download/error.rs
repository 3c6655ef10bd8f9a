//! [`DownloadError`]: why a file did not arrive, and whether asking again can help.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The server refused, or has no such file.
    #[error("{url}: the server answers {status}{}", meaning(*.status))]
    Status {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server could not be reached or the connection broke.
    #[error("{url}: {}", broken(*.got))]
    Connection {
        /// The address asked.
        url: String,
        /// Bytes that had arrived.
        got: u64,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server's file is not as long as the one that is wanted.
    #[error("{url}: this is another file: it has {offered} bytes, not {expected}")]
    WrongSize {
        /// The address asked.
        url: String,
        /// Bytes that the server has.
        offered: u64,
        /// Bytes of the file that is wanted.
        expected: u64,
    },
    /// All bytes arrived, and they are not those that are wanted.
    #[error("{url}: this is another or a damaged file, and was deleted: sha256 is {actual}, expected {expected}")]
    WrongHash {
        /// The address asked.
        url: String,
        /// Hash of what arrived.
        actual: String,
        /// Hash of what is wanted.
        expected: String,
    },
    /// The disk, or the user's share of it, is full.
    #[error("the disk of {} is full; the unfinished file was deleted", .path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of this machine cannot be read or written.
    #[error("{}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl DownloadError {
    /// An error on a file of this machine.
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_disk_full(&source) {
            DownloadError::DiskFull { path, source }
        } else {
            DownloadError::File { path, source }
        }
    }

    /// Whether asking again may help.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            DownloadError::Connection { .. } => true,
            DownloadError::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether the bytes that have arrived are of no use.
    pub(super) fn spoils_part(&self) -> bool {
        matches!(
            self,
            DownloadError::WrongSize { .. } | DownloadError::WrongHash { .. } | DownloadError::DiskFull { .. }
        )
    }
}

/// Whether a write failed because no more fits: disk, quota or the process's limit of file sizes.
pub fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn broken(got: u64) -> String {
    match got {
        0 => "nothing could be had from the server".into(),
        got => format!("the download broke off; {got} bytes are kept, and the same command goes on from there"),
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        401 | 403 => " (access denied)",
        404 | 410 => " (no such file)",
        429 => " (too many requests)",
        500..=599 => " (the server has a problem)",
        _ => "",
    }
}

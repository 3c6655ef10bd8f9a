//! What can be wrong with a photo, said so that a person knows what to do next.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};

/// What is wrong with a photo's bytes; [`PhotoError`] adds the file's name.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be opened or read.
    Io(io::Error),
    /// It is a folder.
    Directory,
    /// It has no bytes.
    Empty,
    /// It ends before the picture does.
    CutShort,
    /// It is no picture of any known kind.
    NotAPicture,
    /// It is a picture (or film) of a kind that is not decoded, named here.
    Unsupported(&'static str),
    /// The decoder found a contradiction, given in its words.
    Damaged(String),
    /// It has more pixels than [`MAX_PIXELS`], or a side beyond [`MAX_SIDE`].
    TooManyPixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// It is longer than [`MAX_FILE_BYTES`], or decoding would take more memory than is allowed.
    TooManyBytes,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Io(error) if error.kind() == io::ErrorKind::NotFound => f.write_str("no such file; check the path"),
            Fault::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                f.write_str("may not be read; check its permissions")
            }
            Fault::Io(error) => write!(f, "cannot be read: {error}"),
            Fault::Directory => f.write_str("is a folder; name one photo in it"),
            Fault::Empty => f.write_str("the file is empty; copy or download it again"),
            Fault::CutShort => f.write_str("the file is cut short; copy or download it again"),
            Fault::NotAPicture => f.write_str("not a picture; give a JPEG, PNG, WebP, BMP or PNM file"),
            Fault::Unsupported(kind) => write!(f, "{kind} is not supported; convert it to JPEG or PNG"),
            // Decoders may speak in several lines; an error is one.
            Fault::Damaged(what) => {
                f.write_str("the picture is damaged (")?;
                for (i, word) in what.split_whitespace().enumerate() {
                    write!(f, "{}{word}", if i == 0 { "" } else { " " })?;
                }
                f.write_str("); save it again from its source")
            }
            Fault::TooManyPixels { width, height } => write!(
                f,
                "{width}x{height} pixels are too many; scale it below {MAX_SIDE} a side and {} megapixels",
                MAX_PIXELS / 1_000_000
            ),
            Fault::TooManyBytes => {
                write!(f, "too large; scale it down until it takes less than {} MB", MAX_FILE_BYTES >> 20)
            }
        }
    }
}

/// A photo that could not be had: the file, and what is wrong with it. Prints as one line.
#[derive(Debug)]
pub struct PhotoError {
    path: PathBuf,
    fault: Fault,
}

impl PhotoError {
    pub(super) fn new(path: &Path, fault: Fault) -> Self {
        PhotoError { path: path.into(), fault }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for PhotoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for PhotoError {}

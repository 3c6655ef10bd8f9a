//! [`Recording`]: a camera stream in a file, as V4L2 and ffmpeg write them.

pub(super) mod y4m;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Pixels, SourceError, jpeg};

/// Longest compressed frame, in bytes.
const LONGEST: u64 = 1 << 28;
/// Most frames that are looked for, so that a file of tiny ones does not fill memory with where they are.
const MOST: usize = 1 << 22;

/// Frames of a YUV4MPEG2 file (4:2:0, 4:2:2, 4:4:4 or grey, eight bits), or JPEGs one behind the other (what a motion JPEG
/// camera gives).
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    file: File,
    /// Where each frame begins, and how long it is.
    frames: Vec<(u64, u64)>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Planes(y4m::Header),
    Jpeg,
}

impl Recording {
    /// Finds the frames; what is cut short or damaged is left out.
    ///
    /// # Errors
    /// [`SourceError::File`] where the file cannot be read or is of another kind; says what to do.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let cannot = |error: std::io::Error| SourceError::io(path, &error);
        let file = File::open(path).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let start = reader.fill_buf().map_err(cannot)?;
        let (kind, frames) = if start.starts_with(y4m::MAGIC) {
            let (header, frames) = y4m::index(&mut reader, length, MOST).map_err(|why| SourceError::file(path, why))?;
            (Kind::Planes(header), frames)
        } else if start.starts_with(&[0xff, 0xd8]) {
            let mut scanner = jpeg::Scanner::new(&mut reader);
            let mut frames = Vec::new();
            while frames.len() < MOST
                && let Some(frame) = scanner.next().map_err(cannot)?
            {
                frames.extend((frame.1 <= LONGEST).then_some(frame));
            }
            (Kind::Jpeg, frames)
        } else {
            let why = "is no recording that can be read: give a folder of pictures, a YUV4MPEG2 file (.y4m) or motion JPEG \
                       (.mjpeg); `ffmpeg -i FILM -pix_fmt yuv420p -r 1 FILM.y4m` makes one of any film";
            return Err(SourceError::file(path, why));
        };
        if frames.len() == MOST {
            tracing::warn!("{}: only the first {MOST} frames are used", path.display());
        }
        Ok(Recording { path: path.into(), file: reader.into_inner(), frames, kind })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames per second, if the file says so.
    pub fn rate(&self) -> Option<f64> {
        match self.kind {
            Kind::Planes(header) => header.rate,
            Kind::Jpeg => None,
        }
    }

    /// Reads one: of YUV4MPEG2 as [`PixelFormat::Nv12`](cutout_runtime::PixelFormat::Nv12), of motion JPEG compressed.
    ///
    /// # Errors
    /// [`SourceError::File`] where the file cannot be read any more or has fewer frames.
    pub fn read(&self, number: usize) -> Result<Pixels, SourceError> {
        let cannot = |error: std::io::Error| SourceError::io(&self.path, &error);
        let &(start, length) =
            self.frames.get(number).ok_or_else(|| SourceError::file(&self.path, "has fewer frames than that"))?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start)).map_err(cannot)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(cannot)?;
        if bytes.len() as u64 != length {
            return Err(SourceError::file(&self.path, "is shorter than when it was opened: leave it while it is read"));
        }
        match self.kind {
            Kind::Jpeg => Ok(Pixels::Compressed(bytes)),
            Kind::Planes(header) => y4m::nv12(&header, &bytes).map(Pixels::Raw),
        }
    }
}

#[cfg(test)]
mod tests;

//! YUV4MPEG2, as mjpegtools define it and ffmpeg writes it: a line that says what the frames are, then for each a line and
//! its planes.

use std::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

use cutout_runtime::{PixelFormat, Size, YuvEncoding};

use crate::photo::{MAX_PIXELS, MAX_SIDE};
use crate::source::{Raster, SourceError};

/// How a file begins.
pub(in crate::source) const MAGIC: &[u8] = b"YUV4MPEG2 ";
/// How the line before a frame begins.
pub(in crate::source) const FRAME: &str = "FRAME";
/// Longest line of a header, in bytes.
const LINE: u64 = 1024;

/// What the frames are.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Header {
    size: Size,
    chroma: Option<Chroma>,
    encoding: YuvEncoding,
    /// Frames per second.
    pub(in crate::source) rate: Option<f64>,
}

/// Pixels for one of the planes of colour, across and down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Chroma(pub(super) usize, pub(super) usize);

impl Chroma {
    /// Sides of these planes.
    fn sides(self, size: Size) -> (usize, usize) {
        (size.width.div_ceil(self.0), size.height.div_ceil(self.1))
    }

    /// The mean of such a plane over each two by two pixels.
    pub(super) fn halved(self, plane: &[u8], size: Size) -> Vec<u8> {
        if self == Chroma(2, 2) {
            return plane.to_vec();
        }
        let (width, height) = self.sides(size);
        let across = |side: usize, step: usize| move |at: usize| [0, 1].map(|i| ((2 * at + i) / step).min(side - 1));
        let (columns, rows) = (across(width, self.0), across(height, self.1));
        let mean = |column: usize, row: usize| {
            let taken = rows(row).into_iter().flat_map(|y| columns(column).map(|x| u16::from(plane[y * width + x])));
            ((taken.sum::<u16>() + 2) / 4) as u8
        };
        let (across, down) = (size.width.div_ceil(2), size.height.div_ceil(2));
        (0..down).flat_map(|row| (0..across).map(move |column| (column, row))).map(|(c, r)| mean(c, r)).collect()
    }
}

impl Header {
    fn parse(line: &str) -> Result<Self, String> {
        let field = |key: char| line.split(' ').skip(1).find_map(|f| f.strip_prefix(key));
        let side = |key| {
            let side = field(key).and_then(|n| n.parse::<usize>().ok());
            side.filter(|side| (1..=MAX_SIDE as usize).contains(side))
        };
        let (Some(width), Some(height)) = (side('W'), side('H')) else {
            return Err(format!("has no width and height of 1 to {MAX_SIDE}: the file is damaged, record it again"));
        };
        let size = Size::new(width, height);
        if size.pixels() as u64 > MAX_PIXELS {
            return Err(format!("has frames of {size}, which are too large: at most {MAX_PIXELS} pixels"));
        }
        let chroma = match field('C').unwrap_or("420") {
            "mono" => None,
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => Some(Chroma(2, 2)),
            "422" => Some(Chroma(2, 1)),
            "444" => Some(Chroma(1, 1)),
            other => {
                return Err(format!("has {other} pixels: convert it with `ffmpeg -i IN -pix_fmt yuv420p OUT.y4m`"));
            }
        };
        let full = line.contains("XCOLORRANGE=FULL");
        let encoding = if full { YuvEncoding::Bt601Full } else { YuvEncoding::Bt601Limited };
        let rate = field('F').and_then(|rate| rate.split_once(':')).and_then(|(frames, seconds)| {
            let rate = frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?;
            (0.001..=1000.0).contains(&rate).then_some(rate)
        });
        Ok(Header { size, chroma, encoding, rate })
    }

    /// Reads a file's first line.
    pub(in crate::source) fn read(file: &mut impl BufRead) -> Result<Self, String> {
        let line = line(file).map_err(cannot)?;
        Self::parse(&line.ok_or("has a first line without an end: the file is damaged, record it again")?)
    }

    /// Bytes of a frame.
    pub(in crate::source) fn bytes(&self) -> u64 {
        let (across, down) = self.chroma.map_or((0, 0), |chroma| chroma.sides(self.size));
        (self.size.pixels() + 2 * across * down) as u64
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} YUV4MPEG2", self.size)
    }
}

/// What the frames are, and where each begins and how long it is; `most` at most. What is cut short at the end is left out,
/// and so is what comes after damage.
pub(super) fn index(
    file: &mut (impl BufRead + Seek),
    length: u64,
    most: usize,
) -> Result<(Header, Vec<(u64, u64)>), String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let header = Header::read(file)?;
    let bytes = header.bytes();
    let mut at = file.stream_position().map_err(cannot)?;
    let mut frames = Vec::new();
    while at < length && frames.len() < most {
        file.seek(SeekFrom::Start(at)).map_err(cannot)?;
        let Some(line) = line(file).map_err(cannot)? else { break };
        if !line.starts_with(FRAME) {
            let number = frames.len() + 1;
            if frames.is_empty() {
                return Err(format!(
                    "has no frame {number} where it should begin: the file is damaged, record it again"
                ));
            }
            tracing::warn!("a recording is damaged where frame {number} should begin: those before it are used");
            break;
        }
        let start = file.stream_position().map_err(cannot)?;
        at = start + bytes;
        if at <= length {
            frames.push((start, bytes));
        }
    }
    Ok((header, frames))
}

fn cannot(error: io::Error) -> String {
    format!("cannot be read: {error}")
}

/// The next line, without its end; `None` if it has none.
pub(in crate::source) fn line(file: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(LINE).read_until(b'\n', &mut bytes)?;
    Ok((bytes.pop() == Some(b'\n')).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A frame's planes, one behind the other, as the runtime reads them.
pub(in crate::source) fn nv12(header: &Header, bytes: &[u8]) -> Result<Raster, SourceError> {
    let Header { size, chroma, encoding, .. } = *header;
    let row = size.width.next_multiple_of(2);
    let (luma, planes) = bytes.split_at_checked(size.pixels()).unwrap_or((bytes, &[]));
    let mut out = Vec::with_capacity(row * (size.height + size.height.div_ceil(2)));
    for pixels in luma.chunks(size.width) {
        out.extend_from_slice(pixels);
        out.resize(out.len() + row - size.width, 0);
    }
    match chroma {
        Some(chroma) => {
            let (u, v) = planes.split_at(planes.len() / 2);
            out.extend(chroma.halved(u, size).into_iter().zip(chroma.halved(v, size)).flat_map(|(u, v)| [u, v]));
        }
        None => out.resize(out.len() + row * size.height.div_ceil(2), 128),
    }
    Raster::new(out, size, row, PixelFormat::Nv12(encoding))
}

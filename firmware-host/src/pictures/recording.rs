//! [`Recording`]: a camera stream in a file, as V4L2 and ffmpeg write them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cutout_quantize::calibrate::{PictureError, Pictures};
use cutout_runtime::{ImageView, Normalization, Preprocessor, Size, YuvEncoding};

use crate::photo::Photo;

/// Longest line of a header, in bytes.
const LINE: u64 = 1024;
/// Longest frame, in bytes.
const LONGEST: u64 = 1 << 28;

/// Frames of a YUV4MPEG2 file (4:2:0, 4:2:2, 4:4:4 or grey, eight bits), or JPEGs one behind the other (what a motion JPEG camera gives).
pub struct Recording {
    path: PathBuf,
    /// Where each frame begins, and how long it is.
    frames: Vec<(u64, u64)>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Planes { size: Size, chroma: Option<Chroma>, encoding: YuvEncoding },
    Jpeg,
}

/// Pixels for one of the planes of colour, across and down.
#[derive(Clone, Copy)]
struct Chroma(usize, usize);

impl Chroma {
    /// Sides of these planes.
    fn sides(self, size: Size) -> (usize, usize) {
        (size.width.div_ceil(self.0), size.height.div_ceil(self.1))
    }

    /// The mean of such a plane over each two by two pixels.
    fn halved(self, plane: &[u8], size: Size) -> Vec<u8> {
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

impl Recording {
    /// Finds the frames; what is cut short at the end is left out.
    ///
    /// # Errors
    /// Where the file cannot be read or is of another kind; says what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("{shown} cannot be opened"))?;
        let length = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let start = file.fill_buf().with_context(|| format!("{shown} cannot be read"))?;
        let (kind, frames) = if start.starts_with(b"YUV4MPEG2 ") {
            let header = line(&mut file).with_context(|| format!("{shown} cannot be used"))?;
            let kind = header_kind(&header).with_context(|| format!("{shown} cannot be used"))?;
            (kind, frames_of_planes(&mut file, kind, header.len() as u64 + 1, length)?)
        } else if start.starts_with(&[0xff, 0xd8]) {
            (Kind::Jpeg, jpegs(&mut file)?)
        } else {
            bail!(
                "{shown} is no recording that can be read: give a folder of pictures, a YUV4MPEG2 file (.y4m) or motion JPEG (.mjpeg); \
                 `ffmpeg -i FILM -pix_fmt yuv420p -r 1 FILM.y4m` makes one of any film"
            );
        };
        Ok(Recording { path: path.into(), frames, kind })
    }
}

impl Pictures for Recording {
    fn len(&self) -> usize {
        self.frames.len()
    }

    fn name(&self, number: usize) -> String {
        format!("{} frame {}", self.path.display(), number + 1)
    }

    fn load(&self, number: usize) -> Result<(Vec<u8>, Size), PictureError> {
        let (start, length) = self.frames[number];
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = vec![0; usize::try_from(length)?];
        file.read_exact(&mut bytes)?;
        match self.kind {
            Kind::Jpeg => {
                let photo = Photo::decode(&bytes).map_err(|fault| fault.to_string())?;
                Ok((photo.pixels().to_vec(), photo.size()))
            }
            Kind::Planes { size, chroma, encoding } => Ok((to_rgb(&bytes, size, chroma, encoding)?, size)),
        }
    }
}

fn to_rgb(bytes: &[u8], size: Size, chroma: Option<Chroma>, encoding: YuvEncoding) -> Result<Vec<u8>, PictureError> {
    let (luma, rest) = bytes.split_at(size.pixels());
    let row = size.width.next_multiple_of(2);
    let pairs = match chroma {
        Some(chroma) => {
            let (u, v) = rest.split_at(rest.len() / 2);
            chroma.halved(u, size).into_iter().zip(chroma.halved(v, size)).flat_map(|(u, v)| [u, v]).collect()
        }
        None => vec![128; row * size.height.div_ceil(2)],
    };
    let view = ImageView::nv12(luma, size.width, &pairs, row, size, encoding)?;
    let mut preprocessor = Preprocessor::new(size, Normalization::SIGNED_UNIT);
    Ok(preprocessor.resize(&view, size)?.to_vec())
}

fn line(file: &mut impl BufRead) -> Result<String> {
    let mut bytes = Vec::new();
    file.take(LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        bail!("a header has no end: the file is damaged, record it again");
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn header_kind(header: &str) -> Result<Kind> {
    let field = |key: char| header.split(' ').skip(1).find_map(|f| f.strip_prefix(key));
    let side = |key| field(key).and_then(|n| n.parse::<usize>().ok()).filter(|n| (1..=1 << 15).contains(n));
    let (Some(width), Some(height)) = (side('W'), side('H')) else {
        bail!("its header has no width and height between 1 and 32768: the file is damaged, record it again")
    };
    let colours = field('C').unwrap_or("420");
    let chroma = match colours {
        "mono" => None,
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Some(Chroma(2, 2)),
        "422" => Some(Chroma(2, 1)),
        "444" => Some(Chroma(1, 1)),
        other => bail!("its pixels are {other}: convert it with `ffmpeg -i IN -pix_fmt yuv420p OUT.y4m`"),
    };
    let full = header.contains("XCOLORRANGE=FULL");
    let encoding = if full { YuvEncoding::Bt601Full } else { YuvEncoding::Bt601Limited };
    Ok(Kind::Planes { size: Size::new(width, height), chroma, encoding })
}

fn frames_of_planes(file: &mut (impl BufRead + Seek), kind: Kind, mut at: u64, length: u64) -> Result<Vec<(u64, u64)>> {
    let Kind::Planes { size, chroma, .. } = kind else { return Ok(Vec::new()) };
    let (across, down) = chroma.map_or((0, 0), |chroma| chroma.sides(size));
    let bytes = (size.pixels() + 2 * across * down) as u64;
    let mut frames = Vec::new();
    while at < length {
        file.seek(SeekFrom::Start(at))?;
        let Ok(header) = line(file) else { break };
        if !header.starts_with("FRAME") {
            bail!("frame {} does not begin where it should: the file is damaged", frames.len() + 1);
        }
        at += header.len() as u64 + 1;
        if at + bytes > length {
            break;
        }
        frames.push((at, bytes));
        at += bytes;
    }
    Ok(frames)
}

/// JPEGs from their first to their last marker. Within a scan no marker of an end occurs; within other segments, such as a thumbnail's, it may,
/// so that these are skipped by their length.
fn jpegs(file: &mut impl Read) -> Result<Vec<(u64, u64)>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(start) = find(&bytes, at, &[0xff, 0xd8]) {
        let Some(end) = jpeg_end(&bytes, start) else { break };
        if (end - start) as u64 <= LONGEST {
            frames.push((start as u64, (end - start) as u64));
        }
        at = end;
    }
    Ok(frames)
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(what.len()).position(|w| w == what).map(|at| from + at)
}

fn jpeg_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 2;
    loop {
        let &[0xff, marker] = bytes.get(at..at + 2)? else {
            // Within a scan: on to the next marker that is none of its own.
            at += 1;
            continue;
        };
        match marker {
            0xd9 => return Some(at + 2),
            0x00 | 0x01 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => at += 2 + usize::from(u16::from_be_bytes(*bytes.get(at + 2..at + 4)?.first_chunk()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    fn recording(bytes: &[u8]) -> Result<Recording> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.keep().join("r");
        std::fs::write(&path, bytes).unwrap();
        Recording::open(&path)
    }

    #[test]
    fn frames_of_planes_are_found_and_mean_their_colours() {
        // Two frames of 3x2: black, then red (BT.601, limited), and a third that is cut short.
        let mut bytes = b"YUV4MPEG2 W3 H2 F30:1 Ip A1:1 C420mpeg2\n".to_vec();
        for (y, u, v) in [(16, 128, 128), (81, 90, 240)] {
            bytes.extend(b"FRAME\n");
            bytes.extend([y; 6]);
            bytes.extend([[u; 2], [v; 2]].as_flattened());
        }
        bytes.extend(b"FRAME\n\x10\x10");
        let recording = recording(&bytes).unwrap();
        assert_eq!(recording.len(), 2);
        let (black, size) = recording.load(0).unwrap();
        assert_eq!((black, size), (vec![0; 18], Size::new(3, 2)));
        let (red, _) = recording.load(1).unwrap();
        for pixel in red.chunks(3) {
            assert!(pixel[0] > 250 && pixel[1] < 5 && pixel[2] < 5, "{pixel:?}");
        }
    }

    #[test]
    fn finer_planes_of_colour_mean_the_same() {
        let (size, red) = ("W3 H3", [81, 90, 240]);
        for (colours, samples) in [("422", 6), ("444", 9)] {
            let mut bytes = format!("YUV4MPEG2 {size} C{colours}\nFRAME\n").into_bytes();
            bytes.extend([red[0]; 9]);
            bytes.extend(vec![red[1]; samples]);
            bytes.extend(vec![red[2]; samples]);
            let (rgb, _) = recording(&bytes).unwrap().load(0).unwrap();
            assert!(rgb.chunks(3).all(|p| p[0] > 250 && p[1] < 5 && p[2] < 5), "{colours}: {rgb:?}");
        }
        // Two by two pixels are one; at an odd edge the last counts again.
        assert_eq!(Chroma(1, 1).halved(&[0, 4, 9, 8, 12, 9, 3, 5, 1], Size::new(3, 3)), [6, 9, 4, 1]);
        assert_eq!(Chroma(2, 1).halved(&[1, 2, 3, 4, 7, 8], Size::new(3, 3)), [2, 3, 7, 8]);
    }

    #[test]
    fn jpegs_are_found_one_behind_the_other() {
        let jpeg = |value: u8| {
            let mut bytes = Vec::new();
            JpegEncoder::new(&mut bytes).write_image(&[value; 8 * 8 * 3], 8, 8, ExtendedColorType::Rgb8).unwrap();
            bytes
        };
        let mut bytes = jpeg(10);
        bytes.extend([0; 5]);
        bytes.extend(jpeg(200));
        bytes.extend(&jpeg(99)[..40]);
        let recording = recording(&bytes).unwrap();
        assert_eq!(recording.len(), 2);
        for (number, value) in [(0, 10_u8), (1, 200)] {
            let (rgb, size) = recording.load(number).unwrap();
            assert_eq!(size, Size::new(8, 8));
            assert!(rgb.iter().all(|v| v.abs_diff(value) <= 2));
        }
    }

    #[test]
    fn other_files_are_refused_with_advice() {
        for (bytes, advice) in [
            (&b"RIFF...."[..], "ffmpeg"),
            (b"YUV4MPEG2 W4 H4 C420p10\n", "yuv420p"),
            (b"YUV4MPEG2 W4\n", "height"),
            (b"YUV4MPEG2 W4 H4\nFRAMES", "end"),
        ] {
            match recording(bytes) {
                Err(error) => assert!(format!("{error:#}").contains(advice), "{error:#}"),
                Ok(found) => assert!(found.is_empty(), "{advice}"),
            }
        }
    }
}

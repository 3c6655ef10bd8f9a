//! [`BufferFormat`]: what a filled buffer of a driver means. Pure, so that any bytes can be tried on it.

use std::fmt;

use cutout_runtime::{BayerDepth, Error, ErrorKind, PixelFormat, Size, YuvEncoding};

use super::Encoding;
use super::encoding::Layout;
use crate::source::{Pixels, Raster, SourceError, jpeg};

/// What a driver says that its buffers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferFormat {
    /// How the pixels are laid out.
    pub encoding: Encoding,
    /// Pixels across and down. Of no meaning for JPEGs, which say it themselves.
    pub size: Size,
    /// Bytes from one row to the next, of the first plane; 0 where they follow each other.
    pub stride: usize,
    /// What luma and chroma mean.
    pub yuv: YuvEncoding,
}

impl BufferFormat {
    /// Bytes of a row of the first plane.
    fn row_bytes(&self) -> usize {
        let width = self.size.width;
        match self.encoding.layout() {
            Layout::Pairs(_) => width.div_ceil(2).saturating_mul(4),
            Layout::TwoPlanes { .. } | Layout::ThreePlanes { .. } => width.div_ceil(2).saturating_mul(2),
            Layout::Rgb | Layout::Bgr => width.saturating_mul(3),
            Layout::Quads(_) => width.saturating_mul(4),
            Layout::Grey | Layout::Bayer(_, BayerDepth::Eight) => width,
            Layout::Grey16 { .. } | Layout::Bayer(..) => width.saturating_mul(2),
            Layout::Packed(_, samples) => width.div_ceil(samples).saturating_mul(samples + 1),
            Layout::Jpeg => 0,
        }
    }

    /// Bytes from one row to the next.
    fn row_stride(&self) -> usize {
        if self.stride == 0 { self.row_bytes() } else { self.stride }
    }

    /// Bytes that a whole frame takes, the padding of its last row aside.
    fn bytes(&self) -> usize {
        let (stride, row, height) = (self.row_stride(), self.row_bytes(), self.size.height);
        let rows = |count: usize| count.saturating_sub(1).saturating_mul(stride).saturating_add(row);
        match self.encoding.layout() {
            Layout::TwoPlanes { .. } => rows(height.saturating_add(height.div_ceil(2))),
            Layout::ThreePlanes { .. } => {
                let plane = height.div_ceil(2).saturating_mul(stride / 2);
                height.saturating_mul(stride).saturating_add(plane.saturating_mul(2))
            }
            _ => rows(height),
        }
    }

    /// Whether rows as long as the driver says hold so many pixels.
    pub(super) fn is_possible(&self) -> bool {
        self.encoding.layout() == Layout::Jpeg || (self.row_bytes() > 0 && self.row_stride() >= self.row_bytes())
    }

    /// Whether a buffer holds a whole frame, told without decoding it.
    ///
    /// # Errors
    /// Says what is missing.
    pub(super) fn check(&self, buffer: &[u8]) -> Result<(), String> {
        match self.encoding.layout() {
            Layout::Jpeg if jpeg::first(buffer).is_none() => Err(format!("{} bytes are no whole JPEG", buffer.len())),
            Layout::Jpeg => Ok(()),
            _ if buffer.len() < self.bytes() => Err(format!("{} bytes came of {}", buffer.len(), self.bytes())),
            _ => Ok(()),
        }
    }

    /// The pixels of a filled buffer, rearranged where the runtime does not read them as they are. Any bytes will do: what is
    /// not a frame of this format is an error.
    ///
    /// Samples of 10 and 12 bits that are packed keep their upper eight.
    ///
    /// # Errors
    /// [`SourceError::Damaged`] for a JPEG without an end, [`SourceError::Pixels`] where there are too few bytes, or the
    /// format contradicts itself or is too large.
    pub fn pixels(&self, mut buffer: Vec<u8>) -> Result<Pixels, SourceError> {
        let layout = self.encoding.layout();
        if layout == Layout::Jpeg {
            let length = jpeg::first(&buffer).map(<[u8]>::len);
            buffer.truncate(length.ok_or(SourceError::Damaged(crate::photo::Fault::CutShort))?);
            return Ok(Pixels::Compressed(buffer));
        }
        if !self.is_possible() {
            let why =
                format!("rows of {} bytes do not hold {} pixels of {}", self.stride, self.size.width, self.encoding);
            return Err(invalid(why));
        }
        self.check(&buffer).map_err(invalid)?;
        let mut stride = self.row_stride();
        let format = match layout {
            Layout::Pairs(order) => {
                self.each_row(&mut buffer, |row| reorder(row, order));
                PixelFormat::Yuyv(self.yuv)
            }
            Layout::TwoPlanes { v_first } => {
                if v_first {
                    let chroma = buffer.get_mut(stride * self.size.height..).unwrap_or_default();
                    self.each_row(chroma, |row| reorder(row, [1, 0]));
                }
                PixelFormat::Nv12(self.yuv)
            }
            Layout::ThreePlanes { v_first } => {
                (buffer, stride) = self.two_planes(&buffer, v_first);
                PixelFormat::Nv12(self.yuv)
            }
            Layout::Rgb => PixelFormat::Rgb8,
            Layout::Bgr => PixelFormat::Bgr8,
            Layout::Quads([r, g, b]) => {
                let rest = 6 - r - g - b;
                self.each_row(&mut buffer, |row| reorder(row, [r, g, b, rest]));
                PixelFormat::Rgba8
            }
            Layout::Grey => PixelFormat::Grey8,
            Layout::Grey16 { bits } => {
                self.each_row(&mut buffer, |row| shift(row, 16_u32.saturating_sub(bits)));
                PixelFormat::Grey16
            }
            Layout::Bayer(pattern, depth) => PixelFormat::Bayer(pattern, depth),
            Layout::Packed(pattern, samples) => {
                buffer = self.upper_bits(&buffer, samples);
                stride = self.size.width;
                pattern.map_or(PixelFormat::Grey8, |pattern| PixelFormat::Bayer(pattern, BayerDepth::Eight))
            }
            Layout::Jpeg => return Ok(Pixels::Compressed(buffer)),
        };
        Raster::new(buffer, self.size, stride, format).map(Pixels::Raw)
    }

    /// Calls for each row of a plane, without what lies between them.
    fn each_row(&self, plane: &mut [u8], mut change: impl FnMut(&mut [u8])) {
        for row in plane.chunks_mut(self.row_stride()) {
            let bytes = self.row_bytes().min(row.len());
            change(row.get_mut(..bytes).unwrap_or_default());
        }
    }

    /// Luma as it is, and behind it the two planes of chroma as one of pairs; and the stride of both.
    fn two_planes(&self, buffer: &[u8], v_first: bool) -> (Vec<u8>, usize) {
        let (from, stride, height) = (self.row_stride(), self.row_bytes(), self.size.height);
        let (luma, chroma) = buffer.split_at(from * height);
        let (u, v) = chroma.split_at(height.div_ceil(2) * (from / 2));
        let (u, v) = if v_first { (v, u) } else { (u, v) };
        let mut out = Vec::with_capacity(stride * (height + height.div_ceil(2)));
        luma.chunks(from).for_each(|row| out.extend_from_slice(&row[..stride]));
        for (u, v) in u.chunks(from / 2).zip(v.chunks(from / 2)).take(height.div_ceil(2)) {
            out.extend(u.iter().zip(v).take(stride / 2).flat_map(|(&u, &v)| [u, v]));
        }
        (out, stride)
    }

    /// The upper eight bits of each packed sample.
    fn upper_bits(&self, buffer: &[u8], samples: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size.pixels());
        for row in buffer.chunks(self.row_stride()).take(self.size.height) {
            let upper = row.chunks(samples + 1).flat_map(|group| group.iter().take(samples));
            out.extend(upper.take(self.size.width));
        }
        out
    }
}

fn invalid(why: String) -> SourceError {
    SourceError::Pixels(Error::new(ErrorKind::InvalidImage, why))
}

/// Moves the bytes of each group: each comes from the place that `order` says.
fn reorder<const N: usize>(row: &mut [u8], order: [usize; N]) {
    if order != std::array::from_fn(|place| place) {
        for group in row.as_chunks_mut::<N>().0 {
            *group = order.map(|place| group[place]);
        }
    }
}

/// Makes the lower bits the upper ones.
fn shift(row: &mut [u8], by: u32) {
    if by > 0 {
        for sample in row.as_chunks_mut::<2>().0 {
            *sample = (u16::from_le_bytes(*sample) << by).to_le_bytes();
        }
    }
}

impl fmt::Display for BufferFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.size, self.encoding)
    }
}

#[cfg(test)]
mod tests;

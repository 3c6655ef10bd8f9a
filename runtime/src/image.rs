//! Borrowed pixels, checked once.

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Region, Size};

/// How a pixel lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Three bytes: red, green, blue, in sRGB.
    Rgb8,
}

impl PixelFormat {
    /// Bytes of one pixel.
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            PixelFormat::Rgb8 => 3,
        }
    }
}

/// A borrowed image whose size, stride and length have been checked against each other.
#[derive(Clone, Copy)]
pub struct ImageView<'a> {
    data: &'a [u8],
    size: Size,
    row_stride_bytes: usize,
    format: PixelFormat,
}

impl<'a> ImageView<'a> {
    /// A view of `size` pixels in `data`, rows from the top, each `row_stride_bytes` after the one before. What lies
    /// between the end of a row and the next is never read, and the last row needs none of it.
    ///
    /// Fails with [`ErrorKind::InvalidImage`] if the size is zero, over 65,535 per side or over 2^28 pixels, if the
    /// stride is shorter than a row, or if `data` is too short.
    pub fn new(data: &'a [u8], size: Size, row_stride_bytes: usize, format: PixelFormat) -> Result<Self> {
        size.check()?;
        let row = size.width * format.bytes_per_pixel();
        if row_stride_bytes < row {
            let context = format!("row stride {row_stride_bytes} is shorter than a row of {row} bytes");
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        let needed = row_stride_bytes.checked_mul(size.height - 1).and_then(|rows| rows.checked_add(row));
        if needed.is_none_or(|needed| data.len() < needed) {
            let context = format!(
                "{} bytes do not hold a {size} {format:?} image with row stride {row_stride_bytes}",
                data.len()
            );
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        Ok(ImageView { data, size, row_stride_bytes, format })
    }

    /// A view of tightly packed [`PixelFormat::Rgb8`] rows; fails as [`new`](Self::new) does.
    pub fn rgb8(data: &'a [u8], size: Size) -> Result<Self> {
        Self::new(data, size, size.width.saturating_mul(3), PixelFormat::Rgb8)
    }

    /// A view of a part of this image, on the same bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`] if the region has no pixels or reaches beyond the image.
    pub fn crop(&self, region: Region) -> Result<Self> {
        let Region { x0, y0, x1, y1 } = region;
        let size = region.size();
        let outside = size.pixels() == 0 || x1 > self.size.width || y1 > self.size.height;
        let start = y0.saturating_mul(self.row_stride_bytes) + x0.saturating_mul(self.format.bytes_per_pixel());
        match self.data.get(start..) {
            Some(data) if !outside => Self::new(data, size, self.row_stride_bytes, self.format),
            _ => {
                let context =
                    format!("({x0}, {y0}, {x1}, {y1}) is empty or not inside the {} image: cut it to it", self.size);
                Err(Error::new(ErrorKind::InvalidImage, context))
            }
        }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How a pixel lies in memory.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The bytes of row `y`, without what follows them up to the stride; `None` below the image.
    pub fn row(&self, y: usize) -> Option<&'a [u8]> {
        if y >= self.size.height {
            return None;
        }
        let start = y * self.row_stride_bytes;
        self.data.get(start..start + self.size.width * self.format.bytes_per_pixel())
    }
}

impl std::fmt::Debug for ImageView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImageView({} {:?}, row stride {})", self.size, self.format, self.row_stride_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_skip_the_padding_and_the_last_row_needs_none() {
        let data: Vec<u8> = (0..7 + 6).collect();
        let view = ImageView::new(&data, Size::new(2, 2), 7, PixelFormat::Rgb8).unwrap();
        assert_eq!(view.row(0), Some(&[0, 1, 2, 3, 4, 5][..]));
        assert_eq!(view.row(1), Some(&[7, 8, 9, 10, 11, 12][..]));
        assert_eq!(view.row(2), None);
        assert!(ImageView::new(&data[..12], Size::new(2, 2), 7, PixelFormat::Rgb8).is_err());
    }

    #[test]
    fn a_crop_has_the_pixels_of_its_region() {
        // Pixel (x, y) is 10 y + x in each channel; rows of 4 pixels, 15 bytes apart.
        let data: Vec<u8> = (0..45u8).map(|i| if i % 15 < 12 { i / 15 * 10 + i % 15 / 3 } else { 99 }).collect();
        let view = ImageView::new(&data, Size::new(4, 3), 15, PixelFormat::Rgb8).unwrap();
        let crop = view.crop(Region::new(1, 1, 4, 3)).unwrap();
        assert_eq!(crop.size(), Size::new(3, 2));
        assert_eq!(crop.row(0), Some(&[11, 11, 11, 12, 12, 12, 13, 13, 13][..]));
        assert_eq!(crop.row(1), Some(&[21, 21, 21, 22, 22, 22, 23, 23, 23][..]));
        assert_eq!(crop.row(2), None);
        assert_eq!(crop.crop(Region::new(2, 1, 3, 2)).unwrap().row(0), Some(&[23, 23, 23][..]));
        assert_eq!(view.crop(Region::new(0, 0, 4, 3)).unwrap().row(2), view.row(2));
        let outside = [(0, 0, 5, 3), (0, 0, 4, 4), (2, 1, 2, 3), (3, 2, 1, 3), (4, 3, 5, 4)];
        for (x0, y0, x1, y1) in outside.into_iter().chain([(usize::MAX - 1, usize::MAX - 1, usize::MAX, usize::MAX)]) {
            let error = view.crop(Region::new(x0, y0, x1, y1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidImage, "{x0} {y0} {x1} {y1}");
        }
    }

    #[test]
    fn sizes_strides_and_lengths_that_contradict_are_refused() {
        let data = [0u8; 64];
        let cases = [
            (Size::new(0, 4), 12),
            (Size::new(4, 0), 12),
            (Size::new(4, 4), 11),
            (Size::new(4, 6), 12),
            (Size::new(65_536, 1), 65_536 * 3),
            (Size::new(4, 2), usize::MAX),
            (Size::new(usize::MAX, usize::MAX), usize::MAX),
        ];
        for (size, stride) in cases {
            let error = ImageView::new(&data, size, stride, PixelFormat::Rgb8).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidImage, "{size} stride {stride}");
        }
        assert!(ImageView::rgb8(&data, Size::new(usize::MAX, 1)).is_err());
        assert!(ImageView::rgb8(&data, Size::new(7, 3)).is_ok());
        assert!(ImageView::rgb8(&data, Size::new(7, 4)).is_err());
    }
}

//! Borrowed pixels, checked once.

mod format;

pub use format::{BayerDepth, BayerPattern, PixelFormat, YuvEncoding};

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Region, Size};

/// A borrowed image whose size, stride and length have been checked against each other.
#[derive(Clone, Copy)]
pub struct ImageView<'a> {
    plane: Plane<'a>,
    /// Of [`PixelFormat::Nv12`]; empty for other formats.
    chroma: Plane<'a>,
    /// The image that this is a region of. Pixels are made from what surrounds them, so it is kept.
    whole: Size,
    region: Region,
    format: PixelFormat,
}

/// Rows of bytes.
#[derive(Clone, Copy)]
struct Plane<'a> {
    data: &'a [u8],
    row_stride_bytes: usize,
}

impl<'a> Plane<'a> {
    const EMPTY: Plane<'static> = Plane { data: &[], row_stride_bytes: 0 };

    fn new(
        data: &'a [u8],
        row_stride_bytes: usize,
        row: usize,
        height: usize,
        what: impl FnOnce() -> String,
    ) -> Result<Self> {
        if row_stride_bytes < row {
            let context = format!("row stride {row_stride_bytes} is shorter than a row of {row} bytes");
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        let needed = row_stride_bytes.checked_mul(height - 1).and_then(|rows| rows.checked_add(row));
        if needed.is_none_or(|needed| data.len() < needed) {
            let context = format!("{} bytes do not hold {} with row stride {row_stride_bytes}", data.len(), what());
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        Ok(Plane { data, row_stride_bytes })
    }

    fn row(&self, y: usize, bytes: usize) -> &'a [u8] {
        &self.data[y * self.row_stride_bytes..][..bytes]
    }
}

impl<'a> ImageView<'a> {
    /// A view of `size` pixels in `data`, rows from the top, each `row_stride_bytes` after the one before. What lies
    /// between the end of a row and the next is never read, and the last row needs none of it.
    ///
    /// Rows of [`PixelFormat::Yuyv`] and [`PixelFormat::Nv12`] with an odd number of pixels are stored as if they had
    /// one more, and so is the number of rows that chroma is stored for. The chroma plane of [`PixelFormat::Nv12`]
    /// follows after `size.height` strides, with rows of the same stride; [`nv12`](Self::nv12) takes it from elsewhere.
    ///
    /// Fails with [`ErrorKind::InvalidImage`] if the size is zero, over 65,535 per side or over 2^28 pixels, if the
    /// stride is shorter than a row, or if `data` is too short.
    pub fn new(data: &'a [u8], size: Size, row_stride_bytes: usize, format: PixelFormat) -> Result<Self> {
        size.check()?;
        let two_planes = matches!(format, PixelFormat::Nv12(_));
        let rows = if two_planes { size.height + size.height.div_ceil(2) } else { size.height };
        let what = || format!("a {size} {format:?} image");
        let plane = Plane::new(data, row_stride_bytes, format.row_bytes(size.width), rows, what)?;
        let chroma = if two_planes {
            Plane { data: &data[size.height * row_stride_bytes..], row_stride_bytes }
        } else {
            Plane::EMPTY
        };
        Ok(Self::of(plane, chroma, size, format))
    }

    /// A view of tightly packed [`PixelFormat::Rgb8`] rows; fails as [`new`](Self::new) does.
    pub fn rgb8(data: &'a [u8], size: Size) -> Result<Self> {
        Self::new(data, size, size.width.saturating_mul(3), PixelFormat::Rgb8)
    }

    /// A view of `size` pixels of [`PixelFormat::Nv12`] with planes of their own: `luma` has a byte per pixel, `chroma` has
    /// U, V for every two by two pixels, rounded up. Fails as [`new`](Self::new) does.
    pub fn nv12(
        luma: &'a [u8],
        luma_stride_bytes: usize,
        chroma: &'a [u8],
        chroma_stride_bytes: usize,
        size: Size,
        encoding: YuvEncoding,
    ) -> Result<Self> {
        size.check()?;
        let format = PixelFormat::Nv12(encoding);
        let what = || format!("{size} pixels of luma");
        let plane = Plane::new(luma, luma_stride_bytes, size.width, size.height, what)?;
        let (row, rows) = (format.row_bytes(size.width), size.height.div_ceil(2));
        let chroma = Plane::new(chroma, chroma_stride_bytes, row, rows, || format!("the chroma of {size} pixels"))?;
        Ok(Self::of(plane, chroma, size, format))
    }

    fn of(plane: Plane<'a>, chroma: Plane<'a>, size: Size, format: PixelFormat) -> Self {
        ImageView { plane, chroma, whole: size, region: Region::new(0, 0, size.width, size.height), format }
    }

    /// A view of a part of this image, on the same bytes. Any region will do, whatever the format, and its pixels are those
    /// that the image has there, also where they are made from what surrounds them (chroma, colour filters).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`] if the region has no pixels or reaches beyond the image.
    pub fn crop(&self, region: Region) -> Result<Self> {
        let Region { x0, y0, x1, y1 } = region;
        let size = self.size();
        if region.size().pixels() == 0 || x1 > size.width || y1 > size.height {
            let context = format!("({x0}, {y0}, {x1}, {y1}) is empty or not inside the {size} image: cut it to it");
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        let (x, y) = (self.region.x0, self.region.y0);
        Ok(ImageView { region: Region::new(x + x0, y + y0, x + x1, y + y1), ..*self })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.region.size()
    }

    /// How a pixel lies in memory.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The bytes of row `y`, without what follows them up to the stride; `None` below the image. Of formats with several
    /// planes, those of the first; of [`PixelFormat::Yuyv`], those of all pairs that the row has a pixel of.
    pub fn row(&self, y: usize) -> Option<&'a [u8]> {
        let Region { x0, y0, x1, .. } = self.region;
        if y >= self.size().height {
            return None;
        }
        let bytes = self.format.bytes_per_pixel();
        let (start, end) = match self.format {
            PixelFormat::Yuyv(_) => (x0 / 2 * 4, x1.div_ceil(2) * 4),
            _ => (x0 * bytes, x1 * bytes),
        };
        Some(&self.plane.row(y0 + y, end)[start..])
    }

    /// The size of the image that this is a region of, and where in it this lies.
    pub(crate) fn placed(&self) -> (Size, Region) {
        (self.whole, self.region)
    }

    /// The first plane's bytes of columns `x0..x1` of row `y`, counted in the image that this is a region of.
    pub(crate) fn whole_row(&self, y: usize, x0: usize, x1: usize) -> &'a [u8] {
        let bytes = self.format.bytes_per_pixel();
        &self.plane.row(y, x1 * bytes)[x0 * bytes..]
    }

    /// The chroma plane's bytes of pairs of columns `x0..x1` for row `y`, counted as [`whole_row`](Self::whole_row) does.
    pub(crate) fn whole_chroma(&self, y: usize, x0: usize, x1: usize) -> &'a [u8] {
        &self.chroma.row(y / 2, 2 * x1)[2 * x0..]
    }
}

impl std::fmt::Debug for ImageView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImageView({} {:?}, row stride {})", self.size(), self.format, self.plane.row_stride_bytes)
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

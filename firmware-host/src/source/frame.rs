//! [`Frame`]: one image of a source as it came, and [`Raster`]: its pixels as the runtime reads them.

use std::time::Instant;

use cutout_runtime::{Error, ErrorKind, ImageView, Normalization, PixelFormat, Preprocessor, Size};

use super::{SourceError, jpeg};
use crate::photo::{MAX_PIXELS, MAX_SIDE, Photo};

/// What a source gives: a frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// Its pixels.
    pub pixels: Pixels,
    /// When it was taken: of a camera, when the driver handed it over; of files, when it was due.
    pub taken: Instant,
}

/// Pixels, decoded only if the frame is used.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// As the sensor or a recording has them.
    Raw(Raster),
    /// A JPEG, or another picture that [`Photo::decode`] reads.
    Compressed(Vec<u8>),
}

impl Pixels {
    /// The pixels to read, decoded where they are compressed. A JPEG may lack Huffman tables, as those of motion JPEG do
    /// (the usual ones are meant then).
    ///
    /// # Errors
    /// [`SourceError::Damaged`] where [`Photo::decode`] fails, which has limits on size: this frame is lost.
    pub fn develop(self) -> Result<Raster, SourceError> {
        self.develop_within(MAX_PIXELS)
    }

    /// The same of what has at most so many pixels.
    ///
    /// # Errors
    /// As [`develop`](Self::develop).
    pub fn develop_within(self, max_pixels: u64) -> Result<Raster, SourceError> {
        match self {
            Pixels::Raw(raster) => Ok(raster),
            Pixels::Compressed(bytes) => {
                let bytes = jpeg::with_tables(bytes);
                let photo = Photo::decode_within(&bytes, max_pixels).map_err(SourceError::Damaged)?;
                Ok(Raster::from(photo))
            }
        }
    }
}

/// Pixels in memory, checked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    bytes: Vec<u8>,
    size: Size,
    stride: usize,
    format: PixelFormat,
}

impl Raster {
    /// Pixels of `size`, rows from the top, each `stride` bytes after the one before, laid out as [`ImageView::new`] says.
    /// There may be more bytes than that needs.
    ///
    /// # Errors
    /// [`SourceError::Pixels`] if the size is zero, over [`MAX_SIDE`] or [`MAX_PIXELS`], the stride is shorter than a row, or
    /// there are too few bytes.
    pub fn new(bytes: Vec<u8>, size: Size, stride: usize, format: PixelFormat) -> Result<Self, SourceError> {
        let longest = size.width.max(size.height) as u64;
        if longest > u64::from(MAX_SIDE) || size.pixels() as u64 > MAX_PIXELS {
            let why = format!("a frame of {size} is too large: at most {MAX_SIDE} a side and {MAX_PIXELS} pixels");
            return Err(SourceError::Pixels(Error::new(ErrorKind::InvalidImage, why)));
        }
        ImageView::new(&bytes, size, stride, format).map_err(SourceError::Pixels)?;
        Ok(Raster { bytes, size, stride, format })
    }

    /// The pixels as the runtime takes them.
    pub fn view(&self) -> ImageView<'_> {
        let view = ImageView::new(&self.bytes, self.size, self.stride, self.format);
        view.expect("size, stride and length were checked when the raster was made")
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How a pixel lies in memory.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Bytes from one row to the next; of formats with several planes, of each.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The bytes, with what lies between rows.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same picture as RGB, to be drawn on or stored. Uses the current rayon pool.
    pub fn to_rgb(&self) -> Photo {
        let mut preprocessor = Preprocessor::new(self.size, Normalization::SIGNED_UNIT);
        let pixels = preprocessor.resize(&self.view(), self.size).map(<[u8]>::to_vec);
        let photo = pixels.and_then(|pixels| Photo::from_rgb8(self.size, pixels));
        photo.expect("an image that was checked can be had at its own size")
    }
}

impl From<Photo> for Raster {
    fn from(photo: Photo) -> Self {
        let size = photo.size();
        Raster { bytes: photo.into_pixels(), size, stride: 3 * size.width, format: PixelFormat::Rgb8 }
    }
}

//! A photo as a person has it, a file of some common kind, made into the RGB pixels that the runtime reads.

mod container;
mod error;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use cutout_runtime::{ImageView, Size};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

pub use error::{Fault, PhotoError};

/// Longest side, in pixels, of a photo that is decoded.
pub const MAX_SIDE: u32 = 32_768;
/// Most pixels of a photo that is decoded: 2^27, so that a 108-megapixel phone still fits.
pub const MAX_PIXELS: u64 = 1 << 27;
/// Longest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// Most memory, in bytes, that decoding may take, whatever the file promises.
const MAX_DECODED_BYTES: u64 = 1 << 30;

/// A decoded photo: sRGB, one byte per channel, rows from the top without gaps, turned the way it is meant to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    size: Size,
    pixels: Vec<u8>,
}

impl Photo {
    /// Reads and decodes the file at `path`: JPEG, PNG, WebP (the first picture of an animation), BMP or PNM. The
    /// kind is told by the content, never by the name.
    ///
    /// What comes out is always RGB: grey is repeated in the three channels, 16 bits are rounded to 8, transparent
    /// parts lie on white, as on a web page. The EXIF orientation is applied, so coordinates are those of the upright
    /// picture. Colour profiles are not.
    ///
    /// Fails, naming the file and what to do, if there is no such file, it cannot be read, is empty, cut short,
    /// damaged, no picture, a picture of another kind (HEIC, GIF, TIFF and others are named), or larger than
    /// [`MAX_SIDE`], [`MAX_PIXELS`] or [`MAX_FILE_BYTES`].
    pub fn open(path: &Path) -> Result<Self, PhotoError> {
        read(path).and_then(|bytes| Self::decode(&bytes)).map_err(|fault| PhotoError::new(path, fault))
    }

    /// Decodes the bytes of a file; otherwise as [`open`](Self::open).
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        Self::decode_within(bytes, MAX_PIXELS)
    }

    /// Decodes the bytes of a file, such as an upload, if it has at most so many pixels; otherwise as [`open`](Self::open).
    pub fn decode_within(bytes: &[u8], max_pixels: u64) -> Result<Self, Fault> {
        let format = whole(bytes)?;
        // The sides are checked below rather than by the decoder, which would not say what they are.
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_DECODED_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(fault)?;
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 {
            return Err(Fault::Damaged("it has no pixels".into()));
        }
        let pixels = u64::from(width) * u64::from(height);
        if width > MAX_SIDE
            || height > MAX_SIDE
            || pixels > max_pixels.min(MAX_PIXELS)
            || decoder.total_bytes() > MAX_DECODED_BYTES
        {
            return Err(Fault::TooManyPixels { width, height });
        }
        // Damaged EXIF data is no reason to refuse a picture that can be seen.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(fault)?;
        image.apply_orientation(orientation);
        let size = Size::new(image.width() as usize, image.height() as usize);
        Ok(Photo { size, pixels: to_rgb8(image) })
    }

    /// Whether these bytes are a picture of some kind that is decoded, with its end: much cheaper than decoding it, which
    /// may still fail.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), where its end is not there or it is none.
    pub fn check(bytes: &[u8]) -> Result<(), Fault> {
        whole(bytes).map(drop)
    }

    /// A photo from pixels in memory: `pixels` are `size.height` rows of `size.width` RGB triples without gaps.
    /// Fails as [`ImageView::rgb8`] does, or if there are more bytes than pixels.
    pub fn from_rgb8(size: Size, pixels: Vec<u8>) -> cutout_runtime::Result<Self> {
        ImageView::rgb8(&pixels, size)?;
        if pixels.len() != size.pixels() * 3 {
            let context = format!("{} bytes are not the {} of a {size} picture", pixels.len(), size.pixels() * 3);
            return Err(cutout_runtime::Error::new(cutout_runtime::ErrorKind::InvalidImage, context));
        }
        Ok(Photo { size, pixels })
    }

    /// Width and height in pixels, as seen (after the EXIF orientation).
    pub fn size(&self) -> Size {
        self.size
    }

    /// The RGB triples, rows from the top, `3 * width * height` bytes.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The RGB triples themselves.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The RGB triples, to be drawn on.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The pixels as the runtime takes them.
    pub fn view(&self) -> ImageView<'_> {
        ImageView::rgb8(&self.pixels, self.size).expect("size and length were checked when the photo was made")
    }
}

/// The kind of picture, which has its end.
fn whole(bytes: &[u8]) -> Result<ImageFormat, Fault> {
    let format = container::kind(bytes)?;
    match container::is_cut_short(format, bytes) {
        true => Err(Fault::CutShort),
        false => Ok(format),
    }
}

/// The bytes of the file, at most [`MAX_FILE_BYTES`], whatever sort of file it is: pipes and devices may never end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(Fault::Directory);
    }
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(Fault::TooManyBytes),
        false => Ok(bytes),
    }
}

fn fault(error: ImageError) -> Fault {
    use std::io::ErrorKind::UnexpectedEof;
    match error {
        ImageError::IoError(error) if error.kind() == UnexpectedEof => Fault::CutShort,
        ImageError::Limits(_) => Fault::TooManyBytes,
        other => Fault::Damaged(other.to_string()),
    }
}

fn to_rgb8(image: DynamicImage) -> Vec<u8> {
    if !image.color().has_alpha() {
        return image.into_rgb8().into_raw();
    }
    let rgba = image.into_rgba8().into_raw();
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for &[r, g, b, alpha] in rgba.as_chunks::<4>().0 {
        rgb.extend([r, g, b].map(|value| over_white(value, alpha)));
    }
    rgb
}

/// `value * alpha + 255 * (1 - alpha)` rounded, with alpha in 255ths; in sRGB values, as browsers blend.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests;

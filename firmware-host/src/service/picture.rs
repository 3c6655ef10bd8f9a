//! A frame as a JPEG, for clients that show it.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _, RgbImage, imageops};

use super::frames::KeptFrame;

/// The frame, its longer side at most `max_side` (0: as it is), with a quality of 1 to 100.
///
/// # Errors
/// In words, if the frame cannot be decompressed or is too large for a JPEG.
pub(crate) fn jpeg(frame: &KeptFrame, max_side: u16, quality: u8) -> Result<Vec<u8>, String> {
    let photo = frame.raster()?.to_rgb();
    let size = photo.size();
    let (width, height) = (size.width as u32, size.height as u32);
    let picture =
        RgbImage::from_raw(width, height, photo.into_pixels()).ok_or("the frame's pixels do not fit its size")?;
    let longest = width.max(height);
    let picture = match u32::from(max_side) {
        side @ 1.. if side < longest => {
            let scaled = |length: u32| (u64::from(length) * u64::from(side) / u64::from(longest)).max(1) as u32;
            imageops::thumbnail(&picture, scaled(width), scaled(height))
        }
        _ => picture,
    };
    let mut out = Vec::new();
    let (width, height) = picture.dimensions();
    JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100))
        .write_image(&picture, width, height, ExtendedColorType::Rgb8)
        .map_err(|fault| fault.to_string())?;
    Ok(out)
}

//! Telling what a file is, and whether all of it is there, from its bytes alone.

use image::ImageFormat;

use super::Fault;

/// Kinds that people try and that are not decoded: the bytes at an offset that give them away, and their names.
const UNSUPPORTED: [(usize, &[u8], &str); 22] = [
    (4, b"ftypheic", "HEIC (iPhone photo)"),
    (4, b"ftypheix", "HEIC (iPhone photo)"),
    (4, b"ftyphevc", "HEIC (iPhone photo)"),
    (4, b"ftypheim", "HEIC (iPhone photo)"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftypcrx ", "a raw photo (CR3)"),
    (4, b"ftyp", "a film (MP4 or MOV)"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\0", "TIFF (or a raw photo built on it)"),
    (0, b"MM\0*", "TIFF (or a raw photo built on it)"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "PSD (Photoshop)"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"qoif", "QOI"),
    (0, b"#?RADIANCE", "Radiance HDR"),
];

/// The kind of picture, by content.
pub(super) fn kind(bytes: &[u8]) -> Result<ImageFormat, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp)) => Ok(format),
        // "P1" may also begin a text: the header goes on with white space.
        Ok(format @ ImageFormat::Pnm) if bytes.get(2).is_none_or(u8::is_ascii_whitespace) => Ok(format),
        _ => {
            let known =
                UNSUPPORTED.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic)));
            Err(known.map_or(Fault::NotAPicture, |(_, _, name)| Fault::Unsupported(name)))
        }
    }
}

/// Whether the file ends before its container says that it does. Decoders alone do not tell: most fill the missing
/// rows of a JPEG with grey, and a mask of grey is worse than an error.
pub(super) fn is_cut_short(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Jpeg => !jpeg_ends(bytes),
        ImageFormat::Png => !png_ends(bytes),
        ImageFormat::WebP => !webp_ends(bytes),
        // Their decoders ask for each byte that the header promises.
        _ => false,
    }
}

/// Walks the segments (ITU-T T.81, B.1.1) to the end-of-image marker; thumbnails inside a segment are stepped over.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == 0xff) {
        let Some((&marker, after)) = rest[at + 1..].split_first() else { return false };
        rest = match marker {
            0xd9 => return true,
            // A second 0xff is padding: it may itself begin the marker.
            0xff => &rest[at + 1..],
            // Stuffed zero, restart marks, start of image, TEM: no length follows.
            0x00 | 0x01 | 0xd0..=0xd8 => after,
            _ => {
                let Some(&[high, low]) = after.first_chunk() else { return false };
                let Some(next) = after.get(usize::from(u16::from_be_bytes([high, low]))..) else { return false };
                next
            }
        };
    }
    false
}

/// Walks the chunks (PNG specification, 5.3) to IEND.
fn png_ends(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((&length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(length) as usize;
        // Type, data, CRC.
        let Some(next) = after.get(length.saturating_add(8)..) else { return false };
        if after.starts_with(b"IEND") {
            return true;
        }
        rest = next;
    }
    false
}

/// Whether the RIFF chunk, and each chunk inside it, lies within the file (RFC 9649, 2.3 and 2.4).
fn webp_ends(bytes: &[u8]) -> bool {
    let Some(&riff) = bytes.get(4..).and_then(|rest| rest.first_chunk()) else { return false };
    let Some(mut rest) = bytes.get(12..(u32::from_le_bytes(riff) as usize).saturating_add(8)) else { return false };
    while let Some(&size) = rest.get(4..).and_then(|rest| rest.first_chunk()) {
        let size = u32::from_le_bytes(size) as usize;
        if rest.len() < size.saturating_add(8) {
            return false;
        }
        // Chunks are padded to even sizes; some writers leave the last one unpadded.
        rest = rest.get(size + 8 + size % 2..).unwrap_or_default();
    }
    true
}

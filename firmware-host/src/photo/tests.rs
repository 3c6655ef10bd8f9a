//! Files of every kind, whole and spoilt. Expected pixels are written out, not taken from the decoder.

use super::*;
use image::{ExtendedColorType, ImageBuffer, ImageEncoder, ImageFormat, Luma, Rgb, Rgba};

/// A 24 x 16 picture of four flat quarters, which lossy formats keep nearly exactly.
fn quarters() -> DynamicImage {
    let colours = [[200, 40, 40], [40, 200, 40], [40, 40, 200], [220, 220, 60]];
    DynamicImage::ImageRgb8(ImageBuffer::from_fn(24, 16, |x, y| {
        Rgb(colours[usize::from(x >= 12) + 2 * usize::from(y >= 8)])
    }))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A JPEG of the quarters with an EXIF segment that holds the orientation tag (0x0112) alone.
fn with_orientation(value: u8) -> Vec<u8> {
    let jpeg = encoded(&quarters(), ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([value, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

fn near(photo: &Photo, x: usize, y: usize, expected: [u8; 3]) {
    let at = (y * photo.size().width + x) * 3;
    let found = &photo.pixels()[at..at + 3];
    assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 6), "({x}, {y}): {found:?}, not {expected:?}");
}

#[test]
fn every_kind_is_told_by_its_content_and_decoded() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Pnm] {
        let photo = Photo::decode(&encoded(&quarters(), format)).unwrap();
        assert_eq!(photo.size(), Size::new(24, 16), "{format:?}");
        near(&photo, 3, 3, [200, 40, 40]);
        near(&photo, 20, 3, [40, 200, 40]);
        near(&photo, 3, 12, [40, 40, 200]);
        near(&photo, 20, 12, [220, 220, 60]);
        assert_eq!(photo.view().size(), photo.size());
    }
}

#[test]
fn all_eight_orientations_bring_the_red_quarter_to_its_place() {
    // Where the stored top left corner lies in the upright picture, by EXIF 2.32, 4.6.5.1.A (tag 274).
    let corners = [(1, "tl"), (2, "tr"), (3, "br"), (4, "bl"), (5, "tl"), (6, "tr"), (7, "br"), (8, "bl")];
    for (value, corner) in corners {
        let photo = Photo::decode(&with_orientation(value)).unwrap();
        let (width, height) = if value >= 5 { (16, 24) } else { (24, 16) };
        assert_eq!(photo.size(), Size::new(width, height), "orientation {value}");
        let x = if corner.ends_with('l') { 2 } else { width - 3 };
        let y = if corner.starts_with('t') { 2 } else { height - 3 };
        near(&photo, x, y, [200, 40, 40]);
    }
    assert_eq!(Photo::decode(&with_orientation(99)).unwrap().size(), Size::new(24, 16));
}

#[test]
fn grey_deep_and_transparent_pixels_become_rgb() {
    let grey = DynamicImage::ImageLuma8(ImageBuffer::from_pixel(2, 1, Luma([77])));
    assert_eq!(Photo::decode(&encoded(&grey, ImageFormat::Png)).unwrap().pixels(), [77; 6]);

    let deep = DynamicImage::ImageRgb16(ImageBuffer::from_pixel(1, 1, Rgb([0, 128 * 257, 65_535])));
    assert_eq!(Photo::decode(&encoded(&deep, ImageFormat::Png)).unwrap().pixels(), [0, 128, 255]);

    // Over white: 255 - alpha * (255 - value) / 255, so 255 - 51 * 200 / 255 = 215.
    let clear =
        DynamicImage::ImageRgba8(ImageBuffer::from_fn(3, 1, |x, _| Rgba([55, 0, 255, [0, 51, 255][x as usize]])));
    let photo = Photo::decode(&encoded(&clear, ImageFormat::Png)).unwrap();
    assert_eq!(photo.pixels(), [255, 255, 255, 215, 204, 255, 55, 0, 255]);
}

#[test]
fn a_file_cut_anywhere_says_so_or_says_it_is_no_picture() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Pnm] {
        let bytes = encoded(&quarters(), format);
        // BMP and PNM have no outer container: cut inside the header, they may also look damaged.
        let header = if matches!(format, ImageFormat::Bmp | ImageFormat::Pnm) { 72 } else { 16 };
        for length in 0..bytes.len() {
            let fault = Photo::decode(&bytes[..length]).expect_err(&format!("{format:?} cut to {length}"));
            let expected = match fault {
                Fault::Empty => length == 0,
                Fault::NotAPicture | Fault::Damaged(_) => length < header,
                Fault::CutShort => true,
                _ => false,
            };
            assert!(expected, "{format:?} cut to {length} of {}: {fault:?}", bytes.len());
        }
    }
}

#[test]
fn spoilt_bytes_are_an_error_or_a_picture_but_never_a_panic() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Pnm] {
        let bytes = encoded(&quarters(), format);
        for at in 0..bytes.len() {
            for value in [0, 0xff, bytes[at] ^ 0x10] {
                let mut spoilt = bytes.clone();
                spoilt[at] = value;
                if let Ok(photo) = Photo::decode(&spoilt) {
                    assert_eq!(photo.pixels().len(), photo.size().pixels() * 3);
                }
            }
        }
    }
}

#[test]
fn other_kinds_are_named() {
    let kinds: [(&[u8], &str); 5] = [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"GIF89a\x01\0\x01\0", "GIF"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "film"),
    ];
    for (bytes, name) in kinds {
        match Photo::decode(bytes).unwrap_err() {
            Fault::Unsupported(kind) => assert!(kind.contains(name), "{kind} for {name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    for bytes in [&b"hello, world"[..], b"P1x", b"\0", b"{\"a\": 1}"] {
        assert!(matches!(Photo::decode(bytes), Err(Fault::NotAPicture)), "{bytes:?}");
    }
}

#[test]
fn bombs_are_refused_before_they_are_unpacked() {
    let pnm = b"P6 40000 40000 255\n";
    assert!(matches!(Photo::decode(pnm), Err(Fault::TooManyPixels { width: 40_000, height: 40_000 })));
    assert!(matches!(Photo::decode(b"P6 65000 9 255\n"), Err(Fault::TooManyPixels { width: 65_000, height: 9 })));

    // A PNG whose header promises 30000 x 30000 pixels, its checksum being right.
    let mut png = Vec::new();
    image::codecs::png::PngEncoder::new(&mut png).write_image(&[0; 4], 2, 2, ExtendedColorType::L8).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let crc = !png[12..29].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(Photo::decode(&png), Err(Fault::TooManyPixels { width: 30_000, height: 30_000 })));
}

#[test]
fn errors_of_a_file_are_one_line_that_names_it_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let line = |path: &Path| Photo::open(path).unwrap_err().to_string();
    assert_eq!(line(&path), format!("{}: no such file; check the path", path.display()));
    assert_eq!(line(folder.path()), format!("{}: is a folder; name one photo in it", folder.path().display()));
    let cases: [(&[u8], &str); 5] = [
        (b"", "the file is empty; copy or download it again"),
        (b"GIF89a", "GIF is not supported; convert it to JPEG or PNG"),
        (b"text", "not a picture; give a JPEG, PNG, WebP, BMP or PNM file"),
        (b"\xff\xd8\xff", "the file is cut short; copy or download it again"),
        (b"P6 50000 50000 255 ", "50000x50000 pixels are too many; scale it below 32768 a side and 134 megapixels"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(line(&path), format!("{}: {expected}", path.display()));
    }
    let error = Fault::Damaged("two\n  lines".into()).to_string();
    assert_eq!(error, "the picture is damaged (two lines); save it again from its source");
}

#[test]
fn pixels_in_memory_must_fit_their_size() {
    assert!(Photo::from_rgb8(Size::new(2, 2), vec![0; 12]).is_ok());
    for length in [11, 13] {
        assert!(Photo::from_rgb8(Size::new(2, 2), vec![0; length]).is_err());
    }
    assert!(Photo::from_rgb8(Size::new(0, 2), vec![]).is_err());
}

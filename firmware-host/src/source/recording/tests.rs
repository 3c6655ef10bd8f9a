use cutout_runtime::{PixelFormat, Size};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::y4m::Chroma;
use super::*;
use crate::photo::Photo;

fn recording(bytes: &[u8]) -> Result<Recording, SourceError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    // Open files are read on where nobody can find them any more.
    Recording::open(file.path())
}

fn rgb(recording: &Recording, number: usize) -> Photo {
    recording.read(number).unwrap().develop().unwrap().to_rgb()
}

#[test]
fn frames_of_planes_are_found_and_mean_their_colours() {
    // Two frames of 3x2: black, then red (BT.601, limited), and a third that is cut short.
    let mut bytes = b"YUV4MPEG2 W3 H2 F30000:1001 Ip A1:1 C420mpeg2\n".to_vec();
    for (y, u, v) in [(16, 128, 128), (81, 90, 240)] {
        bytes.extend(b"FRAME\n");
        bytes.extend([y; 6]);
        bytes.extend([[u; 2], [v; 2]].as_flattened());
    }
    bytes.extend(b"FRAME\n\x10\x10");
    let recording = recording(&bytes).unwrap();
    assert_eq!(recording.len(), 2);
    assert_eq!(recording.rate(), Some(30000.0 / 1001.0));
    let black = rgb(&recording, 0);
    assert_eq!((black.pixels(), black.size()), (&[0; 18][..], Size::new(3, 2)));
    for pixel in rgb(&recording, 1).pixels().chunks(3) {
        assert!(pixel[0] > 250 && pixel[1] < 5 && pixel[2] < 5, "{pixel:?}");
    }
    let Pixels::Raw(raster) = recording.read(1).unwrap() else { panic!("planes are not compressed") };
    assert!(matches!(raster.format(), PixelFormat::Nv12(_)));
    assert!(recording.read(2).unwrap_err().to_string().contains("fewer frames"));
}

#[test]
fn finer_planes_of_colour_mean_the_same() {
    let (size, red) = ("W3 H3", [81, 90, 240]);
    for (colours, samples) in [("422", 6), ("444", 9)] {
        let mut bytes = format!("YUV4MPEG2 {size} C{colours}\nFRAME\n").into_bytes();
        bytes.extend([red[0]; 9]);
        bytes.extend(vec![red[1]; samples]);
        bytes.extend(vec![red[2]; samples]);
        let photo = rgb(&recording(&bytes).unwrap(), 0);
        assert!(photo.pixels().chunks(3).all(|p| p[0] > 250 && p[1] < 5 && p[2] < 5), "{colours}: {photo:?}");
    }
    // Two by two pixels are one; at an odd edge the last counts again.
    assert_eq!(Chroma(1, 1).halved(&[0, 4, 9, 8, 12, 9, 3, 5, 1], Size::new(3, 3)), [6, 9, 4, 1]);
    assert_eq!(Chroma(2, 1).halved(&[1, 2, 3, 4, 7, 8], Size::new(3, 3)), [2, 3, 7, 8]);
}

#[test]
fn grey_is_grey_in_its_range() {
    for (range, expected) in [("", [0, 255]), (" XCOLORRANGE=FULL", [16, 235])] {
        let bytes = format!("YUV4MPEG2 W2 H1 Cmono{range}\nFRAME\n").into_bytes();
        let photo = rgb(&recording(&[&bytes[..], &[16, 235]].concat()).unwrap(), 0);
        assert_eq!(photo.pixels(), expected.map(|grey| [grey; 3]).as_flattened(), "{range}");
    }
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
    // A camera was unplugged in the middle of this one.
    bytes.extend(&jpeg(50)[..60]);
    bytes.extend(jpeg(200));
    bytes.extend(&jpeg(99)[..40]);
    let recording = recording(&bytes).unwrap();
    assert_eq!(recording.len(), 2);
    for (number, value) in [(0, 10_u8), (1, 200)] {
        let photo = rgb(&recording, number);
        assert_eq!(photo.size(), Size::new(8, 8));
        assert!(photo.pixels().iter().all(|v| v.abs_diff(value) <= 2));
    }
}

#[test]
fn a_file_that_shrinks_is_said_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"YUV4MPEG2 W2 H2\nFRAME\n123456FRAME\n123456").unwrap();
    let recording = Recording::open(file.path()).unwrap();
    file.as_file().set_len(30).unwrap();
    assert!(recording.read(0).is_ok());
    assert!(recording.read(1).unwrap_err().to_string().contains("shorter"));
}

#[test]
fn what_comes_after_damage_is_left_out() {
    let damaged = b"YUV4MPEG2 W2 H2\nFRAME Ixyz\n123456FRAME\n1234567FRAME\n123456";
    assert_eq!(recording(damaged).unwrap().len(), 2);
}

#[test]
fn other_files_are_refused_with_advice() {
    for (bytes, advice) in [
        (&b"RIFF...."[..], "ffmpeg"),
        (b"", "ffmpeg"),
        (b"YUV4MPEG2 W4 H4 C420p10\n", "yuv420p"),
        (b"YUV4MPEG2 W4\n", "height"),
        (b"YUV4MPEG2 W32768 H32768\n", "too large"),
        (b"YUV4MPEG2 W99999999999999999999 H4\n", "width"),
        (b"YUV4MPEG2 W4 H4", "end"),
        (b"YUV4MPEG2 W4 H4\nNO FRAME\n", "damaged"),
    ] {
        let error = recording(bytes).unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
    }
    assert!(recording(b"YUV4MPEG2 W4 H4\nFRAMES").unwrap().is_empty());
}

#[test]
fn spoilt_files_are_fewer_frames_or_an_error() {
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).write_image(&[77; 8 * 8 * 3], 8, 8, ExtendedColorType::Rgb8).unwrap();
    let planes = b"YUV4MPEG2 W3 H2 F30:1 C422\nFRAME\n123456abcdefghFRAME\n123456abcdefgh".to_vec();
    for whole in [[&jpeg[..], &jpeg].concat(), planes] {
        let mut state = 1_u32;
        for at in 0..whole.len().min(700) {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            let mut spoilt = whole.clone();
            spoilt[at] = (state >> 24) as u8;
            for bytes in [&spoilt[..], &spoilt[..at]] {
                let Ok(recording) = recording(bytes) else { continue };
                for number in 0..recording.len() {
                    // Whatever it is, it is a picture or said to be none.
                    drop(recording.read(number).and_then(Pixels::develop).map(|raster| raster.to_rgb()));
                }
            }
        }
    }
}

use std::fs::OpenOptions;
use std::io::Write;

use cutout_runtime::Size;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::*;

/// Long enough for a machine that has much else to do.
const LONG: Duration = Duration::from_secs(60);

fn jpeg_of(grey: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new(&mut bytes).write_image(&[grey; 8 * 8 * 3], 8, 8, ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// A named pipe, and a stream that is read from it.
fn piped() -> (tempfile::TempDir, PathBuf, Box<dyn ImageSource>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let source = crate::source::open(&path.display().to_string().parse().unwrap()).unwrap();
    (folder, path, source)
}

/// The next frame: its size and the grey that all of it is.
fn next(source: &mut dyn ImageSource) -> (Size, u8) {
    let frame = source.next(LONG).unwrap().expect("a frame comes");
    assert!(frame.taken <= Instant::now());
    let photo = frame.pixels.develop().unwrap().to_rgb();
    let first = photo.pixels()[0];
    assert!(photo.pixels().iter().all(|value| value.abs_diff(first) <= 2));
    (photo.size(), first)
}

/// Waits until the stream says so of itself.
fn until(source: &dyn ImageSource, what: &str) {
    let start = Instant::now();
    while !source.describe().ends_with(what) {
        assert!(start.elapsed() < LONG, "{} is not: {what}", source.describe());
        std::thread::yield_now();
    }
}

#[test]
fn one_program_after_the_other_writes_to_a_pipe() {
    let (_folder, path, mut source) = piped();
    assert!(source.next(Duration::ZERO).unwrap().is_none() && source.is_live());
    until(&*source, "nobody writes to it yet");
    let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
    for grey in [10, 90, 200] {
        // Parts of a multipart stream; the next frame is written when this one is seen.
        writer.write_all(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n").unwrap();
        writer.write_all(&jpeg_of(grey)).unwrap();
        let (size, seen) = next(&mut *source);
        assert!(size == Size::new(8, 8) && seen.abs_diff(grey) <= 2, "{seen} of {grey}");
    }
    // It ends in the middle of a frame.
    writer.write_all(&jpeg_of(1)[..50]).unwrap();
    drop(writer);
    until(&*source, "nobody writes to it any more");
    let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all(b"YUV4MPEG2 W2 H2 F30:1 XCOLORRANGE=FULL\n").unwrap();
    for grey in [7, 77] {
        writer.write_all(b"FRAME\n").unwrap();
        writer.write_all(&[grey; 4]).unwrap();
        writer.write_all(&[128; 2]).unwrap();
        assert_eq!(next(&mut *source), (Size::new(2, 2), grey));
    }
    until(&*source, "2x2 YUV4MPEG2, as it comes");
    assert!(!source.finished(), "another may come");
}

#[test]
fn damage_costs_no_more_than_the_program_that_wrote_it() {
    let (_folder, path, mut source) = piped();
    std::fs::write(&path, b"YUV4MPEG2 W2 H2\nFRAGMENT\n").unwrap();
    // What is written before the end of this is seen would be taken for more of it.
    until(&*source, "nobody writes to it any more");
    assert!(source.next(Duration::ZERO).unwrap().is_none());
    let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all(&jpeg_of(123)).unwrap();
    assert!(next(&mut *source).1.abs_diff(123) <= 2);
}

#[test]
fn a_stream_that_nobody_writes_does_not_hold_up_the_end() {
    let (_folder, path, source) = piped();
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    drop(source);
    drop(writer);
}

/// Bytes as a pipe that was closed holds them, one frame after the other.
fn all_of(bytes: &[u8]) -> (Vec<Frame>, io::Result<()>, u64) {
    let (newest, skipped) = (Newest::new(), Skipped::default());
    let reading = Reading {
        input: Input::Standard,
        newest: newest.clone(),
        skipped: skipped.clone(),
        description: Described::default(),
    };
    let mut frames = Vec::new();
    // A buffer of five bytes, behind each of which somebody looks.
    struct Slow<'a>(&'a [u8], &'a mut dyn FnMut());
    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            (self.1)();
            self.0.read(into)
        }
    }
    let mut take = || frames.extend(newest.clear());
    let result = reading.frames(&mut BufReader::with_capacity(5, Slow(bytes, &mut take)));
    frames.extend(newest.clear());
    (frames, result, skipped.total())
}

#[test]
fn frames_are_whole_however_they_are_cut() {
    let jpegs =
        [jpeg_of(5), jpeg_of(50)[..99].to_vec(), jpeg_of(250), b"\r\n".to_vec(), jpeg_of(100)[..20].to_vec()].concat();
    let (frames, result, skipped) = all_of(&jpegs);
    let bytes: Vec<&[u8]> = frames
        .iter()
        .map(|frame| match &frame.pixels {
            Pixels::Compressed(bytes) => &bytes[..],
            Pixels::Raw(_) => panic!("JPEGs are compressed"),
        })
        .collect();
    assert!(bytes == [jpeg_of(5), jpeg_of(250)]);
    assert!(result.is_ok() && skipped == 0);
    let (frames, result, _) = all_of(b"YUV4MPEG2 W2 H2\nFRAME\n123456FRAME X\n123456FRAME\n1");
    assert!(frames.len() == 2 && result.is_ok());
    for damaged in [&b"YUV4MPEG2 W0 H2\n"[..], b"YUV4MPEG2 W2 H2\nFRAGMENT\n", b"Y", b"YUV4MPEG2 W2 H2"] {
        assert!(all_of(damaged).1.is_err());
    }
    for nothing in [&b""[..], b"\xff", b"\xff\xd8\xff\xe0", b"text", b"YUV4MPEG2 W2 H2\nFRAME\n12"] {
        let (frames, result, skipped) = all_of(nothing);
        assert!(frames.is_empty() && result.is_ok() && skipped == 0);
    }
}

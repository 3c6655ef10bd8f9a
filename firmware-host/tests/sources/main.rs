//! Cameras as the kernel has them: the real calls of Video4Linux2 are answered by a device that is made up
//! (`made_up_camera.c`), preloaded into this program, which runs itself again for each test.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cutout::source::{ImageSource, Pixels, SourceError, SourceSpec, open};

/// Long enough for a machine that has much else to do.
const LONG: Duration = Duration::from_secs(60);

/// Compiles the device; `None` where there is no compiler.
fn compiled(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources/made_up_camera.c");
    let library = folder.join("made_up_camera.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let output = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread", "-o"])
        .arg(&library)
        .arg(source)
        .output();
    let output = output.ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

/// Runs one of the tests in [`with_a_camera`] with a device that does as `script` says. Gives what the device was asked for;
/// `None` where it cannot be made up.
fn run(test: &str, script: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let not_checked = |why: &str| {
        std::io::Write::write_all(&mut std::io::stderr(), format!("NOT CHECKED: Video4Linux2 ({why})\n").as_bytes())
            .ok();
    };
    let Some(library) = compiled(folder.path()) else {
        not_checked("no C compiler");
        return None;
    };
    // A name for the device. What it leads to is a device too, which is asked nothing.
    let device = folder.path().join("video");
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    let (log, jpeg) = (folder.path().join("log"), folder.path().join("frame.jpg"));
    std::fs::write(&jpeg, jpeg_without_tables()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("with_a_camera::{test}"), "--ignored", "--nocapture"])
        .env("LD_PRELOAD", library)
        .env("CAMERA_PATH", &device)
        .env("CAMERA_SCRIPT", script)
        .env("CAMERA_LOG", &log)
        .env("CAMERA_JPEG", &jpeg)
        .output()
        .unwrap();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    if !log.starts_with("loaded\n") {
        not_checked("what this machine's compiler makes is not loaded by this program");
        return None;
    }
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{log}");
    Some(log.lines().map(str::to_owned).collect())
}

/// A grey picture as a motion JPEG camera gives it: without Huffman tables.
fn jpeg_without_tables() -> Vec<u8> {
    use image::ImageEncoder;
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    encoder.write_image(&[99; 16 * 8 * 3], 16, 8, image::ExtendedColorType::Rgb8).unwrap();
    while let Some(at) = bytes.windows(2).position(|marker| marker == [0xff, 0xc4]) {
        let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        bytes.drain(at..at + 2 + length);
    }
    bytes
}

/// A device is opened to see what there is, and again to have it.
fn twice(script: &str) -> String {
    format!("{script};{script}")
}

#[test]
fn frames_come_as_the_driver_gives_them() {
    // Rows of 8 YUYV pixels in 24 bytes; colour space JPEG, whose range is full by default.
    let script = "YUYV 8 4 24 7 0: ok ok error short ok ok";
    let Some(asked) = run("reads_pairs", &twice(script)) else { return };
    let open = format!("open {script}");
    let expected =
        ["loaded", &open, "close", &open, "S_FMT MJPG 1280x720", "S_PARM 1/30", "STREAMON", "STREAMOFF", "close"];
    assert_eq!(asked, expected);
}

#[test]
fn an_unplugged_camera_is_opened_again() {
    let script = "YUYV 8 4 16 8 0: ok ok gone";
    let again = "MJPG 16 8 0 7 0: ok";
    let script = format!("{};absent;absent;{}", twice(script), twice(again));
    let Some(asked) = run("is_unplugged", &script) else { return };
    assert_eq!(asked.iter().filter(|line| *line == "STREAMON").count(), 2);
    assert_eq!(asked.iter().filter(|line| line.starts_with("open absent")).count(), 2);
    let (opened, closed) =
        (|line: &&String| line.starts_with("open ") && !line.ends_with("absent"), |line: &&String| *line == "close");
    assert_eq!(asked.iter().filter(opened).count(), asked.iter().filter(closed).count(), "{asked:?}");
}

#[test]
fn what_is_asked_for_is_asked_for() {
    let script = "YUYV 640 480 1280 8 0: ok";
    let Some(asked) = run("asks", &twice(script)) else { return };
    assert!(asked.contains(&"S_FMT YUYV 640x480".into()) && asked.contains(&"S_PARM 1/15".into()), "{asked:?}");
}

#[test]
fn a_camera_that_is_in_use_is_said_to_be() {
    run("is_busy", &twice("busy"));
}

#[test]
fn what_another_program_writes_comes_in() {
    let mut reader = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_a_camera::reads_standard_input", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = reader.stdin.take().unwrap();
    for _ in 0..3 {
        input.write_all(&jpeg_without_tables()).unwrap();
    }
    drop(input);
    let output = reader.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// What runs with the device.
mod with_a_camera {
    use super::*;

    #[test]
    #[ignore = "run by the tests above, with a standard input"]
    fn reads_standard_input() {
        let mut source = open(&"-".parse::<SourceSpec>().unwrap()).unwrap();
        let start = Instant::now();
        let mut frames = 0;
        while !source.finished() {
            assert!(start.elapsed() < LONG, "{} does not end", source.describe());
            if let Some(frame) = source.next(Duration::from_millis(20)).unwrap() {
                assert_eq!(frame.pixels.develop().unwrap().size().width, 16);
                frames += 1;
            }
        }
        assert!((1..=3).contains(&frames), "{frames}");
        assert!(source.describe().starts_with("standard input"));
    }

    fn camera(options: &str) -> Result<Box<dyn ImageSource>, SourceError> {
        let path = std::env::var("CAMERA_PATH").unwrap();
        open(&format!("camera:{path}{options}").parse::<SourceSpec>().unwrap())
    }

    /// The grey that all of the next frame is.
    fn grey(source: &mut dyn ImageSource) -> u8 {
        let frame = source.next(LONG).unwrap().expect("a frame comes");
        let photo = frame.pixels.develop().unwrap().to_rgb();
        assert!(photo.pixels().iter().all(|value| value.abs_diff(photo.pixels()[0]) <= 2), "{photo:?}");
        photo.pixels()[0]
    }

    #[test]
    #[ignore = "run by the tests above, with a device that is made up"]
    fn reads_pairs() {
        let mut source = camera("").unwrap();
        assert!(source.describe().ends_with(": 8x4 yuyv"), "{}", source.describe());
        let start = Instant::now();
        let mut seen = vec![grey(&mut *source)];
        while seen.last() != Some(&6) {
            assert!(start.elapsed() < LONG, "the last frame does not come: {seen:?}");
            seen.push(grey(&mut *source));
        }
        // The range is full: a luma of 6 is a grey of 6. Those that are damaged are not given.
        assert!(seen.is_sorted() && !seen.contains(&3) && !seen.contains(&4), "{seen:?}");
        assert_eq!(source.skipped(), 2);
        assert!(source.next(Duration::from_millis(1)).unwrap().is_none());
    }

    #[test]
    #[ignore = "run by the tests above, with a device that is made up"]
    fn is_unplugged() {
        let mut source = camera("").unwrap();
        assert!(source.describe().contains("8x4 yuyv"));
        loop {
            let frame = source.next(LONG).unwrap().expect("a frame comes");
            match frame.pixels {
                Pixels::Raw(raster) => assert_eq!((raster.size().width, raster.stride()), (8, 16)),
                compressed => {
                    let Pixels::Compressed(bytes) = &compressed else { panic!("neither") };
                    assert!(bytes.ends_with(&[0xff, 0xd9]), "what fills the buffer up is left out");
                    let photo = compressed.develop().unwrap().to_rgb();
                    assert!(photo.size().width == 16 && photo.pixels().iter().all(|value| value.abs_diff(99) <= 2));
                    break;
                }
            }
        }
        assert!(source.describe().contains("mjpeg"), "{}", source.describe());
    }

    #[test]
    #[ignore = "run by the tests above, with a device that is made up"]
    fn asks() {
        let mut source = camera(",640x480,15,yuyv").unwrap();
        assert!(source.next(LONG).unwrap().is_some());
        drop(source);
        assert!(camera("").err().unwrap().to_string().contains("is not there"));
    }

    #[test]
    #[ignore = "run by the tests above, with a device that is made up"]
    fn is_busy() {
        let refused = camera("").err().unwrap().to_string();
        assert!(refused.contains("in use by another program"), "{refused}");
    }
}

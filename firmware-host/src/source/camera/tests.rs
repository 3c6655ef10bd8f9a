//! Cameras that are made up: a driver in memory that does what a test tells it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use cutout_runtime::{PixelFormat, Size, YuvEncoding};

use super::choose::Mode;
use super::driver::{Buffer, Offers, Stream};
use super::*;
use crate::source::{Pixels, SourceSpec};

/// Long enough for a machine that has much else to do.
const LONG: Duration = Duration::from_secs(60);

/// What happens to an open camera.
enum Event {
    Buffer(Vec<u8>),
    Damaged(Vec<u8>),
    Unplugged,
}

/// What happens when it is opened.
type Opening = Result<(BufferFormat, Receiver<Event>), ErrorKind>;

/// A driver with one camera, which is opened as the script says and is not there when it has ended.
#[derive(Default)]
struct Script {
    openings: VecDeque<Opening>,
    /// Told of each attempt: the mode that is asked for.
    asked: Option<Sender<Mode>>,
    offers: Vec<Mode>,
    unread: Vec<String>,
}

struct Played {
    format: BufferFormat,
    events: Receiver<Event>,
}

impl Driver for Script {
    fn cameras(&mut self) -> io::Result<Vec<CameraInfo>> {
        let there = !self.offers.is_empty();
        let info =
            CameraInfo { path: "/dev/video7".into(), name: "Made Up".into(), encodings: Vec::new(), fault: None };
        Ok(there.then_some(info).into_iter().collect())
    }

    fn offers(&mut self, path: &Path, _: &CameraSpec) -> io::Result<Offers> {
        assert_eq!(path, Path::new("/dev/video7"));
        Ok(Offers { name: "Made Up".into(), modes: self.offers.clone(), unread: self.unread.clone() })
    }

    fn start(&mut self, _: &Path, mode: &Mode, _: Option<f64>) -> io::Result<Box<dyn Stream>> {
        if let Some(asked) = &self.asked {
            asked.send(*mode).ok();
        }
        let (format, events) = self.openings.pop_front().unwrap_or(Err(ErrorKind::NotFound))?;
        Ok(Box::new(Played { format, events }))
    }
}

impl Stream for Played {
    fn format(&self) -> BufferFormat {
        self.format
    }

    fn next(&mut self, patience: Duration, take: &mut dyn FnMut(Buffer<'_>)) -> io::Result<bool> {
        match self.events.recv_timeout(patience) {
            Ok(Event::Buffer(bytes)) => take(Buffer { bytes: &bytes, is_damaged: false }),
            Ok(Event::Damaged(bytes)) => take(Buffer { bytes: &bytes, is_damaged: true }),
            Ok(Event::Unplugged) => return Err(io::Error::other("unplugged")),
            // No more is told: it stays silent.
            Err(_) => return Ok(false),
        }
        Ok(true)
    }
}

fn format(encoding: &str, size: Size) -> BufferFormat {
    BufferFormat { encoding: encoding.parse().unwrap(), size, stride: 0, yuv: YuvEncoding::default() }
}

fn mode(encoding: &str, width: usize) -> Mode {
    Mode { encoding: encoding.parse().unwrap(), size: Size::new(width, width), rate: Some(30.0) }
}

/// A driver with a camera of grey pixels that is opened so.
fn script(openings: impl IntoIterator<Item = Opening>) -> Script {
    Script { openings: openings.into_iter().collect(), offers: vec![mode("grey", 2)], ..Script::default() }
}

/// An opening that works, and the way to say what happens then.
fn works(format: BufferFormat) -> (Opening, Sender<Event>) {
    let (events, played) = channel();
    (Ok((format, played)), events)
}

fn spec(text: &str) -> CameraSpec {
    match text.parse().unwrap() {
        SourceSpec::Camera(camera) => camera,
        _ => panic!("{text} is no camera"),
    }
}

fn opened(script: Script) -> Camera {
    let camera = Camera::open(Box::new(script), &spec("camera")).unwrap();
    camera.newest.hold_interest();
    camera
}

fn refused(script: Script, text: &str) -> String {
    Camera::open(Box::new(script), &spec(text)).err().expect("it opens").to_string()
}

/// The next frame's pixels as RGB.
fn next(camera: &mut Camera) -> Vec<u8> {
    let frame = camera.next(LONG).unwrap().expect("a frame comes");
    frame.pixels.develop().unwrap().to_rgb().into_pixels()
}

/// Waits until the thread has taken what it was told: it has handed over this frame and nobody has taken it.
fn until_newest_is(camera: &Camera, bytes: &[u8]) {
    let start = Instant::now();
    while !camera.newest.peek(|filled| filled.is_some_and(|filled| filled.bytes == bytes)) {
        assert!(start.elapsed() < LONG, "a frame is never handed over");
        std::thread::yield_now();
    }
}

#[test]
fn a_slow_consumer_gets_the_newest_frame() {
    let (opening, events) = works(format("grey", Size::new(2, 2)));
    let mut camera = opened(script([opening]));
    let before = Instant::now();
    for grey in 1..=9 {
        events.send(Event::Buffer(vec![grey; 4])).unwrap();
    }
    until_newest_is(&camera, &[9; 4]);
    let frame = camera.next(Duration::ZERO).unwrap().unwrap();
    assert!(frame.taken >= before && frame.taken <= Instant::now());
    let Pixels::Raw(raster) = frame.pixels else { panic!("grey is not compressed") };
    assert_eq!((raster.bytes(), raster.format()), (&[9; 4][..], PixelFormat::Grey8));
    assert!(camera.next(Duration::ZERO).unwrap().is_none(), "none is given twice");
    assert!(camera.is_live() && !camera.finished());
    assert_eq!((camera.skipped(), camera.describe()), (0, "camera /dev/video7 (Made Up): 2x2 grey".into()));
}

#[test]
fn damaged_frames_are_passed_over_and_counted() {
    let (opening, events) = works(format("grey", Size::new(2, 2)));
    let mut camera = opened(script([opening]));
    events.send(Event::Damaged(vec![1; 4])).unwrap();
    events.send(Event::Buffer(vec![2; 3])).unwrap();
    events.send(Event::Buffer(Vec::new())).unwrap();
    events.send(Event::Buffer(vec![3; 4096])).unwrap();
    assert_eq!(next(&mut camera), [3; 12]);
    assert_eq!(camera.skipped(), 3);
}

#[test]
fn a_jpeg_without_an_end_does_not_replace_one_that_has() {
    let (opening, events) = works(format("mjpeg", Size::new(8, 8)));
    let mut camera = opened(script([opening]));
    events.send(Event::Buffer(b"\xff\xd8\xff\xd9".to_vec())).unwrap();
    events.send(Event::Buffer(b"\xff\xd8\xff\xda\0\x02abc".to_vec())).unwrap();
    while camera.skipped() == 0 {
        std::thread::yield_now();
    }
    let frame = camera.next(Duration::ZERO).unwrap().unwrap();
    assert!(matches!(frame.pixels, Pixels::Compressed(bytes) if bytes == b"\xff\xd8\xff\xd9"));
}

#[test]
fn an_unplugged_camera_is_opened_again_as_it_is_then() {
    let (first, events) = works(format("grey", Size::new(2, 2)));
    let (second, later) = works(format("rgb24", Size::new(1, 2)));
    let gone = || Err(ErrorKind::NotFound);
    let (asked, attempts) = channel();
    let mut camera = opened(Script { asked: Some(asked), ..script([first, gone(), gone(), second]) });
    events.send(Event::Buffer(vec![5; 4])).unwrap();
    assert_eq!(next(&mut camera), [5; 12]);
    camera.newest.hold_interest();
    events.send(Event::Unplugged).unwrap();
    later.send(Event::Buffer(vec![1, 2, 3, 4, 5, 6])).unwrap();
    assert_eq!(next(&mut camera), [1, 2, 3, 4, 5, 6], "another size and format");
    assert_eq!(attempts.try_iter().count(), 4);
    assert!(camera.describe().contains("1x2 rgb24"), "{}", camera.describe());
    assert_eq!(camera.skipped(), 0, "a frame that never came is none that is damaged");
}

#[test]
fn a_camera_that_is_gone_does_not_hold_up_the_end() {
    let (opening, events) = works(format("grey", Size::new(2, 2)));
    let (asked, attempts) = channel();
    let mut camera = opened(Script { asked: Some(asked), ..script([opening]) });
    events.send(Event::Unplugged).unwrap();
    for _ in 0..3 {
        attempts.recv_timeout(LONG).expect("it is tried again");
    }
    assert!(camera.next(Duration::from_millis(1)).unwrap().is_none(), "it may come back");
    drop(camera);
    // The thread has ended, and with it the driver.
    while attempts.try_recv() != Err(TryRecvError::Disconnected) {}
}

#[test]
fn nothing_is_kept_for_nobody() {
    let (opening, events) = works(format("grey", Size::new(2, 2)));
    let mut camera = opened(script([opening]));
    events.send(Event::Buffer(vec![1; 4])).unwrap();
    until_newest_is(&camera, &[1; 4]);
    // As if nobody had asked for long.
    camera.newest.forget_interest();
    events.send(Event::Buffer(vec![2; 4])).unwrap();
    let start = Instant::now();
    while camera.newest.peek(|filled| filled.is_some()) {
        assert!(start.elapsed() < LONG, "an old frame is kept");
        std::thread::yield_now();
    }
    assert!(camera.next(Duration::ZERO).unwrap().is_none(), "no old frame is given");
    camera.newest.hold_interest();
    events.send(Event::Buffer(vec![3; 4])).unwrap();
    assert_eq!(next(&mut camera), [3; 12]);
}

#[test]
fn other_modes_are_tried_where_the_best_fails() {
    let (opening, _events) = works(format("yuyv", Size::new(640, 480)));
    let (asked, attempts) = channel();
    let mut odd = format("nv12", Size::new(640, 480));
    odd.stride = 100;
    let offers = vec![mode("grey", 1280), mode("yuyv", 1200), mode("nv12", 1280), mode("mjpeg", 1280)];
    let openings = [works(odd).0, Err(ErrorKind::InvalidInput), opening];
    let camera = opened(Script { asked: Some(asked), offers, ..script(openings) });
    let tried: Vec<String> = attempts.try_iter().map(|mode| mode.encoding.to_string()).collect();
    assert_eq!(tried, ["nv12", "yuyv", "mjpeg"]);
    // What the driver makes of what it was asked for is what counts.
    assert!(camera.describe().ends_with("640x480 yuyv"));
}

#[test]
fn what_is_wrong_at_the_start_is_said_at_once() {
    assert!(refused(Script::default(), "camera").contains("plug one in"));
    for (kind, advice) in [
        (ErrorKind::PermissionDenied, "usermod -aG video"),
        (ErrorKind::ResourceBusy, "in use by another program"),
        (ErrorKind::NotFound, "plugged in"),
        (ErrorKind::InvalidInput, "cannot be had as 2x2 grey"),
    ] {
        let said = refused(script([Err(kind)]), "camera:/dev/video7");
        assert!(said.starts_with("camera /dev/video7: ") && said.contains(advice), "{said}");
    }
    assert!(refused(script([]), "camera:mjpeg").contains("does not offer mjpeg: it has grey"));
    let unread = Script { unread: vec!["H264".into()], ..Script::default() };
    assert!(refused(unread, "camera:/dev/video7").contains("H264"));
    assert!(refused(Script::default(), "camera:/dev/video7").contains("media-ctl"));
}

#[test]
fn cameras_are_listed_with_what_they_offer_or_lack() {
    let info = CameraInfo {
        path: "/dev/video0".into(),
        name: "Webcam".into(),
        encodings: vec!["yuyv".parse().unwrap(), "mjpeg".parse().unwrap()],
        fault: None,
    };
    assert_eq!(info.to_string(), "/dev/video0 (Webcam): yuyv, mjpeg");
    let busy = CameraInfo { fault: Some(opening::advice(&io::Error::from(ErrorKind::ResourceBusy))), ..info };
    assert!(busy.to_string().contains("in use by another program"));
    assert_eq!(opening::list(&mut script([])).unwrap().len(), 1);
    assert!(opening::list(&mut Script::default()).is_err());
}

/// The part that no machine without a camera can try.
#[cfg(target_os = "linux")]
#[test]
fn a_real_camera_gives_a_frame() {
    let told = |text: String| {
        // Seen with `--nocapture`, and where the test fails.
        std::io::Write::write_all(&mut io::stderr(), format!("{text}\n").as_bytes()).ok();
    };
    let found = match cameras() {
        Ok(found) => found,
        Err(error) => return told(format!("NOT CHECKED: a real camera ({error})")),
    };
    let Some(camera) = found.iter().find(|camera| camera.fault.is_none() && !camera.encodings.is_empty()) else {
        return told(format!("NOT CHECKED: a real camera (none can be used: {found:?})"));
    };
    let spec = SourceSpec::Camera(CameraSpec { path: Some(camera.path.clone()), ..CameraSpec::default() });
    let mut source = crate::source::open(&spec).unwrap();
    let frame = source.next(LONG).unwrap().expect("a camera gives a frame");
    let size = frame.pixels.develop().unwrap().size();
    told(format!("{}: a frame of {size}", source.describe()));
}

//! Cameras of Linux: Video4Linux2, by the crate `linuxvideo`. Nothing is decided here.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutout_runtime::Size;
use linuxvideo::format::{FrameIntervals, FrameSizes, PixFormat, PixelFormat};
use linuxvideo::stream::ReadStream;
use linuxvideo::{BufType, CapabilityFlags, Device, Fract};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::choose::{Mode, target, within};
use super::driver::{Buffer, Driver, Offers, Stream};
use super::opening::advice;
use super::{BufferFormat, CameraInfo, Encoding, colour};
use crate::source::CameraSpec;

/// The cameras of this machine.
pub(super) struct System;

impl Driver for System {
    fn cameras(&mut self) -> io::Result<Vec<CameraInfo>> {
        let mut numbers: Vec<u32> = fs::read_dir("/dev")?
            .filter_map(|entry| {
                let entry = entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_char_device()))?;
                entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers.into_iter().filter_map(|number| info(&PathBuf::from(format!("/dev/video{number}")))).collect())
    }

    fn offers(&mut self, path: &Path, spec: &CameraSpec) -> io::Result<Offers> {
        let device = open(path)?;
        let mut offers = Offers { name: name(path), ..Offers::default() };
        for format in device.formats(BufType::VIDEO_CAPTURE) {
            let pixels = format?.pixel_format();
            match Encoding::from_fourcc(pixels.as_fourcc()) {
                Some(encoding) => modes(&device, pixels, encoding, target(spec), &mut offers.modes),
                None => offers.unread.push(pixels.to_string()),
            }
        }
        Ok(offers)
    }

    fn start(&mut self, path: &Path, mode: &Mode, rate: Option<f64>) -> io::Result<Box<dyn Stream>> {
        let side = |side| u32::try_from(side).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let pixels = PixelFormat::from_fourcc(mode.encoding.fourcc());
        let wanted = PixFormat::new(side(mode.size.width)?, side(mode.size.height)?, pixels);
        let device = open(path)?.video_capture(wanted)?;
        let format = given(device.format())?;
        if let Some(rate) = rate
            && let Err(error) = device.set_frame_interval(interval(rate))
        {
            // Many drivers have one rate only.
            tracing::debug!("{}: no rate can be set: {error}", path.display());
        }
        Ok(Box::new(Capture { stream: device.into_stream()?, format }))
    }
}

/// Opens a device that captures.
fn open(path: &Path) -> io::Result<Device> {
    // Opening what is no device may wait for ever.
    if !fs::metadata(path)?.file_type().is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no device"));
    }
    let device = Device::open(path)?;
    let can = device.capabilities()?.device_capabilities();
    if can.contains(CapabilityFlags::VIDEO_CAPTURE) {
        Ok(device)
    } else if can.contains(CapabilityFlags::VIDEO_CAPTURE_MPLANE) {
        let why = "its driver speaks the multi-planar interface only: bring it in as a stream, or through v4l2loopback";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no camera (one camera may have several devices: try the others)",
        ))
    }
}

/// What is known of a device; `None` if it is no camera.
fn info(path: &Path) -> Option<CameraInfo> {
    let (name, path) = (name(path), path.to_path_buf());
    match open(&path) {
        Ok(device) => {
            let encodings = device.formats(BufType::VIDEO_CAPTURE).map_while(Result::ok);
            let encodings = encodings.filter_map(|format| Encoding::from_fourcc(format.pixel_format().as_fourcc()));
            Some(CameraInfo { path, name, encodings: encodings.collect(), fault: None })
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
        Err(error) => Some(CameraInfo { path, name, encodings: Vec::new(), fault: Some(advice(&error)) }),
    }
}

/// What the kernel calls a device. (The driver's own answer may be no UTF-8, which the crate does not take.)
fn name(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.into());
    let file = real.file_name().map(|file| Path::new("/sys/class/video4linux").join(file).join("name"));
    let bytes = file.and_then(|file| fs::read(file).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().into()
}

/// The sizes of a format, each with its rate.
fn modes(device: &Device, pixels: PixelFormat, encoding: Encoding, target: Size, out: &mut Vec<Mode>) {
    let sizes = match device.frame_sizes(pixels) {
        Ok(FrameSizes::Discrete(sizes)) => {
            sizes.iter().map(|size| Size::new(size.width() as usize, size.height() as usize)).collect()
        }
        Ok(FrameSizes::Stepwise(range) | FrameSizes::Continuous(range)) => {
            let (width, height) = ((range.min_width(), range.max_width()), (range.min_height(), range.max_height()));
            vec![within(target, width, height, (range.step_width(), range.step_height()))]
        }
        // A driver that does not say takes what it can from what it is asked for.
        Err(_) => vec![target],
    };
    out.extend(sizes.into_iter().map(|size| Mode { encoding, size, rate: fastest(device, pixels, size) }));
}

/// The most frames per second.
fn fastest(device: &Device, pixels: PixelFormat, size: Size) -> Option<f64> {
    let (width, height) = (u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?);
    let shortest = match device.frame_intervals(pixels, width, height).ok()? {
        FrameIntervals::Discrete(list) => list.iter().filter_map(|interval| seconds(interval.fract())).reduce(f64::min),
        FrameIntervals::Stepwise(range) | FrameIntervals::Continuous(range) => seconds(range.min()),
    };
    shortest.map(|seconds| 1.0 / seconds)
}

fn seconds(interval: &Fract) -> Option<f64> {
    let seconds = f64::from(interval.numerator()) / f64::from(interval.denominator());
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

/// The time between frames, in milliseconds or finer.
fn interval(rate: f64) -> Fract {
    match rate.fract() == 0.0 {
        true => Fract::new(1, rate as u32),
        false => Fract::new(1000, ((rate * 1000.0) as u32).max(1)),
    }
}

/// What the driver made of what it was asked for.
fn given(format: &PixFormat) -> io::Result<BufferFormat> {
    let Some(encoding) = Encoding::from_fourcc(format.pixel_format().as_fourcc()) else {
        return Err(io::Error::other(format!("the driver gives {} instead", format.pixel_format())));
    };
    let size = Size::new(format.width() as usize, format.height() as usize);
    // The crate tells of colours only in words.
    let yuv = colour::encoding(&format!("{format:?}"));
    Ok(BufferFormat { encoding, size, stride: format.bytes_per_line() as usize, yuv })
}

struct Capture {
    stream: ReadStream,
    format: BufferFormat,
}

impl Stream for Capture {
    fn format(&self) -> BufferFormat {
        self.format
    }

    fn next(&mut self, patience: Duration, take: &mut dyn FnMut(Buffer<'_>)) -> io::Result<bool> {
        let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut ready = [PollFd::from_borrowed_fd(self.stream.as_fd(), PollFlags::IN)];
        match poll(&mut ready, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let [ready] = ready;
        if !ready.revents().contains(PollFlags::IN) {
            return Err(io::Error::other("it is gone, or its driver has stopped"));
        }
        self.stream.dequeue(|view| {
            take(Buffer { bytes: &view, is_damaged: view.is_error() });
            Ok(true)
        })
    }
}

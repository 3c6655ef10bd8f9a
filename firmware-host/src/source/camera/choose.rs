//! Which of the formats, sizes and rates that a camera offers is taken.

use cutout_runtime::Size;

use super::Encoding;
use crate::source::CameraSpec;

/// The size that is looked for unless another is asked for: what models take is smaller, and USB carries it at a good rate.
const SIZE: Size = Size::new(1280, 720);
/// Frames per second below which a mode is worse, unless another rate is asked for.
const RATE: f64 = 15.0;
/// Frames per second that nothing is gained beyond, unless asked for.
const ENOUGH: f64 = 30.0;

/// A format at a size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mode {
    pub(super) encoding: Encoding,
    pub(super) size: Size,
    /// The most frames per second, if the camera says so.
    pub(super) rate: Option<f64>,
}

/// The size that is looked for.
pub(super) fn target(spec: &CameraSpec) -> Size {
    spec.size.unwrap_or(SIZE)
}

/// Frames per second to ask for.
pub(super) fn rate(spec: &CameraSpec, mode: &Mode) -> Option<f64> {
    spec.rate.or(mode.rate.map(|rate| rate.min(ENOUGH)))
}

/// The modes with the format that is asked for, the best first: near the size, fast enough, cheap to read.
pub(super) fn ranked(spec: &CameraSpec, mut modes: Vec<Mode>) -> Vec<Mode> {
    modes.retain(|mode| spec.encoding.is_none_or(|encoding| encoding == mode.encoding));
    modes.sort_by(|a, b| cost(spec, a).total_cmp(&cost(spec, b)));
    modes
}

fn cost(spec: &CameraSpec, mode: &Mode) -> f64 {
    let target = target(spec);
    let off = |is: usize, wanted: usize| (is.max(1) as f64 / wanted.max(1) as f64).ln().abs();
    let size = off(mode.size.width, target.width) + off(mode.size.height, target.height);
    let wanted = spec.rate.unwrap_or(RATE);
    let slow = mode.rate.map_or(0.0, |rate| (wanted / rate.max(0.001)).ln().max(0.0));
    // What is asked for comes before all else.
    let weight = |asked: bool| if asked { 10.0 } else { 2.0 };
    weight(spec.size.is_some()) * size + weight(spec.rate.is_some()) * slow + mode.encoding.cost()
}

/// A size of those between the smallest and the largest in steps that is nearest to `wanted`.
pub(super) fn within(wanted: Size, width: (u32, u32), height: (u32, u32), step: (u32, u32)) -> Size {
    let side = |wanted: usize, (least, most): (u32, u32), step: u32| {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(least, most.max(least));
        (wanted - (wanted - least) % step.max(1)) as usize
    };
    Size::new(side(wanted.width, width, step.0), side(wanted.height, height, step.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceSpec;

    fn spec(text: &str) -> CameraSpec {
        match text.parse().unwrap() {
            SourceSpec::Camera(camera) => camera,
            _ => panic!("{text} is no camera"),
        }
    }

    fn mode(encoding: &str, width: usize, height: usize, rate: f64) -> Mode {
        Mode { encoding: encoding.parse().unwrap(), size: Size::new(width, height), rate: Some(rate) }
    }

    fn first(text: &str, modes: &[Mode]) -> String {
        let best = ranked(&spec(text), modes.to_vec())[0];
        format!("{} {}", best.encoding, best.size)
    }

    #[test]
    fn a_webcam_gives_what_its_cable_carries() {
        let webcam = [
            mode("yuyv", 640, 480, 30.0),
            mode("yuyv", 1280, 720, 10.0),
            mode("yuyv", 1920, 1080, 5.0),
            mode("mjpeg", 640, 480, 30.0),
            mode("mjpeg", 1280, 720, 30.0),
            mode("mjpeg", 1920, 1080, 30.0),
        ];
        assert_eq!(first("camera", &webcam), "mjpeg 1280x720");
        assert_eq!(first("camera:5", &webcam), "yuyv 1280x720", "raw is better where it is fast enough");
        assert_eq!(first("camera:640x480", &webcam), "yuyv 640x480");
        assert_eq!(first("camera:1920x1080", &webcam), "mjpeg 1920x1080");
        assert_eq!(first("camera:1920x1080,5", &webcam), "yuyv 1920x1080");
        assert_eq!(first("camera:yuyv", &webcam), "yuyv 1280x720");
        assert_eq!(first("camera:1600x1200,mjpeg", &webcam), "mjpeg 1920x1080");
        assert!(ranked(&spec("camera:nv12"), webcam.to_vec()).is_empty());
    }

    #[test]
    fn colours_and_a_processor_are_worth_having() {
        let sensor = [mode("y10", 1280, 800, 60.0), mode("grey", 1280, 800, 60.0), mode("srggb10p", 1280, 800, 60.0)];
        assert_eq!(first("camera", &sensor), "srggb10p 1280x800");
        let processed =
            [mode("srggb10p", 1280, 720, 60.0), mode("mjpeg", 1280, 720, 60.0), mode("uyvy", 1280, 720, 60.0)];
        assert_eq!(first("camera", &processed), "uyvy 1280x720");
        let same = [mode("bgr24", 1280, 720, 30.0), mode("nv12", 1280, 720, 30.0)];
        assert_eq!(first("camera", &same), "bgr24 1280x720", "the driver's order decides between equals");
    }

    #[test]
    fn a_rate_is_asked_for_that_is_enough() {
        let fast = mode("grey", 640, 400, 240.0);
        assert_eq!(rate(&spec("camera"), &fast), Some(30.0));
        assert_eq!(rate(&spec("camera:120"), &fast), Some(120.0));
        assert_eq!(rate(&spec("camera"), &Mode { rate: None, ..fast }), None);
    }

    #[test]
    fn sizes_in_steps_are_met() {
        assert_eq!(within(Size::new(1280, 720), (32, 2592), (32, 1944), (2, 2)), Size::new(1280, 720));
        assert_eq!(within(Size::new(1281, 10), (32, 640), (32, 480), (16, 8)), Size::new(640, 32));
        assert_eq!(within(Size::new(99, 99), (10, 640), (10, 480), (16, 0)), Size::new(90, 99));
        assert_eq!(within(Size::new(usize::MAX, 0), (5, 4), (0, u32::MAX), (7, 7)), Size::new(5, 0));
    }
}

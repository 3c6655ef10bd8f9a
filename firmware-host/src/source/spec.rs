//! [`SourceSpec`]: a source as it is named on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use cutout_runtime::Size;

use super::SourceError;
use super::camera::Encoding;
use crate::photo::MAX_SIDE;

/// Frames per second that may be asked for.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

/// Where frames come from.
///
/// ```text
/// camera                                  the first camera, in the format that suits best
/// camera:/dev/video2,1280x720,30,yuyv     this one; size, frames per second and format as near to these as it can
/// film.y4m   film.mjpeg   photos/         a recording or a folder of pictures, at its own pace
/// photos/@5                               five a second
/// photos/@5,loop                          again and again
/// -                                       what another program writes to standard input, motion JPEG or YUV4MPEG2, as it comes
/// ```
///
/// A named pipe is read as standard input is, and waits for the next program when one has ended.
///
/// A file whose name is such a word is meant by `./camera`, and one that ends as an option does by giving the option once more.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceSpec {
    /// A camera.
    Camera(CameraSpec),
    /// A folder of pictures, a recording, or one picture; or a named pipe.
    Files(FilesSpec),
    /// Standard input.
    Input,
}

/// What is asked of a camera; what is left open is chosen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CameraSpec {
    /// The device; the first that can be used otherwise.
    pub path: Option<PathBuf>,
    /// Pixels across and down.
    pub size: Option<Size>,
    /// Frames per second.
    pub rate: Option<f64>,
    /// How the camera lays out its pixels.
    pub encoding: Option<Encoding>,
}

/// Files to show as a camera would.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesSpec {
    /// The folder or file.
    pub path: PathBuf,
    /// Frames per second; that of a recording, or one picture a second, otherwise.
    pub rate: Option<f64>,
    /// Whether the first comes again after the last.
    pub repeat: bool,
}

impl FromStr for SourceSpec {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let spec = match text.split_once(':') {
            _ if text == "camera" => camera(""),
            _ if text == "-" => Ok(SourceSpec::Input),
            Some(("camera", options)) => camera(options),
            _ => files(text),
        };
        spec.map_err(|why| SourceError::Spec { text: text.into(), why })
    }
}

fn camera(options: &str) -> Result<SourceSpec, String> {
    let mut spec = CameraSpec::default();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        if option.starts_with('/') {
            once(&mut spec.path, option.into(), "device")?;
        } else if let Some(rate) = rate(option) {
            once(&mut spec.rate, rate?, "rate")?;
        } else if let Some(size) = size(option) {
            once(&mut spec.size, size?, "size")?;
        } else if let Ok(encoding) = option.parse() {
            once(&mut spec.encoding, encoding, "format")?;
        } else {
            return Err(format!(
                "{option:?} is no device, size, rate or format of a camera: write camera:/dev/video0,1280x720,30,yuyv, in any order, \
                 leaving out what does not matter; formats are {}",
                Encoding::names()
            ));
        }
    }
    Ok(SourceSpec::Camera(spec))
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("it has more than one {what}: leave one")),
    }
}

/// Frames per second, if the text is a number.
fn rate(text: &str) -> Option<Result<f64, String>> {
    // Not all that a float may be written as: `inf` is a name.
    let rate = text.parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit() || c == '.'))?;
    let within = RATES.contains(&rate);
    Some(
        within
            .then_some(rate)
            .ok_or_else(|| format!("{text} frames per second: give {} to {}", RATES.start(), RATES.end())),
    )
}

/// Width and height, if the text looks like them.
fn size(text: &str) -> Option<Result<Size, String>> {
    let (width, height) = text.split_once(['x', 'X'])?;
    let (width, height) = (width.parse::<u32>().ok()?, height.parse::<u32>().ok()?);
    let within = [width, height].iter().all(|side| (1..=MAX_SIDE).contains(side));
    let size = Size::new(width as usize, height as usize);
    Some(within.then_some(size).ok_or_else(|| format!("{text} pixels: give 1 to {MAX_SIDE} for each side")))
}

fn files(text: &str) -> Result<SourceSpec, String> {
    let (text, repeat) = match text.strip_suffix(",loop") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (path, rate) = match text.rsplit_once('@').and_then(|(path, number)| Some((path, rate(number)?))) {
        Some((path, rate)) => (path, Some(rate?)),
        None => (text, None),
    };
    if path.is_empty() {
        return Err(
            "name camera, a folder of pictures, a recording (.y4m, .mjpeg), or - for what another program writes"
                .into(),
        );
    }
    Ok(SourceSpec::Files(FilesSpec { path: path.into(), rate, repeat }))
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceSpec::Camera(camera) => camera.fmt(f),
            SourceSpec::Input => f.write_str("-"),
            SourceSpec::Files(FilesSpec { path, rate, repeat }) => {
                write!(f, "{}", path.display())?;
                if let Some(rate) = rate {
                    write!(f, "@{rate}")?;
                }
                f.write_str(if *repeat { ",loop" } else { "" })
            }
        }
    }
}

impl fmt::Display for CameraSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        let size = self.size.map(|size| size.to_string());
        let rate = self.rate.map(|rate| rate.to_string());
        let encoding = self.encoding.map(|encoding| encoding.to_string());
        f.write_str("camera")?;
        for (index, option) in [path, size, rate, encoding].into_iter().flatten().enumerate() {
            write!(f, "{}{option}", if index == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SourceSpec {
        let spec: SourceSpec = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(spec.to_string().parse::<SourceSpec>().unwrap(), spec, "{spec}");
        spec
    }

    #[test]
    fn cameras_are_named_with_what_matters() {
        assert_eq!(parsed("camera"), SourceSpec::Camera(CameraSpec::default()));
        assert_eq!(parsed("camera:"), SourceSpec::Camera(CameraSpec::default()));
        let full = SourceSpec::Camera(CameraSpec {
            path: Some("/dev/video2".into()),
            size: Some(Size::new(1280, 720)),
            rate: Some(30.0),
            encoding: Some("yuyv".parse().unwrap()),
        });
        assert_eq!(parsed("camera:/dev/video2,1280x720,30,yuyv"), full);
        assert_eq!(parsed("camera:YUYV,30,1280X720,/dev/video2"), full);
        assert_eq!(full.to_string(), "camera:/dev/video2,1280x720,30,yuyv");
        let SourceSpec::Camera(some) = parsed("camera:29.97,srggb10p") else { panic!("no camera") };
        assert_eq!((some.rate, some.path), (Some(29.97), None));
    }

    #[test]
    fn files_are_named_with_their_pace() {
        let files = |path: &str, rate, repeat| SourceSpec::Files(FilesSpec { path: path.into(), rate, repeat });
        assert_eq!(parsed("photos"), files("photos", None, false));
        assert_eq!(parsed("film.y4m@5"), files("film.y4m", Some(5.0), false));
        assert_eq!(parsed("a,b@0.5,loop"), files("a,b", Some(0.5), true));
        assert_eq!(parsed("photos,loop"), files("photos", None, true));
        assert_eq!(parsed("me@home"), files("me@home", None, false));
        assert_eq!(parsed("x@5@1"), files("x@5", Some(1.0), false));
        assert_eq!(parsed("x@inf"), files("x@inf", None, false));
        assert_eq!(parsed("./camera"), files("./camera", None, false));
        assert_eq!(parsed("C:film.y4m"), files("C:film.y4m", None, false));
        assert_eq!(parsed("-"), SourceSpec::Input);
    }

    #[test]
    fn what_is_wrong_is_said_with_how_to_write_it() {
        for (text, advice) in [
            ("", "name camera"),
            ("@5", "name camera"),
            (",loop", "name camera"),
            ("x@0", "0.001 to 1000"),
            ("x@1e99,loop", "0.001 to 1000"),
            ("camera:2,3", "more than one rate"),
            ("camera:/a,/b", "more than one device"),
            ("camera:yuyv,nv12", "more than one format"),
            ("camera:1x1,2x2", "more than one size"),
            ("camera:0x480", "1 to 32768"),
            ("camera:640x99999", "1 to 32768"),
            ("camera:0", "0.001 to 1000"),
            ("camera:nan", "mjpeg"),
            ("camera:video2", "camera:/dev/video0,1280x720,30,yuyv"),
        ] {
            let error = text.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no source: ")) && error.contains(advice), "{error}");
            assert!(!error.contains('\n'));
        }
    }
}

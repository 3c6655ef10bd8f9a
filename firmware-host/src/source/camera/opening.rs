//! Opening a camera, and saying what to do where that fails.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::CameraInfo;
use super::choose::{ranked, rate};
use super::driver::{Driver, Opened};
use crate::source::{CameraSpec, SourceError};

/// Modes that are tried one after the other.
const TRIES: usize = 8;

/// Opens the camera that is asked for, or the first that gives frames.
pub(super) fn open(driver: &mut dyn Driver, spec: &CameraSpec) -> Result<Opened, SourceError> {
    if let Some(path) = &spec.path {
        return open_path(driver, path, spec);
    }
    let cameras = driver.cameras().map_err(unlisted)?;
    let mut fault = None;
    for camera in cameras {
        match open_path(driver, &camera.path, spec) {
            Ok(opened) => return Ok(opened),
            // The first is the one that was meant, most likely.
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    Err(fault.unwrap_or_else(none))
}

/// The cameras there are.
pub(super) fn list(driver: &mut dyn Driver) -> Result<Vec<CameraInfo>, SourceError> {
    let cameras = driver.cameras().map_err(unlisted)?;
    if cameras.is_empty() { Err(none()) } else { Ok(cameras) }
}

fn unlisted(error: io::Error) -> SourceError {
    SourceError::NoCamera(format!("cameras cannot be listed: {error}"))
}

fn none() -> SourceError {
    let why = "no camera was found: plug one in and see that it is there as /dev/video0 (a container must be given it: \
               --device /dev/video0); what only libcamera drives, such as a Raspberry Pi's camera module, comes in as a stream: \
               rpicam-vid -t 0 --codec mjpeg -o - | cutout serve --source -";
    SourceError::NoCamera(why.into())
}

fn open_path(driver: &mut dyn Driver, path: &Path, spec: &CameraSpec) -> Result<Opened, SourceError> {
    let camera = |why: String| SourceError::Camera { path: path.into(), why };
    let offers = driver.offers(path, spec).map_err(|error| camera(advice(&error)))?;
    let mut readable: Vec<String> = offers.modes.iter().map(|mode| mode.encoding.to_string()).collect();
    readable.dedup();
    let modes = ranked(spec, offers.modes);
    let mut fault = None;
    for mode in modes.iter().take(TRIES) {
        match driver.start(path, mode, rate(spec, mode)) {
            Ok(stream) if stream.format().is_possible() => {
                return Ok(Opened { path: path.into(), name: offers.name, stream });
            }
            Ok(stream) => {
                let format = stream.format();
                fault = fault.or(Some(format!("its driver gives rows of {} bytes for {format}", format.stride)));
            }
            // Another mode would not help.
            Err(error) if is_about_the_device(&error) => return Err(camera(advice(&error))),
            Err(error) => fault = fault.or(Some(format!("cannot be had as {} {}: {error}", mode.size, mode.encoding))),
        }
    }
    Err(camera(fault.unwrap_or_else(|| match (spec.encoding, readable.is_empty()) {
        (Some(encoding), false) => format!("does not offer {encoding}: it has {}", readable.join(", ")),
        _ if offers.unread.is_empty() => {
            "offers no pixels: it is no camera, or one that must be set up first (media-ctl)".into()
        }
        _ => format!("offers only what is not read, {}: name another camera", offers.unread.join(", ")),
    })))
}

fn is_about_the_device(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::ResourceBusy)
}

/// What a person does about it.
pub(super) fn advice(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "is not there: see that it is plugged in and the path is right".into(),
        ErrorKind::PermissionDenied => {
            "may not be used: add the user to the group that owns it (usermod -aG video USER), then log in again".into()
        }
        ErrorKind::ResourceBusy => "is in use by another program: end that one, or name another camera".into(),
        _ => format!("cannot be used: {error}"),
    }
}

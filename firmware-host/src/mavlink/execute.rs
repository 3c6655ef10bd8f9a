//! Commands of the component, and what becomes of them.

use std::time::{Duration, Instant};

use mavlink::MessageData;
use mavlink::dialects::common::{
    CAMERA_INFORMATION_DATA, CAMERA_SETTINGS_DATA, CAMERA_TRACKING_IMAGE_STATUS_DATA, MESSAGE_INTERVAL_DATA, MavCmd,
    MavResult, VIDEO_STREAM_INFORMATION_DATA, VIDEO_STREAM_STATUS_DATA,
};

use super::command::Command;
use super::component::Component;
use super::message::{Ack, Outgoing};
use super::requests::Sender;
use super::{Refusal, Target};

const ACCEPTED: MavResult = MavResult::MAV_RESULT_ACCEPTED;
const DENIED: MavResult = MavResult::MAV_RESULT_DENIED;
const UNSUPPORTED: MavResult = MavResult::MAV_RESULT_UNSUPPORTED;

const TRACK_POINT: u16 = MavCmd::MAV_CMD_CAMERA_TRACK_POINT as u16;
const TRACK_RECTANGLE: u16 = MavCmd::MAV_CMD_CAMERA_TRACK_RECTANGLE as u16;
const STOP_TRACKING: u16 = MavCmd::MAV_CMD_CAMERA_STOP_TRACKING as u16;
const REQUEST_MESSAGE: u16 = MavCmd::MAV_CMD_REQUEST_MESSAGE as u16;
const SET_INTERVAL: u16 = MavCmd::MAV_CMD_SET_MESSAGE_INTERVAL as u16;
const START_STREAMING: u16 = MavCmd::MAV_CMD_VIDEO_START_STREAMING as u16;
const STOP_STREAMING: u16 = MavCmd::MAV_CMD_VIDEO_STOP_STREAMING as u16;

// Requests of one message each, which the standard has replaced and ground stations still send.
const GET_INTERVAL: u16 = 510;
const REQUEST_INFORMATION: u16 = 521;
const REQUEST_SETTINGS: u16 = 522;
const REQUEST_STREAM_INFORMATION: u16 = 2504;
const REQUEST_STREAM_STATUS: u16 = 2505;

/// What a command leads to: its result, and what is sent behind the acknowledgement.
type Outcome = (MavResult, Option<Outgoing>);

impl Component {
    /// Executes a command, if it is meant for this component.
    pub(super) fn execute(&mut self, sender: Sender, command: &Command, now: Instant) -> Vec<Outgoing> {
        let (system, component) = self.ids();
        let is_addressed =
            [0, system].contains(&command.target_system) && [0, component].contains(&command.target_component);
        if !is_addressed {
            return Vec::new();
        }
        let (result, message) = self.outcome(sender, command, now);
        // A command for all is for others to answer if it is none of a camera's, or names another camera.
        if command.target_component == 0 && !self.is_concerned(command, result) {
            return Vec::new();
        }
        let ack = Ack { command: command.command, result, to: sender };
        tracing::debug!(system = sender.0, component = sender.1, command = ack.command, ?result, "a MAVLink command");
        std::iter::once(Outgoing::Ack(ack)).chain(message).collect()
    }

    fn is_concerned(&self, command: &Command, result: MavResult) -> bool {
        let is_tracking = named_camera(command).is_some_and(|id| self.is_this_camera(id));
        result != UNSUPPORTED && (result != DENIED || is_tracking)
    }

    fn outcome(&mut self, sender: Sender, command: &Command, now: Instant) -> Outcome {
        if named_camera(command).is_some_and(|id| !self.is_this_camera(id)) {
            return (DENIED, None);
        }
        let [p1, p2, p3, p4, ..] = command.parameters;
        match command.command {
            TRACK_POINT => (self.track(sender, command, point(p1, p2, p3), now), None),
            TRACK_RECTANGLE => (self.track(sender, command, rectangle(p1, p2, p3, p4), now), None),
            STOP_TRACKING => {
                let stop = || {
                    self.camera.stop();
                    ACCEPTED
                };
                (self.requests.once(sender, command, now, stop), None)
            }
            REQUEST_MESSAGE => self.message(whole(p1), p2, now),
            GET_INTERVAL => self.message(Some(MESSAGE_INTERVAL_DATA::ID), p1, now),
            REQUEST_INFORMATION => self.if_true(p1, CAMERA_INFORMATION_DATA::ID, now),
            REQUEST_SETTINGS => self.if_true(p1, CAMERA_SETTINGS_DATA::ID, now),
            REQUEST_STREAM_INFORMATION => self.message(Some(VIDEO_STREAM_INFORMATION_DATA::ID), p1, now),
            REQUEST_STREAM_STATUS => self.message(Some(VIDEO_STREAM_STATUS_DATA::ID), p1, now),
            SET_INTERVAL => (self.set_interval(sender, whole(p1), p2, now), None),
            // The stream is somebody else's and always there.
            START_STREAMING | STOP_STREAMING if self.stream().is_some() => {
                (if is_this_stream(p1) { ACCEPTED } else { DENIED }, None)
            }
            _ => (UNSUPPORTED, None),
        }
    }

    /// Whether a `Target Camera ID` means this camera: 0 means all, and so does one that is left out.
    fn is_this_camera(&self, id: f32) -> bool {
        id.is_nan() || id == 0.0 || id == f32::from(self.ids().1)
    }

    fn track(&mut self, sender: Sender, command: &Command, target: Option<Target>, now: Instant) -> MavResult {
        let Some(target) = target else { return DENIED };
        self.requests.once(sender, command, now, || match self.camera.track(target) {
            Ok(()) => ACCEPTED,
            Err(Refusal::NoFrame | Refusal::Busy) => MavResult::MAV_RESULT_TEMPORARILY_REJECTED,
            Err(Refusal::Failed) => MavResult::MAV_RESULT_FAILED,
        })
    }

    /// The old requests have a yes or no.
    fn if_true(&self, yes: f32, id: u32, now: Instant) -> Outcome {
        match yes {
            1.0 => self.message(Some(id), 0.0, now),
            0.0 => (ACCEPTED, None),
            _ => (DENIED, None),
        }
    }

    /// A message that is asked for; `index` says which one of several, as far as there are.
    fn message(&self, id: Option<u32>, index: f32, now: Instant) -> Outcome {
        let message = match id {
            Some(CAMERA_INFORMATION_DATA::ID) => Some(self.information(now)),
            Some(CAMERA_SETTINGS_DATA::ID) => Some(self.settings(now)),
            Some(CAMERA_TRACKING_IMAGE_STATUS_DATA::ID) => Some(self.tracking_status()),
            Some(VIDEO_STREAM_INFORMATION_DATA::ID) if is_this_stream(index) => {
                self.stream().map(|stream| Outgoing::StreamInformation(Box::new(stream.information(self.size()))))
            }
            Some(VIDEO_STREAM_STATUS_DATA::ID) if is_this_stream(index) => {
                self.stream().map(|stream| Outgoing::StreamStatus(stream.status(self.size())))
            }
            Some(MESSAGE_INTERVAL_DATA::ID) => whole(index).map(|id| self.interval(id)),
            _ => None,
        };
        (if message.is_some() { ACCEPTED } else { DENIED }, message)
    }

    fn interval(&self, id: u32) -> Outgoing {
        let interval_us = match id {
            0 => 1_000_000,
            CAMERA_TRACKING_IMAGE_STATUS_DATA::ID => {
                let interval = self.requests.interval();
                interval.map_or(-1, |interval| i32::try_from(interval.as_micros()).unwrap_or(i32::MAX))
            }
            // Not available.
            _ => 0,
        };
        // An id beyond the field's range is none of ours.
        let message_id = u16::try_from(id).unwrap_or(u16::MAX);
        Outgoing::Interval(MESSAGE_INTERVAL_DATA { interval_us, message_id })
    }

    fn set_interval(&mut self, sender: Sender, id: Option<u32>, interval_us: f32, now: Instant) -> MavResult {
        if id != Some(CAMERA_TRACKING_IMAGE_STATUS_DATA::ID) {
            return DENIED;
        }
        let interval = match interval_us {
            // The default rate is none, so that a ground station that stops a stream with 0 is right, too.
            -1.0 | 0.0 => None,
            us if us > 0.0 && us <= i32::MAX as f32 => Some(Duration::from_micros(us as u64)),
            _ => return DENIED,
        };
        self.requests.set_interval(sender, interval, now);
        ACCEPTED
    }
}

/// The `Target Camera ID` of a command that has one.
fn named_camera(command: &Command) -> Option<f32> {
    let [p1, _, _, p4, p5, ..] = command.parameters;
    match command.command {
        TRACK_POINT => Some(p4),
        TRACK_RECTANGLE => Some(p5),
        STOP_TRACKING => Some(p1),
        _ => None,
    }
}

/// A message's id in a parameter.
fn whole(parameter: f32) -> Option<u32> {
    let is_id = parameter.fract() == 0.0 && (0.0..16_777_216.0).contains(&parameter);
    is_id.then_some(parameter as u32)
}

/// There is one stream, of number 1; 0 and what is left out mean all.
fn is_this_stream(index: f32) -> bool {
    index.is_nan() || index == 0.0 || index == 1.0
}

fn is_in_frame(place: f32) -> bool {
    (0.0..=1.0).contains(&place)
}

fn point(x: f32, y: f32, radius: f32) -> Option<Target> {
    let radius = if radius.is_nan() { 0.0 } else { radius };
    [x, y, radius].into_iter().all(is_in_frame).then_some(Target::Point { x, y, radius })
}

/// A rectangle that was drawn from another corner is meant as well as one from the upper left; one without area is not.
fn rectangle(xa: f32, ya: f32, xb: f32, yb: f32) -> Option<Target> {
    let (x0, y0, x1, y1) = (xa.min(xb), ya.min(yb), xa.max(xb), ya.max(yb));
    let is_one = [xa, ya, xb, yb].into_iter().all(is_in_frame) && x0 < x1 && y0 < y1;
    is_one.then_some(Target::Rectangle { x0, y0, x1, y1 })
}

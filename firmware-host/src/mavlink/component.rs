//! [`Component`]: what is answered and sent when. It knows no line and no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mavlink::MAVLinkV2MessageRaw;
use mavlink::dialects::common::{
    CAMERA_INFORMATION_DATA, CAMERA_SETTINGS_DATA, CAMERA_TRACKING_IMAGE_STATUS_DATA, CameraCapFlags, CameraMode,
    CameraTrackingMode, CameraTrackingStatusFlags, CameraTrackingTargetData, HEARTBEAT_DATA, MavAutopilot, MavModeFlag,
    MavState, MavType,
};
use mavlink::types::CharArray;

use super::channel::Channel;
use super::command::Incoming;
use super::framer::Header;
use super::message::{Outgoing, padded};
use super::requests::Requests;
use super::stream::Stream;
use super::{Camera, Tracked};

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a vehicle is waited for before the component speaks as one of [`ASSUMED_SYSTEM`].
const LISTEN: Duration = Duration::from_secs(3);

/// The system id that autopilots have unless told otherwise.
const ASSUMED_SYSTEM: u8 = 1;

/// What a camera component is, and how it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// System id of the vehicle that carries the camera. `None`: that of the first autopilot on the line.
    pub system: Option<u8>,
    /// Component id, 100 to 105: which of the vehicle's cameras it is.
    pub component: u8,
    /// Name of the camera's model.
    pub model: String,
    /// Where its video is, if a ground station can have it.
    pub stream: Option<Stream>,
    /// How old the frame of an answer may be before the object counts as lost.
    pub stale: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { system: None, component: 100, model: "Cutout".into(), stream: None, stale: Duration::from_secs(10) }
    }
}

/// What is wrong with [`Options`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// No camera has it.
    #[error("MAVLink component id {0} is none of a camera's: take one from 100 to 105")]
    Component(u8),
    /// It stands for all systems.
    #[error("MAVLink system id 0 stands for all systems: take the vehicle's, which is 1 unless it was changed")]
    System,
}

/// A camera of a vehicle.
pub struct Component {
    options: Options,
    pub(super) camera: Arc<dyn Camera>,
    started: Instant,
    /// System id of the autopilot that was heard first.
    vehicle: Option<u8>,
    /// Whether another component with these ids was heard.
    doubled: bool,
    next_heartbeat: Instant,
    pub(super) requests: Requests,
}

impl Component {
    /// A camera that begins at `now`.
    ///
    /// # Errors
    /// If an id is impossible.
    pub fn new(options: Options, camera: Arc<dyn Camera>, now: Instant) -> Result<Self, OptionsError> {
        if !(100..=105).contains(&options.component) {
            return Err(OptionsError::Component(options.component));
        }
        if options.system == Some(0) {
            return Err(OptionsError::System);
        }
        let next_heartbeat = if options.system.is_some() { now } else { now + LISTEN };
        Ok(Component {
            options,
            camera,
            started: now,
            vehicle: None,
            doubled: false,
            next_heartbeat,
            requests: Requests::default(),
        })
    }

    /// System and component id. The former may change when the vehicle is heard.
    pub fn ids(&self) -> (u8, u8) {
        (self.options.system.or(self.vehicle).unwrap_or(ASSUMED_SYSTEM), self.options.component)
    }

    /// Takes bytes from a peer and gives the packets that answer it. No bytes mean that time has passed.
    pub fn feed(&mut self, channel: &mut Channel, bytes: &[u8], now: Instant) -> Vec<MAVLinkV2MessageRaw> {
        let mut answers = Vec::new();
        channel.feed(bytes, now, |header, payload| {
            answers.extend(self.handle(header, Incoming::read(header.message, payload), now));
        });
        answers.iter().map(|answer| self.packet(channel, answer)).collect()
    }

    /// A message as the next packet to a peer.
    pub fn packet(&self, channel: &mut Channel, message: &Outgoing) -> MAVLinkV2MessageRaw {
        channel.packet(self.ids(), message)
    }

    /// Takes a message and gives those that answer it, which are for its sender.
    pub fn handle(&mut self, from: Header, message: Incoming, now: Instant) -> Vec<Outgoing> {
        if (from.system, from.component) == self.ids() {
            if !std::mem::replace(&mut self.doubled, true) {
                let (system, component) = self.ids();
                tracing::warn!(system, component, "another MAVLink component has our ids, or our packets come back");
            }
            return Vec::new();
        }
        match message {
            Incoming::Heartbeat { kind, autopilot } => {
                self.meet(from, kind, autopilot, now);
                Vec::new()
            }
            Incoming::Command(command) => self.execute((from.system, from.component), &command, now),
            Incoming::Other => Vec::new(),
        }
    }

    /// Learns the vehicle's id from its autopilot. The first one stays: cameras do not change vehicles in flight.
    fn meet(&mut self, from: Header, kind: u8, autopilot: u8, now: Instant) {
        let others = [MavType::MAV_TYPE_GCS, MavType::MAV_TYPE_ANTENNA_TRACKER, MavType::MAV_TYPE_CAMERA];
        let is_vehicle = autopilot != MavAutopilot::MAV_AUTOPILOT_INVALID as u8
            && others.iter().all(|other| *other as u8 != kind)
            && from.system != 0;
        if is_vehicle && self.options.system.is_none() && self.vehicle.is_none() {
            self.vehicle = Some(from.system);
            self.next_heartbeat = now;
            tracing::info!(system = from.system, "the MAVLink vehicle is found");
        }
    }

    /// Gives the messages that are due, which are for everybody on the line.
    pub fn tick(&mut self, now: Instant) -> Vec<Outgoing> {
        let mut messages = Vec::new();
        if now >= self.next_heartbeat {
            // After a pause there is one heartbeat, not all that were missed.
            self.next_heartbeat = (self.next_heartbeat + HEARTBEAT).max(now + HEARTBEAT / 2);
            messages.push(self.heartbeat());
        }
        if self.requests.status_is_due(now) {
            messages.push(self.tracking_status());
        }
        messages
    }

    /// When [`Component::tick`] has something to give again.
    pub fn due(&self) -> Instant {
        self.requests.next_status().map_or(self.next_heartbeat, |status| status.min(self.next_heartbeat))
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        self.options.stream.as_ref()
    }

    pub(super) fn size(&self) -> (u16, u16) {
        self.camera.frame_size().unwrap_or((0, 0))
    }

    fn uptime_ms(&self, now: Instant) -> u32 {
        // The standard's field wraps around, too.
        now.saturating_duration_since(self.started).as_millis() as u32
    }

    fn heartbeat(&self) -> Outgoing {
        let ready = self.camera.frame_size().is_some();
        Outgoing::Heartbeat(HEARTBEAT_DATA {
            custom_mode: 0,
            mavtype: MavType::MAV_TYPE_CAMERA,
            autopilot: MavAutopilot::MAV_AUTOPILOT_INVALID,
            base_mode: MavModeFlag::empty(),
            system_status: if ready { MavState::MAV_STATE_ACTIVE } else { MavState::MAV_STATE_STANDBY },
            mavlink_version: 3,
        })
    }

    pub(super) fn information(&self, now: Instant) -> Outgoing {
        let mut flags = CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_POINT
            | CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE;
        flags.set(CameraCapFlags::CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM, self.options.stream.is_some());
        let (resolution_h, resolution_v) = self.size();
        Outgoing::Information(Box::new(CAMERA_INFORMATION_DATA {
            time_boot_ms: self.uptime_ms(now),
            firmware_version: firmware_version(),
            focal_length: f32::NAN,
            sensor_size_h: f32::NAN,
            sensor_size_v: f32::NAN,
            flags,
            resolution_h,
            resolution_v,
            cam_definition_version: 0,
            vendor_name: padded("Cutout"),
            model_name: padded(&self.options.model),
            lens_id: 0,
            cam_definition_uri: CharArray::new([0; 140]),
            gimbal_device_id: 0,
            camera_device_id: 0,
        }))
    }

    pub(super) fn settings(&self, now: Instant) -> Outgoing {
        Outgoing::Settings(CAMERA_SETTINGS_DATA {
            time_boot_ms: self.uptime_ms(now),
            mode_id: CameraMode::CAMERA_MODE_VIDEO,
            zoomLevel: f32::NAN,
            focusLevel: f32::NAN,
            camera_device_id: 0,
        })
    }

    /// What is tracked. An object has a rectangle, whichever way it was pointed at, and its centre as the point.
    pub(super) fn tracking_status(&self) -> Outgoing {
        let error = CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ERROR;
        let seen = match self.camera.tracked() {
            Tracked::Idle => Err(CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_IDLE),
            Tracked::Lost => Err(error),
            Tracked::Active { centre: (x, y), rectangle: [x0, y0, x1, y1], age } => {
                let places = [x, y, x0, y0, x1, y1];
                // A gimbal may follow this: what is old or nowhere is not where the object is.
                let is_known = age <= self.options.stale && places.iter().all(|place| place.is_finite());
                is_known.then_some(places).ok_or(error)
            }
        };
        let (tracking_status, tracking_mode, target_data) = match seen {
            Ok(_) => (
                CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ACTIVE,
                CameraTrackingMode::CAMERA_TRACKING_MODE_RECTANGLE,
                CameraTrackingTargetData::CAMERA_TRACKING_TARGET_DATA_IN_STATUS,
            ),
            Err(status) => (status, CameraTrackingMode::CAMERA_TRACKING_MODE_NONE, CameraTrackingTargetData::empty()),
        };
        let [point_x, point_y, rec_top_x, rec_top_y, rec_bottom_x, rec_bottom_y] =
            seen.map_or([f32::NAN; 6], |places| places.map(|place| place.clamp(0.0, 1.0)));
        Outgoing::TrackingStatus(CAMERA_TRACKING_IMAGE_STATUS_DATA {
            point_x,
            point_y,
            radius: f32::NAN,
            rec_top_x,
            rec_top_y,
            rec_bottom_x,
            rec_bottom_y,
            tracking_status,
            tracking_mode,
            target_data,
            camera_device_id: 0,
        })
    }
}

/// The program's version as the standard packs it: major in the lowest byte.
fn firmware_version() -> u32 {
    let part = |text: &str| text.parse().unwrap_or(0_u8);
    u32::from_le_bytes([
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
        0,
    ])
}

//! The camera component: its bytes, its conduct, its lines.

mod bytes;
mod conduct;
mod intervals;
mod lines;
mod texts;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mavlink::dialects::common::{
    CAMERA_TRACKING_IMAGE_STATUS_DATA, CameraTrackingMode, CameraTrackingStatusFlags, CameraTrackingTargetData,
    MavResult,
};

use super::*;

/// A service that does nothing but remember what it was asked.
#[derive(Debug)]
struct Fake {
    size: Mutex<Option<(u16, u16)>>,
    refusal: Mutex<Option<Refusal>>,
    tracked: Mutex<Tracked>,
    asked: Mutex<Vec<Target>>,
    stops: AtomicUsize,
    turns: AtomicUsize,
    traffic: Mutex<Traffic>,
}

impl Fake {
    fn new() -> Arc<Self> {
        Arc::new(Fake {
            size: Mutex::new(Some((1280, 720))),
            refusal: Mutex::new(None),
            tracked: Mutex::new(Tracked::Idle),
            asked: Mutex::new(Vec::new()),
            stops: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
            traffic: Mutex::new(Traffic::default()),
        })
    }

    fn asked(&self) -> Vec<Target> {
        self.asked.lock().unwrap().clone()
    }

    fn show(&self, tracked: Tracked) {
        *self.tracked.lock().unwrap() = tracked;
    }
}

impl Camera for Fake {
    fn frame_size(&self) -> Option<(u16, u16)> {
        *self.size.lock().unwrap()
    }

    fn track(&self, what: Target) -> Result<(), Refusal> {
        if let Some(refusal) = *self.refusal.lock().unwrap() {
            return Err(refusal);
        }
        self.asked.lock().unwrap().push(what);
        self.show(RABBIT);
        Ok(())
    }

    fn stop(&self) {
        self.stops.fetch_add(1, Ordering::Relaxed);
        self.show(Tracked::Idle);
    }

    fn tracked(&self) -> Tracked {
        *self.tracked.lock().unwrap()
    }

    fn traffic(&self, traffic: Traffic) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let mut all = self.traffic.lock().unwrap();
        all.received_bytes += traffic.received_bytes;
        all.sent_bytes += traffic.sent_bytes;
        all.bad_packets += traffic.bad_packets;
        all.peers = traffic.peers;
    }
}

/// What the fake tracks, whatever it is asked.
const RABBIT: Tracked =
    Tracked::Active { centre: (0.5, 0.25), rectangle: [0.375, 0.125, 0.625, 0.375], age: Duration::from_millis(40) };

/// A ground station.
const GCS: (u8, u8) = (255, 190);

/// `MAV_CMD_CAMERA_TRACK_POINT` and its siblings, as numbers on purpose.
const POINT: u16 = 2004;
const RECTANGLE: u16 = 2005;
const STOP: u16 = 2010;
const REQUEST: u16 = 512;
const INTERVAL: u16 = 511;

/// A component of system 1, and its service.
fn camera() -> (Component, Arc<Fake>, Instant) {
    let (fake, now) = (Fake::new(), Instant::now());
    let options = Options { system: Some(1), model: "Rabbit finder".into(), ..Options::default() };
    (Component::new(options, Arc::clone(&fake) as Arc<dyn Camera>, now).unwrap(), fake, now)
}

fn from((system, component): (u8, u8)) -> Header {
    Header { system, component, sequence: 0, message: 76 }
}

/// A command to component 100 of system 1; parameters that are not given are 0.
fn command(command: u16, first: &[f32]) -> Command {
    let mut parameters = [0.0; 7];
    parameters[..first.len()].copy_from_slice(first);
    Command { target_system: 1, target_component: 100, command, confirmation: 0, parameters }
}

/// What the ground station is answered.
fn ask(component: &mut Component, command: Command, now: Instant) -> Vec<Outgoing> {
    component.handle(from(GCS), Incoming::Command(command), now)
}

/// The result of a command, and the message behind it.
fn outcome(answers: Vec<Outgoing>, of: u16) -> (MavResult, Option<Outgoing>) {
    let mut answers = answers.into_iter();
    let Some(Outgoing::Ack(ack)) = answers.next() else { panic!("no acknowledgement") };
    assert_eq!((ack.command, ack.to), (of, GCS));
    let message = answers.next();
    assert_eq!(answers.next(), None);
    (ack.result, message)
}

fn result(component: &mut Component, command: Command, now: Instant) -> MavResult {
    let of = command.command;
    let (result, message) = outcome(ask(component, command, now), of);
    assert_eq!(message, None);
    result
}

/// The status that says that the rabbit is tracked.
fn rabbit_status() -> CAMERA_TRACKING_IMAGE_STATUS_DATA {
    CAMERA_TRACKING_IMAGE_STATUS_DATA {
        point_x: 0.5,
        point_y: 0.25,
        radius: f32::NAN,
        rec_top_x: 0.375,
        rec_top_y: 0.125,
        rec_bottom_x: 0.625,
        rec_bottom_y: 0.375,
        tracking_status: CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ACTIVE,
        tracking_mode: CameraTrackingMode::CAMERA_TRACKING_MODE_RECTANGLE,
        target_data: CameraTrackingTargetData::CAMERA_TRACKING_TARGET_DATA_IN_STATUS,
        camera_device_id: 0,
    }
}

//! Any bytes on a MAVLink line: no panic, only good packets come back, and the service is asked for places in the frame.
//!
//! The module is included as it stands, so that this builds without the model's engine.
#![no_main]

#[path = "../../firmware-host/src/mavlink/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod camera;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::mavlink::dialects::common::MavMessage;
use ::mavlink::{MAVLinkV2MessageRaw, Message, calculate_crc};
use camera::{Camera, Channel, Component, Options, Refusal, Target, Tracked, Traffic};
use libfuzzer_sys::fuzz_target;

struct Service;

impl Camera for Service {
    fn frame_size(&self) -> Option<(u16, u16)> {
        Some((640, 480))
    }

    fn track(&self, what: Target) -> Result<(), Refusal> {
        let places = match what {
            Target::Point { x, y, radius } => [x, y, radius, 0.0],
            Target::Rectangle { x0, y0, x1, y1 } => {
                assert!(x0 < x1 && y0 < y1);
                [x0, y0, x1, y1]
            }
        };
        assert!(places.iter().all(|place| (0.0..=1.0).contains(place)));
        if places[0] < 0.1 { Err(Refusal::Busy) } else { Ok(()) }
    }

    fn stop(&self) {}

    fn tracked(&self) -> Tracked {
        Tracked::Lost
    }

    fn traffic(&self, _: Traffic) {}
}

/// A packet around a payload, whose checksum is good: the fuzzer does not guess those.
fn packet(message: u32, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = message.to_le_bytes();
    let mut packet = vec![0xfd, payload.len() as u8, 0, 0, 0, 255, 190, low, middle, high];
    packet.extend_from_slice(payload);
    let checksum = calculate_crc(&packet[1..], MavMessage::extra_crc(message));
    packet.extend_from_slice(&checksum.to_le_bytes());
    packet
}

fn check(answers: &[MAVLinkV2MessageRaw]) {
    for answer in answers {
        assert!(answer.has_valid_crc::<MavMessage>());
        assert_eq!((answer.system_id(), answer.component_id()), (1, 100));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let options = Options { system: Some(1), ..Options::default() };
    let mut component = Component::new(options, Arc::new(Service), now).unwrap();
    let mut channel = Channel::default();
    let mut rest = data;
    // Pieces: how they are framed, how long they are, how much time has passed before.
    while let [how, length, passed, after @ ..] = rest {
        let (piece, later) = after.split_at(after.len().min(usize::from(*length)));
        rest = later;
        now += Duration::from_millis(10 * u64::from(*passed));
        let bytes = match how % 4 {
            0 => packet(76, piece),
            1 => packet(75, piece),
            2 => packet(0, piece),
            _ => piece.to_vec(),
        };
        check(&component.feed(&mut channel, &bytes, now));
        for message in component.tick(now) {
            check(&[component.packet(&mut channel, &message)]);
        }
        assert!(component.due() > now);
    }
});

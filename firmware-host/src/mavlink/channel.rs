//! [`Channel`]: what is remembered of one peer on a line.

use std::time::{Duration, Instant};

use mavlink::{MAVLinkV2MessageRaw, MavHeader};

use super::framer::{Framer, Header};
use super::message::Outgoing;

/// Silence after which the rest of an unfinished packet is not waited for. The longest takes 0.3 s at 9600 baud.
const GAP: Duration = Duration::from_secs(1);

/// The way to one peer: where its bytes become packets, and the packets sent to it are numbered.
#[derive(Debug, Default)]
pub struct Channel {
    framer: Framer,
    sequence: u8,
    heard: Option<Instant>,
}

impl Channel {
    /// Takes bytes and gives packets. No bytes mean that time has passed.
    pub(super) fn feed(&mut self, bytes: &[u8], now: Instant, mut packet: impl FnMut(Header, &[u8])) {
        if self.heard.is_some_and(|heard| now.saturating_duration_since(heard) >= GAP) {
            self.framer.give_up(&mut packet);
            self.heard = None;
        }
        if !bytes.is_empty() {
            self.heard = Some(now);
            self.framer.feed(bytes, packet);
        }
    }

    /// The message as the next packet to this peer.
    pub(super) fn packet(&mut self, (system, component): (u8, u8), message: &Outgoing) -> MAVLinkV2MessageRaw {
        let header = MavHeader { system_id: system.into(), component_id: component, sequence: self.sequence };
        self.sequence = self.sequence.wrapping_add(1);
        message.packet(header)
    }

    /// Packets with a good checksum, so far.
    pub fn packets(&self) -> u64 {
        self.framer.packets()
    }

    /// Packets with a bad one, so far.
    pub fn bad_packets(&self) -> u64 {
        self.framer.bad()
    }
}

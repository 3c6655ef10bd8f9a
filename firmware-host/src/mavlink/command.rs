//! [`Incoming`]: the messages that the component reads, taken from their payloads.
//!
//! They are read by hand: the crate's own types refuse enum values that they do not know, and a command that nobody knows
//! still has to be answered.

use mavlink::MessageData;
use mavlink::dialects::common::{COMMAND_INT_DATA, COMMAND_LONG_DATA, HEARTBEAT_DATA};

/// A message that concerns the component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Incoming {
    /// Somebody is there.
    Heartbeat {
        /// `MAV_TYPE`.
        kind: u8,
        /// `MAV_AUTOPILOT`.
        autopilot: u8,
    },
    /// Somebody wants something.
    Command(Command),
    /// Anything else.
    Other,
}

/// A command, in whichever of the two messages it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Command {
    /// System that is to execute it; 0 for all.
    pub target_system: u8,
    /// Component that is to execute it; 0 for all.
    pub target_component: u8,
    /// `MAV_CMD`.
    pub command: u16,
    /// How often it was sent before.
    pub confirmation: u8,
    /// Its parameters 1 to 7. Integers are given as numbers; what is left out is NaN.
    pub parameters: [f32; 7],
}

impl Incoming {
    /// Reads a payload, of which version 2 leaves out zeros at the end.
    pub fn read(message: u32, payload: &[u8]) -> Self {
        let payload = Payload(payload);
        match message {
            HEARTBEAT_DATA::ID => Incoming::Heartbeat { kind: payload.u8(4), autopilot: payload.u8(5) },
            COMMAND_LONG_DATA::ID => Incoming::Command(Command {
                target_system: payload.u8(30),
                target_component: payload.u8(31),
                command: payload.u16(28),
                confirmation: payload.u8(32),
                parameters: std::array::from_fn(|i| payload.f32(4 * i)),
            }),
            // The coordinate frame is of no concern: no command of a camera has a location.
            COMMAND_INT_DATA::ID => Incoming::Command(Command {
                target_system: payload.u8(30),
                target_component: payload.u8(31),
                command: payload.u16(28),
                confirmation: 0,
                parameters: std::array::from_fn(|i| match (i, payload.i32(4 * i)) {
                    (4 | 5, i32::MAX) => f32::NAN,
                    (4 | 5, whole) => whole as f32,
                    _ => payload.f32(4 * i),
                }),
            }),
            _ => Incoming::Other,
        }
    }
}

/// Little-endian numbers, with zeros behind the end.
struct Payload<'a>(&'a [u8]);

impl Payload<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.0.get(at + i).copied().unwrap_or(0))
    }

    fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.bytes(at))
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.bytes(at))
    }

    fn f32(&self, at: usize) -> f32 {
        f32::from_le_bytes(self.bytes(at))
    }
}

//! [`Framer`]: bytes of a line in, MAVLink packets out.

use mavlink::dialects::common::MavMessage;
use mavlink::{MAV_STX, MAV_STX_V2, Message, calculate_crc};

/// Longest packet: version 2, signed.
const MAX_PACKET: usize = 10 + 255 + 2 + SIGNATURE;

/// Bytes of a signature, which stands behind the checksum.
const SIGNATURE: usize = 13;

/// The one incompatibility flag that is understood: the packet is signed.
const SIGNED: u8 = 1;

/// Bytes that are looked at together.
const ROOM: usize = 2048;

/// Who sent a packet, and of what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// System id of the sender.
    pub system: u8,
    /// Component id of the sender.
    pub component: u8,
    /// Number of the packet among those of the sender on this line.
    pub sequence: u8,
    /// The message's id.
    pub message: u32,
}

/// Finds packets in a stream of bytes, and finds them again after any garbage.
///
/// Bytes that only look like a packet cost one byte: what stands behind the first is looked at again. Packets of messages
/// that `common.xml` does not know have a checksum that cannot be checked. They are passed over as a whole if another
/// packet begins right behind them, so that a message which carries others inside does not set them free.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    packets: u64,
    bad: u64,
}

enum Found {
    /// Not all of it is there.
    Unfinished,
    /// A packet with a good checksum: its length, its header, and where its payload lies.
    Packet(usize, Header, std::ops::Range<usize>),
    /// A packet of an unknown message, and its length.
    Unknown(usize),
    /// No packet begins here.
    Nothing,
}

impl Framer {
    /// Takes bytes, in pieces of any size, and gives each packet with its payload.
    pub fn feed(&mut self, mut bytes: &[u8], mut packet: impl FnMut(Header, &[u8])) {
        while !bytes.is_empty() {
            // What is left over by `parse` is shorter than a packet and the byte behind it.
            let (now, later) = bytes.split_at(bytes.len().min(ROOM.saturating_sub(self.buffer.len()).max(1)));
            self.buffer.extend_from_slice(now);
            self.parse(&mut packet);
            bytes = later;
        }
    }

    /// Gives up an unfinished packet, whose sender has fallen silent, and looks at its bytes again.
    pub fn give_up(&mut self, mut packet: impl FnMut(Header, &[u8])) {
        while !self.buffer.is_empty() {
            self.buffer.remove(0);
            self.parse(&mut packet);
        }
    }

    /// Packets with a good checksum, so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Beginnings of packets that turned out to be none, so far.
    pub fn bad(&self) -> u64 {
        self.bad
    }

    fn parse(&mut self, packet: &mut impl FnMut(Header, &[u8])) {
        let mut at = 0;
        while let Some(rest) = self.buffer.get(at..) {
            let Some(marker) = rest.iter().position(|byte| is_marker(*byte)) else {
                at = self.buffer.len();
                break;
            };
            at += marker;
            let rest = rest.get(marker..).unwrap_or_default();
            match find(rest) {
                Found::Unfinished => break,
                Found::Packet(length, header, payload) => {
                    self.packets += 1;
                    packet(header, rest.get(payload).unwrap_or_default());
                    at += length;
                }
                Found::Unknown(length) => at += length,
                Found::Nothing => {
                    self.bad += 1;
                    at += 1;
                }
            }
        }
        self.buffer.drain(..at);
        debug_assert!(self.buffer.len() <= MAX_PACKET);
    }
}

fn is_marker(byte: u8) -> bool {
    matches!(byte, MAV_STX | MAV_STX_V2)
}

/// What begins at the first byte, which is a marker.
fn find(bytes: &[u8]) -> Found {
    let (header, length, header_length, trailer) = match *bytes {
        [MAV_STX, length, sequence, system, component, message, ..] => {
            (Header { system, component, sequence, message: message.into() }, length, 6, 0)
        }
        [MAV_STX_V2, _, flags, ..] if flags & !SIGNED != 0 => return Found::Nothing,
        [MAV_STX_V2, length, flags, _, sequence, system, component, low, middle, high, ..] => {
            let message = u32::from_le_bytes([low, middle, high, 0]);
            (Header { system, component, sequence, message }, length, 10, usize::from(flags) * SIGNATURE)
        }
        _ => return Found::Unfinished,
    };
    let end = header_length + usize::from(length);
    let whole = end + 2 + trailer;
    if bytes.len() < whole {
        return Found::Unfinished;
    }
    let (Some(covered), Some(&[low, high])) = (bytes.get(1..end), bytes.get(end..end + 2)) else {
        return Found::Unfinished;
    };
    let extra = MavMessage::extra_crc(header.message);
    if calculate_crc(covered, extra) == u16::from_le_bytes([low, high]) {
        return Found::Packet(whole, header, header_length..end);
    }
    // 0 stands for a message that is not known; the one known message whose extra byte it is concerns nobody here.
    match (extra, bytes.get(whole)) {
        (0, None) => Found::Unfinished,
        (0, Some(next)) if is_marker(*next) => Found::Unknown(whole),
        _ => Found::Nothing,
    }
}

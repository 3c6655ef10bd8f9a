//! Packets: a header, a payload, two checksums; stuffed, and ended by a zero.

use core::fmt;

use crate::checksum::{Crc32, crc16, crc32};
use crate::cobs;
use crate::field::{Full, Sink};
use crate::message::Message;

/// The version of packets and messages that this crate speaks.
///
/// Versions are numbers below 32 that are no white space, so that no packet can begin as a line of text does.
pub const PROTOCOL_VERSION: u8 = 1;
/// Bytes of a header, its checksum included.
pub const HEADER_SIZE: usize = 14;
/// Bytes of a payload at most.
pub const MAX_PAYLOAD: usize = 1024;
/// Bytes of a packet on the wire at most, its delimiter included.
pub const MAX_PACKET: usize = wire_size(MAX_PAYLOAD);
/// Ends every packet, and stands nowhere else in one.
pub const DELIMITER: u8 = 0;
/// Flag of a request that is sent again: the service answers again and does nothing twice.
pub const RETRY: u8 = 1;

/// Bytes of the checksum behind the payload.
const TRAILER_SIZE: usize = 4;

/// Bytes on the wire of a packet with a payload of so many bytes, at most: header, checksums, stuffing and delimiter.
pub const fn wire_size(payload: usize) -> usize {
    cobs::max_encoded(payload.saturating_add(HEADER_SIZE + TRAILER_SIZE)).saturating_add(1)
}

/// What a sender says with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tag {
    /// [`RETRY`] or 0. Other bits are 0 in this version.
    pub flags: u8,
    /// Counts the packets of this direction; a gap shows that one was lost.
    pub seq: u16,
    /// The request that this is, or is about; chosen by the client, 0 for what belongs to none.
    pub request: u32,
}

/// The header of a packet that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which message this is.
    pub kind: u8,
    /// As in [`Tag`]; bits without a meaning are kept and to be ignored.
    pub flags: u8,
    /// As in [`Tag`].
    pub seq: u16,
    /// As in [`Tag`].
    pub request: u32,
}

/// Why bytes between two delimiters are not a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// Too short, or the header's checksum is wrong: nothing is known of it.
    BadHeader,
    /// A packet of another version.
    BadVersion {
        /// Its version.
        version: u8,
        /// Its kind, if the other version has the same.
        kind: u8,
        /// Its request.
        request: u32,
    },
    /// The header is whole, but the packet has not the length that it states, or states more than
    /// [`MAX_PAYLOAD`].
    BadLength {
        /// Its kind.
        kind: u8,
        /// Its request.
        request: u32,
    },
    /// The header is whole, the payload is not.
    BadCrc {
        /// Its kind.
        kind: u8,
        /// Its request.
        request: u32,
    },
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketError::BadHeader => f.write_str("the header is damaged"),
            PacketError::BadVersion { version, .. } => {
                write!(f, "the packet is of version {version}, not {PROTOCOL_VERSION}")
            }
            PacketError::BadLength { kind, .. } => write!(f, "a packet of kind {kind:#04x} has a wrong length"),
            PacketError::BadCrc { kind, .. } => write!(f, "the payload of a packet of kind {kind:#04x} is damaged"),
        }
    }
}

impl core::error::Error for PacketError {}

/// Writes the whole packet of a message, delimiter included, and gives its length.
///
/// # Errors
/// [`Full`] if `out` is too short ([`wire_size`] bytes always suffice), or the payload would be longer than
/// [`MAX_PAYLOAD`], as it is when `data` is too long. `out` is then of no use.
pub fn encode(tag: Tag, message: &Message<'_>, out: &mut [u8]) -> Result<usize, Full> {
    let length = message.payload_size();
    if length > MAX_PAYLOAD {
        return Err(Full);
    }
    let mut header = [0; HEADER_SIZE];
    header[0] = PROTOCOL_VERSION;
    header[1] = message.kind();
    header[2] = tag.flags;
    header[4..6].copy_from_slice(&tag.seq.to_le_bytes());
    header[6..10].copy_from_slice(&tag.request.to_le_bytes());
    header[10..12].copy_from_slice(&(length as u16).to_le_bytes());
    let check = crc16(&header[..12]);
    header[12..].copy_from_slice(&check.to_le_bytes());

    let mut packet = Summed { out: cobs::Encoder::new(out), sum: Crc32::new() };
    packet.push(&header)?;
    message.put(&mut packet)?;
    let sum = packet.sum.value();
    packet.push(&sum.to_le_bytes())?;
    packet.out.finish()
}

/// Stuffs bytes and sums them up.
struct Summed<'a> {
    out: cobs::Encoder<'a>,
    sum: Crc32,
}

impl Sink for Summed<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.sum.update(bytes);
        self.out.push(bytes)
    }
}

/// Checks a packet whose stuffing is undone, as an [`Accumulator`](crate::Accumulator) gives it; the header and the
/// payload.
///
/// # Errors
/// See [`PacketError`]. Where the header is whole it says whom to tell.
pub fn open(decoded: &[u8]) -> Result<(Header, &[u8]), PacketError> {
    let (bytes, rest) = decoded.split_first_chunk::<HEADER_SIZE>().ok_or(PacketError::BadHeader)?;
    let [version, kind, flags, reserved, s0, s1, r0, r1, r2, r3, l0, l1, c0, c1] = *bytes;
    if crc16(&bytes[..12]) != u16::from_le_bytes([c0, c1]) || kind == 0 || reserved != 0 {
        return Err(PacketError::BadHeader);
    }
    let request = u32::from_le_bytes([r0, r1, r2, r3]);
    if version != PROTOCOL_VERSION {
        return Err(PacketError::BadVersion { version, kind, request });
    }
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let bad_length = PacketError::BadLength { kind, request };
    if length > MAX_PAYLOAD {
        return Err(bad_length);
    }
    let (payload, trailer) = rest.split_at_checked(length).ok_or(bad_length)?;
    let sum = u32::from_le_bytes(trailer.try_into().map_err(|_| bad_length)?);
    if crc32(&decoded[..HEADER_SIZE + length]) != sum {
        return Err(PacketError::BadCrc { kind, request });
    }
    Ok((Header { kind, flags, seq: u16::from_le_bytes([s0, s1]), request }, payload))
}

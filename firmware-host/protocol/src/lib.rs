//! The wire between Cutout and its clients: packets and messages, for a microcontroller and for the service alike.
//!
//! What stands on the wire is written down in `docs/protocol.md`; this crate follows it. Nothing here allocates, knows a
//! clock or a port: bytes go in and out of the caller's buffers, and whoever owns the port decides when.
//!
//! - [`encode`] makes a packet of a [`Message`]; an [`Accumulator`] finds packets (and lines of the [text mode](text)) in
//!   whatever bytes come, [`open`] checks one, [`Message::decode`] reads what it says.
//! - [`body`] is the inside of an answer, and [`Assembly`] puts one together from its packets.
//! - [`timing`] says how long to wait.
//!
//! ```
//! use cutout_protocol::{Accumulator, Feed, MAX_PACKET, Message, Tag, encode, message::Capture, open};
//!
//! let request = Message::Capture(Capture { max_age_ms: 0, deadline_ms: 200 });
//! let mut packet = [0; MAX_PACKET];
//! let length = encode(Tag { seq: 1, request: 7, ..Tag::default() }, &request, &mut packet).unwrap();
//!
//! let mut accumulator = Accumulator::<MAX_PACKET>::new();
//! let (_, Feed::Packet(bytes)) = accumulator.feed(&packet[..length]) else { panic!("the packet is whole") };
//! let (header, payload) = open(bytes).unwrap();
//! assert_eq!(header.request, 7);
//! assert_eq!(Message::decode(header.kind, payload), Ok(request));
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod accumulator;
mod assembly;
pub mod body;
mod checksum;
mod cobs;
mod codes;
mod field;
pub mod message;
mod packet;
mod parts;
mod q4;
mod schema;
mod table;
#[cfg(test)]
mod tests;
pub mod text;
pub mod timing;

pub use accumulator::{Accumulator, Feed, MAX_LINE};
pub use assembly::{Assembly, Missing, Progress};
pub use checksum::{Crc32, crc16, crc32};
pub use codes::{AnswerFlags, ErrorCode, Features, Format, ItemKind, ItemSet, Key, Options, Precision, Throttled};
pub use field::{Count, Full, Malformed, Sink, SliceSink};
pub use heapless;
pub use message::Message;
pub use packet::{
    DELIMITER, HEADER_SIZE, Header, MAX_PACKET, MAX_PAYLOAD, PROTOCOL_VERSION, PacketError, RETRY, Tag, encode, open,
    wire_size,
};
pub use q4::Q4;
pub use schema::{SCHEMA, SCHEMA_HASH, is_known_schema};

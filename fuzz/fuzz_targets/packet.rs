//! Any packet, its checksums made right so that what is behind them is reached.
#![no_main]

use cutout_protocol::{Accumulator, Feed, HEADER_SIZE, MAX_PACKET, Message, Tag, crc16, crc32, encode, open};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = open(data);
    let mut packet = data.to_vec();
    if packet.len() < HEADER_SIZE + 4 {
        return;
    }
    let (check, end) = (crc16(&packet[..12]), packet.len() - 4);
    packet[12..14].copy_from_slice(&check.to_le_bytes());
    let sum = crc32(&packet[..end]);
    packet[end..].copy_from_slice(&sum.to_le_bytes());
    let Ok((header, payload)) = open(&packet) else { return };
    let Ok(message) = Message::decode(header.kind, payload) else { return };
    let mut out = [0; MAX_PACKET];
    let tag = Tag { flags: header.flags, seq: header.seq, request: header.request };
    let length = encode(tag, &message, &mut out).expect("a message that came in a packet fits one");
    let mut accumulator = Accumulator::<MAX_PACKET>::new();
    assert_eq!(accumulator.feed(&out[..length]), (length, Feed::Packet(&packet)));
});

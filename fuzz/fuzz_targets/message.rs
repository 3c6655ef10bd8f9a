//! Any payload of any kind: decoded and encoded it is the same, and it can be said as a line.
#![no_main]

use cutout_protocol::{MAX_PACKET, Message, Tag, encode, text::Reply, wire_size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, payload)) = data.split_first() else { return };
    let Ok(mut message) = Message::decode(kind, payload) else { return };
    assert_eq!((message.kind(), message.payload_size()), (kind, payload.len()));
    let mut out = [0; MAX_PACKET];
    match encode(Tag::default(), &message, &mut out) {
        Ok(length) => assert!(length <= wire_size(payload.len())),
        Err(_) => assert!(payload.len() > cutout_protocol::MAX_PAYLOAD),
    }
    let line = Reply { message: &message, body: payload }.to_string();
    assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    if message.fit(64) {
        assert!(message.payload_size() <= 64);
    }
});

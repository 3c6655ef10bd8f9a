//! Any stream, in any pieces: what is found does not depend on the pieces.
#![no_main]

use cutout_protocol::{Accumulator, Feed, MAX_PACKET, open};
use libfuzzer_sys::fuzz_target;

fn found(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut accumulator = Accumulator::<MAX_PACKET>::new();
    let mut out = Vec::new();
    for mut rest in bytes.chunks(piece) {
        while !rest.is_empty() {
            let (taken, feed) = accumulator.feed(rest);
            rest = &rest[taken..];
            match feed {
                Feed::More => assert!(rest.is_empty()),
                Feed::Packet(decoded) => out.push(format!("{:?}", open(decoded))),
                Feed::Line(line) => out.push(line.into()),
                Feed::Garbage => out.push("garbage".into()),
            }
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    assert_eq!(found(bytes, usize::from(piece) + 1), found(bytes, usize::MAX));
});

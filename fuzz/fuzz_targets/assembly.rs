//! Any order of packets of answers: what is complete has the right checksum, and what lacks can be fetched.
#![no_main]

use cutout_protocol::{Assembly, Message, Progress, crc32};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut buffer = [0; 300];
    let mut assembly = Assembly::new(&mut buffer);
    let mut expected = None;
    let mut rest = data;
    while let Some((&[kind, length], behind)) = rest.split_first_chunk() {
        let (payload, next) = behind.split_at(usize::from(length).min(behind.len()));
        rest = next;
        let progress = match Message::decode(0x85 + (kind & 1), payload) {
            Ok(Message::Result(result)) => {
                expected = Some((result.total, result.crc));
                assembly.result(&result)
            }
            Ok(Message::Chunk(chunk)) => assembly.chunk(&chunk),
            _ => continue,
        };
        match progress {
            Progress::Complete => {
                let (body, (total, crc)) = (assembly.body().expect("complete"), expected.expect("a head came"));
                assert_eq!((body.len(), crc32(body)), (total as usize, crc));
            }
            Progress::Missing(missing) => {
                let total = expected.expect("a head came").0;
                assert!(missing.length > 0 && missing.offset + missing.length <= total);
            }
            Progress::TooLarge(total) => assert!(total > 300),
            Progress::Headless | Progress::Corrupt | Progress::Foreign => {
                assert!(assembly.body().is_none() || progress == Progress::Foreign)
            }
        }
    }
});

//! Damaged packets are told where it is known whose they were, and never harm what comes after.

use super::*;
use cutout_protocol::ErrorCode;

#[test]
fn a_damaged_payload_is_asked_for_again_and_a_damaged_header_is_not() {
    let mut talk = Talk::new();
    let good = talk.packet(7, &point(ItemSet::BBOX).into());
    let mut answered = 0;
    for at in 0..good.len() - 1 {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            talk.bytes(&bad);
            for reply in talk.replies() {
                // A flipped bit may make a delimiter, and two pieces of one packet.
                let Said::Error(error) = reply.message else { panic!("{:?}", reply.message) };
                if error.code == ErrorCode::BadCrc {
                    assert_eq!((reply.header.request, error.of), (7, message::Prompt::KIND));
                    answered += 1;
                }
            }
            // Whatever it was, the next one is understood.
            talk.bytes(&[0]);
            talk.replies();
        }
    }
    // Where the damage is in the payload and leaves its length alone, the client need not wait.
    assert!(answered > 100, "{answered}");
    talk.bytes(&good);
    talk.work(8);
    assert!(matches!(talk.one().message, Said::Result(..)));
    assert!(talk.shared.metrics.bad_packets[super::super::metrics::Via::Tcp].get() as usize > good.len() * 5);
}

#[test]
fn bytes_may_come_in_any_pieces_with_garbage_between() {
    let mut talk = Talk::new();
    for step in [1, 2, 3, 7] {
        let mut bytes = b"\xff\x80noise\0\0".to_vec();
        bytes.extend(talk.packet(100 + step as u32, &message::GetStatus {}.into()));
        bytes.extend([0xc3; 3000]);
        bytes.push(0);
        bytes.extend(talk.packet(200 + step as u32, &message::GetStatus {}.into()));
        bytes.chunks(step).for_each(|piece| talk.session.bytes(piece, Instant::now()));
        let requests: Vec<u32> = talk.replies().iter().map(|reply| reply.header.request).collect();
        assert_eq!(requests, [100 + step as u32, 200 + step as u32]);
    }
}

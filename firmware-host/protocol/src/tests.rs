//! Packets from the outside: bytes in, messages out.

extern crate std;
use std::vec::Vec;

use crate::message::{Cancel, Capture, Hello, Prompt};
use crate::*;

/// A prompt with a point, encoded.
fn packet(request: u32) -> Vec<u8> {
    let mut prompt = Prompt { wanted: ItemSet::BBOX, ..Prompt::default() };
    prompt.points.push(message::Point { x: Q4(5120), y: Q4(3840), label: 1 }).unwrap();
    let mut out = [0; MAX_PACKET];
    let tag = Tag { seq: 9, request, ..Tag::default() };
    let length = encode(tag, &Message::Prompt(prompt), &mut out).unwrap();
    out[..length].to_vec()
}

/// What an accumulator finds in bytes that come in pieces of `size`.
fn found(bytes: &[u8], size: usize) -> Vec<std::string::String> {
    let mut accumulator = Accumulator::<MAX_PACKET>::new();
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (taken, feed) = accumulator.feed(rest);
            match feed {
                Feed::More => assert_eq!(taken, rest.len()),
                Feed::Packet(decoded) => out.push(match open(decoded) {
                    Ok((header, _)) => std::format!("packet {}", header.request),
                    Err(error) => std::format!("{error}"),
                }),
                Feed::Line(line) => out.push(std::format!("line {line}")),
                Feed::Garbage => out.push("garbage".into()),
            }
            assert!(taken > 0);
            rest = &rest[taken..];
        }
    }
    out
}

#[test]
fn packets_and_lines_share_a_stream() {
    let bytes = [b"\r\nP 320 240\r\n\0", &packet(1)[..], b"go\n", &packet(2), &packet(3), b"\0\0STATUS\r"].concat();
    for size in [1, 2, 3, 7, 4096] {
        let expected = ["line P 320 240", "packet 1", "line go", "packet 2", "packet 3", "line STATUS"];
        assert_eq!(found(&bytes, size), expected, "in pieces of {size}");
    }
}

#[test]
fn nothing_before_a_delimiter_loses_the_packet_behind_it() {
    let whole = packet(7);
    let cut = &whole[..whole.len() / 2];
    let long = std::vec![3; 5000];
    let binary = [&[3, 1][..], &std::vec![9; 5000]].concat();
    let before: [&[u8]; 9] =
        [b"", b"P 1 2", &[0xff], &[3], &[3, 1], &[0xff, b'\n', 200], cut, long.as_slice(), binary.as_slice()];
    for noise in before {
        let bytes = [noise, &[0], &whole].concat();
        for size in [1, 5, 8192] {
            let found = found(&bytes, size);
            assert_eq!(found.last().map(|s| s.as_str()), Some("packet 7"), "{:?} {size}", &noise[..noise.len().min(9)]);
            assert!(found.len() <= 3, "{found:?}");
        }
    }
}

#[test]
fn who_types_may_correct_and_is_understood_after_noise() {
    assert_eq!(found(b"GP\x7f\x08P 1 2\n", 3), ["line P 1 2"]);
    assert_eq!(found(b"\x7f\x7fX\x08GO\n", 3), ["line GO"]);
    assert_eq!(found(b"\xff\x1b[A\nGO\n", 1), ["garbage", "line GO"]);
    assert_eq!(found(b"\x03GO\nGO\n", 1), ["garbage", "line GO"]);
    let long = std::vec![b'x'; MAX_LINE];
    assert_eq!(found(&[&long[..], b"\n"].concat(), 50).len(), 1);
    assert_eq!(found(&[&long[..], b"x\nGO\n"].concat(), 50), ["garbage", "line GO"]);
}

#[test]
fn a_small_accumulator_drops_what_is_too_long() {
    let mut accumulator = Accumulator::<20>::new();
    let small = {
        let mut out = [0; 64];
        let length = encode(Tag::default(), &Message::Cancel(Cancel {}), &mut out).unwrap();
        out[..length].to_vec()
    };
    let bytes = [&packet(1)[..], &small].concat();
    let (taken, feed) = accumulator.feed(&bytes);
    assert_eq!(feed, Feed::Garbage);
    assert!(matches!(accumulator.feed(&bytes[taken..]), (_, Feed::Packet(_))));
}

#[test]
fn the_errors_of_packets() {
    let mut decoded = {
        let mut accumulator = Accumulator::<MAX_PACKET>::new();
        let bytes = packet(0x0102_0304);
        let (_, Feed::Packet(decoded)) = accumulator.feed(&bytes) else { panic!("no packet") };
        decoded.to_vec()
    };
    let (header, payload) = open(&decoded).unwrap();
    assert_eq!(header, Header { kind: 5, flags: 0, seq: 9, request: 0x0102_0304 });
    assert_eq!(payload.len(), decoded.len() - HEADER_SIZE - 4);
    assert_eq!(open(&decoded[..13]), Err(PacketError::BadHeader));
    let length = PacketError::BadLength { kind: 5, request: 0x0102_0304 };
    assert_eq!(open(&decoded[..decoded.len() - 1]), Err(length));
    assert_eq!(open(&[&decoded[..], &[0]].concat()), Err(length));
    assert_eq!(open(&decoded[..14]), Err(length));
    let last = decoded.len() - 1;
    decoded[last] ^= 1;
    assert_eq!(open(&decoded), Err(PacketError::BadCrc { kind: 5, request: 0x0102_0304 }));
    decoded[8] ^= 1;
    assert_eq!(open(&decoded), Err(PacketError::BadHeader));
    decoded[8] ^= 1;
    decoded[0] = 2;
    let sum = crc16(&decoded[..12]).to_le_bytes();
    decoded[12..14].copy_from_slice(&sum);
    assert_eq!(open(&decoded), Err(PacketError::BadVersion { version: 2, kind: 5, request: 0x0102_0304 }));
}

#[test]
fn a_packet_is_never_longer_than_wire_size() {
    for length in 0..=MAX_PAYLOAD - 4 {
        for byte in [0, 1, 255] {
            let data = std::vec![byte; length];
            let message = Message::Chunk(message::Chunk { offset: 0x0101_0101, data: &data });
            let mut out = std::vec![0; wire_size(length + 4)];
            let written = encode(Tag::default(), &message, &mut out).unwrap();
            assert!(!out[..written - 1].contains(&0) && out[written - 1] == 0);
        }
    }
    let data = [1; MAX_PAYLOAD - 3];
    let message = Message::Chunk(message::Chunk { offset: 0, data: &data });
    assert_eq!(encode(Tag::default(), &message, &mut [0; 2 * MAX_PACKET]), Err(Full));
}

#[test]
fn no_packet_begins_as_a_line() {
    for &(kind, _) in Message::KINDS {
        for flags in [0, RETRY, 255] {
            let mut out = [0; MAX_PACKET];
            // The message's kind is all that matters of it.
            let message = match Message::decode(kind, &[0; 2000][..smallest(kind)]) {
                Ok(message) => message,
                Err(error) => panic!("{kind:#04x}: {error}"),
            };
            let length = encode(Tag { flags, ..Tag::default() }, &message, &mut out).unwrap();
            assert!(matches!(out[0], 3 | 4), "{kind:#04x}");
            assert_eq!(out[1], PROTOCOL_VERSION);
            assert!(length <= MAX_PACKET);
        }
    }
}

/// Bytes of the smallest payload of a kind.
fn smallest(kind: u8) -> usize {
    (0..200).find(|&length| Message::decode(kind, &[0; 200][..length]).is_ok()).unwrap()
}

#[test]
fn sizes_are_those_of_the_messages() {
    assert_eq!(Hello::MIN_SIZE, 17);
    assert_eq!(Hello::MAX_SIZE, 81);
    assert_eq!(Capture::MAX_SIZE, 8);
    assert_eq!(Prompt::MIN_SIZE, 21 + 1 + 1);
    assert_eq!(Prompt::MAX_SIZE, 21 + 17 + 1 + 16 * 9);
    assert_eq!(message::Result::MIN_SIZE, 51);
    assert_eq!(message::Result::MAX_SIZE, MAX_PAYLOAD);
    for &(kind, name) in Message::KINDS {
        assert_eq!(Message::name_of(kind), Some(name));
    }
}

#[test]
fn payloads_that_are_no_messages_are_told() {
    assert_eq!(Message::decode(0x7e, &[]), Err(Malformed::Kind(0x7e)));
    assert_eq!(Message::decode(Capture::KIND, &[0; 7]), Err(Malformed::Short("deadline_ms")));
    assert_eq!(Message::decode(Capture::KIND, &[0; 9]), Err(Malformed::Trailing(1)));
    let mut prompt = [0; 23];
    prompt[21] = 2;
    assert_eq!(Message::decode(Prompt::KIND, &prompt), Err(Malformed::Value("bbox")));
    let mut prompt = [0; 23 + 17 * 9];
    prompt[22] = 17;
    assert_eq!(Message::decode(Prompt::KIND, &prompt), Err(Malformed::Value("points")));
    assert_eq!(Message::decode(message::Ping::KIND, &[33; 34]), Err(Malformed::Value("data")));
    let mut error = [0; 13];
    (error[10], error[11]) = (2, 0xff);
    assert_eq!(Message::decode(message::Error::KIND, &error), Err(Malformed::Value("text")));
}

#[test]
fn texts_are_cut_to_what_a_client_can_take() {
    let mut error = Message::Error(message::Error::new(ErrorCode::Busy, 5, &"\u{e9}".repeat(60)));
    assert_eq!(error.payload_size(), 11 + 96);
    assert!(error.fit(64));
    assert_eq!(error.payload_size(), 11 + 52, "half a character is not kept");
    let mut caps = Message::Caps(message::Caps {
        schema: SCHEMA_HASH,
        service: message::text("cutout 0.1.0"),
        model: message::text("cutout-s"),
        sha256: [7; 32],
        precision: Precision::F32,
        input_width: 512,
        input_height: 512,
        max_payload: 1024,
        window: 8,
        max_upload: 1,
        max_points: 16,
        ring: 4,
        features: Features::UPLOAD,
        newest: 0,
    });
    assert!(caps.fit(1024) && caps.payload_size() == message::Caps::MIN_SIZE + 20);
    assert!(caps.fit(72));
    let Message::Caps(cut) = &caps else { unreachable!() };
    assert_eq!((cut.service.as_str(), cut.model.as_str()), ("cut", "cutout-s"));
    assert!(caps.fit(64) && !caps.fit(60));
    let data = [0; 100];
    assert!(!Message::Chunk(message::Chunk { offset: 0, data: &data }).fit(64));
}

/// What the service says besides data fits the smallest client.
#[test]
fn the_smallest_client_can_take_all_but_data() {
    for kind in 0x80..=0xff {
        if Message::name_of(kind).is_some() {
            assert!(smallest(kind) <= 64, "{kind:#04x}");
        }
    }
    const { assert!(message::Status::MAX_SIZE <= 64 && message::Pong::MAX_SIZE <= 64) }
}

#[test]
fn a_token_is_not_shown() {
    let token = heapless::Vec::from_slice(b"s3cret").unwrap();
    let hello = Hello { client: 1, schema: 2, max_payload: 64, window: 0, token };
    let expected = "Hello(Hello { client: 1, schema: 2, max_payload: 64, window: 0, token: (6 bytes) })";
    assert_eq!(std::format!("{:?}", Message::Hello(hello)), expected);
}

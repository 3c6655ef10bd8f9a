//! WebSocket frames, held against those of an independent implementation.

use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::{Decoder, Event, Fault, Role, append};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8 ^ (i / 251) as u8).collect()
}

fn frame(opcode: OpCode, payload: &[u8], is_final: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(opcode, payload, Some(MASK), &mut bytes);
    bytes[0] = bytes[0] & 0x7f | if is_final { 0x80 } else { 0 };
    bytes
}

/// All that the frames say, read in pieces of these sizes through a buffer of `room`.
fn decode(bytes: &[u8], piece: usize, room: usize) -> Result<(Vec<u8>, Vec<Event>), Fault> {
    let mut decoder = Decoder::new(Role::Server);
    let (mut all, mut events) = (Vec::new(), Vec::new());
    let mut into = vec![0; room];
    for mut input in bytes.chunks(piece) {
        loop {
            let (put, event) = decoder.decode(&mut input, &mut into)?;
            all.extend_from_slice(&into[..put]);
            let is_idle = event.is_none() && put == 0;
            events.extend(event);
            if is_idle {
                break;
            }
        }
    }
    Ok((all, events))
}

#[test]
fn frames_are_those_of_the_standard() {
    // RFC 6455, section 5.7.
    let mut hello = Vec::new();
    append(OpCode::Data(Data::Text), b"Hello", Some(MASK), &mut hello);
    assert_eq!(hello, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    hello.clear();
    append(OpCode::Data(Data::Text), b"Hello", None, &mut hello);
    assert_eq!(hello, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
        let payload = pattern(length);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        append(OpCode::Data(Data::Binary), &payload, None, &mut ours);
        Frame::message(payload, OpCode::Data(Data::Binary), true).format(&mut theirs).unwrap();
        assert_eq!(ours, theirs, "{length} bytes");
    }
}

#[test]
fn however_the_bytes_are_cut_the_stream_is_the_same() {
    let long = pattern(70_000);
    let stream = [
        frame(OpCode::Data(Data::Binary), b"one", true),
        frame(OpCode::Data(Data::Binary), b"", true),
        frame(OpCode::Data(Data::Text), "P 3 4 \u{e9}".as_bytes(), true),
        frame(OpCode::Control(Control::Ping), b"are you there", true),
        frame(OpCode::Data(Data::Binary), b"two ", false),
        frame(OpCode::Control(Control::Pong), b"unasked", true),
        frame(OpCode::Data(Data::Continue), b"parts", true),
        frame(OpCode::Data(Data::Text), b"G", false),
        frame(OpCode::Data(Data::Continue), b"O", true),
        frame(OpCode::Data(Data::Binary), &long, true),
        frame(OpCode::Control(Control::Close), &1001_u16.to_be_bytes(), true),
    ]
    .concat();
    let expected = [b"oneP 3 4 \xc3\xa9\ntwo partsGO\n".as_slice(), &long].concat();
    for (piece, room) in [(usize::MAX, 100_000), (1, 64), (7, 1), (1000, 3), (65_536, 65_536)] {
        let (bytes, events) = decode(&stream, piece, room).unwrap();
        assert!(bytes == expected, "pieces of {piece} into {room}");
        assert_eq!(events, [Event::Ping(b"are you there".to_vec()), Event::Close(CloseCode::Away)]);
    }
}

#[test]
fn faults_are_named_as_the_standard_names_them() {
    let text = OpCode::Data(Data::Text);
    let binary = OpCode::Data(Data::Binary);
    let more = OpCode::Data(Data::Continue);
    let reserved = |bit: u8| [&[0x82 | bit], &frame(binary, b"x", true)[1..]].concat();
    for (what, bytes, code) in [
        ("no mask", vec![0x82, 0x01, b'x'], CloseCode::Protocol),
        ("a reserved bit", reserved(0x40), CloseCode::Protocol),
        ("a reserved opcode", frame(OpCode::Data(Data::Reserved(3)), b"x", true), CloseCode::Protocol),
        ("nothing to go on with", frame(more, b"x", true), CloseCode::Protocol),
        (
            "a message in a message",
            [frame(binary, b"x", false), frame(binary, b"x", true)].concat(),
            CloseCode::Protocol,
        ),
        ("a long ping", frame(OpCode::Control(Control::Ping), &[0; 126], true), CloseCode::Protocol),
        ("half a ping", frame(OpCode::Control(Control::Ping), b"x", false), CloseCode::Protocol),
        ("no UTF-8", frame(text, b"\xff", true), CloseCode::Invalid),
        ("a long text", frame(text, &[b'a'; 4097], true), CloseCode::Size),
        ("a long message", frame(binary, &vec![0; (1 << 20) + 1], true), CloseCode::Size),
        (
            "a long message in parts",
            [frame(binary, &vec![0; 1 << 20], false), frame(more, b"x", true)].concat(),
            CloseCode::Size,
        ),
        ("a length beyond all", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], CloseCode::Size),
    ] {
        assert_eq!(decode(&bytes, 4096, 4096).unwrap_err(), Fault(code), "{what}");
    }
    for (payload, code) in [
        (vec![], CloseCode::Normal),
        (vec![3], CloseCode::Protocol),
        (vec![3, 0xe8, 0xff], CloseCode::Protocol),
        (1005_u16.to_be_bytes().to_vec(), CloseCode::Protocol),
        ([&4000_u16.to_be_bytes()[..], b"why not"].concat(), CloseCode::Library(4000)),
    ] {
        let (_, events) = decode(&frame(OpCode::Control(Control::Close), &payload, true), 64, 64).unwrap();
        assert_eq!(events, [Event::Close(code)], "{payload:?}");
    }
}

#[test]
fn no_bytes_at_all_make_it_panic_or_grow() {
    let mut state = 1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..3000 {
        let mut bytes: Vec<u8> = (0..64).map(|_| random() as u8).collect();
        // Most random bytes fail at once; some begin as a frame does.
        if random() % 2 == 0 {
            bytes[0] = [0x82, 0x81, 0x02, 0x80, 0x89, 0x88][(random() % 6) as usize];
            bytes[1] = 0x80 | (random() % 128) as u8;
        }
        if let Ok((all, _)) = decode(&bytes, 1 + (random() % 64) as usize, 16) {
            assert!(all.len() <= 64);
        }
    }
}

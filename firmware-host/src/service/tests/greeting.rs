//! Who may ask, and in which version.

use super::*;
use cutout_protocol::{ErrorCode, PROTOCOL_VERSION, crc16};

fn hello(token: &str) -> Message<'static> {
    let token = cutout_protocol::heapless::Vec::from_slice(token.as_bytes()).unwrap();
    Hello { client: 5, schema: SCHEMA_HASH, max_payload: 1024, window: 0, token }.into()
}

#[test]
fn nothing_is_answered_before_hello_but_ping() {
    let mut talk = Talk::with(&shared(true), true, None);
    for message in [point(ItemSet::RLE).into(), message::GetStatus {}.into(), message::Cancel {}.into()] {
        talk.send(3, &message);
        assert_eq!(talk.error().code, ErrorCode::Unauthorized, "{message:?}");
    }
    let data = cutout_protocol::heapless::Vec::from_slice(b"\0still there?").unwrap();
    talk.send(4, &message::Ping { data }.into());
    let reply = talk.one();
    assert_eq!((reply.header.request, reply.message), (4, Said::Pong(b"\0still there?".to_vec())));
}

#[test]
fn caps_say_what_the_service_is() {
    let shared = shared(true);
    shared.hub.offer(pixels(), Instant::now());
    let mut talk = Talk::with(&shared, true, Some(115_200));
    talk.send(9, &hello(""));
    let Reply { header, message: Said::Caps(caps) } = talk.one() else { panic!() };
    assert_eq!(header.request, 9);
    assert_eq!((caps.model.as_str(), caps.schema, caps.newest), ("double@0", SCHEMA_HASH, 1));
    assert_eq!((caps.precision, caps.sha256, caps.max_upload, caps.ring), (Precision::Int8, [7; 32], 100_000, 3));
    // Source, upload, track, zoom, picture, baud.
    assert_eq!(caps.features.0, 63);
}

#[test]
fn a_client_from_elsewhere_needs_the_token_and_has_three_guesses() {
    let mut talk = Talk::with(&shared(true), false, None);
    for (guess, closes) in [("", false), ("0123456789abcdeF", false), ("0123456789abcdef0", true)] {
        talk.send(1, &hello(guess));
        assert_eq!(talk.error().code, ErrorCode::Unauthorized);
        let actions = talk.session.actions();
        assert_eq!(matches!(actions.as_slice(), [Action::Close(_)]), closes, "{actions:?}");
    }
    let mut talk = Talk::with(&shared(true), false, None);
    talk.send(1, &hello(TOKEN));
    assert!(matches!(talk.one().message, Said::Caps(_)));
}

#[test]
fn a_client_from_elsewhere_that_does_not_introduce_itself_loses_its_place() {
    let later = Instant::now() + Duration::from_secs(11);
    let mut silent = Talk::with(&shared(true), false, None);
    silent.session.tick(Instant::now());
    assert_eq!(silent.session.actions(), []);
    silent.session.tick(later);
    assert!(matches!(silent.session.actions().as_slice(), [Action::Close(_)]));
    let mut known = Talk::with(&shared(true), false, None);
    known.send(1, &hello(TOKEN));
    let mut local = Talk::with(&shared(true), true, None);
    for talk in [&mut known, &mut local] {
        talk.session.tick(later);
        assert_eq!(talk.session.actions(), []);
    }
}

#[test]
fn another_schema_is_refused_by_name() {
    let mut talk = Talk::with(&shared(true), true, None);
    let other = Hello { client: 1, schema: 0x1234_5678, max_payload: 1024, window: 0, token: Default::default() };
    talk.send(1, &other.into());
    let error = talk.error();
    assert_eq!((error.code, error.detail, error.frame), (ErrorCode::Version, PROTOCOL_VERSION.into(), SCHEMA_HASH));
    assert!(error.text.contains("12345678"), "{}", error.text);
}

#[test]
fn another_version_is_refused_by_name() {
    let mut talk = Talk::new();
    // A packet of version 2: the header's layout is the same for ever.
    let mut packet = vec![2, 0x01, 0, 0, 1, 0, 77, 0, 0, 0, 0, 0];
    packet.extend(crc16(&packet).to_le_bytes());
    packet.extend([0; 4]);
    let mut stuffed = [0; 40];
    let mut at = 0;
    for run in packet.split(|byte| *byte == 0) {
        stuffed[at] = run.len() as u8 + 1;
        stuffed[at + 1..][..run.len()].copy_from_slice(run);
        at += run.len() + 1;
    }
    talk.bytes(&stuffed[..at + 1]);
    let Reply { header, message: Said::Error(error) } = talk.one() else { panic!() };
    assert_eq!((header.request, error.code, error.detail), (77, ErrorCode::Version, 1));
    assert!(error.text.contains("you speak 2"), "{}", error.text);
}

#[test]
fn what_a_client_cannot_mean_is_refused() {
    let mut talk = Talk::new();
    talk.send(0, &point(ItemSet::RLE).into());
    assert_eq!(talk.error().code, ErrorCode::Malformed);
    talk.send(4, &message::Done {}.into());
    assert_eq!(talk.error().code, ErrorCode::Unsupported);
    let mut wide = point(ItemSet::RLE);
    wide.points[0].label = 2;
    talk.send(5, &wide.into());
    assert_eq!(talk.error().code, ErrorCode::BadPrompt);
    talk.send(6, &message::Configure { key: cutout_protocol::Key::Other(9), value: 1 }.into());
    assert_eq!(talk.error().code, ErrorCode::Unsupported);
    talk.send(6, &message::Configure { key: cutout_protocol::Key::Baud, value: 9600 }.into());
    assert_eq!(talk.error().code, ErrorCode::Unsupported);
}

#[test]
fn a_line_falls_back_to_its_old_speed_unless_it_is_understood_at_the_new_one() {
    use cutout_protocol::Key;
    let mut talk = Talk::with(&shared(true), true, Some(115_200));
    talk.greet(1, 0);
    talk.send(2, &message::Configure { key: Key::Baud, value: 921_600 }.into());
    assert_eq!(talk.one().message, Said::Done);
    let there = Action::Baud { from: 115_200, to: 921_600 };
    assert_eq!(talk.session.actions(), [there]);
    // What was read at the old speed says nothing of the new one.
    talk.send(9, &message::Ping { data: Default::default() }.into());
    talk.replies();
    talk.session.switched(115_200, Instant::now());
    let later = Instant::now() + Duration::from_secs(3);
    talk.session.tick(later);
    assert_eq!(talk.session.actions(), [Action::Back { from: 921_600, to: 115_200 }]);
    talk.send(3, &message::Configure { key: Key::Baud, value: 921_600 }.into());
    assert_eq!(talk.session.actions().len(), 1);
    talk.session.switched(115_200, Instant::now());
    talk.replies();
    talk.send(4, &message::Ping { data: Default::default() }.into());
    talk.session.tick(later);
    assert_eq!(talk.session.actions(), []);
}

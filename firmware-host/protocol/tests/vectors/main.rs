//! The crate against `vectors.json`, which another implementation wrote from the document; and against the document.

use std::path::Path;

use cutout_protocol::body::contour::{self, Contour, Part, Ring};
use cutout_protocol::body::rle::{self, Span, Spans};
use cutout_protocol::body::{BBox, BodyError, Centroid, ItemWriter, Items, area_from_bytes};
use cutout_protocol::{
    Accumulator, Feed, ItemKind, MAX_PACKET, Malformed, Message, PacketError, Q4, SCHEMA, SCHEMA_HASH, Tag, encode,
    open, timing, wire_size,
};
use serde_json::Value;

mod fields;

use fields::{hex, message};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn vectors() -> Value {
    serde_json::from_str(&read("vectors.json")).unwrap()
}

fn cases<'v>(vectors: &'v Value, name: &str) -> &'v [Value] {
    let cases = vectors[name].as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

/// The bytes of the one packet that an accumulator finds.
fn unstuffed(packet: &[u8]) -> Vec<u8> {
    let mut accumulator = Accumulator::<MAX_PACKET>::new();
    match accumulator.feed(packet) {
        (taken, Feed::Packet(decoded)) => {
            assert_eq!(taken, packet.len());
            decoded.to_vec()
        }
        (_, other) => panic!("no packet but {other:?}"),
    }
}

#[test]
fn every_message_both_ways() {
    let vectors = vectors();
    assert_eq!(vectors["schema_hash"], SCHEMA_HASH);
    let mut seen = std::collections::BTreeSet::new();
    for case in cases(&vectors, "messages") {
        let name = case["name"].as_str().unwrap();
        let label = format!("{name} ({})", case["note"].as_str().unwrap());
        let data = case["fields"].get("data").map(hex).unwrap_or_default();
        let expected = message(name, &case["fields"], &data);
        let packet = hex(&case["packet"]);

        let decoded = unstuffed(&packet);
        let (header, payload) = open(&decoded).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!((header.kind, payload), (expected.kind(), &hex(&case["payload"])[..]), "{label}");
        assert_eq!((header.flags, header.seq), (number(case, "flags") as u8, number(case, "seq") as u16), "{label}");
        assert_eq!(u64::from(header.request), number(case, "request"), "{label}");
        assert_eq!(Message::decode(header.kind, payload).as_ref(), Ok(&expected), "{label}");

        let mut out = [0; MAX_PACKET];
        let tag = Tag { flags: header.flags, seq: header.seq, request: header.request };
        let length = encode(tag, &expected, &mut out).unwrap();
        assert_eq!(out[..length], packet, "{label}");
        assert!(length <= wire_size(expected.payload_size()), "{label}");
        assert_eq!(expected.name(), name);
        seen.insert(header.kind);
    }
    let kinds: Vec<u8> = Message::KINDS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), kinds, "each message has a vector");
}

fn number(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap_or_else(|| panic!("{name} of {case}"))
}

#[test]
fn stuffing_at_the_edges_of_blocks() {
    for case in cases(&vectors(), "cobs") {
        // The accumulator undoes the stuffing of what begins as packets do; the first byte here is a zero.
        let raw = [&[1, 9, 0], &hex(&case["raw"])[..]].concat();
        let packet = [&[3, 1, 9], &hex(&case["stuffed"])[..], &[0]].concat();
        assert_eq!(unstuffed(&packet), raw);
    }
}

#[test]
fn packets_that_must_be_refused() {
    for case in cases(&vectors(), "bad_packets") {
        let decoded = hex(&case["decoded"]);
        let about = || (number(case, "kind") as u8, number(case, "request") as u32);
        let expected = match case["error"].as_str().unwrap() {
            "BadHeader" => PacketError::BadHeader,
            "BadVersion" => {
                let (kind, request) = about();
                PacketError::BadVersion { version: number(case, "version") as u8, kind, request }
            }
            "BadLength" => {
                let (kind, request) = about();
                PacketError::BadLength { kind, request }
            }
            "BadCrc" => {
                let (kind, request) = about();
                PacketError::BadCrc { kind, request }
            }
            other => panic!("{other}"),
        };
        assert_eq!(open(&decoded), Err(expected), "{}", case["note"]);
    }
}

#[test]
fn payloads_that_must_be_refused() {
    for case in cases(&vectors(), "bad_payloads") {
        let (kind, payload) = (number(case, "kind") as u8, hex(&case["payload"]));
        let error = Message::decode(kind, &payload).expect_err(case["note"].as_str().unwrap());
        let told = match error {
            Malformed::Kind(_) => ("Kind", &Value::Null),
            Malformed::Short(field) => ("Short", &Value::from(field)),
            Malformed::Value(field) => ("Value", &Value::from(field)),
            Malformed::Trailing(_) => ("Trailing", &Value::Null),
        };
        assert_eq!(told.0, case["error"], "{}", case["note"]);
        assert_eq!(*told.1, case["field"], "{}", case["note"]);
        if let Malformed::Trailing(bytes) = error {
            assert_eq!(bytes as u64, number(case, "bytes"));
        }
    }
}

#[test]
fn streams_in_pieces() {
    for case in cases(&vectors(), "streams") {
        let bytes = hex(&case["bytes"]);
        for size in [1, 2, 3, 10, 100_000] {
            let mut accumulator = Accumulator::<MAX_PACKET>::new();
            let mut found = Vec::new();
            for mut piece in bytes.chunks(size) {
                while !piece.is_empty() {
                    let (taken, feed) = accumulator.feed(piece);
                    piece = &piece[taken..];
                    match feed {
                        Feed::More => {}
                        Feed::Packet(decoded) => found.push(match open(decoded) {
                            Ok((header, _)) => format!("packet {}", header.request),
                            Err(error) => format!("{error:?}").split(' ').next().unwrap().into(),
                        }),
                        Feed::Line(line) => found.push(format!("line {line}")),
                        Feed::Garbage => found.push("garbage".into()),
                    }
                }
            }
            assert_eq!(Value::from(found), case["found"], "{} in pieces of {size}", case["note"]);
        }
    }
}

/// A span as the vectors write it.
fn row(span: Span) -> Value {
    Value::from(vec![span.y, span.x, span.len])
}

/// What an item says, as the vectors write it.
fn said(kind: ItemKind, bytes: &[u8]) -> Result<Value, BodyError> {
    Ok(match kind {
        ItemKind::BBox => BBox::from_bytes(bytes).map(|b| Value::from(vec![b.x, b.y, b.width, b.height]))?,
        ItemKind::Centroid => Centroid::from_bytes(bytes).map(|c| Value::from(vec![c.x.to_px(), c.y.to_px()]))?,
        ItemKind::Area => area_from_bytes(bytes).map(Value::from)?,
        ItemKind::Contour => {
            let contour = Contour::new(bytes)?;
            let iou = contour.iou();
            let mut rings: Vec<(bool, Vec<Value>)> = Vec::new();
            for part in contour {
                match part? {
                    Part::Ring { hole, .. } => rings.push((hole, Vec::new())),
                    Part::Point { x, y } => rings.last_mut().unwrap().1.push(Value::from(vec![x, y])),
                }
            }
            let rings: Vec<_> =
                rings.into_iter().map(|(hole, points)| vec![Value::from(hole), points.into()]).collect();
            Value::from(vec![Value::from(iou), rings.into()])
        }
        ItemKind::Rle => {
            let spans = Spans::new(bytes)?;
            let (width, height) = (spans.width(), spans.height());
            let spans = spans.map(|span| span.map(row)).collect::<Result<Vec<_>, _>>()?;
            Value::from(vec![Value::from(width), height.into(), spans.into()])
        }
        ItemKind::CocoRle => std::str::from_utf8(bytes).unwrap().into(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
    })
}

/// Writes an item from what the vectors say of it; `None` for those whose runs they leave out.
fn write(items: &mut ItemWriter<'_>, kind: ItemKind, value: &Value) -> Option<()> {
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect::<Vec<_>>();
    match kind {
        ItemKind::BBox => {
            let [x, y, width, height] = numbers(value)[..] else { panic!("four numbers") };
            items.bbox(BBox { x: x as u16, y: y as u16, width: width as u16, height: height as u16 })
        }
        ItemKind::Centroid => {
            let [x, y] = numbers(value)[..] else { panic!("two numbers") };
            items.centroid(Centroid { x: Q4::from_px(x as f32), y: Q4::from_px(y as f32) })
        }
        ItemKind::Area => items.area(value.as_u64().unwrap() as u32),
        ItemKind::Contour => {
            let corner = |point: &Value| [point[0].as_u64().unwrap() as u16, point[1].as_u64().unwrap() as u16];
            let ring = |ring: &Value| {
                let points: Vec<_> = ring[1].as_array().unwrap().iter().map(corner).collect();
                (ring[0].as_bool().unwrap(), points)
            };
            let rings: Vec<_> = value[1].as_array().unwrap().iter().map(ring).collect();
            let rings: Vec<_> = rings.iter().map(|(hole, points)| Ring { hole: *hole, points }).collect();
            items.item(kind, |out| contour::encode(value[0].as_u64().unwrap() as u16, &rings, out))
        }
        ItemKind::Rle => {
            let side = |index: usize| value[index].as_u64().map(|side| side as u16);
            let (width, height) = (side(0)?, side(1)?);
            let number = |span: &Value, index: usize| span[index].as_u64().unwrap() as u32;
            let span = |s: &Value| Span { y: number(s, 0), x: number(s, 1), len: number(s, 2) };
            let spans: Vec<_> = value[2].as_array().unwrap().iter().map(span).collect();
            items.item(kind, |out| rle::encode(width, height, spans.iter().copied(), out))
        }
        ItemKind::CocoRle => items.bytes(kind, value.as_str().unwrap().as_bytes()),
        _ => items.bytes(kind, &hex(value)),
    }
    .unwrap();
    Some(())
}

#[test]
fn bodies_both_ways() {
    for case in cases(&vectors(), "bodies") {
        let body = hex(&case["body"]);
        let items: Vec<_> = Items::new(&body).map(Result::unwrap).collect();
        let expected = case["items"].as_array().unwrap();
        assert_eq!(items.len(), expected.len());
        let mut out = vec![0; body.len()];
        let mut writer = ItemWriter::new(&mut out);
        let mut all = true;
        for (item, expected) in items.iter().zip(expected) {
            assert_eq!(u8::from(item.kind), number(expected, "kind") as u8);
            if !expected["value"].is_null() {
                assert_eq!(said(item.kind, item.bytes).unwrap(), expected["value"], "{}", case["note"]);
            }
            all &= write(&mut writer, item.kind, &expected["value"]).is_some();
        }
        if all {
            assert_eq!(writer.len(), body.len());
            assert_eq!(out, body, "{}", case["note"]);
        }
    }
}

#[test]
fn items_that_must_be_refused() {
    for case in cases(&vectors(), "bad_items") {
        let error = said((number(case, "kind") as u8).into(), &hex(&case["bytes"])).expect_err("it is bad");
        assert_eq!(format!("{error:?}"), case["error"], "{case}");
    }
}

/// The text between two marks of the document.
fn between<'d>(document: &'d str, start: &str, end: &str) -> &'d str {
    let rest = document.split_once(start).unwrap_or_else(|| panic!("the document lacks {start}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("nothing ends with {end}")).0
}

#[test]
fn the_document_has_the_schema_and_its_hash() {
    let document = read("../../docs/protocol.md");
    assert_eq!(between(&document, "```text schema\n", "```"), SCHEMA);
    assert!(document.contains(&format!("**{SCHEMA_HASH:#010x}**")));
    let mut kinds = 0;
    for &(kind, name) in Message::KINDS {
        assert!(document.contains(&format!("**{kind:02X} {name}**")), "{name} has no paragraph");
        kinds += 1;
    }
    assert_eq!(document.lines().filter(|line| line.starts_with("**") && line.as_bytes()[4] == b' ').count(), kinds);
}

#[test]
fn the_documents_bytes_are_right() {
    let document = read("../../docs/protocol.md");
    let mut out = [0; MAX_PACKET];
    let tag = Tag { seq: 1, request: 7, ..Tag::default() };
    let length = encode(tag, &Message::Cancel(cutout_protocol::message::Cancel {}), &mut out).unwrap();
    let spaced = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    assert_eq!(between(&document, "on the wire ", "\n"), spaced(&out[..length]));
    let decoded = unstuffed(&out[..length]);
    assert_eq!(between(&document, "header      ", "\n"), spaced(&decoded[..14]));
    assert_eq!(between(&document, "crc32       ", "\n"), spaced(&decoded[14..]));

    let mut body = [0; 64];
    let mut items = ItemWriter::new(&mut body);
    let spans = [Span { y: 1, x: 2, len: 2 }, Span { y: 2, x: 2, len: 2 }];
    items.item(ItemKind::Rle, |out| rle::encode(4, 3, spans, out)).unwrap();
    let length = items.len();
    assert!(document.contains(&format!("```\n{}\n```", spaced(&body[..length]))));
    assert!(document.contains(&format!("{MAX_PACKET} bytes for the largest payload")));
}

#[test]
fn the_documents_timeouts_are_right() {
    let document = read("../../docs/protocol.md");
    let rows = [
        ("240 bytes (budget), work 80 ms, request 60 bytes", 60, 240, 80),
        ("4 KiB, work 200 ms, request 60 bytes", 60, 4096, 200),
        ("Pong of 32 bytes, work 0", wire_size(33), wire_size(33), 0),
    ];
    for (name, request, answer, work) in rows {
        let row = [9600, 115_200, 921_600, 0].map(|baud| timing::answer_timeout_ms(request, answer, baud, work));
        let [a, b, c, d] = row;
        assert!(document.contains(&format!("| {name} | {a} ms | {b} ms | {c} ms | {d} ms |")), "{name}: {row:?}");
    }
}

#[test]
fn the_documents_codes_are_those_of_the_crate() {
    let document = read("../../docs/protocol.md");
    for &code in cutout_protocol::ErrorCode::ALL {
        assert!(document.contains(&format!("| {} | {} |", u8::from(code), code.name())), "{}", code.name());
    }
    for &kind in ItemKind::ALL {
        assert!(document.contains(&format!("| {} | {} |", u8::from(kind), kind.name())), "{}", kind.name());
    }
    for &format in cutout_protocol::Format::ALL {
        assert!(document.contains(&format!("{} {}", u8::from(format), format.name())), "{}", format.name());
    }
}

//! What holds for any bytes: nothing panics, nothing good is lost, nothing damaged is taken for good.

use cutout_protocol::body::contour::{self, Contour, Part, Ring};
use cutout_protocol::body::rle::{self, Span, Spans};
use cutout_protocol::body::{BBox, Centroid, Items, area_from_bytes};
use cutout_protocol::message::{Chunk, Fetch, MAX_POINTS, Ping, Point, Prompt, Result as Answer};
use cutout_protocol::{
    Accumulator, AnswerFlags, Assembly, Count, Feed, ItemSet, MAX_PACKET, MAX_PAYLOAD, Message, Missing, Precision,
    Progress, Q4, SliceSink, Tag, crc32, encode, open, text, wire_size,
};

/// Numbers that look random and are the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let length = self.below(longest + 1);
        // Small numbers and zeros are likelier than chance would have them: they are lengths, counts and codes.
        let mut byte = |sparse: bool| if sparse { self.below(4) as u8 } else { self.next() as u8 };
        (0..length).map(|index| byte(index % 3 == 0)).collect()
    }

    /// A packet with some message in it.
    fn packet(&mut self, request: u32) -> Vec<u8> {
        let data = self.bytes(MAX_PAYLOAD - 4);
        let message = match self.below(4) {
            0 => Message::Fetch(Fetch { offset: self.next() as u32, length: 0 }),
            1 => Message::Ping(Ping { data: data.iter().copied().take(32).collect() }),
            2 => {
                let mut prompt = Prompt { budget: self.next() as u32, ..Prompt::default() };
                for _ in 0..self.below(MAX_POINTS + 1) {
                    let point = Point { x: Q4(self.next() as u32), y: Q4(0), label: 1 };
                    prompt.points.push(point).unwrap();
                }
                Message::Prompt(prompt)
            }
            _ => Message::Chunk(Chunk { offset: self.next() as u32, data: &data }),
        };
        let mut out = [0; MAX_PACKET];
        let length = encode(Tag { request, ..Tag::default() }, &message, &mut out).unwrap();
        out[..length].to_vec()
    }
}

/// What an accumulator found.
#[derive(Debug, Clone, PartialEq)]
enum Found {
    Packet(Vec<u8>),
    Line(String),
    Garbage,
}

fn feed<const N: usize>(bytes: &[u8], mut cut: impl FnMut() -> usize) -> Vec<Found> {
    let mut accumulator = Accumulator::<N>::new();
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = &rest[..cut().clamp(1, rest.len())];
        let (taken, feed) = accumulator.feed(piece);
        assert!(taken <= piece.len() && (taken > 0));
        match feed {
            Feed::More => assert_eq!(taken, piece.len(), "all is taken when nothing is whole"),
            Feed::Packet(packet) => out.push(Found::Packet(packet.to_vec())),
            Feed::Line(line) => out.push(Found::Line(line.into())),
            Feed::Garbage => out.push(Found::Garbage),
        }
        rest = &rest[taken..];
    }
    out
}

#[test]
fn how_a_stream_is_cut_changes_nothing() {
    let mut chance = Chance(1);
    for _ in 0..2000 {
        let mut bytes = Vec::new();
        for request in 1..chance.below(6) as u32 + 2 {
            match chance.below(4) {
                0 => bytes.extend(chance.bytes(200)),
                1 => bytes.extend(b"P 320 240\r\n"),
                _ => bytes.extend(chance.packet(request)),
            }
        }
        let whole = feed::<MAX_PACKET>(&bytes, || usize::MAX);
        assert_eq!(feed::<MAX_PACKET>(&bytes, || 1), whole);
        let limit = 1 + chance.below(300);
        assert_eq!(feed::<MAX_PACKET>(&bytes, || chance.below(limit)), whole);
    }
}

#[test]
fn every_packet_behind_a_delimiter_is_found_whatever_came_before() {
    let mut chance = Chance(2);
    for _ in 0..3000 {
        let mut bytes = Vec::new();
        let mut sent = Vec::new();
        for request in 1..8 {
            let packet = chance.packet(request);
            match chance.below(4) {
                // Noise, the rest of a packet, its start: lost, with what it runs into. The delimiter ends it.
                0 => bytes.extend(chance.bytes(3000)),
                1 => bytes.extend(&packet[chance.below(packet.len())..]),
                2 => bytes.extend(&packet[..chance.below(packet.len())]),
                _ => {}
            }
            bytes.push(0);
            bytes.extend(&packet);
            sent.push(request);
        }
        let found = feed::<MAX_PACKET>(&bytes, || chance.below(500));
        let mut requests = found.iter().filter_map(|found| match found {
            Found::Packet(packet) => open(packet).ok().map(|(header, _)| header.request),
            _ => None,
        });
        for request in sent {
            assert!(requests.any(|found| found == request), "packet {request} is lost");
        }
    }
}

#[test]
fn damaged_packets_are_never_taken_for_good() {
    let mut chance = Chance(3);
    let mut refused = 0;
    for round in 0..30_000 {
        let packet = chance.packet(round + 1);
        let mut damaged = packet.clone();
        // Some bits flipped, bytes lost, bytes doubled.
        for _ in 0..=chance.below(3) {
            let at = chance.below(damaged.len());
            match chance.below(4) {
                0 if damaged.len() > 1 => drop(damaged.remove(at)),
                1 => damaged.insert(at, chance.next() as u8),
                _ => damaged[at] ^= 1 << chance.below(8),
            }
        }
        if damaged == packet {
            continue;
        }
        damaged.push(0);
        let good = feed::<MAX_PACKET>(&packet, || usize::MAX);
        for found in feed::<MAX_PACKET>(&damaged, || 64) {
            let Found::Packet(bytes) = &found else { continue };
            if open(bytes).is_ok() {
                // A zero put before or behind does no harm.
                assert_eq!(found, good[0], "a damaged packet was taken for another");
            } else {
                refused += 1;
            }
        }
    }
    assert!(refused > 5000, "the damage is too large to be interesting: {refused}");
}

#[test]
fn a_small_accumulator_finds_all_that_fits_it() {
    let mut chance = Chance(4);
    const SMALL: usize = wire_size(64);
    for _ in 0..2000 {
        let packets: Vec<_> = (1..10).map(|request| chance.packet(request)).collect();
        let found = feed::<SMALL>(&packets.concat(), || chance.below(100));
        let fits = packets.iter().filter(|packet| packet.len() - 1 <= SMALL).count();
        assert_eq!(found.iter().filter(|found| matches!(found, Found::Packet(_))).count(), fits);
        assert_eq!(found.len(), packets.len());
    }
}

/// Decodes; what decodes is encoded to the same bytes again.
fn check_payload(kind: u8, payload: &[u8]) -> bool {
    let Ok(message) = Message::decode(kind, payload) else { return false };
    assert_eq!(message.payload_size(), payload.len());
    let mut out = [0; MAX_PACKET];
    let length = encode(Tag::default(), &message, &mut out).unwrap();
    let Found::Packet(packet) = feed::<MAX_PACKET>(&out[..length], || usize::MAX).remove(0) else {
        panic!("no packet")
    };
    let (header, again) = open(&packet).unwrap();
    assert_eq!((header.kind, again), (kind, payload));
    true
}

#[test]
fn what_decodes_encodes_to_the_same_bytes() {
    let mut chance = Chance(5);
    for &(kind, name) in Message::KINDS {
        let mut good = 0;
        for round in 0..20_000 {
            let payload = chance.bytes(if round % 10 == 0 { MAX_PAYLOAD } else { 100 });
            good += u32::from(check_payload(kind, &payload));
        }
        // Sizes that no chance finds.
        for length in 0..300 {
            good += u32::from(check_payload(kind, &vec![0; length]));
        }
        assert!(good > 0, "{name} was never decoded");
    }
    for kind in 0..=255 {
        let known = Message::name_of(kind).is_some();
        assert!(known || Message::decode(kind, &chance.bytes(50)).is_err());
    }
}

#[test]
fn any_bytes_as_lines_and_items() {
    let mut chance = Chance(6);
    let words = ["P", "B", "GO", "FRAME", "TRACK", "TOKEN", "latest", "bg", "1", "0.5", "4294967295", ".", "é", "?"];
    for _ in 0..100_000 {
        let line: Vec<_> = (0..chance.below(7)).map(|_| words[chance.below(words.len())]).collect();
        if let Err(error) = text::parse(&line.join(" ")) {
            assert!(!error.to_string().is_empty());
        }
        let bytes = chance.bytes(60);
        let items = Items::new(&bytes).collect::<Vec<_>>();
        assert!(items.len() <= bytes.len());
        assert!(Spans::new(&bytes).map_or(0, |spans| spans.take(70_000).count()) <= 65_535 + bytes.len());
        assert!(Contour::new(&bytes).map_or(0, Iterator::count) <= bytes.len());
        let _ = (BBox::from_bytes(&bytes), Centroid::from_bytes(&bytes), area_from_bytes(&bytes));
        let message = Message::Result(answer(&bytes, 0, &[]));
        let line = text::Reply { message: &message, body: &bytes }.to_string();
        assert!(line.starts_with("OK frame=") && line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}

#[test]
fn masks_there_and_back() {
    let mut chance = Chance(7);
    for _ in 0..5000 {
        let (width, height) = (1 + chance.below(40), 1 + chance.below(30));
        let density = 1 + chance.below(9);
        let mut spans: Vec<Span> = Vec::new();
        for y in 0..height as u32 {
            for x in 0..width as u32 {
                if chance.below(10) >= density {
                    continue;
                }
                match spans.last_mut() {
                    Some(last) if last.y == y && last.x + last.len == x => last.len += 1,
                    _ => spans.push(Span { y, x, len: 1 }),
                }
            }
        }
        let mut out = vec![0; 20_000];
        let mut sink = SliceSink::new(&mut out);
        rle::encode(width as u16, height as u16, spans.iter().copied(), &mut sink).unwrap();
        let length = sink.len();
        let mut count = Count(0);
        rle::encode(width as u16, height as u16, spans.iter().copied(), &mut count).unwrap();
        assert_eq!(count.0, length);
        let read: Result<Vec<_>, _> = Spans::new(&out[..length]).unwrap().collect();
        assert_eq!(read.unwrap(), spans);
        if chance.below(4) == 0 {
            // One span per pixel says the same.
            let pixels = spans.iter().flat_map(|s| (s.x..s.x + s.len).map(|x| Span { y: s.y, x, len: 1 }));
            let mut again = vec![0; length];
            rle::encode(width as u16, height as u16, pixels, &mut SliceSink::new(&mut again)).unwrap();
            assert_eq!(again, out[..length]);
        }
    }
}

#[test]
fn polygons_there_and_back() {
    let mut chance = Chance(8);
    for _ in 0..5000 {
        let rings: Vec<(bool, Vec<[u16; 2]>)> = (0..chance.below(4))
            .map(|_| {
                let points = (0..chance.below(9)).map(|_| [chance.next() as u16, chance.next() as u16]).collect();
                (chance.below(2) == 1, points)
            })
            .collect();
        let borrowed: Vec<_> = rings.iter().map(|(hole, points)| Ring { hole: *hole, points }).collect();
        let mut out = vec![0; 1000];
        let mut sink = SliceSink::new(&mut out);
        contour::encode(1234, &borrowed, &mut sink).unwrap();
        let length = sink.len();
        let mut read: Vec<(bool, Vec<[u16; 2]>)> = Vec::new();
        for part in Contour::new(&out[..length]).unwrap() {
            match part.unwrap() {
                Part::Ring { hole, .. } => read.push((hole, Vec::new())),
                Part::Point { x, y } => read.last_mut().unwrap().1.push([x, y]),
            }
        }
        assert_eq!(read, rings);
    }
}

fn answer<'a>(body: &[u8], sequence: u32, data: &'a [u8]) -> Answer<'a> {
    Answer {
        frame: 1,
        sequence,
        age_ms: 0,
        flags: AnswerFlags::default(),
        precision: Precision::F32,
        included: ItemSet::default(),
        cut: ItemSet::default(),
        predicted_iou: 0,
        stability: 0,
        waited_us: 0,
        preprocess_us: 0,
        encode_us: 0,
        decode_us: 0,
        postprocess_us: 0,
        total: body.len() as u32,
        crc: crc32(body),
        data,
    }
}

#[test]
fn answers_come_whole_over_a_line_that_loses_doubles_and_shuffles() {
    let mut chance = Chance(9);
    for _ in 0..2000 {
        let body = chance.bytes(3000);
        let size = 1 + chance.below(200);
        let first = size.min(body.len());
        let mut buffer = vec![0; 3000];
        let mut assembly = Assembly::new(&mut buffer);
        let mut chunks: Vec<(usize, usize)> =
            (first..body.len()).step_by(size).map(|at| (at, (at + size).min(body.len()))).collect();
        for at in (1..chunks.len()).rev() {
            chunks.swap(at, chance.below(at + 1));
        }
        let head_at = chance.below(chunks.len() + 1);
        let mut progress = Progress::Headless;
        for index in 0..=chunks.len() {
            if index == head_at {
                progress = assembly.result(&answer(&body, 0, &body[..first]));
            }
            let Some(&(start, end)) = chunks.get(index) else { break };
            for _ in 0..[0, 1, 1, 1, 2][chance.below(5)] {
                progress = assembly.chunk(&Chunk { offset: start as u32, data: &body[start..end] });
            }
        }
        // What lacks is asked for, and half of that is lost again.
        let mut rounds = 0;
        while let Some(Missing { offset, length }) = assembly.missing() {
            let (start, end) = (offset as usize, (offset + length) as usize);
            for at in (start..end).step_by(size) {
                if chance.below(2) == 0 {
                    progress = assembly.chunk(&Chunk { offset: at as u32, data: &body[at..end.min(at + size)] });
                }
            }
            rounds += 1;
            assert!(rounds < 100_000);
        }
        assert!(matches!(progress, Progress::Complete | Progress::Missing(_)));
        assert_eq!(assembly.body(), Some(&body[..]));
    }
}

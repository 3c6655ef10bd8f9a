//! What the service in memory answers.

use cutout_protocol::body::rle::{self, Span};
use cutout_protocol::body::{BBox, ItemWriter};
use cutout_protocol::message::{Caps, Prompt, Status, text};
use cutout_protocol::{Features, ItemKind, ItemSet, Precision, Q4, Throttled};

/// Size of all frames: that of the sample photo.
pub(super) const SIZE: (u16, u16) = (960, 640);

/// What is kept of an answer beside its body.
#[derive(Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) included: ItemSet,
    pub(super) cut: ItemSet,
    pub(super) frame: u32,
}

/// What the service says it is.
pub(super) fn caps() -> Caps {
    Caps {
        schema: 0,
        service: text("fake 1"),
        model: text("rectangles"),
        sha256: [0xab; 32],
        precision: Precision::Int8,
        input_width: 512,
        input_height: 384,
        max_payload: 512,
        window: 4,
        max_upload: 1 << 20,
        max_points: 16,
        ring: 4,
        features: Features(0x3f),
        newest: 12,
    }
}

/// A body of one picture, or of so many bytes in its place.
pub(super) fn pictured(length: usize, picture: Option<&[u8]>) -> (Head, Vec<u8>) {
    let bytes: Vec<u8> = (0..length).map(|i| (i * 7 + i / 256) as u8).collect();
    let jpeg = picture.unwrap_or(&bytes);
    let mut body = vec![0; jpeg.len() + 16];
    let mut items = ItemWriter::new(&mut body);
    items.bytes(ItemKind::Picture, jpeg).unwrap();
    let length = items.len();
    body.truncate(length);
    (Head { included: ItemSet::PICTURE, frame: 12, ..Head::default() }, body)
}

pub(super) fn status() -> Status {
    Status {
        uptime_s: 5,
        clients: 1,
        queue: 0,
        frames: 12,
        encoded: 3,
        answered: 9,
        deadlines_missed: 0,
        errors: 0,
        oldest: 9,
        newest: 12,
        resident_kib: 4096,
        temperature_cc: 4150,
        throttled: Throttled::No,
        encode_us: 30_000,
        decode_us: 4000,
        bad_packets: 0,
    }
}

/// The rectangle that a prompt means: its box, or 20 by 10 pixels right and below of its first point.
pub(super) fn rectangle(prompt: &Prompt) -> BBox {
    let px = |q: Q4| q.to_px() as u16;
    match (prompt.bbox, prompt.points.first()) {
        (Some(b), _) => BBox { x: px(b.x0), y: px(b.y0), width: px(b.x1) - px(b.x0), height: px(b.y1) - px(b.y0) },
        (None, Some(point)) => BBox { x: px(point.x), y: px(point.y), width: 20, height: 10 },
        _ => BBox::default(),
    }
}

pub(super) fn masked(prompt: &Prompt) -> (Head, Vec<u8>) {
    let bbox = rectangle(prompt);
    let mut body = vec![0; 100_000];
    let mut items = ItemWriter::new(&mut body);
    let mut head = Head { frame: if prompt.frame > 0 { prompt.frame } else { 12 }, ..Head::default() };
    let spans =
        || (0..bbox.height).map(|row| Span { y: (bbox.y + row).into(), x: bbox.x.into(), len: bbox.width.into() });
    if prompt.wanted.contains(ItemSet::BBOX) {
        items.bbox(bbox).unwrap();
    }
    if prompt.wanted.contains(ItemSet::AREA) {
        items.area(u32::from(bbox.width) * u32::from(bbox.height)).unwrap();
    }
    if prompt.wanted.contains(ItemSet::RLE) {
        items.item(ItemKind::Rle, |out| rle::encode(SIZE.0, SIZE.1, spans(), out)).unwrap();
    }
    head.included = prompt.wanted;
    if prompt.budget > 0 && items.len() > prompt.budget as usize / 2 {
        head.cut = ItemSet::CONTOUR;
    }
    let length = items.len();
    body.truncate(length);
    (head, body)
}

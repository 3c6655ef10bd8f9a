//! Translates between the wire's types and the runtime's: the only file that sees both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cutout_protocol::body::{self, BBox as Bounds, Centroid, contour, rle};
use cutout_protocol::message::{self, Result as Head};
use cutout_protocol::{
    AnswerFlags, ErrorCode, Format, Full, ItemKind, ItemSet, Options, Precision as WirePrecision, Q4, Sink, crc32,
};
use cutout_runtime::engine::Precision;
use cutout_runtime::{
    BBox, BayerDepth, BayerPattern, CocoRle, Mask, PixelFormat, Prompt, ScoredMask, Size, YuvEncoding, outline,
};

use super::frames::KeptFrame;
use super::work::{Answered, Choice, FrameChoice, Refusal};
use crate::photo::Fault;
use crate::source::{Pixels, Raster, SourceError};

/// Corners of a contour where the client leaves the number to us.
const CONTOUR_POINTS: usize = 32;

/// Milliseconds, as far as the wire's fields reach.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// A share, 0 to 1, in ten-thousandths.
fn share(value: f32) -> u16 {
    (value.clamp(0.0, 1.0) * 1e4).round() as u16
}

fn side(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}

/// The frame that a message means.
pub(crate) fn frame(id: u32) -> FrameChoice {
    match id {
        0 => FrameChoice::Latest,
        id => FrameChoice::Id(id),
    }
}

/// What a message asks: a prompt, with the logits of the answer that it refines, how many masks, and whether to zoom. Whether the
/// prompt makes sense in its frame is for the runtime to say.
///
/// # Errors
/// In words, if a point is neither of the object nor beside it.
pub(crate) fn prompt(
    asked: &message::Prompt,
    refine: Option<&ScoredMask>,
) -> Result<(Prompt, Choice, bool), &'static str> {
    let mut prompt = Prompt::new();
    for point in &asked.points {
        if point.label > 1 {
            return Err("a point's label is 1 (of the object) or 0 (beside it)");
        }
        prompt = prompt.with_point(point.x.to_px(), point.y.to_px(), point.label == 1);
    }
    if let Some(message::Rect { x0, y0, x1, y1 }) = asked.bbox {
        prompt = prompt.with_box(BBox::new(x0.to_px(), y0.to_px(), x1.to_px(), y1.to_px()));
    }
    if let Some(refine) = refine {
        prompt = prompt.with_mask(refine.low_res_logits.clone());
    }
    let choice = match asked.options {
        options if options.contains(Options::BEST_OF_THREE) => Choice::BestOfThree,
        options if options.contains(Options::ONE_MASK) => Choice::One,
        _ => Choice::Auto,
    };
    Ok((prompt, choice, asked.options.contains(Options::ZOOM)))
}

/// How the wire calls a precision.
pub(crate) fn precision(precision: Precision) -> WirePrecision {
    match precision {
        Precision::F32 => WirePrecision::F32,
        Precision::F16 => WirePrecision::F16,
        Precision::F16Arithmetic => WirePrecision::F16Arithmetic,
        Precision::Int8 => WirePrecision::Int8,
    }
}

/// What of an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) items: ItemSet,
    /// Most corners of the contour; 0 leaves it to us.
    pub(crate) contour_points: u16,
    /// Most bytes of the body.
    pub(crate) room: usize,
}

/// The answer to a prompt: what its first packet says, and its body. `start` is when its making began.
pub(crate) fn answer(
    answered: &Answered,
    wanted: Wanted,
    precision: WirePrecision,
    start: Instant,
) -> (Head<'static>, Arc<[u8]>) {
    let mask = answered.mask.as_deref();
    let mut flags = AnswerFlags::default();
    for (is, flag) in [
        (answered.zoomed, AnswerFlags::ZOOMED),
        (mask.is_some_and(|mask| mask.mask.is_empty()), AnswerFlags::EMPTY_MASK),
        (answered.encoded, AnswerFlags::ENCODED),
    ] {
        flags = if is { flags | flag } else { flags };
    }
    let (bytes, included, cut) = mask.map_or_else(Default::default, |mask| body(&mask.mask, wanted));
    let timings = &answered.timings;
    let head = Head {
        frame: answered.frame.id,
        sequence: 0,
        age_ms: millis(answered.age),
        flags,
        precision,
        included,
        cut,
        predicted_iou: mask.map_or(0, |mask| share(mask.predicted_iou)),
        stability: mask.map_or(0, |mask| share(mask.stability_score)),
        waited_us: micros(answered.waited),
        preprocess_us: micros(timings.preprocess),
        encode_us: micros(timings.encode),
        decode_us: micros(timings.decode),
        postprocess_us: micros(timings.postprocess + start.elapsed()),
        total: bytes.len() as u32,
        crc: crc32(&bytes),
        data: &[],
    };
    (head, bytes.into())
}

/// The same, as one of a track.
pub(crate) fn followed(head: Head<'static>, sequence: u32, lost: bool) -> Head<'static> {
    let flags = if lost { head.flags | AnswerFlags::TRACK_LOST } else { head.flags };
    Head { sequence, flags, ..head }
}

/// The answer that holds a frame's picture.
pub(crate) fn picture(
    frame: &KeptFrame,
    jpeg: &[u8],
    precision: WirePrecision,
    start: Instant,
) -> (Head<'static>, Arc<[u8]>) {
    let bytes = framed(ItemKind::Picture, jpeg, usize::MAX).unwrap_or_default();
    let head = Head {
        frame: frame.id,
        sequence: 0,
        age_ms: millis(frame.age()),
        flags: AnswerFlags::default(),
        precision,
        included: ItemSet::PICTURE,
        cut: ItemSet::default(),
        predicted_iou: 0,
        stability: 0,
        waited_us: 0,
        preprocess_us: 0,
        encode_us: 0,
        decode_us: 0,
        postprocess_us: micros(start.elapsed()),
        total: bytes.len() as u32,
        crc: crc32(&bytes),
        data: &[],
    };
    (head, bytes.into())
}

/// What a client is told of a frame.
pub(crate) fn frame_message(frame: &KeptFrame) -> message::Frame {
    let size = frame.size().unwrap_or(Size::new(0, 0));
    message::Frame {
        frame: frame.id,
        width: side(size.width as u32),
        height: side(size.height as u32),
        age_ms: millis(frame.age()),
        encoded: frame.is_encoded().into(),
    }
}

/// Of the items that are wanted, in their order, each that still fits; which those are, and which are left out.
pub(crate) fn body(mask: &Mask, wanted: Wanted) -> (Vec<u8>, ItemSet, ItemSet) {
    let mut out = Vec::new();
    let (mut included, mut cut) = (ItemSet::default(), ItemSet::default());
    for kind in ItemKind::ALL.iter().copied().filter(|kind| wanted.items.contains(ItemSet::of(*kind))) {
        let room = wanted.room.saturating_sub(out.len());
        match encoded(mask, kind, usize::from(wanted.contour_points), room) {
            Some(bytes) => {
                out.extend(bytes);
                included = included | ItemSet::of(kind);
            }
            None => cut = cut | ItemSet::of(kind),
        }
    }
    (out, included, cut)
}

/// One item with its kind and length, unless it takes more than `room`.
fn encoded(mask: &Mask, kind: ItemKind, points: usize, room: usize) -> Option<Vec<u8>> {
    let value = match kind {
        ItemKind::BBox => {
            let (x, y, width, height) = mask.bbox().unwrap_or_default();
            Bounds { x: side(x), y: side(y), width: side(width), height: side(height) }.to_bytes().to_vec()
        }
        ItemKind::Centroid => {
            let centre = mask.centroid().unwrap_or_default();
            Centroid { x: Q4::from_px(centre.x), y: Q4::from_px(centre.y) }.to_bytes().to_vec()
        }
        ItemKind::Area => u32::try_from(mask.area()).unwrap_or(u32::MAX).to_le_bytes().to_vec(),
        ItemKind::Contour => return polygons(mask, points, room),
        ItemKind::Rle => row_rle(mask)?,
        ItemKind::CocoRle => CocoRle::encode(mask).counts.into_bytes(),
        ItemKind::Picture | ItemKind::Other(_) => return None,
    };
    framed(kind, &value, room)
}

fn framed(kind: ItemKind, value: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; body::item_size(value.len())];
    if out.len() > room {
        return None;
    }
    body::ItemWriter::new(&mut out).bytes(kind, value).ok()?;
    Some(out)
}

/// Grows as it is written to.
struct Bytes(Vec<u8>);

impl Sink for Bytes {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// The outline, with as many of the corners that are wanted as fit.
fn polygons(mask: &Mask, points: usize, room: usize) -> Option<Vec<u8>> {
    let most = if points == 0 { CONTOUR_POINTS } else { points };
    if mask.is_empty() {
        let mut value = Bytes(Vec::new());
        contour::encode(0, &[], &mut value).ok()?;
        return framed(ItemKind::Contour, &value.0, room);
    }
    // A corner takes two bytes at least, so that no more than this can fit.
    let mut points = most.min(room / 2);
    while points >= 3 {
        let found = outline(mask, points)?;
        let corners: Vec<Vec<[u16; 2]>> = found
            .rings
            .iter()
            .map(|ring| ring.points.iter().map(|p| [side(p.x.max(0.0) as u32), side(p.y.max(0.0) as u32)]).collect())
            .collect();
        let rings = found.rings.iter().zip(&corners);
        let rings: Vec<_> = rings.map(|(ring, points)| contour::Ring { hole: ring.is_hole, points }).collect();
        let mut value = Bytes(Vec::new());
        contour::encode(share(found.iou), &rings, &mut value).ok()?;
        if let Some(item) = framed(ItemKind::Contour, &value.0, room) {
            return Some(item);
        }
        let spent: usize = corners.iter().map(Vec::len).sum();
        let fitting = spent * room / body::item_size(value.0.len()).max(1);
        points = fitting.min(spent.saturating_sub(1)).min(points - 1);
    }
    None
}

/// The mask as row-major run lengths, as the wire has them.
fn row_rle(mask: &Mask) -> Option<Vec<u8>> {
    let size = mask.size();
    let mut out = Bytes(Vec::new());
    let spans = mask.runs().iter().map(|run| rle::Span { y: run.y, x: run.x, len: run.len });
    rle::encode(side(size.width as u32), side(size.height as u32), spans, &mut out).ok()?;
    Some(out.0)
}

/// What a client is told of a refusal; `of` is the kind of its message.
pub(crate) fn refusal(refusal: &Refusal, of: u8) -> message::Error {
    let (code, detail, frame) = match refusal {
        Refusal::Busy(wait) => (ErrorCode::Busy, millis(*wait).max(1), 0),
        Refusal::NoFrame(_) => (ErrorCode::NoFrame, 0, 0),
        Refusal::Stale { oldest } => (ErrorCode::StaleFrame, 0, *oldest),
        Refusal::Deadline { needs, encoded } => (ErrorCode::Deadline, millis(*needs).max(1), encoded.unwrap_or(0)),
        Refusal::BadPrompt(_) => (ErrorCode::BadPrompt, 0, 0),
        Refusal::BadImage(_) => (ErrorCode::Malformed, 0, 0),
        Refusal::Cancelled => (ErrorCode::Cancelled, 0, 0),
        Refusal::Internal(_) => (ErrorCode::Internal, 0, 0),
    };
    message::Error { detail, frame, ..message::Error::new(code, of, &refusal.words()) }
}

/// Most pixels of a frame that a client sends: more than models look at, and no more memory than a small board has.
const MOST_PIXELS: u64 = 1 << 24;

/// The pixels of an upload that has come whole, decompressed.
///
/// # Errors
/// The code and the words that the client is told, if the bytes do not make such a picture.
pub(crate) fn upload(begin: &message::UploadBegin, bytes: Vec<u8>) -> Result<Pixels, (ErrorCode, String)> {
    let malformed = |why: String| (ErrorCode::Malformed, why);
    let size = Size::new(usize::from(begin.width), usize::from(begin.height));
    let pairs = size.width.next_multiple_of(2);
    let (format, row) = match begin.format {
        Format::Rgb8 => (PixelFormat::Rgb8, size.width * 3),
        Format::Bgr8 => (PixelFormat::Bgr8, size.width * 3),
        Format::Rgba8 => (PixelFormat::Rgba8, size.width * 4),
        Format::Grey8 => (PixelFormat::Grey8, size.width),
        Format::Yuyv => (PixelFormat::Yuyv(YuvEncoding::default()), pairs * 2),
        Format::Nv12 => (PixelFormat::Nv12(YuvEncoding::default()), pairs),
        Format::BayerRggb8 => (PixelFormat::Bayer(BayerPattern::Rggb, BayerDepth::Eight), size.width),
        Format::Picture => {
            return match Pixels::Compressed(bytes).develop_within(MOST_PIXELS) {
                Ok(raster) => Ok(Pixels::Raw(raster)),
                Err(SourceError::Damaged(fault @ Fault::TooManyPixels { .. })) => {
                    Err((ErrorCode::TooLarge, fault.to_string()))
                }
                Err(fault) => Err(malformed(fault.to_string())),
            };
        }
        Format::Other(other) => return Err(malformed(format!("there is no picture format {other}"))),
    };
    if size.pixels() as u64 > MOST_PIXELS {
        return Err((ErrorCode::TooLarge, format!("{size} are too many pixels: at most {MOST_PIXELS} are taken")));
    }
    Raster::new(bytes, size, row, format).map(Pixels::Raw).map_err(|fault| malformed(fault.to_string()))
}

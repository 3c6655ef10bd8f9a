//! [`Answer`]: a mask, and what is known of it.

use std::time::Duration;

use cutout_protocol::body::contour::Contour;
use cutout_protocol::body::rle::Spans;
use cutout_protocol::body::{BBox, BodyError, Centroid, Items, area_from_bytes};
use cutout_protocol::{AnswerFlags, ItemKind, ItemSet, Precision, message};

/// Where the service's time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// From the request's arrival until work began.
    pub waited: Duration,
    /// Preprocessing.
    pub preprocess: Duration,
    /// The image encoder; zero if the frame was encoded before.
    pub encode: Duration,
    /// The mask decoder.
    pub decode: Duration,
    /// From logits to the answer's bytes.
    pub postprocess: Duration,
}

impl Stages {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.waited + self.preprocess + self.encode + self.decode + self.postprocess
    }
}

/// What a Result says, without its data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) frame: u32,
    pub(super) sequence: u32,
    pub(super) age_ms: u32,
    pub(super) flags: AnswerFlags,
    pub(super) precision: Precision,
    pub(super) included: ItemSet,
    pub(super) cut: ItemSet,
    pub(super) predicted_iou: u16,
    pub(super) stability: u16,
    pub(super) stages: Stages,
}

impl Head {
    pub(super) fn of(result: &message::Result<'_>) -> Self {
        let us = |us: u32| Duration::from_micros(us.into());
        Head {
            frame: result.frame,
            sequence: result.sequence,
            age_ms: result.age_ms,
            flags: result.flags,
            precision: result.precision,
            included: result.included,
            cut: result.cut,
            predicted_iou: result.predicted_iou,
            stability: result.stability,
            stages: Stages {
                waited: us(result.waited_us),
                preprocess: us(result.preprocess_us),
                encode: us(result.encode_us),
                decode: us(result.decode_us),
                postprocess: us(result.postprocess_us),
            },
        }
    }
}

/// A service's answer. All its items have been read once, so that what they hold is sound.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request's number, by which a later prompt refines this mask.
    pub request: u32,
    /// The frame that it is about.
    pub frame: u32,
    /// Counts the answers to a track; 0 for others.
    pub sequence: u32,
    /// How old the frame was when it was answered.
    pub age: Duration,
    /// What is to be said about it.
    pub flags: AnswerFlags,
    /// In which numbers it was computed.
    pub precision: Precision,
    /// The items that are there.
    pub included: ItemSet,
    /// The items that were wanted and left out for the budget.
    pub cut: ItemSet,
    /// Where the service's time went.
    pub stages: Stages,
    /// From asking to having all of it.
    pub round_trip: Duration,
    /// Bytes that were sent for it.
    pub sent: u64,
    /// Bytes that came meanwhile.
    pub received: u64,
    predicted_iou: u16,
    stability: u16,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(request: u32, head: Head, body: Vec<u8>) -> Result<Self, BodyError> {
        check(&body)?;
        Ok(Answer {
            request,
            frame: head.frame,
            sequence: head.sequence,
            age: Duration::from_millis(head.age_ms.into()),
            flags: head.flags,
            precision: head.precision,
            included: head.included,
            cut: head.cut,
            stages: head.stages,
            round_trip: Duration::ZERO,
            sent: 0,
            received: 0,
            predicted_iou: head.predicted_iou,
            stability: head.stability,
            body,
        })
    }

    /// The model's estimate of the mask's IoU, 0 to 1.
    pub fn predicted_iou(&self) -> f32 {
        f32::from(self.predicted_iou) / 10_000.0
    }

    /// How little the mask depends on the threshold, 0 to 1.
    pub fn stability(&self) -> f32 {
        f32::from(self.stability) / 10_000.0
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.flags.contains(AnswerFlags::EMPTY_MASK)
    }

    /// Bytes of an item, if it is there.
    pub fn item(&self, kind: ItemKind) -> Option<&[u8]> {
        Items::new(&self.body).filter_map(Result::ok).find(|item| item.kind == kind).map(|item| item.bytes)
    }

    /// The smallest box around the mask, in image pixels.
    pub fn bbox(&self) -> Option<BBox> {
        BBox::from_bytes(self.item(ItemKind::BBox)?).ok()
    }

    /// The mean of the mask's pixels.
    pub fn centroid(&self) -> Option<Centroid> {
        Centroid::from_bytes(self.item(ItemKind::Centroid)?).ok()
    }

    /// The number of the mask's pixels.
    pub fn area(&self) -> Option<u32> {
        area_from_bytes(self.item(ItemKind::Area)?).ok()
    }

    /// Polygons around the mask.
    pub fn contour(&self) -> Option<Contour<'_>> {
        Contour::new(self.item(ItemKind::Contour)?).ok()
    }

    /// The mask, as spans of rows.
    pub fn mask(&self) -> Option<Spans<'_>> {
        Spans::new(self.item(ItemKind::Rle)?).ok()
    }

    /// The mask as COCO's `counts`.
    pub fn coco_rle(&self) -> Option<&str> {
        std::str::from_utf8(self.item(ItemKind::CocoRle)?).ok()
    }

    /// A JPEG.
    pub fn picture(&self) -> Option<&[u8]> {
        self.item(ItemKind::Picture)
    }
}

/// Reads all items to their ends.
fn check(body: &[u8]) -> Result<(), BodyError> {
    for item in Items::new(body) {
        let item = item?;
        match item.kind {
            ItemKind::BBox => drop(BBox::from_bytes(item.bytes)?),
            ItemKind::Centroid => drop(Centroid::from_bytes(item.bytes)?),
            ItemKind::Area => drop(area_from_bytes(item.bytes)?),
            ItemKind::Contour => Contour::new(item.bytes)?.try_for_each(|part| part.map(drop))?,
            ItemKind::Rle => Spans::new(item.bytes)?.try_for_each(|span| span.map(drop))?,
            ItemKind::CocoRle if !item.bytes.is_ascii() => return Err(BodyError::Number),
            ItemKind::CocoRle | ItemKind::Picture | ItemKind::Other(_) => {}
        }
    }
    Ok(())
}

//! What `--json` says of an answer.

use std::path::{Path, PathBuf};

use cutout_runtime::{BBox, CocoRle, ImageEmbedding, PointLabel, Prompt, Region, ScoredMask, Size, StageTimings};
use serde::Serialize;

/// A segmented photo.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The photo.
    pub image: Image,
    /// The model's id: its name and the start of its weights' sha256.
    pub model: String,
    /// Height and width of the model's input, in model pixels.
    pub input_size: [usize; 2],
    /// CRC-32, in hexadecimal, of what the image encoder made of the whole photo: features, then high-resolution features, as
    /// little-endian f32. Two machines of one answer have encoded alike; those of an int8 model do.
    pub embedding_crc32: String,
    /// The prompt.
    pub prompt: Asked,
    /// Left, top, right, bottom of the region that was encoded for a second look, in pixels of the photo; `null` where
    /// the answer comes from the whole photo alone.
    pub zoom: Option<[usize; 4]>,
    /// The masks, best first.
    pub masks: Vec<Found>,
    /// Wall-clock milliseconds of each stage.
    pub timings: StageTimings,
}

/// The photo that was segmented.
#[derive(Debug, Serialize)]
pub struct Image {
    /// Its file.
    pub file: PathBuf,
    /// Columns, as seen (after the EXIF orientation).
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The prompt, in pixels of the photo.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// Each x, y, and 1 for the foreground or 0 for the background.
    pub points: Vec<[f32; 3]>,
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    pub bbox: Option<[f32; 4]>,
    /// Whether a mask was given.
    pub mask: bool,
}

/// A mask that was found, in pixels of the photo.
#[derive(Debug, Serialize)]
pub struct Found {
    /// COCO's compressed run-length encoding.
    pub rle: CocoRle,
    /// Left, top, width, height; `null` for an empty mask.
    pub bbox: Option<[u32; 4]>,
    /// Pixels.
    pub area: u64,
    /// The model's own estimate of the mask's IoU.
    pub predicted_iou: f32,
    /// How little the mask depends on the threshold, 0 to 1.
    pub stability_score: f32,
    /// The mask as a PNG, 255 inside.
    pub mask_file: PathBuf,
    /// The picture to look at.
    pub overlay_file: PathBuf,
}

pub(crate) fn corners(region: Region) -> [usize; 4] {
    let Region { x0, y0, x1, y1 } = region;
    [x0, y0, x1, y1]
}

/// The CRC-32 of an embedding, as [`Answer::embedding_crc32`] has it.
pub(crate) fn embedding_crc32(embedding: &ImageEmbedding) -> String {
    let mut crc = crc32fast::Hasher::new();
    for tensor in [embedding.features()].into_iter().chain(embedding.high_res()) {
        tensor.values().iter().for_each(|value| crc.update(&value.to_le_bytes()));
    }
    format!("{:08x}", crc.finalize())
}

impl Image {
    pub(crate) fn new(file: &Path, size: Size) -> Self {
        Image { file: file.into(), width: size.width, height: size.height }
    }
}

impl Asked {
    pub(crate) fn new(prompt: &Prompt) -> Self {
        let label = |l: PointLabel| f32::from(u8::from(l == PointLabel::Foreground));
        Asked {
            points: prompt.points.iter().map(|(p, l)| [p.x, p.y, label(*l)]).collect(),
            bbox: prompt.bbox.map(|BBox { x0, y0, x1, y1 }| [x0, y0, x1, y1]),
            mask: prompt.mask.is_some(),
        }
    }
}

impl Found {
    pub(crate) fn new(found: &ScoredMask, mask_file: PathBuf, overlay_file: PathBuf) -> Self {
        Found {
            rle: CocoRle::encode(&found.mask),
            bbox: found.mask.bbox().map(|(x, y, w, h)| [x, y, w, h]),
            area: found.mask.area(),
            predicted_iou: found.predicted_iou,
            stability_score: found.stability_score,
            mask_file,
            overlay_file,
        }
    }
}

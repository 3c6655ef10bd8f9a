//! [`Tracker`]: an object followed from frame to frame, each answer prompting the next.

use crate::embedding::ImageEmbedding;
use crate::geometry::{BBox, Point, Size};
use crate::mask::Mask;
use crate::predictor::ScoredMask;
use crate::prompt::{LowResLogits, Prompt};

/// How following an object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tracked {
    /// The answer is the object.
    Found,
    /// The answer may be the object; it is not built upon.
    Weak,
    /// The object is not in the frame, or not to be told from others. It is looked for where it was last seen.
    Lost,
}

/// Follows one object: says how to prompt each frame, and judges the answer.
///
/// For each frame: [`Predictor::set_image`](crate::Predictor::set_image), [`prompt`](Self::prompt),
/// [`predict`](crate::Predictor::predict) with one mask, [`update`](Self::update) with that mask.
#[derive(Debug, Clone)]
pub struct Tracker {
    first: Prompt,
    seen: Option<Seen>,
    state: Tracked,
}

/// The object as it was found last.
#[derive(Debug, Clone)]
struct Seen {
    image: Size,
    bbox: BBox,
    centre: Point,
    logits: LowResLogits,
    area: u64,
}

impl Tracker {
    /// A tracker of the object that `first` points at, which is the prompt for the first frame. Its mask, if it has one, is for that
    /// frame only.
    pub fn new(first: &Prompt) -> Self {
        Tracker { first: first.clone(), seen: None, state: Tracked::Lost }
    }

    /// The prompt for the next frame, whose embedding this is: valid on it, whatever was seen before.
    pub fn prompt(&mut self, embedding: &ImageEmbedding) -> Prompt {
        let image = embedding.image_size();
        let Some(seen) = &self.seen else { return self.first.clone() };
        let (x, y) = (image.width as f32 / seen.image.width as f32, image.height as f32 / seen.image.height as f32);
        let BBox { x0, y0, x1, y1 } = seen.bbox;
        let prompt = Prompt::new().with_box(BBox::new(x0 * x, y0 * y, x1 * x, y1 * y));
        // Logits are of one input's grid, which follows the size of the image.
        if seen.image == image { prompt.with_mask(seen.logits.clone()) } else { prompt }
    }

    /// Judges the answer to the last prompt; `embedding` is that of the frame. What is found prompts the next frame.
    pub fn update(&mut self, answer: &ScoredMask, embedding: &ImageEmbedding) -> Tracked {
        self.state = self.judge(answer);
        if let (Tracked::Found, Some(bbox), Some(centre)) = (self.state, bounds(&answer.mask), answer.mask.centroid()) {
            let logits = answer.low_res_logits.clone();
            let image = embedding.image_size();
            self.seen = Some(Seen { image, bbox, centre, logits, area: answer.mask.area() });
        }
        self.state
    }

    /// What the last update said; `Lost` before the first.
    pub fn state(&self) -> Tracked {
        self.state
    }

    /// The box around the object where it was found last, in pixels of that image.
    pub fn bbox(&self) -> Option<BBox> {
        self.seen.as_ref().map(|seen| seen.bbox)
    }

    /// The centroid of the object where it was found last, in pixels of that image.
    pub fn centre(&self) -> Option<Point> {
        self.seen.as_ref().map(|seen| seen.centre)
    }

    fn judge(&self, answer: &ScoredMask) -> Tracked {
        let area = answer.mask.area();
        if area == 0 || answer.predicted_iou < 0.5 {
            return Tracked::Lost;
        }
        let jump = self.seen.as_ref().is_some_and(|seen| area > 3 * seen.area || 3 * area < seen.area);
        if jump || answer.predicted_iou < 0.65 || answer.stability_score < 0.6 { Tracked::Weak } else { Tracked::Found }
    }
}

fn bounds(mask: &Mask) -> Option<BBox> {
    let (x, y, w, h) = mask.bbox()?;
    Some(BBox::new(x as f32, y as f32, (x + w) as f32, (y + h) as f32))
}

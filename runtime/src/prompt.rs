//! What the user points at: points, a box, the logits of an earlier answer, in any mix.

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{BBox, Point, ResizeLongestSide, Size};

/// Most points that one prompt may hold.
pub const MAX_POINTS: usize = 256;

/// What a point says. The first two are for users; the others are how the prompt encoder is told of a box, and of
/// its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PointLabel {
    /// Not part of what is meant.
    Background,
    /// Part of what is meant.
    Foreground,
    /// The top left corner of a box; say it with [`Prompt::bbox`].
    BoxTopLeft,
    /// The bottom right corner of a box; say it with [`Prompt::bbox`].
    BoxBottomRight,
    /// No point at all; added where the model wants it.
    Padding,
}

impl PointLabel {
    /// The number that the official prompt encoder knows it by.
    pub const fn value(self) -> f32 {
        match self {
            PointLabel::Background => 0.0,
            PointLabel::Foreground => 1.0,
            PointLabel::BoxTopLeft => 2.0,
            PointLabel::BoxBottomRight => 3.0,
            PointLabel::Padding => -1.0,
        }
    }
}

/// One mask's logits in the model's own frame: a quarter of the padded model input in each direction, row-major.
/// Positive is inside. They go back in as the mask of a further prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct LowResLogits {
    /// Rows: the model input's height over 4.
    pub height: usize,
    /// Columns: the model input's width over 4.
    pub width: usize,
    /// `height * width` values.
    pub values: Vec<f32>,
}

impl LowResLogits {
    /// Fails with [`ErrorKind::InvalidPrompt`] unless the shape is not zero, within the limits of an image and that
    /// of the values.
    pub(crate) fn check_shape(&self) -> Result<()> {
        let size = Size::new(self.width, self.height);
        if size.check().is_err() || self.values.len() != size.pixels() {
            let context = format!(
                "the mask prompt has {} logits for a shape of {size}; give back low_res_logits as they came",
                self.values.len()
            );
            return Err(Error::new(ErrorKind::InvalidPrompt, context));
        }
        Ok(())
    }
}

/// Points, a box and a mask, all optional, not all absent. Coordinates are image pixels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    /// Positions and whether each is part of what is meant; only [`PointLabel::Foreground`] and
    /// [`PointLabel::Background`].
    pub points: Vec<(Point, PointLabel)>,
    /// A box around what is meant.
    pub bbox: Option<BBox>,
    /// The logits of an earlier answer about the same image, to be refined.
    pub mask: Option<LowResLogits>,
}

impl Prompt {
    /// A prompt that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same prompt and one more point at (x, y), in image pixels.
    pub fn with_point(mut self, x: f32, y: f32, foreground: bool) -> Self {
        let label = if foreground { PointLabel::Foreground } else { PointLabel::Background };
        self.points.push((Point { x, y }, label));
        self
    }

    /// The same prompt with this box, in image pixels.
    pub fn with_box(mut self, bbox: BBox) -> Self {
        self.bbox = Some(bbox);
        self
    }

    /// The same prompt with the logits of an earlier answer.
    pub fn with_mask(mut self, mask: LowResLogits) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Whether this prompt makes sense on an image of size `image`.
    ///
    /// Positions must be within `0 <= x <= width`, `0 <= y <= height`. The right and bottom edges belong to the image
    /// because coordinates are continuous: the corner of a box around the last pixel is at `width`, and a click scaled
    /// from a display may land there. Nothing is clamped: a position outside means that the caller's idea of the
    /// image differs from ours.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPrompt`] if nothing is said, there are more than [`MAX_POINTS`] points, a value is not
    /// finite, a position is outside the image, a point bears a label other than foreground or background, the box has
    /// no extent, or the mask's shape is zero or not that of its values.
    pub fn validate(&self, image: Size) -> Result<()> {
        let invalid = |context: String| Err(Error::new(ErrorKind::InvalidPrompt, context));
        if self.points.is_empty() && self.bbox.is_none() && self.mask.is_none() {
            return invalid("the prompt is empty: give at least one point, a box or a mask".into());
        }
        if self.points.len() > MAX_POINTS {
            return invalid(format!("{} points are too many: give at most {MAX_POINTS}", self.points.len()));
        }
        // NaN and infinities are inside nothing.
        let inside = |p: Point| (0.0..=image.width as f32).contains(&p.x) && (0.0..=image.height as f32).contains(&p.y);
        for (index, &(point, label)) in self.points.iter().enumerate() {
            if !matches!(label, PointLabel::Foreground | PointLabel::Background) {
                return invalid(format!("point {index} is labelled {label:?}: give a box as `bbox`, not as points"));
            }
            if !inside(point) {
                let Point { x, y } = point;
                return invalid(format!("point {index} ({x}, {y}) is outside the {image} image: give image pixels"));
            }
        }
        if let Some(bbox) = self.bbox {
            let BBox { x0, y0, x1, y1 } = bbox;
            if !inside(bbox.top_left()) || !inside(bbox.bottom_right()) {
                let context =
                    format!("the box ({x0}, {y0}, {x1}, {y1}) is not inside the {image} image: cut it to the image");
                return invalid(context);
            }
            if x0 >= x1 || y0 >= y1 {
                let context = format!(
                    "the box ({x0}, {y0}, {x1}, {y1}) has no extent: give its top left corner, then its bottom right"
                );
                return invalid(context);
            }
        }
        if let Some(mask) = &self.mask {
            mask.check_shape()?;
            if mask.values.iter().any(|value| !value.is_finite()) {
                return invalid(
                    "the mask prompt holds NaN or infinite logits: give back low_res_logits as they came".into(),
                );
            }
        }
        Ok(())
    }

    /// The prompt as the model takes it: points in their order, then the box's two corners; where there are points and
    /// no box, one padding point at the end. A mask alone makes no point at all.
    ///
    /// Official code: `SamPredictor.predict_torch` and `PromptEncoder._embed_points`.
    pub(crate) fn to_model(&self, transform: &ResizeLongestSide) -> ModelPrompt {
        let mut model = ModelPrompt::default();
        let mut push = |point: Point, label: PointLabel| {
            model.coords.push([point.x, point.y]);
            model.labels.push(label.value());
        };
        for &(point, label) in &self.points {
            push(transform.to_model(point), label);
        }
        match self.bbox {
            Some(bbox) => {
                push(transform.to_model(bbox.top_left()), PointLabel::BoxTopLeft);
                push(transform.to_model(bbox.bottom_right()), PointLabel::BoxBottomRight);
            }
            None if !self.points.is_empty() => push(Point::default(), PointLabel::Padding),
            None => {}
        }
        model
    }
}

/// A prompt's points as inputs of the mask decoder's graph; stays inside this crate, its pixels being the model's.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ModelPrompt {
    /// (x, y) in model pixels of the padded input, without the half pixel that the graph adds.
    pub(crate) coords: Vec<[f32; 2]>,
    /// [`PointLabel::value`] of each.
    pub(crate) labels: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Size = Size::new(640, 480);

    fn refused(prompt: &Prompt) {
        assert_eq!(prompt.validate(IMAGE).unwrap_err().kind(), ErrorKind::InvalidPrompt, "{prompt:?}");
    }

    fn logits(width: usize, height: usize) -> LowResLogits {
        LowResLogits { height, width, values: vec![0.0; width * height] }
    }

    #[test]
    fn positions_up_to_and_on_the_edges_are_inside() {
        for (x, y) in [(0.0, 0.0), (640.0, 480.0), (639.5, 0.0)] {
            Prompt::new().with_point(x, y, true).validate(IMAGE).unwrap();
        }
        for (x, y) in [(-0.5, 0.0), (640.1, 3.0), (3.0, 481.0), (f32::NAN, 3.0), (3.0, f32::INFINITY)] {
            refused(&Prompt::new().with_point(x, y, false));
        }
    }

    #[test]
    fn a_prompt_must_say_something_and_not_too_much() {
        refused(&Prompt::new());
        let many = |n: usize| (0..n).fold(Prompt::new(), |prompt, i| prompt.with_point(i as f32, 1.0, true));
        many(256).validate(IMAGE).unwrap();
        refused(&many(257));
    }

    #[test]
    fn boxes_have_extent_and_lie_inside() {
        let boxed = |x0, y0, x1, y1| Prompt::new().with_box(BBox { x0, y0, x1, y1 });
        boxed(0.0, 0.0, 640.0, 480.0).validate(IMAGE).unwrap();
        for bbox in [
            boxed(10.0, 10.0, 10.0, 20.0),
            boxed(10.0, 10.0, 20.0, 5.0),
            boxed(-1.0, 0.0, 5.0, 5.0),
            boxed(0.0, 0.0, 641.0, 5.0),
            boxed(0.0, f32::NAN, 5.0, 5.0),
        ] {
            refused(&bbox);
        }
    }

    #[test]
    fn box_corners_and_padding_are_not_for_users() {
        for label in [PointLabel::BoxTopLeft, PointLabel::BoxBottomRight, PointLabel::Padding] {
            refused(&Prompt { points: vec![(Point::new(1.0, 1.0), label)], ..Prompt::default() });
        }
    }

    #[test]
    fn masks_are_finite_and_of_their_own_shape() {
        Prompt::new().with_mask(logits(8, 4)).validate(IMAGE).unwrap();
        refused(&Prompt::new().with_mask(logits(0, 4)));
        refused(&Prompt::new().with_mask(LowResLogits { width: 9, ..logits(8, 4) }));
        let mut infinite = logits(8, 4);
        infinite.values[7] = f32::NEG_INFINITY;
        refused(&Prompt::new().with_mask(infinite));
    }

    #[test]
    fn points_come_first_then_box_corners_and_padding_only_without_a_box() {
        let transform = ResizeLongestSide::new(Size::new(512, 256), Size::new(1024, 1024)).unwrap();
        let points = Prompt::new().with_point(10.0, 20.0, true).with_point(30.0, 40.0, false);
        let model = points.to_model(&transform);
        assert_eq!(model.coords, [[20.0, 40.0], [60.0, 80.0], [0.0, 0.0]]);
        assert_eq!(model.labels, [1.0, 0.0, -1.0]);

        let bbox = BBox::new(1.0, 2.0, 3.0, 4.0);
        let both = points.with_box(bbox).to_model(&transform);
        assert_eq!(both.coords, [[20.0, 40.0], [60.0, 80.0], [2.0, 4.0], [6.0, 8.0]]);
        assert_eq!(both.labels, [1.0, 0.0, 2.0, 3.0]);

        let only_box = Prompt::new().with_box(bbox).to_model(&transform);
        assert_eq!(only_box.labels, [2.0, 3.0]);

        let only_mask = Prompt::new().with_mask(logits(8, 4)).to_model(&transform);
        assert_eq!(only_mask, ModelPrompt::default());
    }
}

//! [`Zoom`]: a second look at a small object, for which the region around it is encoded instead of the whole image.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{BBox, Point, Region, Size};
use crate::image::ImageView;
use crate::mask::{Mask, Run};
use crate::mask_prompt::Placement;
use crate::predictor::{PredictOptions, Prediction, Predictor, ScoredMask};
use crate::prompt::{PointLabel, Prompt};
use crate::timings::StageTimings;

/// Most model pixels along a side that one pixel of the image is made into: beyond, there is nothing more to see.
const MAX_ENLARGEMENT: f64 = 8.0;

/// When and how far [`Predictor::predict_zoomed`] zooms in on an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zoom {
    /// The region is at least this many times as wide and as high as the object; 1 or more.
    pub context: f32,
    /// The region's longest side must be below this share of the image's longest side; otherwise there is little to
    /// gain, and the answer is the plain one.
    pub below: f32,
}

impl Default for Zoom {
    /// Twice the object, where that is less than three quarters of the image.
    fn default() -> Self {
        Zoom { context: 2.0, below: 0.75 }
    }
}

impl Zoom {
    fn check(&self) -> Result<()> {
        let Zoom { context, below } = *self;
        if context.is_finite() && context >= 1.0 && below.is_finite() {
            return Ok(());
        }
        let what = format!("no zoom has context {context} and below {below}: give a context of 1 or more, both finite");
        Err(Error::new(ErrorKind::InvalidPrompt, what))
    }

    /// The region to encode for an object in an image whose model input is `input`; `None` where zooming does not pay.
    fn region(&self, object: Region, image: Size, input: Size) -> Option<Region> {
        let (wanted, context) = (object.size(), f64::from(self.context));
        // The region has the shape of the whole image's input: so it runs on networks that are there anyway, and fills
        // them without padding. A square would show some objects larger, for one more pair of networks.
        let scale = f64::max(
            context * wanted.width as f64 / input.width as f64,
            context * wanted.height as f64 / input.height as f64,
        );
        let scale = scale.max(1.0 / MAX_ENLARGEMENT);
        let side = |input: usize, image: usize| ((scale * input as f64).ceil() as usize).clamp(1, image);
        let size = Size::new(side(input.width, image.width), side(input.height, image.height));
        let longest = |size: Size| size.width.max(size.height) as f64;
        if longest(size) >= f64::from(self.below) * longest(image) {
            return None;
        }
        let start = |from: usize, to: usize, side: usize, image: usize| {
            ((from + to).saturating_sub(side) / 2).min(image - side)
        };
        let x0 = start(object.x0, object.x1, size.width, image.width);
        let y0 = start(object.y0, object.y1, size.height, image.height);
        Some(Region::new(x0, y0, x0 + size.width, y0 + size.height))
    }
}

impl Predictor {
    /// Answers one prompt about `image` as [`predict`](Self::predict) does; then, where the object is small, encodes the
    /// region around it and asks again there, with the logits of the first answer, so that the outline is as fine as the
    /// image's own pixels allow. Worth one more run of the image encoder where objects are small in their image.
    ///
    /// The object is the prompt's box if there is one, else the mask of the highest predicted IoU, and its foreground
    /// points. [`Prediction::zoomed`] says which region was encoded, `None` meaning that the answer is the plain one:
    /// because the object is large, or because nothing was found. Masks, boxes and logits are in the same pixels and grid
    /// as ever, those of the whole image; masks end at the region. Of several masks for points, one that reaches beyond
    /// the region stays as it was. Scores are those of the second look, timings the sum of both.
    ///
    /// `image` must be the one that is set; where none is, it is set here, and that time counts, too. The image stays
    /// set in any case.
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`set_image`](Self::set_image); `InvalidImage` if the size of `image` is not that
    /// of the image that is set; `InvalidPrompt` if `zoom` has a context below 1 or values that are not finite.
    pub fn predict_zoomed(
        &mut self,
        image: &ImageView<'_>,
        prompt: &Prompt,
        options: &PredictOptions,
        zoom: &Zoom,
    ) -> Result<Prediction> {
        let (size, mut spent) = (image.size(), StageTimings::default());
        zoom.check()?;
        prompt.validate(size)?;
        match self.embedding().map(|embedding| embedding.image_size()) {
            Some(set) if set == size => {}
            Some(set) => {
                let context = format!("the image is {size}, the one that is set is {set}: give the same one");
                return Err(Error::new(ErrorKind::InvalidImage, context));
            }
            None => {
                self.set_image(image)?;
                spent = self.image_timings();
            }
        }
        let mut answer = self.predict(prompt, options)?;
        answer.timings += spent;
        let input = self.model().input_for(size);
        let region = object(prompt, &answer, size)
            .and_then(|object| zoom.region(object, size, Size::new(input.width, input.height)));
        if let Some(region) = region {
            answer.timings += self.look_again(image, prompt, region, &mut answer.masks)?;
            answer.zoomed = Some(region);
        }
        Ok(answer)
    }

    /// Replaces the masks that lie in the region by what the model sees there, and says how long that took.
    fn look_again(
        &mut self,
        image: &ImageView<'_>,
        prompt: &Prompt,
        region: Region,
        masks: &mut [ScoredMask],
    ) -> Result<StageTimings> {
        let size = image.size();
        let input = self.model().input_for(size);
        let (embedding, mut spent) = self.encode(&image.crop(region)?, input)?;
        let start = Instant::now();
        let whole = Placement::new(Region::new(0, 0, size.width, size.height), input)?;
        let part = Placement::new(region, input)?;
        let told = inside(prompt, region);
        let mut again: Vec<&mut ScoredMask> = Vec::with_capacity(masks.len());
        let mut prompts = Vec::with_capacity(masks.len());
        for found in masks {
            let extent = extent(&found.mask);
            // A box says how far the object reaches, whatever was found at first; points do not.
            if told.bbox.is_none() && extent.is_none_or(|extent| extent.union(region) != region) {
                continue;
            }
            // The logits keep the meaning that this mask had: whole, part or subpart. An empty mask has none.
            let mask = extent.map(|_| found.low_res_logits.resampled(&whole, &part));
            prompts.push(Prompt { mask, ..told.clone() });
            again.push(found);
        }
        spent.postprocess += start.elapsed();
        let answers = self.predict_about(embedding, &prompts, &PredictOptions { multimask: false })?;
        for (found, answer) in again.into_iter().zip(answers) {
            spent += answer.timings;
            let start = Instant::now();
            for seen in answer.masks {
                let mask = placed(&seen.mask, region, size)?;
                let low_res_logits = seen.low_res_logits.resampled(&part, &whole);
                *found = ScoredMask { mask, low_res_logits, ..seen };
            }
            spent.postprocess += start.elapsed();
        }
        Ok(spent)
    }
}

/// Where the object is: the prompt's box, or else the best mask of the answer, with all foreground points.
fn object(prompt: &Prompt, answer: &Prediction, image: Size) -> Option<Region> {
    let object = match prompt.bbox {
        Some(BBox { x0, y0, x1, y1 }) => Region::new(x0 as usize, y0 as usize, x1.ceil() as usize, y1.ceil() as usize),
        None => extent(&answer.best().mask)?,
    };
    let foreground = prompt.points.iter().filter(|(_, label)| *label == PointLabel::Foreground);
    let pixels = foreground.map(|(point, _)| {
        // The right and bottom edges belong to the last pixels.
        let (x, y) = ((point.x as usize).min(image.width - 1), (point.y as usize).min(image.height - 1));
        Region::new(x, y, x + 1, y + 1)
    });
    Some(pixels.fold(object, Region::union))
}

fn extent(mask: &Mask) -> Option<Region> {
    let (x, y, w, h) = mask.bbox()?;
    Some(Region::new(x as usize, y as usize, (x + w) as usize, (y + h) as usize))
}

/// The points and the box in pixels of the region, without the points outside of it.
fn inside(prompt: &Prompt, region: Region) -> Prompt {
    let size = region.size();
    let moved = |p: Point| Point::new(p.x - region.x0 as f32, p.y - region.y0 as f32);
    let within = |p: Point| (0.0..=size.width as f32).contains(&p.x) && (0.0..=size.height as f32).contains(&p.y);
    let points = prompt.points.iter().map(|&(point, label)| (moved(point), label));
    Prompt {
        points: points.filter(|&(point, _)| within(point)).collect(),
        bbox: prompt.bbox.map(|bbox| {
            let (from, to) = (moved(bbox.top_left()), moved(bbox.bottom_right()));
            BBox::new(from.x, from.y, to.x, to.y)
        }),
        mask: None,
    }
}

/// A mask of the region as one of the image.
fn placed(mask: &Mask, region: Region, image: Size) -> Result<Mask> {
    let (x, y) = (region.x0 as u32, region.y0 as u32);
    let runs = mask.runs().iter().map(|run| Run { y: run.y + y, x: run.x + x, len: run.len });
    Mask::from_runs(image, runs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Size = Size::new(1024, 768);
    const INPUT: Size = Size::new(512, 384);

    fn region(object: (usize, usize, usize, usize), zoom: Zoom) -> Option<(usize, usize, usize, usize)> {
        let (x0, y0, x1, y1) = object;
        let region = zoom.region(Region::new(x0, y0, x1, y1), IMAGE, INPUT)?;
        Some((region.x0, region.y0, region.x1, region.y1))
    }

    #[test]
    fn a_region_holds_the_object_twice_in_the_shape_of_the_input() {
        let twice = Zoom::default();
        // 60 high: 120 rows, and so 160 columns, around (500, 400).
        assert_eq!(region((480, 370, 520, 430), twice), Some((420, 340, 580, 460)));
        // 80 wide: 160 columns, and so 120 rows.
        assert_eq!(region((460, 380, 540, 420), twice), Some((420, 340, 580, 460)));
        // In a corner it is moved, not cut.
        assert_eq!(region((0, 0, 40, 60), twice), Some((0, 0, 160, 120)));
        assert_eq!(region((984, 708, 1024, 768), twice), Some((864, 648, 1024, 768)));
        // One pixel: 8 model pixels, no more.
        assert_eq!(region((500, 400, 501, 401), twice), Some((468, 376, 532, 424)));
    }

    #[test]
    fn a_large_object_is_not_zoomed_in_on() {
        let twice = Zoom::default();
        // 384 columns twice are 768, three quarters of 1024.
        assert_eq!(region((0, 0, 383, 10), twice), Some((0, 0, 766, 575)));
        assert_eq!(region((0, 0, 384, 10), twice), None);
        assert_eq!(region((0, 0, 1024, 768), Zoom { below: 1.0, ..twice }), None);
        assert_eq!(region((0, 0, 10, 10), Zoom { below: 0.0, ..twice }), None);
    }

    #[test]
    fn a_region_stays_inside_and_around_the_object_whatever_the_shapes() {
        let sizes = [(1, 1), (1, 900), (900, 1), (37, 41), (640, 480), (333, 1000)];
        let inputs = [(512, 512), (32, 512), (512, 32), (512, 384)].map(|(w, h)| Size::new(w, h));
        for image in sizes.map(|(w, h)| Size::new(w, h)) {
            for (input, context) in inputs.into_iter().flat_map(|input| [(input, 1.0), (input, 1.7)]) {
                for step in 0..60 {
                    let (x0, y0) = (step * 31 % image.width, step * 17 % image.height);
                    let (x1, y1) = ((x0 + 1 + step % 7).min(image.width), (y0 + 1 + step % 5).min(image.height));
                    let object = Region::new(x0, y0, x1, y1);
                    let Some(region) = (Zoom { context, below: 2.0 }).region(object, image, input) else {
                        panic!("any region is below twice the image");
                    };
                    assert_eq!(object.union(region), region, "{object:?} in {image}");
                    assert!(region.x1 <= image.width && region.y1 <= image.height, "{region:?} in {image}");
                }
            }
        }
    }

    #[test]
    fn prompts_move_with_the_region_and_points_outside_are_dropped() {
        let region = Region::new(100, 50, 200, 125);
        let prompt = Prompt::new().with_point(100.0, 50.0, true).with_point(99.5, 60.0, false);
        let prompt = prompt.with_point(200.0, 125.0, false).with_box(BBox::new(110.5, 60.0, 150.0, 125.0));
        let expected = Prompt::new().with_point(0.0, 0.0, true).with_point(100.0, 75.0, false);
        assert_eq!(inside(&prompt, region), expected.with_box(BBox::new(10.5, 10.0, 50.0, 75.0)));
    }

    #[test]
    fn a_mask_of_the_region_lies_there_in_the_image() {
        let part = Mask::from_bools(Size::new(2, 2), &[true, true, false, true]).unwrap();
        let whole = placed(&part, Region::new(3, 1, 5, 3), Size::new(5, 3)).unwrap();
        let run = |y, x, len| Run { y, x, len };
        assert_eq!(whole.runs(), [run(1, 3, 2), run(2, 4, 1)]);
    }

    #[test]
    fn a_zoom_that_would_cut_the_object_is_refused() {
        for (context, below) in [(0.9, 0.5), (f32::NAN, 0.5), (f32::INFINITY, 0.5), (2.0, f32::NAN)] {
            assert_eq!(Zoom { context, below }.check().unwrap_err().kind(), ErrorKind::InvalidPrompt);
        }
        Zoom { context: 1.0, below: -1.0 }.check().unwrap();
    }
}

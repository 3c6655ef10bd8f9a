//! Mask prompts that are not an earlier answer as it came: a binary mask, or the logits of a part of the image.

use cutout_models::arch::InputSize;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Point, Region, ResizeLongestSide, Size};
use crate::mask::Mask;
use crate::prompt::LowResLogits;

/// Logit of a cell that lies wholly inside; its negative stands outside. About what a confident answer holds.
const CONFIDENT: f32 = 10.0;
/// Samples of a cell in each direction.
const SAMPLES: usize = 4;

impl LowResLogits {
    /// The logits that stand for a mask drawn by hand or made by another program, where those of an earlier answer are
    /// not at hand: +10 inside, -10 outside and in the padding, in between where a cell is partly covered.
    ///
    /// `transform` is that of the embedding that will be prompted; the mask is in pixels of its image.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPrompt`] if the mask is not of the image's size.
    pub fn from_mask(mask: &Mask, transform: &ResizeLongestSide) -> Result<Self> {
        let (model, resized, image) = (transform.model_size(), transform.resized_size(), transform.image_size());
        if mask.size() != image {
            let context = format!("the mask is {}, the image is {image}: give a mask of the image's size", mask.size());
            return Err(Error::new(ErrorKind::InvalidPrompt, context));
        }
        let (height, width) = (model.height / 4, model.width / 4);
        let inside = mask.to_bools();
        let mut values = Vec::with_capacity(height * width);
        for row in 0..height {
            for column in 0..width {
                let mut covered = 0;
                for sample in 0..SAMPLES * SAMPLES {
                    let offset = |n: usize| (n as f32 + 0.5) * 4.0 / SAMPLES as f32;
                    let x = column as f32 * 4.0 + offset(sample % SAMPLES);
                    let y = row as f32 * 4.0 + offset(sample / SAMPLES);
                    if x < resized.width as f32 && y < resized.height as f32 {
                        let at = transform.to_image(Point::new(x, y));
                        let (px, py) = (at.x as usize, at.y as usize);
                        covered += usize::from(px < image.width && py < image.height && inside[py * image.width + px]);
                    }
                }
                let share = covered as f32 / (SAMPLES * SAMPLES) as f32;
                values.push((2.0 * share - 1.0) * CONFIDENT);
            }
        }
        Ok(LowResLogits { height, width, values })
    }

    /// These logits, which belong to the input `from`, as they belong to the input `to`: each cell is the mean of what
    /// it shows, -10 standing for padding and what `from` does not show.
    pub(crate) fn resampled(&self, from: &Placement, to: &Placement) -> Self {
        let model = to.transform.model_size();
        let (height, width) = (model.height / 4, model.width / 4);
        let across = axis(width, self.width, |x| relate(to, from, Point::new(x, 0.0)).0);
        let down = axis(height, self.height, |y| relate(to, from, Point::new(0.0, y)).1);
        let rows = self.values.chunks_exact(self.width);
        let narrow: Vec<Vec<f32>> = rows.map(|row| across.iter().map(|taps| sum(taps, |x| row[x])).collect()).collect();
        let shown = |taps: &[Tap]| sum(taps, |_| 1.0);
        let columns: Vec<f32> = across.iter().map(|taps| shown(taps)).collect();
        let mut values = Vec::with_capacity(height * width);
        for taps in &down {
            let rows = shown(taps);
            values.extend((0..width).map(|x| sum(taps, |y| narrow[y][x]) - CONFIDENT * (1.0 - rows * columns[x])));
        }
        LowResLogits { height, width, values }
    }
}

/// What a model's input shows: a region of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    region: Region,
    /// From the region's own pixels, whose origin is its top left corner.
    transform: ResizeLongestSide,
}

impl Placement {
    pub(crate) fn new(region: Region, input: InputSize) -> Result<Self> {
        let transform = ResizeLongestSide::new(region.size(), Size::new(input.width, input.height))?;
        Ok(Placement { region, transform })
    }
}

/// A cell and its weight.
type Tap = (usize, f32);

fn sum(taps: &[Tap], value: impl Fn(usize) -> f32) -> f32 {
    taps.iter().map(|&(cell, weight)| weight * value(cell)).sum()
}

/// For each cell of a new axis the cells of the old one that make it, of `old_cells`. `old` relates model pixels, if the
/// old axis shows the place at all.
fn axis(cells: usize, old_cells: usize, old: impl Fn(f32) -> Option<f32>) -> Vec<Vec<Tap>> {
    let share = 1.0 / SAMPLES as f32;
    let taps = |at: f32| {
        let at = (at / 4.0 - 0.5).clamp(0.0, (old_cells - 1) as f32);
        let (first, t) = (at as usize, at.fract());
        [(first, share * (1.0 - t)), ((first + 1).min(old_cells - 1), share * t)]
    };
    let samples = |cell: usize| (0..SAMPLES).map(move |n| 4.0 * (cell as f32 + (n as f32 + 0.5) * share));
    (0..cells).map(|cell| samples(cell).filter_map(&old).flat_map(taps).collect()).collect()
}

/// A position in model pixels of the input `from` as column and row in model pixels of the input `to`; `None` where
/// `from` has padding or `to` does not reach.
fn relate(from: &Placement, to: &Placement, at: Point) -> (Option<f32>, Option<f32>) {
    let (resized, reached) = (from.transform.resized_size(), to.transform.image_size());
    let here = from.transform.to_image(at);
    let there = Point::new(
        here.x + (from.region.x0 as f32 - to.region.x0 as f32),
        here.y + (from.region.y0 as f32 - to.region.y0 as f32),
    );
    let model = to.transform.to_model(there);
    let shown = |at: f32, resized: usize, there: f32, reached: usize| {
        at < resized as f32 && (0.0..reached as f32).contains(&there)
    };
    (
        shown(at.x, resized.width, there.x, reached.width).then_some(model.x),
        shown(at.y, resized.height, there.y, reached.height).then_some(model.y),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_covered_image_gives_half_a_map_and_empty_padding() {
        let size = Size::new(64, 32);
        let left: Vec<bool> = (0..64 * 32).map(|i| i % 64 < 32).collect();
        let mask = Mask::from_bools(size, &left).unwrap();
        let transform = ResizeLongestSide::new(size, Size::new(128, 128)).unwrap();
        let logits = LowResLogits::from_mask(&mask, &transform).unwrap();
        assert_eq!((logits.height, logits.width), (32, 32));
        for (i, &v) in logits.values.iter().enumerate() {
            let inside = i % 32 < 16 && i / 32 < 16;
            assert_eq!(v, if inside { CONFIDENT } else { -CONFIDENT }, "cell {i}");
        }
    }

    /// The whole: 16x8 pixels, a cell each in a 64x32 input. The part: 8x4 pixels from (4, 2) on, two by two cells each
    /// in an input of the same size.
    fn placements() -> (Placement, Placement) {
        let input = InputSize::new(32, 64);
        let placed = |x0, y0, x1, y1| Placement::new(Region::new(x0, y0, x1, y1), input).unwrap();
        (placed(0, 0, 16, 8), placed(4, 2, 12, 6))
    }

    #[test]
    fn logits_of_a_part_stand_there_in_the_whole_and_negatives_around_it() {
        let (whole, part) = placements();
        let logits = LowResLogits { height: 8, width: 16, values: vec![3.0; 8 * 16] };
        let spread = logits.resampled(&part, &whole);
        assert_eq!((spread.height, spread.width), (8, 16));
        for (i, &value) in spread.values.iter().enumerate() {
            let shown = (4..12).contains(&(i % 16)) && (2..6).contains(&(i / 16));
            assert_eq!(value, if shown { 3.0 } else { -CONFIDENT }, "cell {i}");
        }
        let back = spread.resampled(&whole, &part);
        assert_eq!((back.height, back.width), (8, 16));
        let middle = back.values[4 * 16 + 8];
        assert!((middle - 3.0).abs() < 1e-5, "{middle}");
    }

    #[test]
    fn a_slope_keeps_its_values_at_their_places() {
        let (whole, part) = placements();
        // At column x of the image the logit is x: cell i of the whole has its centre at i + 0.5.
        let slope: Vec<f32> = (0..8 * 16).map(|i| (i % 16) as f32 + 0.5).collect();
        let logits = LowResLogits { height: 8, width: 16, values: slope };
        let seen = logits.resampled(&whole, &part);
        for (i, &value) in seen.values.iter().enumerate() {
            let x = 4.0 + (i % 16) as f32 / 2.0 + 0.25;
            assert!((value - x).abs() < 1e-5, "cell {i}: {value} at {x}");
        }
    }

    #[test]
    fn padding_is_outside() {
        let input = InputSize::new(32, 32);
        let whole = Placement::new(Region::new(0, 0, 8, 4), input).unwrap();
        let part = Placement::new(Region::new(2, 0, 6, 4), input).unwrap();
        let logits = LowResLogits { height: 8, width: 8, values: vec![7.0; 64] };
        // The whole fills the upper four of eight rows of cells; the part is square and fills all.
        for (i, &value) in logits.resampled(&part, &whole).values.iter().enumerate() {
            let shown = (2..6).contains(&(i % 8)) && i / 8 < 4;
            assert_eq!(value, if shown { 7.0 } else { -CONFIDENT }, "cell {i}");
        }
        assert!(logits.resampled(&whole, &part).values.iter().all(|&value| (value - 7.0).abs() < 1e-5));
    }
}

//! From the decoder's low-resolution logits to the image.

use rayon::prelude::*;

use cutout_kernels::SimdLevel;
use cutout_kernels::upscale_logits::{
    Axis, Class, Counts, Threshold, WORD, classify, for_each_run, horizontal, threshold_row, vertical,
};

use crate::error::Result;
use crate::geometry::{ResizeLongestSide, Size};
use crate::mask::{Mask, Run};
use crate::prompt::LowResLogits;

/// Rows of the low-resolution grid, or of the image, that are worth a task.
const ROWS: usize = 32;

/// Brings low-resolution logits to image size; owns its scratch, so that further masks of one image allocate nothing but
/// what they return.
#[derive(Debug)]
pub struct Upscaler {
    level: SimdLevel,
    across: Axis,
    down: Axis,
    /// The low-resolution rows at image width, each in whole words of pixels.
    wide: Vec<f32>,
    /// What is known of each of their words.
    classes: Vec<Class>,
    blocks: Vec<Block>,
}

/// Rows of a mask in the making.
#[derive(Debug, Default)]
struct Block {
    bits: Vec<u64>,
    runs: Vec<Run>,
    counts: Counts,
}

impl Default for Upscaler {
    fn default() -> Self {
        Self::new()
    }
}

impl Upscaler {
    /// An upscaler without scratch, which the first run makes, for the best instructions of this processor.
    pub fn new() -> Self {
        Self::with_level(SimdLevel::best())
    }

    /// As [`new`](Self::new), for the instructions of `level`; all levels give the same.
    pub fn with_level(level: SimdLevel) -> Self {
        let (across, down) = (Axis::default(), Axis::default());
        Upscaler { level, across, down, wide: Vec::new(), classes: Vec::new(), blocks: Vec::new() }
    }

    /// Writes the logits of every image pixel to `out`, row-major, `height * width` of the image.
    ///
    /// As the official `Sam.postprocess_masks`: bilinear to the padded model input, cut to the resized image, bilinear
    /// to the image; half-pixel centres, no antialiasing, f32. `low_res` may have any shape; it covers the whole padded
    /// input. Uses the current rayon pool; the result does not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPrompt`](crate::ErrorKind::InvalidPrompt) if the logits' shape is zero or not that of their
    /// values.
    pub fn run(&mut self, low_res: &LowResLogits, transform: &ResizeLongestSide, out: &mut Vec<f32>) -> Result<()> {
        self.widen(low_res, transform)?;
        let Upscaler { level, down, wide, .. } = self;
        let Size { width, height } = transform.image_size();
        let stride = width.next_multiple_of(WORD);
        let row = |y: usize| &wide[y * stride..][..stride];
        out.resize(width * height, 0.0);
        let rows = out.par_chunks_exact_mut(width).with_min_len(ROWS).enumerate();
        rows.for_each(|(y, out)| vertical(*level, down, y, row, out));
        Ok(())
    }

    /// The mask of the pixels whose logits are above `threshold`, and its stability at `offset`: what
    /// [`Mask::from_logits`] and [`stability_score`] say of the logits that [`run`](Self::run) writes. But those are
    /// never written, and most are not even computed: between low-resolution logits that are all far above or below the
    /// threshold there is nothing to decide.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn mask(
        &mut self,
        low_res: &LowResLogits,
        transform: &ResizeLongestSide,
        threshold: f32,
        offset: f32,
    ) -> Result<(Mask, f32)> {
        self.widen(low_res, transform)?;
        let Upscaler { level, across, down, wide, classes, blocks } = self;
        let Size { width, height } = transform.image_size();
        let threshold = Threshold { at: threshold, offset };
        let words = width.div_ceil(WORD);
        classes.resize(low_res.height * words, Class::default());
        let rows = classes.chunks_exact_mut(words).zip(low_res.values.chunks_exact(low_res.width));
        rows.for_each(|(classes, low)| classify(across, low, threshold, classes));

        let row = |y: usize| (&wide[y * words * WORD..][..words * WORD], &classes[y * words..][..words]);
        blocks.resize_with(height.div_ceil(ROWS), Block::default);
        blocks.par_iter_mut().enumerate().for_each(|(index, Block { bits, runs, counts })| {
            bits.resize(words, 0);
            runs.clear();
            *counts = Counts::default();
            for y in index * ROWS..height.min((index + 1) * ROWS) {
                let Counts { inside, around } = threshold_row(*level, down, y, row, threshold, width, bits);
                counts.inside += inside;
                counts.around += around;
                for_each_run(bits, |x, len| runs.push(Run { y: y as u32, x, len }));
            }
        });

        let mut runs = Vec::with_capacity(blocks.iter().map(|block| block.runs.len()).sum());
        blocks.iter().for_each(|block| runs.extend_from_slice(&block.runs));
        let sum = |count: fn(&Counts) -> u64| blocks.iter().map(|block| count(&block.counts)).sum();
        let stability = ratio(sum(|counts| counts.inside), sum(|counts| counts.around));
        Ok((Mask::from_sorted_runs(transform.image_size(), runs), stability))
    }

    /// Brings the low-resolution rows to image width.
    fn widen(&mut self, low_res: &LowResLogits, transform: &ResizeLongestSide) -> Result<()> {
        low_res.check_shape()?;
        let (model, resized, image) = (transform.model_size(), transform.resized_size(), transform.image_size());
        self.across.prepare(low_res.width, model.width, resized.width, image.width);
        self.down.prepare(low_res.height, model.height, resized.height, image.height);
        let Upscaler { level, across, wide, .. } = self;
        let stride = image.width.next_multiple_of(WORD);
        wide.resize(low_res.height * stride, 0.0);
        let rows = wide.par_chunks_exact_mut(stride).zip(low_res.values.par_chunks_exact(low_res.width));
        rows.with_min_len(ROWS).for_each(|(wide, low)| horizontal(*level, across, low, &mut wide[..image.width]));
        Ok(())
    }
}

/// The logits of every image pixel, row-major: one run of a fresh [`Upscaler`], and its errors.
pub fn upscale_to_image(low_res: &LowResLogits, transform: &ResizeLongestSide) -> Result<Vec<f32>> {
    let mut logits = Vec::new();
    Upscaler::new().run(low_res, transform, &mut logits)?;
    Ok(logits)
}

/// How little a mask depends on the threshold: the IoU of the masks at `threshold + offset` and `threshold - offset`,
/// 0 to 1. As one contains the other, it is the ratio of their areas.
///
/// Official code: `calculate_stability_score` in `segment_anything/utils/amg.py`, where the logits are those of every
/// image pixel (not the low-resolution ones), the threshold is 0 and the offset 1. Where no logit is above
/// `threshold - offset` the official score is NaN, which no filter lets pass; here it is 0.
pub fn stability_score(logits: &[f32], threshold: f32, offset: f32) -> f32 {
    let (high, low) = (threshold + offset, threshold - offset);
    // Counted in blocks so that the compiler's vectors hold 32-bit counts.
    let (mut inside, mut around) = (0u64, 0u64);
    for block in logits.chunks(1 << 12) {
        inside += u64::from(block.iter().map(|&logit| u32::from(logit > high)).sum::<u32>());
        around += u64::from(block.iter().map(|&logit| u32::from(logit > low)).sum::<u32>());
    }
    ratio(inside, around)
}

/// The stability of a mask from its areas at the higher and at the lower threshold.
fn ratio(inside: u64, around: u64) -> f32 {
    if around == 0 { 0.0 } else { (inside as f64 / around as f64) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object with a frayed outline on the rest, its logits at `height` above and below zero, and some that are larger still.
    fn logits(height: usize, width: usize, steep: f32) -> LowResLogits {
        let mut state = 9u32;
        let value = |i: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (x, y) = ((i % width) as f32 / width as f32 - 0.4, (i / width) as f32 / height as f32 - 0.5);
            let fray = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let logit = steep * (0.35 - x.hypot(y)) + fray;
            if state.is_multiple_of(97) { logit.signum() * f32::MAX } else { logit }
        };
        LowResLogits { height, width, values: (0..height * width).map(value).collect() }
    }

    #[test]
    fn a_mask_made_in_one_pass_is_that_of_the_full_size_logits() {
        let sizes = [(1, 1), (63, 1), (1, 65), (64, 33), (65, 31), (127, 200), (500, 97), (33, 700), (1283, 719)];
        let mut stabilities = Vec::new();
        for level in SimdLevel::available() {
            let mut upscaler = Upscaler::with_level(level);
            let mut plain = Vec::new();
            for (width, height) in sizes {
                for model in [Size::new(64, 64), Size::new(512, 288), Size::new(96, 320)] {
                    let transform = ResizeLongestSide::new(Size::new(width, height), model).unwrap();
                    for (steep, threshold) in [(0.0, 0.0), (3.0, 0.0), (60.0, 0.0), (60.0, -2.5), (900.0, 0.0)] {
                        let low_res = logits(model.height / 4, model.width / 4, steep);
                        upscaler.run(&low_res, &transform, &mut plain).unwrap();
                        let expected = Mask::from_logits(transform.image_size(), &plain, threshold).unwrap();
                        let stability = stability_score(&plain, threshold, 1.0);
                        for threads in [1, 3] {
                            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                            let got = pool.install(|| upscaler.mask(&low_res, &transform, threshold, 1.0)).unwrap();
                            assert!(got.0 == expected, "{level} {width}x{height} of {model} at {threshold}");
                            assert_eq!(got.1, stability, "{level} {width}x{height} of {model} at {threshold}");
                        }
                        stabilities.push(stability);
                    }
                }
            }
        }
        assert!(stabilities.iter().any(|s| (0.2..0.8).contains(s)) && stabilities.iter().any(|s| *s > 0.9));
    }
}

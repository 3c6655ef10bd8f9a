//! From the decoder's low-resolution logits to the image.

use rayon::prelude::*;

use crate::error::Result;
use crate::geometry::ResizeLongestSide;
use crate::prompt::LowResLogits;
use cutout_kernels::upscale_logits::{Axis, horizontal, vertical};

/// Brings low-resolution logits to image size; owns its scratch, so that further masks of one image allocate nothing.
#[derive(Debug, Default)]
pub struct Upscaler {
    across: Axis,
    down: Axis,
    /// The low-resolution rows at image width.
    wide: Vec<f32>,
}

impl Upscaler {
    /// An upscaler without scratch; the first run makes it.
    pub fn new() -> Self {
        Self::default()
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
        low_res.check_shape()?;
        let (model, resized, image) = (transform.model_size(), transform.resized_size(), transform.image_size());
        self.across.prepare(low_res.width, model.width, resized.width, image.width);
        self.down.prepare(low_res.height, model.height, resized.height, image.height);
        let Upscaler { across, down, wide } = self;

        wide.resize(low_res.height * image.width, 0.0);
        let rows = wide.par_chunks_exact_mut(image.width).zip(low_res.values.par_chunks_exact(low_res.width));
        rows.with_min_len(16).for_each(|(wide, low)| horizontal(across, low, wide));

        out.resize(image.pixels(), 0.0);
        let row = |y: usize| &wide[y * image.width..(y + 1) * image.width];
        let rows = out.par_chunks_exact_mut(image.width).enumerate();
        rows.with_min_len(16).for_each(|(y, out)| vertical(down, y, row, out));
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
    if around == 0 { 0.0 } else { (inside as f64 / around as f64) as f32 }
}

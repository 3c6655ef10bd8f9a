//! Upscaling of a mask's low-resolution logits to the image, as Segment Anything's `postprocess_masks`.
//!
//! Formula: two bilinear interpolations with half-pixel centres and no antialiasing (PyTorch's `interpolate(...,
//! mode="bilinear", align_corners=False)`): from the low-resolution grid to the model's padded input, cut to the
//! resized image, then from there to the image. Along one axis, output `i` of an interpolation lies at
//! `s = max((i + 0.5) * (input / output) - 0.5, 0)` and is `(1 - t) * v[floor(s)] + t * v[floor(s) + 1]` with
//! `t = s - floor(s)`, the last pixel standing in for those beyond it. Scales, positions and weights are f32, as
//! PyTorch's; a position is rounded once, as its fused multiply-add does (at a column of 1000 the rounding of the
//! product alone would move a steep logit by 4e-4).
//!
//! Layout: row-major f32. Both interpolations are separable and linear, so both horizontal ones are done first, on
//! the few low-resolution rows, and both vertical ones on whole rows after that; nothing of the model's size is made.
//!
//! Tolerance: 1e-6 of the largest logit against PyTorch, which interpolates in another order; none between
//! implementations here.

mod scalar;

pub use scalar::{horizontal, vertical};

/// One axis of both interpolations: what each output pixel takes from the low-resolution grid.
#[derive(Debug, Default)]
pub struct Axis {
    spans: [usize; 4],
    taps: Vec<[Tap; 2]>,
    outer: Vec<Tap>,
}

/// One output of one interpolation: `weights[0] * v[indices[0]] + weights[1] * v[indices[1]]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    indices: [u32; 2],
    weights: [f32; 2],
}

impl Axis {
    /// Makes this the axis from `low` pixels to `model`, cut to `resized`, to `image`; all at least 1 and
    /// `resized <= model`. Does nothing if it already is.
    pub fn prepare(&mut self, low: usize, model: usize, resized: usize, image: usize) {
        let spans = [low, model, resized, image];
        if self.spans == spans {
            return;
        }
        self.spans = spans;
        self.outer.clear();
        self.outer.extend((0..image).map(|i| Tap::new(i, resized, image)));
        self.taps.clear();
        self.taps.extend(self.outer.iter().map(|tap| tap.indices.map(|i| Tap::new(i as usize, low, model))));
    }
}

impl Tap {
    fn new(i: usize, input: usize, output: usize) -> Self {
        let scale = input as f32 / output as f32;
        // Both operations are exact in f64.
        let position = ((f64::from(scale) * (i as f64 + 0.5) - 0.5) as f32).max(0.0);
        let first = (position as usize).min(input - 1);
        let second = (first + 1).min(input - 1);
        let t = (position - first as f32).clamp(0.0, 1.0);
        Tap { indices: [first as u32, second as u32], weights: [1.0 - t, t] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlarging_by_two_takes_three_quarters_and_one_quarter() {
        let taps: Vec<Tap> = (0..4).map(|i| Tap::new(i, 2, 4)).collect();
        let tap = |a, b, wa, wb| Tap { indices: [a, b], weights: [wa, wb] };
        assert_eq!(taps[..3], [tap(0, 1, 1.0, 0.0), tap(0, 1, 0.75, 0.25), tap(0, 1, 0.25, 0.75)]);
        // Beyond the last centre both taps are the last pixel, whatever the weights.
        assert_eq!(taps[3].indices, [1, 1]);
    }

    #[test]
    fn an_axis_stays_inside_its_input() {
        for (low, model, resized, image) in [(1, 4, 1, 9), (256, 1024, 683, 1200), (64, 256, 256, 17), (16, 64, 3, 1)] {
            let mut axis = Axis::default();
            axis.prepare(low, model, resized, image);
            assert_eq!((axis.taps.len(), axis.outer.len()), (image, image));
            assert!(axis.taps.iter().flatten().all(|tap| tap.indices.iter().all(|&i| (i as usize) < low)));
            assert!(axis.outer.iter().all(|tap| tap.indices.iter().all(|&i| (i as usize) < resized)));
            assert!(axis.outer.iter().all(|tap| tap.weights.iter().sum::<f32>() == 1.0));
        }
    }
}

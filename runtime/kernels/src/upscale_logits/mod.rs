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
//! Rounding: each product and each sum for itself, in f32, at every level. So an output is monotone in the logits that
//! it is made of, which [`classify`] relies on.
//!
//! Layout: row-major f32. Both interpolations are separable and linear, so both horizontal ones are done first, on
//! the few low-resolution rows, and both vertical ones on whole rows after that; nothing of the model's size is made.
//! A mask needs bits only: [`threshold_row`] makes them of registers of logits that are never stored, and only where
//! the low-resolution logits do not tell them already.
//!
//! Tolerance: 1e-6 of the largest logit against PyTorch, which interpolates in another order; none between
//! implementations here.

mod bits;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;

pub use bits::{Class, Counts, Threshold, WORD, classify, for_each_run};

use crate::SimdLevel;
use crate::lanes::at_level;

/// One axis of both interpolations: what each output pixel takes from the low-resolution grid.
#[derive(Debug, Default)]
pub struct Axis {
    spans: [usize; 4],
    /// The four low-resolution pixels of each output: two of its first pixel of the model's grid, two of its second.
    indices: [Vec<u32>; 4],
    /// Weights of those pixels, then of the two of the model's grid.
    weights: [Vec<f32>; 6],
}

/// One output of one interpolation: `weights[0] * v[indices[0]] + weights[1] * v[indices[1]]`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
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
        self.indices.iter_mut().for_each(Vec::clear);
        self.weights.iter_mut().for_each(Vec::clear);
        for i in 0..image {
            let outer = Tap::new(i, resized, image);
            let inner = outer.indices.map(|i| Tap::new(i as usize, low, model));
            let indices = inner.iter().flat_map(|tap| tap.indices);
            self.indices.iter_mut().zip(indices).for_each(|(all, index)| all.push(index));
            let weights = inner.iter().flat_map(|tap| tap.weights).chain(outer.weights);
            self.weights.iter_mut().zip(weights).for_each(|(all, weight)| all.push(weight));
        }
    }

    /// Pixels of the low-resolution grid.
    fn low(&self) -> usize {
        self.spans[0]
    }

    /// Pixels of the image.
    fn image(&self) -> usize {
        self.spans[3]
    }

    /// Low-resolution pixels and weights of output `i`.
    fn output(&self, i: usize) -> ([usize; 4], [f32; 6]) {
        (self.indices.each_ref().map(|all| all[i] as usize), self.weights.each_ref().map(|all| all[i]))
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

/// Interpolates one low-resolution row along `axis` into `out`, which has as many pixels as the axis has outputs.
pub fn horizontal(level: SimdLevel, axis: &Axis, low: &[f32], out: &mut [f32]) {
    assert_eq!((low.len(), out.len()), (axis.low(), axis.image()), "a row of the grid and one of the image");
    at_level!(level, scalar::horizontal, vector::horizontal, (
        axis: &Axis = axis,
        low: &[f32] = low,
        out: &mut [f32] = out,
    ));
}

/// Computes row `i` of the output of `axis`; `row(y)` gives row `y` of the low-resolution grid after [`horizontal`], at
/// least as long as `out`.
pub fn vertical<'a>(level: SimdLevel, axis: &Axis, i: usize, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
    let (indices, weights) = axis.output(i);
    let rows = indices.map(|y| &row(y)[..out.len()]);
    at_level!(level, scalar::vertical, vector::vertical, (
        rows: [&[f32]; 4] = rows,
        weights: [f32; 6] = weights,
        out: &mut [f32] = out,
    ));
}

/// As [`vertical`] for a row of `width` pixels, but writes only whether each logit is above the threshold: a bit for each
/// pixel, the first in the lowest bit of the first word, unused bits zero; NaN is above nothing. Says how many there are.
///
/// `row(y)` gives row `y` of the low-resolution grid after [`horizontal`], with room for whole words (what lies beyond
/// `width` counts for nothing), and what [`classify`] says of it at this threshold. `bits` has `ceil(width / WORD)` words.
pub fn threshold_row<'a>(
    level: SimdLevel,
    axis: &Axis,
    i: usize,
    row: impl Fn(usize) -> (&'a [f32], &'a [Class]),
    threshold: Threshold,
    width: usize,
    bits: &mut [u64],
) -> Counts {
    assert_eq!(bits.len(), width.div_ceil(WORD), "a bit for each of {width} pixels");
    let (indices, weights) = axis.output(i);
    let rows = indices.map(|y| &row(y).0[..bits.len() * WORD]);
    let classes = indices.map(|y| &row(y).1[..bits.len()]);
    let rows = bits::Rows { rows, classes, weights, width };
    let mut counts = Counts::default();
    at_level!(level, scalar::threshold, vector::threshold, (
        rows: &bits::Rows<'_> = &rows,
        threshold: Threshold = threshold,
        bits: &mut [u64] = bits,
        counts: &mut Counts = &mut counts,
    ));
    counts
}

//! The specification of [depthwise](super).

use super::{Shape, Weights};
use crate::Activation;
use crate::activation::scalar::value;

/// Computes an output row from the input rows that its windows see.
pub(super) fn row(rows: &[Option<&[f32]>], shape: &Shape, weights: &Weights, activation: Activation, out: &mut [f32]) {
    let (channels, kernel) = (weights.channels, weights.kernel);
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        out.copy_from_slice(&weights.bias);
        for j in 0..kernel {
            for (i, row) in rows.iter().enumerate() {
                let Some((row, column)) = row.zip(shape.tap(x, j, shape.width)) else { continue };
                let taps = &weights.taps[(i * kernel + j) * channels..];
                for ((sum, value), tap) in out.iter_mut().zip(&row[column * channels..]).zip(taps) {
                    *sum += value * tap;
                }
            }
        }
        out.iter_mut().for_each(|v| *v = value(activation, *v));
    }
}

impl Shape {
    /// Where along an axis of `limit` pixels tap `i` of window `at` lies; `None` outside.
    #[inline(always)]
    pub(crate) fn tap(&self, at: usize, i: usize, limit: usize) -> Option<usize> {
        (at * self.stride + i * self.dilation).checked_sub(self.padding).filter(|p| *p < limit)
    }
}

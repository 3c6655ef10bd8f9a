//! The specification of [depthwise](super).

use super::{Shape, Weights};
use crate::Activation;
use crate::activation::scalar::value;

/// Computes output row `y`.
pub(super) fn row(input: &[f32], shape: &Shape, weights: &Weights, activation: Activation, y: usize, out: &mut [f32]) {
    let (channels, kernel) = (weights.channels, weights.kernel);
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        out.copy_from_slice(&weights.bias);
        for i in 0..kernel {
            for j in 0..kernel {
                let Some(pixel) = shape.tap(x, j, shape.width).zip(shape.tap(y, i, shape.height)) else { continue };
                let source = &input[(pixel.1 * shape.width + pixel.0) * channels..];
                let taps = &weights.taps[(i * kernel + j) * channels..];
                for ((sum, value), tap) in out.iter_mut().zip(source).zip(taps) {
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

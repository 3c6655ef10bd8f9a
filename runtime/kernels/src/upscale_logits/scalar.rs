//! The specification of [upscale_logits](super).

use super::{Axis, Tap};

/// Interpolates one low-resolution row along `axis` into `out`, which has as many pixels as the axis has outputs.
pub fn horizontal(axis: &Axis, low: &[f32], out: &mut [f32]) {
    for ((out, [first, second]), outer) in out.iter_mut().zip(&axis.taps).zip(&axis.outer) {
        *out = outer.blend(first.take(low), second.take(low));
    }
}

/// Computes row `i` of the output of `axis`; `row(y)` gives row `y` of the low-resolution grid after
/// [`horizontal`], as long as `out`.
pub fn vertical<'a>(axis: &Axis, i: usize, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
    let ([first, second], outer) = (&axis.taps[i], &axis.outer[i]);
    let [a, b] = first.indices.map(|y| row(y as usize));
    let [c, d] = second.indices.map(|y| row(y as usize));
    for ((((out, &a), &b), &c), &d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *out = outer.blend(first.blend(a, b), second.blend(c, d));
    }
}

impl Tap {
    fn take(&self, values: &[f32]) -> f32 {
        self.blend(values[self.indices[0] as usize], values[self.indices[1] as usize])
    }

    fn blend(&self, first: f32, second: f32) -> f32 {
        self.weights[0] * first + self.weights[1] * second
    }
}

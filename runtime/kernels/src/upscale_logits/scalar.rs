//! The specification of [upscale_logits](super).

use super::bits::Rows;
use super::{Axis, Counts, Threshold, WORD};

pub(super) fn horizontal(axis: &Axis, low: &[f32], out: &mut [f32]) {
    out.iter_mut().enumerate().for_each(|(i, out)| *out = pixel(axis, low, i));
}

/// Output `i` of `axis`.
pub(super) fn pixel(axis: &Axis, low: &[f32], i: usize) -> f32 {
    let (indices, weights) = axis.output(i);
    blend(indices.map(|i| low[i]), weights)
}

pub(super) fn vertical([a, b, c, d]: [&[f32]; 4], weights: [f32; 6], out: &mut [f32]) {
    for ((((out, &a), &b), &c), &d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *out = blend([a, b, c, d], weights);
    }
}

pub(super) fn threshold(rows: &Rows<'_>, threshold: Threshold, bits: &mut [u64], counts: &mut Counts) {
    let limits = threshold.limits();
    rows.each_word(bits, counts, |start| {
        let mut words = [0; 3];
        for x in 0..WORD {
            let logit = blend(rows.rows.map(|row| row[start + x]), rows.weights);
            for (word, limit) in words.iter_mut().zip(limits) {
                *word |= u64::from(logit > limit) << x;
            }
        }
        words
    });
}

/// Two interpolations of two, and one of their results.
fn blend([a, b, c, d]: [f32; 4], weights: [f32; 6]) -> f32 {
    let first = weights[0] * a + weights[1] * b;
    let second = weights[2] * c + weights[3] * d;
    weights[4] * first + weights[5] * second
}

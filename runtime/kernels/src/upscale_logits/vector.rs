//! [upscale_logits](super) on registers. Products and sums are rounded one by one, as the specification has them.

use super::bits::Rows;
use super::scalar::pixel;
use super::{Axis, Counts, Threshold, WORD};
use crate::lanes::Lanes;

#[inline(always)]
pub(super) fn horizontal<S: Lanes>(s: S, axis: &Axis, low: &[f32], out: &mut [f32]) {
    let [first, .., last] = &axis.indices;
    let whole = out.len() - out.len() % S::LANES;
    for x in (0..whole).step_by(S::LANES) {
        // Indices never fall from one output to the next, so that these are the least and the greatest.
        let (from, to) = (first[x], last[x + S::LANES - 1]);
        if (to - from) as usize >= S::LANES {
            // Where the image is smaller than the grid.
            (x..x + S::LANES).for_each(|x| out[x] = pixel(axis, low, x));
            continue;
        }
        let window = &low[from as usize..];
        let mut values = [s.splat(0.0); 4];
        let mut weights = [s.splat(0.0); 6];
        // SAFETY: the axis has as many indices and weights as there are outputs, of which a register is left.
        unsafe {
            let window = s.load_up_to(window.as_ptr(), window.len());
            for (value, indices) in values.iter_mut().zip(&axis.indices) {
                *value = s.pick(window, indices[x..x + S::LANES].as_ptr(), from);
            }
            for (weight, all) in weights.iter_mut().zip(&axis.weights) {
                *weight = s.load(all[x..x + S::LANES].as_ptr());
            }
            s.store(blend(s, values, weights), out.as_mut_ptr().add(x));
        }
    }
    (whole..out.len()).for_each(|x| out[x] = pixel(axis, low, x));
}

#[inline(always)]
pub(super) fn vertical<S: Lanes>(s: S, rows: [&[f32]; 4], weights: [f32; 6], out: &mut [f32]) {
    let weights = splat(s, weights);
    let rows = rows.map(|row| &row[..out.len()]);
    for (index, out) in out.chunks_mut(S::LANES).enumerate() {
        let x = index * S::LANES;
        let mut values = [s.splat(0.0); 4];
        // SAFETY: the rows are as long as the output, of which the chunk lies at `x`.
        unsafe {
            for (value, row) in values.iter_mut().zip(rows) {
                *value = s.load_up_to(row.as_ptr().add(x), out.len());
            }
            s.store_up_to(blend(s, values, weights), out.as_mut_ptr(), out.len());
        }
    }
}

#[inline(always)]
pub(super) fn threshold<S: Lanes>(s: S, rows: &Rows<'_>, threshold: Threshold, bits: &mut [u64], counts: &mut Counts) {
    let weights = splat(s, rows.weights);
    let mut limits = [s.splat(0.0); 3];
    for (limit, value) in limits.iter_mut().zip(threshold.limits()) {
        *limit = s.splat(value);
    }
    rows.each_word(bits, counts, |start| {
        let [a, b, c, d] = rows.rows.map(|row| row[start..start + WORD].as_ptr());
        let mut words = [0; 3];
        for x in (0..WORD).step_by(S::LANES) {
            // SAFETY: a word is a whole number of registers.
            let values = unsafe { [s.load(a.add(x)), s.load(b.add(x)), s.load(c.add(x)), s.load(d.add(x))] };
            let logits = blend(s, values, weights);
            for (word, limit) in words.iter_mut().zip(limits) {
                *word |= s.above(logits, limit) << x;
            }
        }
        words
    });
}

#[inline(always)]
fn splat<S: Lanes>(s: S, weights: [f32; 6]) -> [S::Vector; 6] {
    let mut vectors = [s.splat(0.0); 6];
    for (vector, weight) in vectors.iter_mut().zip(weights) {
        *vector = s.splat(weight);
    }
    vectors
}

#[inline(always)]
fn blend<S: Lanes>(s: S, [a, b, c, d]: [S::Vector; 4], weights: [S::Vector; 6]) -> S::Vector {
    let first = s.add(s.mul(weights[0], a), s.mul(weights[1], b));
    let second = s.add(s.mul(weights[2], c), s.mul(weights[3], d));
    s.add(s.mul(weights[4], first), s.mul(weights[5], second))
}

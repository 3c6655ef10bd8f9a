//! The specification of [resize](super).

use super::{Axis, PRECISION_BITS};

const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Resizes one row of 3-channel pixels along `axis`: `source` has `3 * input` bytes, `out` has `3 * output`.
pub fn horizontal_rgb8(axis: &Axis, source: &[u8], out: &mut [u8]) {
    let (source, _) = source.as_chunks::<3>();
    let (out, _) = out.as_chunks_mut::<3>();
    for (i, pixel) in out.iter_mut().enumerate() {
        let (start, weights) = axis.window(i);
        let mut sum = [HALF; 3];
        for (input, &weight) in source[start..].iter().zip(weights) {
            for (sum, &value) in sum.iter_mut().zip(input) {
                *sum += i32::from(value) * weight;
            }
        }
        *pixel = sum.map(round);
    }
}

/// Computes row `i` of the output of `axis`; `row(y)` gives input row `y`, as long as `out`.
pub fn vertical<'a>(axis: &Axis, i: usize, row: impl Fn(usize) -> &'a [u8], out: &mut [u8]) {
    // A block of sums stays in registers or L1 while the input rows pass by.
    const BLOCK: usize = 256;
    let (start, weights) = axis.window(i);
    for (index, out) in out.chunks_mut(BLOCK).enumerate() {
        let columns = index * BLOCK..index * BLOCK + out.len();
        let mut sums = [HALF; BLOCK];
        for (y, &weight) in (start..).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(&row(y)[columns.clone()]) {
                *sum += i32::from(value) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = round(sum);
        }
    }
}

fn round(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

//! The sum of two quantised tensors.
//!
//! Formula: `t = (a - a.zero) * a.multiplier + (b - b.zero) * b.multiplier`, which becomes a byte as
//! [requantisation](crate::requantize) has it.
//!
//! Rounding: each multiplication and the addition is rounded to f32 by itself. Every level gives the same bytes.

use crate::SimdLevel;
use crate::lanes::at_level;
use crate::requantize::{Clamp, Quantize};

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a> {
    /// Its bytes.
    pub values: &'a [u8],
    /// Its zero point.
    pub zero: u8,
    /// Its scale by that of the result. Within `2^64`, so that nothing becomes infinite.
    pub multiplier: f32,
}

impl Term<'_> {
    #[inline(always)]
    fn after(&self, first: usize) -> Self {
        Term { values: &self.values[first..], ..*self }
    }

    fn value(&self, q: u8) -> f32 {
        f32::from(i16::from(q) - i16::from(self.zero)) * self.multiplier
    }
}

/// Adds `b` to `a`. `b` is as long as `a`, or one row that is added to each row of `a`.
pub fn add_u8(level: SimdLevel, a: &Term<'_>, b: &Term<'_>, clamp: &Clamp, out: &mut [u8]) {
    assert_eq!(a.values.len(), out.len(), "a byte for each byte");
    if out.is_empty() {
        return;
    }
    let width = b.values.len();
    assert!(width > 0 && out.len().is_multiple_of(width), "rows of {width} bytes");
    for (out, values) in out.chunks_exact_mut(width).zip(a.values.chunks_exact(width)) {
        let a = Term { values, ..*a };
        at_level!(level, scalar, vector, (
            a: &Term<'_> = &a,
            b: &Term<'_> = b,
            clamp: &Clamp = clamp,
            out: &mut [u8] = out,
        ));
    }
}

/// The specification.
fn scalar(a: &Term<'_>, b: &Term<'_>, clamp: &Clamp, out: &mut [u8]) {
    for ((out, x), y) in out.iter_mut().zip(a.values).zip(b.values) {
        *out = clamp.byte(a.value(*x) + b.value(*y));
    }
}

#[inline(always)]
fn vector<S: Quantize>(s: S, a: &Term<'_>, b: &Term<'_>, clamp: &Clamp, out: &mut [u8]) {
    // Copies, which what is written cannot change.
    let (a, b, clamp) = (*a, *b, *clamp);
    let whole = out.len() / (4 * S::LANES) * 4 * S::LANES;
    for i in (0..whole).step_by(4 * S::LANES) {
        registers::<S, 4>(s, &a.after(i), &b.after(i), clamp, &mut out[i..]);
    }
    for i in (whole..out.len()).step_by(S::LANES) {
        registers::<S, 1>(s, &a.after(i), &b.after(i), clamp, &mut out[i..]);
    }
}

/// `N` registers, or what there is of one.
#[inline(always)]
fn registers<S: Quantize, const N: usize>(s: S, a: &Term<'_>, b: &Term<'_>, clamp: Clamp, out: &mut [u8]) {
    let len = (N * S::LANES).min(a.values.len()).min(b.values.len()).min(out.len());
    // SAFETY: `len` bytes follow in each, all of them where there are several registers.
    unsafe {
        let mut sums = s.load_bytes::<N>(a.values.as_ptr(), len, a.zero);
        for (sum, value) in sums.iter_mut().zip(s.load_bytes::<N>(b.values.as_ptr(), len, b.zero)) {
            *sum = s.add(s.mul(*sum, s.splat(a.multiplier)), s.mul(value, s.splat(b.multiplier)));
        }
        s.store_bytes(sums, clamp, out.as_mut_ptr(), len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::bytes;

    #[test]
    fn a_sum_of_two_scales_has_the_scale_of_the_result() {
        // (10 - 4) * 0.5 + (7 - 9) * 0.25 = 2.5, which is 2 and the zero point; the other is clamped.
        let a = Term { values: &[10, 255], zero: 4, multiplier: 0.5 };
        let b = Term { values: &[7], zero: 9, multiplier: 0.25 };
        let clamp = Clamp { zero: 100, low: 0, high: 220 };
        let mut out = [0; 2];
        add_u8(SimdLevel::Scalar, &a, &b, &clamp, &mut out);
        assert_eq!(out, [102, 220]);
    }

    #[test]
    fn every_level_gives_the_same_bytes() {
        for level in SimdLevel::available() {
            for (width, rows) in [(1, 9), (7, 5), (16, 3), (33, 4), (64, 7), (130, 3), (1000, 1)] {
                let (left, right) = (bytes(width, width as usize * rows), bytes(width + 1, width as usize * rows));
                for right in [&right[..], &right[..width as usize]] {
                    for (ma, mb) in [(0.7, 0.31), (-2.0, 0.5), (1e19, -1e19), (1e-30, 1e19)] {
                        let a = Term { values: &left, zero: 3, multiplier: ma };
                        let b = Term { values: right, zero: 201, multiplier: mb };
                        let clamp = Clamp { zero: 130, low: 20, high: 250 };
                        let mut out = [vec![1; left.len()], vec![2; left.len()]];
                        add_u8(SimdLevel::Scalar, &a, &b, &clamp, &mut out[0]);
                        add_u8(level, &a, &b, &clamp, &mut out[1]);
                        assert!(out[0] == out[1], "{level} {width} {ma} {mb}");
                    }
                }
            }
        }
    }
}

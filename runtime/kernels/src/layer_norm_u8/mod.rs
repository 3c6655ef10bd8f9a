//! Layer normalisation of quantised rows.
//!
//! Formula: with `n` bytes `q` in a row, `S` their sum and `Q` the sum of their squares, `d = n * Q - S^2`, and
//! `r = scale / (n * sqrt(scale^2 * d / n^2 + epsilon))`: `t = (n * q - S) * r * gamma + beta`. That is
//! [layer normalisation](crate::layer_norm) of the numbers that the bytes stand for, whatever their zero point.
//!
//! Rounding: `S`, `Q` and `d` are exact. `r` is computed in f64, in the order `scale / (n * sqrt(scale * scale * d / (n * n) + epsilon))`,
//! and rounded to f32. `n * q - S` is rounded to f32, and so is each of the two multiplications and the addition, by itself. What is to
//! be a byte becomes one as [requantisation](crate::requantize) has it; `gamma` and `beta` are then by the scale of the result. Every
//! level gives the same bits. A row of equal bytes gives `beta`.

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::SimdLevel;
use crate::lanes::at_level;
use crate::requantize::{Clamp, Quantize};

/// What rows are normalised with: `gamma` and `beta` have one number for each byte of a row.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// The scale of the rows; their zero point does not matter.
    pub scale: f32,
    /// Added to the variance.
    pub epsilon: f32,
    /// Multiplied by.
    pub gamma: &'a [f32],
    /// Added.
    pub beta: &'a [f32],
}

impl Norm<'_> {
    /// What a row is multiplied by.
    fn factor(&self, sum: u64, squares: u64) -> f32 {
        let n = self.gamma.len() as u64;
        let d = n * squares - sum * sum;
        if d == 0 {
            return 0.0;
        }
        let (scale, epsilon, n) = (f64::from(self.scale), f64::from(self.epsilon), n as f64);
        (scale / (n * (scale * scale * d as f64 / (n * n) + epsilon).sqrt())) as f32
    }

    /// The level that computes: registers do not hold the sums of the widest rows.
    fn level(&self, level: SimdLevel) -> SimdLevel {
        if self.gamma.len() <= WIDEST { level } else { SimdLevel::Scalar }
    }

    fn check(&self, rows: &[u8], out: usize) {
        let width = self.gamma.len();
        assert!(width > 0 && self.beta.len() == width, "a scale and a shift for each byte of a row");
        assert!(width < 1 << 24, "sums of the squares of {width} bytes fit");
        assert!(rows.len() == out && out.is_multiple_of(width), "rows of {width} bytes");
    }
}

/// Normalises rows of bytes to rows of bytes.
pub fn layer_norm_u8(level: SimdLevel, rows: &[u8], norm: &Norm<'_>, clamp: &Clamp, out: &mut [u8]) {
    norm.check(rows, out.len());
    let level = norm.level(level);
    at_level!(level, scalar_u8, vector_u8, (
        rows: &[u8] = rows,
        norm: &Norm<'_> = norm,
        clamp: &Clamp = clamp,
        out: &mut [u8] = out,
    ));
}

/// Normalises rows of bytes to rows of numbers.
pub fn layer_norm_u8_to_f32(level: SimdLevel, rows: &[u8], norm: &Norm<'_>, out: &mut [f32]) {
    norm.check(rows, out.len());
    let level = norm.level(level);
    at_level!(level, scalar_f32, vector_f32, (rows: &[u8] = rows, norm: &Norm<'_> = norm, out: &mut [f32] = out));
}

fn scalar_u8(rows: &[u8], norm: &Norm<'_>, clamp: &Clamp, out: &mut [u8]) {
    scalar(rows, norm, *clamp, out);
}

fn scalar_f32(rows: &[u8], norm: &Norm<'_>, out: &mut [f32]) {
    scalar(rows, norm, AsIs, out);
}

#[inline(always)]
fn vector_u8<S: Sums>(s: S, rows: &[u8], norm: &Norm<'_>, clamp: &Clamp, out: &mut [u8]) {
    vector(s, rows, norm, *clamp, out);
}

#[inline(always)]
fn vector_f32<S: Sums>(s: S, rows: &[u8], norm: &Norm<'_>, out: &mut [f32]) {
    vector(s, rows, norm, AsIs, out);
}

/// What becomes of a normalised number.
trait Output: Copy {
    type Element;

    fn of(self, t: f32) -> Self::Element;

    /// # Safety
    /// `to` is valid for writes of `len` elements, which fill the registers, or at least start the only one.
    unsafe fn store<S: Quantize, const N: usize>(self, s: S, t: [S::Vector; N], to: *mut Self::Element, len: usize);
}

/// It is the result.
#[derive(Clone, Copy)]
struct AsIs;

impl Output for AsIs {
    type Element = f32;

    fn of(self, t: f32) -> f32 {
        t
    }

    #[inline(always)]
    unsafe fn store<S: Quantize, const N: usize>(self, s: S, t: [S::Vector; N], to: *mut f32, len: usize) {
        for (i, t) in t.into_iter().enumerate() {
            // SAFETY: as the caller promises.
            unsafe { s.store_up_to(t, to.add(i * S::LANES), len - i * S::LANES) };
        }
    }
}

impl Output for Clamp {
    type Element = u8;

    fn of(self, t: f32) -> u8 {
        self.byte(t)
    }

    #[inline(always)]
    unsafe fn store<S: Quantize, const N: usize>(self, s: S, t: [S::Vector; N], to: *mut u8, len: usize) {
        // SAFETY: as the caller promises.
        unsafe { s.store_bytes(t, self, to, len) }
    }
}

/// The specification.
fn scalar<O: Output>(rows: &[u8], norm: &Norm<'_>, output: O, out: &mut [O::Element]) {
    let n = norm.gamma.len();
    for (row, out) in rows.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let sum = row.iter().map(|q| u64::from(*q)).sum::<u64>();
        let r = norm.factor(sum, row.iter().map(|q| u64::from(*q).pow(2)).sum());
        for (((out, q), gamma), beta) in out.iter_mut().zip(row).zip(norm.gamma).zip(norm.beta) {
            *out = output.of((n as i64 * i64::from(*q) - sum as i64) as f32 * r * gamma + beta);
        }
    }
}

/// How a level adds up a row.
trait Sums: Quantize {
    /// Bytes at a time.
    const BYTES: usize;

    /// Sums of bytes, and of their squares, of whole `BYTES`, at most [`WIDEST`].
    fn sums(self, row: &[u8]) -> [u32; 2];
}

/// The widest row on registers: below this, `n * q` and sums are whole f32 numbers, and sums of squares whole u32 numbers.
const WIDEST: usize = 1 << 16;

/// Rows whose factors are computed before any is normalised: each waits for a root and two divisions.
const TOGETHER: usize = 16;

#[inline(always)]
fn vector<S: Sums, O: Output>(s: S, rows: &[u8], norm: &Norm<'_>, output: O, out: &mut [O::Element]) {
    let n = norm.gamma.len();
    let (added, whole) = (n / S::BYTES * S::BYTES, n / (4 * S::LANES) * 4 * S::LANES);
    for (rows, out) in rows.chunks(TOGETHER * n).zip(out.chunks_mut(TOGETHER * n)) {
        let mut totals = [[0u64; 2]; TOGETHER];
        for (total, row) in totals.iter_mut().zip(rows.chunks_exact(n)) {
            *total = s.sums(&row[..added]).map(u64::from);
            for q in &row[added..] {
                *total = [total[0] + u64::from(*q), total[1] + u64::from(*q).pow(2)];
            }
        }
        let factors = totals.map(|[sum, squares]| norm.factor(sum, squares));
        for (i, (row, out)) in rows.chunks_exact(n).zip(out.chunks_exact_mut(n)).enumerate() {
            let row = Row { row, norm, sum: totals[i][0] as f32, factor: factors[i], output };
            for i in (0..whole).step_by(4 * S::LANES) {
                row.registers::<S, 4>(s, i, out);
            }
            for i in (whole..n).step_by(S::LANES) {
                row.registers::<S, 1>(s, i, out);
            }
        }
    }
}

/// A row whose sum and factor are known.
struct Row<'a, O> {
    row: &'a [u8],
    norm: &'a Norm<'a>,
    sum: f32,
    factor: f32,
    output: O,
}

impl<O: Output> Row<'_, O> {
    /// `N` registers from number `from` on, or what there is of one.
    #[inline(always)]
    fn registers<S: Sums, const N: usize>(&self, s: S, from: usize, out: &mut [O::Element]) {
        let &Row { row, norm, sum, factor, output } = self;
        let (row, gamma, beta, out) = (&row[from..], &norm.gamma[from..], &norm.beta[from..], &mut out[from..]);
        let len = (N * S::LANES).min(row.len()).min(gamma.len()).min(beta.len()).min(out.len());
        let (count, minus, factor) = (s.splat(norm.gamma.len() as f32), s.splat(-sum), s.splat(factor));
        // SAFETY: `len` numbers follow in each, all of them where there are several registers.
        unsafe {
            let mut t = s.load_bytes::<N>(row.as_ptr(), len, 0);
            for (i, t) in t.iter_mut().enumerate() {
                let at = |numbers: &[f32]| numbers.as_ptr().add(i * S::LANES);
                let (gamma, beta) = (at(gamma), at(beta));
                let left = len - i * S::LANES;
                let unit = s.mul(s.mul_add(*t, count, minus), factor);
                *t = s.add(s.mul(unit, s.load_up_to(gamma, left)), s.load_up_to(beta, left));
            }
            output.store(s, t, out.as_mut_ptr(), len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Values, bytes};

    #[test]
    fn bytes_are_normalised_as_the_numbers_that_they_stand_for() {
        let mut values = Values::new(9);
        for (width, scale, zero) in [(5, 0.02, 7), (64, 0.5, 128), (160, 0.01, 0), (257, 3.0, 255)] {
            let rows = bytes(width, 7 * width as usize);
            let (gamma, beta) = (values.vec(width as usize, 2.0), values.vec(width as usize, 1.0));
            let norm = Norm { scale, epsilon: 1e-5, gamma: &gamma, beta: &beta };
            let numbers: Vec<f32> = rows.iter().map(|q| (f32::from(*q) - zero as f32) * scale).collect();
            let (mut wanted, mut got) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
            let plain = crate::layer_norm::layer_norm;
            plain(SimdLevel::Scalar, &numbers, width as usize, &gamma, &beta, 1e-5, &mut wanted);
            layer_norm_u8_to_f32(SimdLevel::Scalar, &rows, &norm, &mut got);
            for (wanted, got) in wanted.iter().zip(&got) {
                assert!((wanted - got).abs() < 2e-5, "{wanted} {got}");
            }
        }
    }

    #[test]
    fn a_row_of_equal_bytes_gives_beta() {
        for level in SimdLevel::available() {
            for epsilon in [0.0, 1e-5] {
                let norm = Norm { scale: 0.1, epsilon, gamma: &[3.0; 20], beta: &[-1.5; 20] };
                let mut out = [0.0; 20];
                layer_norm_u8_to_f32(level, &[201; 20], &norm, &mut out);
                assert_eq!(out, [-1.5; 20], "{level}");
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let mut values = Values::new(10);
        for width in [1, 3, 4, 15, 16, 17, 31, 32, 33, 64, 127, 128, 160, 320, 1000, WIDEST, WIDEST + 1] {
            let count = if width > 1000 { 2 } else { 5 };
            let mut rows = bytes(width as u32, count * width);
            rows[..width].fill(255);
            let (gamma, beta) = (values.vec(width, 60.0), values.vec(width, 40.0));
            for (scale, epsilon) in [(0.02, 1e-5), (1e-6, 1e-5), (1e10, 0.0)] {
                let norm = Norm { scale, epsilon, gamma: &gamma, beta: &beta };
                let clamp = Clamp { zero: 120, low: 10, high: 240 };
                let (mut wanted, mut numbers) = (vec![0; rows.len()], vec![0.0; rows.len()]);
                layer_norm_u8(SimdLevel::Scalar, &rows, &norm, &clamp, &mut wanted);
                layer_norm_u8_to_f32(SimdLevel::Scalar, &rows, &norm, &mut numbers);
                for level in SimdLevel::available() {
                    let (mut got, mut floats) = (vec![1; rows.len()], vec![1.0; rows.len()]);
                    layer_norm_u8(level, &rows, &norm, &clamp, &mut got);
                    layer_norm_u8_to_f32(level, &rows, &norm, &mut floats);
                    assert!(got == wanted, "{level} {width}");
                    assert!(floats.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()), "{level} {width}");
                }
            }
        }
    }
}

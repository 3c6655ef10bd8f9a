//! Multi-head [attention](crate::attention) of quantised tokens: bytes to bytes, integers between.
//!
//! Formula, for each batch, head and query, where `q`, `k`, `v` are bytes and `zq`, `zk`, `zv` their zero points:
//! - `T[key] = sum over the width of (q - zq) * (k - zk) + bias[key]`, and `M`, the largest of them. The unit of these scores is
//!   `scales.score`, the scale of the queries times that of the keys: a bias comes in this unit.
//! - `w[key] = round(255 * 2^((T[key] - M) * c))` with `c = scales.score * log2(e)`: 255 for the largest score, so that eight bits say as
//!   much as they can, and nothing has to be divided.
//! - `A = sum over the keys of w * (v - zv)` and `W = sum over the keys of w`, which is at least 255.
//! - `t = A * (scales.output / W)`, where `scales.output` is the scale of the values by that of the result. The result is
//!   `round(min(max(t, -zero), 255 - zero)) + zero` with `zero = scales.zero`.
//!
//! Rounding: sums are exact (i32). For a weight, `x = max(f32(T - M) * c, -20)`, `n = round(x)`, `f = x - n`, and with three fused
//! multiply-adds `w = round((((14.027303 f + 61.76386) f + 176.78715) f + 255) * 2^n)`. The result is as in
//! [requantize](crate::requantize): `A` and `W` become f32, the division and the multiplication are rounded to f32 one by one. All
//! rounding is to nearest, ties to even, and each step is one IEEE 754 operation, so that every level gives the same bytes.
//!
//! Layout: operands are rows of adjacent bytes at any distances ([`Operand`]); the bias is `(heads, queries, keys)`. The result is
//! `(batch, queries, heads, value_width)` without gaps.
//!
//! Error: against exact attention of the numbers that the bytes stand for, where that does not leave the bytes' range: at most
//! `1/2 + 0.53 * scales.output * D / W` levels of the result, where `D` is the sum over the keys of how far `v` is from the exact result,
//! in levels of the values. (Each `w` is off by one half and by the 0.03 of the exponential; the normalised sum of these is what the
//! result is off by.) Many keys that each weigh less than 1/510 of the largest get no weight at all.
//!
//! Tolerance: none; levels give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;
mod words;

use rayon::prelude::*;

use self::pack::{Scratch, Table};
use crate::SimdLevel;
use crate::attention::Shape;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};

/// Rows of bytes of every batch, head and token: where they are, and which byte stands for zero.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The bytes, from the first row of the first head on.
    pub data: &'a [u8],
    /// From one batch to the next, in bytes; zero if all have the same.
    pub batch_stride: usize,
    /// From one head to the next.
    pub head_stride: usize,
    /// From one token to the next.
    pub row_stride: usize,
    /// The zero point.
    pub zero: u8,
}

/// What the bytes are worth.
#[derive(Clone, Copy, Debug)]
pub struct Scales {
    /// Unit of the scores: scale of the queries times that of the keys. From zero to 1e6.
    pub score: f32,
    /// Scale of the values by that of the result. Finite.
    pub output: f32,
    /// Zero point of the result.
    pub zero: u8,
}

impl<'a> Operand<'a> {
    /// The bytes of one batch and head, from the first row on.
    fn rows(&self, batch: usize, head: usize) -> &'a [u8] {
        &self.data[batch * self.batch_stride + head * self.head_stride..]
    }

    fn check(&self, shape: &Shape, rows: usize, width: usize, what: &str) {
        let strides = [self.batch_stride, self.head_stride, self.row_stride];
        assert!(
            shape.end(strides, rows, width).is_some_and(|end| end <= self.data.len()),
            "the {what} have too few bytes"
        );
    }
}

/// From scores to weights, the steps one by one.
struct Share;

impl Share {
    /// `(2^f - 1) / f` times 255, lowest power first, for |f| <= 1/2: with this, 2^f is within 1.02e-4 of itself.
    const SERIES: [f32; 3] = [176.787_15, 61.763_86, 14.027_303];
    /// Of the largest score.
    const WHOLE: f32 = 255.0;
    /// Powers of two less than this leave nothing of 255, so that lower exponents count as this one.
    const LOWEST: f32 = -20.0;

    /// `c`: what a difference of scores is multiplied with to be an exponent of two.
    fn factor(scales: &Scales) -> f32 {
        scales.score * std::f32::consts::LOG2_E
    }

    /// The specification: the weight for a score that is `difference` above the largest.
    fn weight(difference: i32, factor: f32) -> i32 {
        let exponent = (difference as f32 * factor).max(Self::LOWEST);
        let whole = exponent.round_ties_even();
        let f = exponent - whole;
        let [a, b, c] = Self::SERIES;
        let weight = f.mul_add(f.mul_add(f.mul_add(c, b), a), Self::WHOLE);
        let power = f32::from_bits(((whole as i32 + 127) as u32) << 23);
        (weight * power).round_ties_even() as i32
    }
}

/// Some queries of one batch, and all that they attend to.
struct Job<'a> {
    operands: [Operand<'a>; 3],
    bias: Option<&'a [i32]>,
    /// The bias again, for the levels with registers.
    table: Option<&'a Table>,
    scales: &'a Scales,
    shape: &'a Shape,
    batch: usize,
    first: usize,
}

/// The largest bias: no sum of products is larger either, so that no score leaves the range of i32, and no difference of two.
pub const MOST_BIAS: i32 = (1 << 29) - 1;
/// Queries that one task answers: whole registers.
const QUERIES: usize = 224;

/// Whether sums of as many products fit, and the scales are within their ranges.
pub fn is_in_range(scales: &Scales, shape: &Shape) -> bool {
    const PRODUCT: usize = 255 * 255;
    let fit = shape.width <= MOST_BIAS as usize / PRODUCT && shape.keys <= i32::MAX as usize / PRODUCT;
    fit && (0.0..=1e6).contains(&scales.score) && scales.output.is_finite()
}

/// Attention on the threads of the current rayon pool.
///
/// # Panics
/// If an operand has too few bytes, the bias or the output has another length than the layout says, a bias is beyond
/// ±[`MOST_BIAS`], the width is more than 8256, there are more than 33025 keys, or a scale is beyond its range: see [`is_in_range`].
#[allow(clippy::too_many_arguments, reason = "as of attention in f32")]
pub fn attention_u8(
    level: SimdLevel,
    q: Operand<'_>,
    k: Operand<'_>,
    v: Operand<'_>,
    bias: Option<&[i32]>,
    scales: &Scales,
    shape: &Shape,
    out: &mut [u8],
) {
    let &Shape { batch, heads, queries, keys, width, value_width } = shape;
    if [batch, heads, queries, keys, width, value_width].contains(&0) {
        return out.fill(scales.zero);
    }
    q.check(shape, queries, width, "queries");
    k.check(shape, keys, width, "keys");
    v.check(shape, keys, value_width, "values");
    assert!(is_in_range(scales, shape), "{scales:?} and {shape:?} are in range");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), heads * queries * keys, "the bias has a number for each pair");
        let bits = bias.iter().fold(0, |bits, bias| bits | bias.unsigned_abs());
        assert!(bits <= MOST_BIAS.unsigned_abs(), "a bias is less than 2^29");
    }
    let row = heads * value_width;
    assert_eq!(out.len(), batch * queries * row, "the output has a row for each query");
    let table = bias.filter(|_| level != SimdLevel::Scalar).map(|bias| Table::new(level, bias, shape));
    let part = |scratch: &mut Scratch, batch: usize, first: usize, out: &mut [u8]| {
        let job = Job { operands: [q, k, v], bias, table: table.as_ref(), scales, shape, batch, first };
        run(level, &job, scratch, out);
    };
    out.par_chunks_exact_mut(queries * row).enumerate().for_each_init(Scratch::default, |scratch, (batch, out)| {
        if queries <= QUERIES {
            return part(scratch, batch, 0, out);
        }
        let parts = out.par_chunks_mut(QUERIES * row).enumerate();
        parts.for_each_init(Scratch::default, |scratch, (i, out)| part(scratch, batch, i * QUERIES, out));
    });
}

/// Answers the queries from `job.first` on that `out` has rows for.
fn run(level: SimdLevel, job: &Job<'_>, scratch: &mut Scratch, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn avx2(token: Avx2, job: &Job<'_>, scratch: &mut Scratch, out: &mut [u8]) {
        vector::block(token, job, scratch, out);
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn avx512(token: Avx512, job: &Job<'_>, scratch: &mut Scratch, out: &mut [u8]) {
        vector::block(token, job, scratch, out);
    }
    match level {
        SimdLevel::Scalar => scalar::block(job, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves the features.
        SimdLevel::Avx2(token) => unsafe { avx2(token, job, scratch, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves the features.
        SimdLevel::Avx512(token) => unsafe { avx512(token, job, scratch, out) },
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => vector::block(token, job, scratch, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => vector::block(token, job, scratch, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => vector::block(token.neon_dot(), job, scratch, out),
    }
}

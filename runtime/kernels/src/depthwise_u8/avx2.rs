//! Sums of two rows at a time, widened to 16 bits: a product of two bytes and a sum of two such products do not fit in them, so that
//! nothing but `vpmaddwd` is exact.

use std::arch::x86_64::*;

use super::Job;
use super::vector::{self, Kernel};
use crate::requantize::Clamp;
use crate::simd::Avx2;

/// 32 channels: a register of each row. Interleaving works inside each 16 bytes, so register `k` of the sums has channels
/// `16 * i + 4 * k + 0..4` in its `i`-th half, and packing them restores the order.
#[derive(Clone, Copy)]
pub(super) struct Pairs(Avx2);

#[derive(Clone, Copy)]
pub(super) struct Ends {
    bias: [__m256i; 4],
    multipliers: [__m256; 4],
    high: __m256,
    zero: __m256i,
    low: __m256i,
}

/// Computes an output row, before the table.
pub(super) fn row(token: Avx2, job: &Job<'_>, out: &mut [u8]) {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn inner(token: Avx2, job: &Job<'_>, out: &mut [u8]) {
        vector::row(Pairs(token), job, 0..job.weights.channels(), job.weights.sections().0, out);
    }
    // SAFETY: the token proves these features.
    unsafe { inner(token, job, out) }
}

/// 32 numbers as the parts of the sums.
#[inline(always)]
unsafe fn parts(from: *const i32) -> [__m256i; 4] {
    // SAFETY: the caller has a token, and vouches for 32 numbers.
    unsafe {
        [0, 4, 8, 12].map(|at| {
            let (low, high) = (from.add(at).cast(), from.add(at + 16).cast());
            _mm256_set_m128i(_mm_loadu_si128(high), _mm_loadu_si128(low))
        })
    }
}

impl Kernel for Pairs {
    const CHANNELS: usize = 32;
    const ROWS: usize = 2;
    const BYTES: usize = 128;
    type Unit = [__m256i; 4];
    type Sums = [__m256i; 4];
    type Ends = Ends;

    fn place(channel: usize, row: usize, weight: i8, unit: &mut [i8]) {
        let at = 32 * (channel / 4 % 4) + 16 * (channel / 16) + 4 * (channel % 4) + 2 * row;
        unit[at..][..2].copy_from_slice(&i16::from(weight).to_le_bytes().map(|byte| byte as i8));
    }

    #[inline(always)]
    unsafe fn ends(self, bias: *const i32, _: *const i32, multipliers: *const f32, clamp: &Clamp) -> Ends {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let [a, b, c, d] = parts(multipliers.cast());
            Ends {
                bias: parts(bias),
                multipliers: [
                    _mm256_castsi256_ps(a),
                    _mm256_castsi256_ps(b),
                    _mm256_castsi256_ps(c),
                    _mm256_castsi256_ps(d),
                ],
                high: _mm256_set1_ps(clamp.bounds()[1]),
                zero: _mm256_set1_epi16(i16::from(clamp.zero)),
                low: _mm256_set1_epi8(clamp.low as i8),
            }
        }
    }

    #[inline(always)]
    fn start(self, ends: &Ends) -> [__m256i; 4] {
        ends.bias
    }

    #[inline(always)]
    unsafe fn unit(self, rows: [Option<*const u8>; 4]) -> [__m256i; 4] {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let zero = _mm256_setzero_si256();
            let [mut a, mut b] = [zero; 2];
            if let Some(row) = rows[0] {
                a = _mm256_loadu_si256(row.cast());
            }
            if let Some(row) = rows[1] {
                b = _mm256_loadu_si256(row.cast());
            }
            let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            [
                _mm256_unpacklo_epi8(low, zero),
                _mm256_unpackhi_epi8(low, zero),
                _mm256_unpacklo_epi8(high, zero),
                _mm256_unpackhi_epi8(high, zero),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add(self, mut sums: [__m256i; 4], unit: &[__m256i; 4], weights: *const i8) -> [__m256i; 4] {
        for (k, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the token proves these instructions; the caller vouches for the memory.
            *sum = unsafe {
                let weights = _mm256_loadu_si256(weights.add(32 * k).cast());
                _mm256_add_epi32(*sum, _mm256_madd_epi16(unit[k], weights))
            };
        }
        sums
    }

    #[inline(always)]
    unsafe fn finish(self, sums: [__m256i; 4], ends: &Ends, to: *mut u8) {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let mut rounded = sums;
            for (sum, multiplier) in rounded.iter_mut().zip(ends.multipliers) {
                // What is too small for i32 becomes its least number.
                let t = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), multiplier);
                *sum = _mm256_cvtps_epi32(_mm256_min_ps(t, ends.high));
            }
            let [a, b, c, d] = rounded;
            let ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), ends.zero);
            let cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), ends.zero);
            _mm256_storeu_si256(to.cast(), _mm256_max_epu8(_mm256_packus_epi16(ab, cd), ends.low));
        }
    }
}

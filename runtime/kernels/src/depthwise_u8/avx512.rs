//! VNNI: sums of four rows at a time, in blocks of 64 channels, and what is left in blocks of 16.

use std::arch::x86_64::*;

use super::Job;
use super::vector::{self, Kernel};
use crate::requantize::Clamp;
use crate::simd::Avx512;

/// 64 channels: a register of each row. Interleaving works inside each 16 bytes, so register `k` of the sums has channels
/// `16 * i + 4 * k + 0..4` in its `i`-th part, and packing them restores the order.
#[derive(Clone, Copy)]
pub(super) struct Wide(Avx512);

/// 16 channels, which a register of sums has in order.
#[derive(Clone, Copy)]
pub(super) struct Narrow(Avx512);

#[derive(Clone, Copy)]
pub(super) struct Ends<const N: usize> {
    bias: [__m512i; N],
    multipliers: [__m512; N],
    high: __m512,
    zero: __m512i,
    low: __m512i,
}

/// The channels of wide blocks.
pub(super) fn wide(channels: usize) -> usize {
    channels / Wide::CHANNELS * Wide::CHANNELS
}

/// Computes an output row, before the table.
pub(super) fn row(token: Avx512, job: &Job<'_>, out: &mut [u8]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    fn inner(token: Avx512, job: &Job<'_>, out: &mut [u8]) {
        let channels = job.weights.channels();
        let (most, rest) = job.weights.sections();
        vector::row(Wide(token), job, 0..wide(channels), most, out);
        vector::row(Narrow(token), job, wide(channels)..channels, rest, out);
    }
    // SAFETY: the token proves these features.
    unsafe { inner(token, job, out) }
}

/// Four registers of sixteen numbers as the parts of `Wide`'s sums.
#[inline(always)]
unsafe fn parts(from: *const i32) -> [__m512i; 4] {
    // SAFETY: the caller has a token, and vouches for 64 numbers.
    unsafe {
        let [a, b, c, d] = [0, 16, 32, 48].map(|at| _mm512_loadu_si512(from.add(at).cast()));
        let (low, low2) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d));
        let (high, high2) = (_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d));
        [
            _mm512_shuffle_i32x4::<0x88>(low, low2),
            _mm512_shuffle_i32x4::<0xdd>(low, low2),
            _mm512_shuffle_i32x4::<0x88>(high, high2),
            _mm512_shuffle_i32x4::<0xdd>(high, high2),
        ]
    }
}

/// Rounded, and no greater than the bound. What is too small for i32 becomes its least number.
#[inline(always)]
fn rounded<const N: usize>(sums: [__m512i; N], ends: &Ends<N>) -> [__m512i; N] {
    let mut out = sums;
    for (sum, multiplier) in out.iter_mut().zip(ends.multipliers) {
        // SAFETY: ends are made with a token only.
        *sum = unsafe {
            let t = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), multiplier);
            _mm512_cvtps_epi32(_mm512_min_ps(t, ends.high))
        };
    }
    out
}

impl Kernel for Wide {
    const CHANNELS: usize = 64;
    const ROWS: usize = 4;
    const BYTES: usize = 256;
    type Unit = [__m512i; 4];
    type Sums = [__m512i; 4];
    type Ends = Ends<4>;

    fn place(channel: usize, row: usize, weight: i8, unit: &mut [i8]) {
        unit[64 * (channel / 4 % 4) + 16 * (channel / 16) + 4 * (channel % 4) + row] = weight;
    }

    #[inline(always)]
    unsafe fn ends(self, bias: *const i32, _: *const i32, multipliers: *const f32, clamp: &Clamp) -> Ends<4> {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            Ends {
                bias: parts(bias),
                multipliers: parts(multipliers.cast()).map(|part| _mm512_castsi512_ps(part)),
                high: _mm512_set1_ps(clamp.bounds()[1]),
                zero: _mm512_set1_epi16(i16::from(clamp.zero)),
                low: _mm512_set1_epi8(clamp.low as i8),
            }
        }
    }

    #[inline(always)]
    fn start(self, ends: &Ends<4>) -> [__m512i; 4] {
        ends.bias
    }

    #[inline(always)]
    unsafe fn unit(self, rows: [Option<*const u8>; 4]) -> [__m512i; 4] {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let mut values = [_mm512_setzero_si512(); 4];
            for (value, row) in values.iter_mut().zip(rows) {
                if let Some(row) = row {
                    *value = _mm512_loadu_si512(row.cast());
                }
            }
            let [a, b, c, d] = values;
            let (ab, ab2) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
            let (cd, cd2) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(ab2, cd2),
                _mm512_unpackhi_epi16(ab2, cd2),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add(self, mut sums: [__m512i; 4], unit: &[__m512i; 4], weights: *const i8) -> [__m512i; 4] {
        for (k, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the token proves these instructions; the caller vouches for the memory.
            *sum = unsafe { _mm512_dpbusd_epi32(*sum, unit[k], _mm512_loadu_si512(weights.add(64 * k).cast())) };
        }
        sums
    }

    #[inline(always)]
    unsafe fn finish(self, sums: [__m512i; 4], ends: &Ends<4>, to: *mut u8) {
        let [a, b, c, d] = rounded(sums, ends);
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), ends.zero);
            let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), ends.zero);
            _mm512_storeu_si512(to.cast(), _mm512_max_epu8(_mm512_packus_epi16(ab, cd), ends.low));
        }
    }
}

impl Kernel for Narrow {
    const CHANNELS: usize = 16;
    const ROWS: usize = 4;
    const BYTES: usize = 64;
    type Unit = __m512i;
    type Sums = __m512i;
    type Ends = Ends<1>;

    fn place(channel: usize, row: usize, weight: i8, unit: &mut [i8]) {
        unit[4 * channel + row] = weight;
    }

    #[inline(always)]
    unsafe fn ends(self, bias: *const i32, _: *const i32, multipliers: *const f32, clamp: &Clamp) -> Ends<1> {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            Ends {
                bias: [_mm512_loadu_si512(bias.cast())],
                multipliers: [_mm512_loadu_ps(multipliers)],
                high: _mm512_set1_ps(clamp.bounds()[1]),
                zero: _mm512_set1_epi32(i32::from(clamp.zero)),
                low: _mm512_set1_epi32(i32::from(clamp.low)),
            }
        }
    }

    #[inline(always)]
    fn start(self, ends: &Ends<1>) -> __m512i {
        ends.bias[0]
    }

    #[inline(always)]
    unsafe fn unit(self, rows: [Option<*const u8>; 4]) -> __m512i {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let mut values = [_mm512_setzero_si512(); 4];
            for (value, row) in values.iter_mut().zip(rows) {
                if let Some(row) = row {
                    *value = _mm512_cvtepu8_epi32(_mm_loadu_si128(row.cast()));
                }
            }
            let [a, b, c, d] = values;
            let ab = _mm512_or_si512(a, _mm512_slli_epi32::<8>(b));
            let cd = _mm512_or_si512(_mm512_slli_epi32::<16>(c), _mm512_slli_epi32::<24>(d));
            _mm512_or_si512(ab, cd)
        }
    }

    #[inline(always)]
    unsafe fn add(self, sums: __m512i, unit: &__m512i, weights: *const i8) -> __m512i {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe { _mm512_dpbusd_epi32(sums, *unit, _mm512_loadu_si512(weights.cast())) }
    }

    #[inline(always)]
    unsafe fn finish(self, sums: __m512i, ends: &Ends<1>, to: *mut u8) {
        let [t] = rounded([sums], ends);
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let q = _mm512_max_epi32(_mm512_add_epi32(t, ends.zero), ends.low);
            _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(q));
        }
    }
}

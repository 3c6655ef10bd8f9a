//! Eight lanes.

use std::arch::x86_64::*;

use half::f16;

use super::{Lanes, Work};
use crate::simd::Avx2;

/// The first `len` lanes, as the sign bits that masked moves look at.
#[inline(always)]
fn mask(len: usize) -> __m256i {
    const WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let window = &WINDOW[8 - len..][..8];
    // SAFETY: AVX is there wherever a caller holds the token; the slice has eight numbers.
    unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
}

impl Lanes for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn inner<W: Work>(token: Avx2, work: W) {
            work.run(token);
        }
        // SAFETY: the token proves these features.
        unsafe { inner(self, work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the token proves FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn clamp(self, value: __m256, low: f32, high: f32) -> __m256 {
        // SAFETY: the token proves AVX2. (`minps` gives its second operand where one is NaN.)
        unsafe { _mm256_min_ps(_mm256_set1_ps(high), self.at_least(value, low)) }
    }

    #[inline(always)]
    fn or_zero(self, value: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_and_ps(value, _mm256_cmp_ps::<_CMP_ORD_Q>(value, value)) }
    }

    #[inline(always)]
    fn at_least(self, value: __m256, low: f32) -> __m256 {
        // SAFETY: the token proves AVX2. (`maxps` gives its second operand where one is NaN.)
        unsafe { _mm256_max_ps(_mm256_set1_ps(low), value) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn above(self, a: __m256, b: __m256) -> u64 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) as u32 as u64 }
    }

    #[inline(always)]
    fn exp2_whole(self, n: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the token proves AVX2; the caller vouches for the memory.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn pick(self, window: __m256, indices: *const u32, first: u32) -> __m256 {
        // SAFETY: the token proves AVX2; the caller vouches for the memory. (The permutation looks at the lowest three bits.)
        unsafe {
            let lanes = _mm256_sub_epi32(_mm256_loadu_si256(indices.cast()), _mm256_set1_epi32(first as i32));
            _mm256_permutevar8x32_ps(window, lanes)
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> __m256 {
        // SAFETY: the token proves F16C; the caller vouches for the memory.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m256, to: *mut f32) {
        // SAFETY: the token proves AVX2; the caller vouches for the memory.
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, len: usize) -> __m256 {
        // SAFETY: the token proves AVX2; masked lanes are not touched, the caller vouches for the others.
        unsafe { _mm256_maskload_ps(from, mask(len)) }
    }

    #[inline(always)]
    unsafe fn store_part(self, value: __m256, to: *mut f32, len: usize) {
        // SAFETY: the token proves AVX2; masked lanes are not touched, the caller vouches for the others.
        unsafe { _mm256_maskstore_ps(to, mask(len), value) }
    }

    /// Four columns at a time: rows `i` and `i + 4` share a register.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        for column in (0..8).step_by(4) {
            // SAFETY: the token proves AVX2; the caller vouches for eight rows of eight numbers on both sides.
            unsafe {
                let quad = |row: usize| _mm_loadu_ps(from.add(row * stride + column));
                let mut rows = [_mm256_setzero_ps(); 4];
                for (i, rows) in rows.iter_mut().enumerate() {
                    *rows = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(quad(i)), quad(i + 4));
                }
                let [a, b, c, d] = rows;
                let pair =
                    |a, b| (_mm256_castps_pd(_mm256_unpacklo_ps(a, b)), _mm256_castps_pd(_mm256_unpackhi_ps(a, b)));
                let ((low, high), (low2, high2)) = (pair(a, b), pair(c, d));
                let columns = [
                    _mm256_unpacklo_pd(low, low2),
                    _mm256_unpackhi_pd(low, low2),
                    _mm256_unpacklo_pd(high, high2),
                    _mm256_unpackhi_pd(high, high2),
                ];
                for (i, values) in columns.into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((column + i) * to_stride), _mm256_castpd_ps(values));
                }
            }
        }
    }
}

//! Eight words of two numbers of sixteen bits: products of bytes would saturate.

use std::arch::x86_64::*;

use super::words::Words;
use crate::simd::Avx2;

impl Words for Avx2 {
    type Floats = Self;
    type Word = __m256i;
    type Sums = __m256i;
    const GROUP: usize = 2;
    const OFFSET: u8 = 0;
    const ACROSS: usize = 4;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }

    #[inline(always)]
    fn splat(self, value: i32) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn multiply(self, a: __m256i, b: i32) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_mullo_epi32(a, _mm256_set1_epi32(b)) }
    }

    #[inline(always)]
    fn max(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_max_epi32(a, b) }
    }

    #[inline(always)]
    fn bytes(self, [a, b, c, d]: [__m256i; 4]) -> __m256i {
        // SAFETY: the token proves AVX2. (Half of a register holds four bytes of each, one after the other.)
        unsafe {
            let packed = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
            let turned = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm256_shuffle_epi8(packed, _mm256_broadcastsi128_si256(turned))
        }
    }

    #[inline(always)]
    fn group(self, [a, b, ..]: [__m256i; 4]) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_or_si256(a, _mm256_slli_epi32::<16>(b)) }
    }

    #[inline(always)]
    fn start(self, value: __m256i) -> __m256i {
        value
    }

    #[inline(always)]
    fn dot(self, sums: __m256i, left: __m256i, right: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(left, right)) }
    }

    #[inline(always)]
    fn finish(self, sums: __m256i) -> __m256i {
        sums
    }

    #[inline(always)]
    fn to_float(self, value: __m256i) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_cvtepi32_ps(value) }
    }

    #[inline(always)]
    fn to_word(self, value: __m256) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_cvtps_epi32(value) }
    }

    #[inline(always)]
    fn round(self, value: __m256) -> __m256 {
        // SAFETY: the token proves AVX2. (Zero: to nearest, ties to even.)
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value) }
    }

    #[inline(always)]
    fn scale(self, value: __m256, n: __m256) -> __m256 {
        // SAFETY: the token proves AVX2. (The exponent's bits are from the 23rd on.)
        unsafe {
            let power = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), power))
        }
    }

    #[inline(always)]
    fn divide(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u32) -> __m256i {
        // SAFETY: the token proves AVX2; the caller vouches for the memory.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m256i, to: *mut u32) {
        // SAFETY: the token proves AVX2; the caller vouches for the memory.
        unsafe { _mm256_storeu_si256(to.cast(), value) }
    }
}

//! Sixteen words of four bytes, multiplied by VNNI: unsigned on the left, signed on the right.

use std::arch::x86_64::*;

use super::words::Words;
use crate::simd::Avx512;

impl Words for Avx512 {
    type Floats = Self;
    type Word = __m512i;
    type Sums = __m512i;
    const GROUP: usize = 4;
    const OFFSET: u8 = 128;
    const ACROSS: usize = 8;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }

    #[inline(always)]
    fn splat(self, value: i32) -> __m512i {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn multiply(self, a: __m512i, b: i32) -> __m512i {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_mullo_epi32(a, _mm512_set1_epi32(b)) }
    }

    #[inline(always)]
    fn max(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_max_epi32(a, b) }
    }

    #[inline(always)]
    fn bytes(self, [a, b, c, d]: [__m512i; 4]) -> __m512i {
        // SAFETY: the token proves AVX-512 BW. (A quarter of a register holds four bytes of each, one after the other.)
        unsafe {
            let packed = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
            let turned = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_shuffle_epi8(packed, _mm512_broadcast_i32x4(turned))
        }
    }

    #[inline(always)]
    fn group(self, from: [__m512i; 4]) -> __m512i {
        self.bytes(from)
    }

    #[inline(always)]
    fn start(self, value: __m512i) -> __m512i {
        value
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, left: __m512i, right: __m512i) -> __m512i {
        // SAFETY: the token proves VNNI.
        unsafe { _mm512_dpbusd_epi32(sums, left, right) }
    }

    #[inline(always)]
    fn finish(self, sums: __m512i) -> __m512i {
        sums
    }

    #[inline(always)]
    fn to_float(self, value: __m512i) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_cvtepi32_ps(value) }
    }

    #[inline(always)]
    fn to_word(self, value: __m512) -> __m512i {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_cvtps_epi32(value) }
    }

    #[inline(always)]
    fn round(self, value: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F. (Zero: to nearest, ties to even, all of the fraction.)
        unsafe { _mm512_roundscale_ps::<0>(value) }
    }

    #[inline(always)]
    fn scale(self, value: __m512, n: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_scalef_ps(value, n) }
    }

    #[inline(always)]
    fn divide(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u32) -> __m512i {
        // SAFETY: the token proves AVX-512 F; the caller vouches for the memory.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m512i, to: *mut u32) {
        // SAFETY: the token proves AVX-512 F; the caller vouches for the memory.
        unsafe { _mm512_storeu_si512(to.cast(), value) }
    }
}

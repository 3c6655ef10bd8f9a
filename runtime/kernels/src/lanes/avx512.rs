//! Sixteen lanes.

use std::arch::x86_64::*;

use half::f16;

use super::{Lanes, Work};
use crate::simd::Avx512;

/// The first `len` lanes.
#[inline(always)]
fn mask(len: usize) -> __mmask16 {
    (1 << len) - 1
}

impl Lanes for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn inner<W: Work>(token: Avx512, work: W) {
            work.run(token);
        }
        // SAFETY: the token proves these features.
        unsafe { inner(self, work) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn clamp(self, value: __m512, low: f32, high: f32) -> __m512 {
        // SAFETY: the token proves AVX-512 F. (`minps` gives its second operand where one is NaN.)
        unsafe { _mm512_min_ps(_mm512_set1_ps(high), self.at_least(value, low)) }
    }

    #[inline(always)]
    fn or_zero(self, value: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(value, value), value) }
    }

    #[inline(always)]
    fn at_least(self, value: __m512, low: f32) -> __m512 {
        // SAFETY: the token proves AVX-512 F. (`maxps` gives its second operand where one is NaN.)
        unsafe { _mm512_max_ps(_mm512_set1_ps(low), value) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn above(self, a: __m512, b: __m512) -> u64 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { u64::from(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b)) }
    }

    #[inline(always)]
    fn exp2_whole(self, n: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the token proves AVX-512 F; the caller vouches for the memory.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn pick(self, window: __m512, indices: *const u32, first: u32) -> __m512 {
        // SAFETY: the token proves AVX-512 F; the caller vouches for the memory. (The permutation looks at the lowest four bits.)
        unsafe {
            let lanes = _mm512_sub_epi32(_mm512_loadu_si512(indices.cast()), _mm512_set1_epi32(first as i32));
            _mm512_permutexvar_ps(lanes, window)
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> __m512 {
        // SAFETY: the token proves AVX-512 F; the caller vouches for the memory.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, value: __m512, to: *mut f32) {
        // SAFETY: the token proves AVX-512 F; the caller vouches for the memory.
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, len: usize) -> __m512 {
        // SAFETY: the token proves AVX-512 F; masked lanes are not touched, the caller vouches for the others.
        unsafe { _mm512_maskz_loadu_ps(mask(len), from) }
    }

    #[inline(always)]
    unsafe fn store_part(self, value: __m512, to: *mut f32, len: usize) {
        // SAFETY: the token proves AVX-512 F; masked lanes are not touched, the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(to, mask(len), value) }
    }

    /// Pairs of rows, then of pairs, then of quads: each row is read once, as a whole cache line where it begins one.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the token proves AVX-512 F; the caller vouches for sixteen rows of sixteen numbers on both sides.
        unsafe {
            let row = |i: usize| _mm512_loadu_ps(from.add(i * stride));
            let pair = |a, b| (_mm512_castps_pd(_mm512_unpacklo_ps(a, b)), _mm512_castps_pd(_mm512_unpackhi_ps(a, b)));
            // Of four rows each: columns `k`, `k + 4`, `k + 8` and `k + 12`.
            let mut quads = [[_mm512_setzero_ps(); 4]; 4];
            for (i, quad) in quads.iter_mut().enumerate() {
                let (low, high) = pair(row(4 * i), row(4 * i + 1));
                let (low2, high2) = pair(row(4 * i + 2), row(4 * i + 3));
                quad[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, low2));
                quad[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, low2));
                quad[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high, high2));
                quad[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high, high2));
            }
            for k in 0..4 {
                let [a, b, c, d] = quads.map(|quad| quad[k]);
                let even = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
                let odd = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d));
                let columns = [
                    _mm512_shuffle_f32x4::<0x88>(even.0, even.1),
                    _mm512_shuffle_f32x4::<0x88>(odd.0, odd.1),
                    _mm512_shuffle_f32x4::<0xdd>(even.0, even.1),
                    _mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1),
                ];
                for (i, values) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * i + k) * to_stride), values);
                }
            }
        }
    }
}

//! Sixty-four bytes at a time.

use std::arch::x86_64::*;

use super::vector::Quantize;
use super::{Clamp, Table};
use crate::lanes::Lanes;
use crate::simd::Avx512;

/// The first `len` bytes.
#[inline(always)]
fn mask(len: usize) -> __mmask64 {
    if len < 64 { (1 << len) - 1 } else { u64::MAX }
}

impl Quantize for Avx512 {
    type Sums = __m512i;

    #[inline(always)]
    fn as_sums(self, bits: __m512) -> __m512i {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_castps_si512(bits) }
    }

    #[inline(always)]
    fn to_f32(self, sums: __m512i) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }

    #[inline(always)]
    unsafe fn load_bytes<const N: usize>(self, from: *const u8, len: usize, zero: u8) -> [__m512; N] {
        let mut values = [self.splat(0.0); N];
        // SAFETY: the token proves the instructions; masked bytes are not touched, the caller vouches for the others.
        unsafe {
            let mut bytes = [_mm_setzero_si128(); 4];
            if len < N * Self::LANES {
                let all = _mm512_maskz_loadu_epi8(mask(len), from.cast());
                bytes[0] = _mm512_castsi512_si128(all);
                bytes[1] = _mm512_extracti32x4_epi32::<1>(all);
                bytes[2] = _mm512_extracti32x4_epi32::<2>(all);
                bytes[3] = _mm512_extracti32x4_epi32::<3>(all);
            } else {
                for (i, bytes) in bytes[..N].iter_mut().enumerate() {
                    *bytes = _mm_loadu_si128(from.add(i * Self::LANES).cast());
                }
            }
            for (value, &bytes) in values.iter_mut().zip(&bytes) {
                let difference = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(zero.into()));
                *value = _mm512_cvtepi32_ps(difference);
            }
        }
        values
    }

    /// Beyond i32, `cvtps2dq` gives the least number. So values are bounded from above in f32, and from below by the packs, which
    /// saturate.
    #[inline(always)]
    unsafe fn store_bytes<const N: usize>(self, values: [__m512; N], clamp: Clamp, to: *mut u8, len: usize) {
        // SAFETY: the token proves the instructions; the caller vouches for the memory.
        unsafe {
            let high = _mm512_set1_ps(f32::from(i16::from(clamp.high) - i16::from(clamp.zero)));
            let zero = _mm512_set1_epi16(clamp.zero.into());
            // (`minps` gives its second operand where one is NaN.)
            let mut q = [_mm512_setzero_si512(); 4];
            for (q, &value) in q.iter_mut().zip(&values) {
                *q = _mm512_cvtps_epi32(_mm512_min_ps(high, value));
            }
            let even = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), zero);
            let odd = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), zero);
            // Packs work in each 128 bits alone.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(even, odd));
            let bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(clamp.low as i8));
            match len {
                64 => _mm512_storeu_si512(to.cast(), bytes),
                32 => _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(bytes)),
                16 => _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(bytes)),
                _ => _mm512_mask_storeu_epi8(to.cast(), mask(len), bytes),
            }
        }
    }
}

/// Applies a table by two permutations of 128 bytes each.
///
/// # Safety
/// The processor has AVX-512 BW and VBMI. `to` is valid for `rows` rows of `len` bytes, `stride` apart.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn map(table: &Table, to: *mut u8, stride: usize, rows: usize, len: usize) {
    // SAFETY: the table has four registers; masked bytes are not touched, the caller vouches for the others.
    unsafe {
        let table = [0, 64, 128, 192].map(|i| _mm512_loadu_si512(table.as_ptr().add(i).cast()));
        for row in (0..rows).map(|row| to.add(row * stride)) {
            for at in (0..len / 64).map(|i| row.add(i * 64)) {
                _mm512_storeu_si512(at.cast(), look_up(&table, _mm512_loadu_si512(at.cast())));
            }
            if !len.is_multiple_of(64) {
                let (at, left) = (row.add(len / 64 * 64), mask(len % 64));
                _mm512_mask_storeu_epi8(at.cast(), left, look_up(&table, _mm512_maskz_loadu_epi8(left, at.cast())));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up(table: &[__m512i; 4], x: __m512i) -> __m512i {
    let low = _mm512_permutex2var_epi8(table[0], x, table[1]);
    let high = _mm512_permutex2var_epi8(table[2], x, table[3]);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high)
}

//! Sixteen bytes at a time, and tables thirty-two.

use std::arch::x86_64::*;

use super::vector::{Quantize, copy_part};
use super::{Clamp, Table, table};
use crate::lanes::Lanes;
use crate::simd::Avx2;

impl Quantize for Avx2 {
    type Sums = __m256i;

    #[inline(always)]
    fn as_sums(self, bits: __m256) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_castps_si256(bits) }
    }

    #[inline(always)]
    fn to_f32(self, sums: __m256i) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_cvtepi32_ps(sums) }
    }

    #[inline(always)]
    unsafe fn load_bytes<const N: usize>(self, from: *const u8, len: usize, zero: u8) -> [__m256; N] {
        // SAFETY: the token proves AVX2; the caller vouches for the memory.
        unsafe {
            if len == N * Self::LANES {
                return load_whole(self, from, zero);
            }
            let mut part = [0u8; 32];
            copy_part(from, part.as_mut_ptr(), (N - 1) * Self::LANES, len);
            load_whole(self, part.as_ptr(), zero)
        }
    }

    /// Beyond i32, `cvtps2dq` gives the least number. So values are bounded from above in f32, and from below by the packs, which
    /// saturate.
    #[inline(always)]
    unsafe fn store_bytes<const N: usize>(self, values: [__m256; N], clamp: Clamp, to: *mut u8, len: usize) {
        // SAFETY: the token proves AVX2; the caller vouches for the memory.
        unsafe {
            let high = _mm256_set1_ps(f32::from(i16::from(clamp.high) - i16::from(clamp.zero)));
            let zero = _mm256_set1_epi16(clamp.zero.into());
            let mut q = [_mm256_setzero_si256(); 4];
            for (q, &value) in q.iter_mut().zip(&values) {
                *q = _mm256_cvtps_epi32(_mm256_min_ps(high, value));
            }
            let mut bytes = [_mm_setzero_si128(); 2];
            for (i, bytes) in bytes[..N.div_ceil(2)].iter_mut().enumerate() {
                // Packs work in each 128 bits alone.
                let q = _mm256_adds_epi16(_mm256_packs_epi32(q[2 * i], q[2 * i + 1]), zero);
                let q = _mm256_permute4x64_epi64::<0b11_01_10_00>(q);
                let q = _mm_packus_epi16(_mm256_castsi256_si128(q), _mm256_extracti128_si256::<1>(q));
                *bytes = _mm_max_epu8(q, _mm_set1_epi8(clamp.low as i8));
            }
            if len == N * Self::LANES {
                store_whole::<N>(bytes, to);
            } else {
                let mut part = [0u8; 32];
                store_whole::<N>(bytes, part.as_mut_ptr());
                copy_part(part.as_ptr(), to, (N - 1) * Self::LANES, len);
            }
        }
    }
}

/// [`Quantize::load_bytes`] of `8 * N` bytes.
///
/// # Safety
/// `from` is valid for them.
#[inline(always)]
unsafe fn load_whole<const N: usize>(token: Avx2, from: *const u8, zero: u8) -> [__m256; N] {
    let mut values = [token.splat(0.0); N];
    // SAFETY: the token proves AVX2; the caller vouches for the memory.
    unsafe {
        for (i, value) in values.iter_mut().enumerate() {
            let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.add(i * 8).cast()));
            *value = _mm256_cvtepi32_ps(_mm256_sub_epi32(bytes, _mm256_set1_epi32(zero.into())));
        }
    }
    values
}

/// Writes `8 * N` bytes.
///
/// # Safety
/// The processor has AVX2, and `to` is valid for them.
#[inline(always)]
unsafe fn store_whole<const N: usize>(bytes: [__m128i; 2], to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe {
        for (i, &bytes) in bytes[..N.div_ceil(2)].iter().enumerate() {
            match N - 2 * i {
                1 => _mm_storel_epi64(to.add(i * 16).cast(), bytes),
                _ => _mm_storeu_si128(to.add(i * 16).cast(), bytes),
            }
        }
    }
}

/// Applies a table by sixteen shuffles of 16 bytes each.
///
/// A shuffle gives zero where bit 7 of an index is set, and else looks at the lowest four bits. Part `i` holds what makes entries `16 * i` on
/// of those before: of a byte below 128, less `16 * i`, it looks up nothing if that is negative, so that exclusive or of all parts ends at
/// the right one. The same once more for bytes from 128 on, whose bit 7 is turned.
///
/// # Safety
/// The processor has AVX2. `to` is valid for `rows` rows of `len` bytes, `stride` apart.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn map(full: &Table, to: *mut u8, stride: usize, rows: usize, len: usize) {
    let mut parts = *full;
    for i in (0..256).filter(|i| i % 128 >= 16) {
        parts[i] ^= full[i - 16];
    }
    // SAFETY: parts have 16 bytes each; the caller vouches for the rows.
    unsafe {
        let look_up = |x: __m256i| {
            let (mut found, step) = (_mm256_setzero_si256(), _mm256_set1_epi8(16));
            for half in 0..2 {
                let mut index = if half == 0 { x } else { _mm256_xor_si256(x, _mm256_set1_epi8(-128)) };
                for i in 0..8 {
                    let part = _mm_loadu_si128(parts.as_ptr().add(half * 128 + i * 16).cast());
                    found = _mm256_xor_si256(found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(part), index));
                    // Saturates, so that what is negative stays so.
                    index = _mm256_subs_epi8(index, step);
                }
            }
            found
        };
        for row in (0..rows).map(|row| to.add(row * stride)) {
            for at in (0..len / 32).map(|i| row.add(i * 32)) {
                _mm256_storeu_si256(at.cast(), look_up(_mm256_loadu_si256(at.cast())));
            }
            let done = len / 32 * 32;
            table::scalar(full, std::slice::from_raw_parts_mut(row.add(done), len - done));
        }
    }
}

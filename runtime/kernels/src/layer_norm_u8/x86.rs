//! Sums of rows on registers.

use std::arch::x86_64::*;

use super::Sums;
use crate::simd::{Avx2, Avx512};

impl Sums for Avx2 {
    const BYTES: usize = 32;

    #[inline(always)]
    fn sums(self, row: &[u8]) -> [u32; 2] {
        // SAFETY: the token proves AVX2; chunks hold a register.
        unsafe {
            let zero = _mm256_setzero_si256();
            let [mut sum, mut squares] = [zero; 2];
            for chunk in row.chunks_exact(Self::BYTES) {
                let bytes = _mm256_loadu_si256(chunk.as_ptr().cast());
                sum = _mm256_add_epi32(sum, _mm256_sad_epu8(bytes, zero));
                for words in [_mm256_unpacklo_epi8(bytes, zero), _mm256_unpackhi_epi8(bytes, zero)] {
                    squares = _mm256_add_epi32(squares, _mm256_madd_epi16(words, words));
                }
            }
            [sum, squares].map(|lanes| {
                let mut all = [0u32; 8];
                _mm256_storeu_si256(all.as_mut_ptr().cast(), lanes);
                all.iter().sum()
            })
        }
    }
}

impl Sums for Avx512 {
    const BYTES: usize = 32;

    #[inline(always)]
    fn sums(self, row: &[u8]) -> [u32; 2] {
        // SAFETY: the token proves AVX-512 F, BW and VNNI; chunks hold half a register.
        unsafe {
            let [mut sum, mut squares] = [_mm512_setzero_si512(); 2];
            let ones = _mm512_set1_epi16(1);
            for chunk in row.chunks_exact(Self::BYTES) {
                let words = _mm512_cvtepu8_epi16(_mm256_loadu_si256(chunk.as_ptr().cast()));
                sum = _mm512_dpwssd_epi32(sum, words, ones);
                squares = _mm512_dpwssd_epi32(squares, words, words);
            }
            [_mm512_reduce_add_epi32(sum) as u32, _mm512_reduce_add_epi32(squares) as u32]
        }
    }
}

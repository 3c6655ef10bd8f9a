//! Sums of rows on registers.

use std::arch::aarch64::*;

use super::Sums;
use crate::simd::Neon;

impl Sums for Neon {
    const BYTES: usize = 16;

    #[inline(always)]
    fn sums(self, row: &[u8]) -> [u32; 2] {
        // SAFETY: the token proves Advanced SIMD; chunks hold a register.
        unsafe {
            let [mut sum, mut squares] = [vdupq_n_u32(0); 2];
            for chunk in row.chunks_exact(Self::BYTES) {
                let bytes = vld1q_u8(chunk.as_ptr());
                sum = vpadalq_u16(sum, vpaddlq_u8(bytes));
                let low = vget_low_u8(bytes);
                squares = vpadalq_u16(squares, vmull_u8(low, low));
                squares = vpadalq_u16(squares, vmull_high_u8(bytes, bytes));
            }
            [vaddvq_u32(sum), vaddvq_u32(squares)]
        }
    }
}

//! DotProd: sums of four bytes times four bytes at a time, weights as three digits.

use std::arch::aarch64::*;
use std::arch::asm;

use super::HALF;
use super::axis::Taps;
use super::neon::Multiply;
use crate::simd::{NeonDot, NeonI8mm};

/// Proof of `udot`.
#[derive(Clone, Copy)]
pub(super) struct Udot(());

impl From<NeonDot> for Udot {
    fn from(_: NeonDot) -> Self {
        Udot(())
    }
}

impl From<NeonI8mm> for Udot {
    fn from(_: NeonI8mm) -> Self {
        Udot(())
    }
}

impl Multiply for Udot {
    /// Of the digits.
    type Sums = [uint32x4_t; 3];

    #[inline(always)]
    fn start(self) -> Self::Sums {
        // SAFETY: the token proves these instructions.
        unsafe { [vdupq_n_u32(HALF as u32 >> 16), vdupq_n_u32(0), vdupq_n_u32(0)] }
    }

    #[inline(always)]
    fn add(self, [a, b, c]: &mut Self::Sums, words: uint8x16_t, taps: &Taps) {
        // SAFETY: four words are read from an array of four.
        let taps = unsafe { vld1q_u32(taps.as_ptr()) };
        // The intrinsic is not stable yet; its instruction is.
        // SAFETY: the token proves the instruction, which touches its operands only.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "udot {a:v}.4s, {words:v}.16b, {taps:v}.4b[0]",
                "udot {b:v}.4s, {words:v}.16b, {taps:v}.4b[1]",
                "udot {c:v}.4s, {words:v}.16b, {taps:v}.4b[2]",
                a = inout(vreg) *a,
                b = inout(vreg) *b,
                c = inout(vreg) *c,
                words = in(vreg) words,
                taps = in(vreg) taps,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn finish(self, [a, b, c]: Self::Sums) -> uint32x4_t {
        // SAFETY: the token proves these instructions.
        unsafe {
            let ab = vaddq_u32(vshlq_n_u32::<8>(a), b);
            vaddq_u32(vshlq_n_u32::<8>(ab), c)
        }
    }
}

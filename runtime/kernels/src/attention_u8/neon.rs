//! Four words: of four bytes where there is DotProd, else of two numbers of sixteen bits, since products of bytes leave those.

use std::arch::aarch64::*;
use std::arch::asm;

use super::words::Words;
use crate::simd::{Neon, NeonDot};

/// What is the same for both.
macro_rules! common {
    () => {
        type Floats = Neon;
        type Word = int32x4_t;

        #[inline(always)]
        fn splat(self, value: i32) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vdupq_n_s32(value) }
        }

        #[inline(always)]
        fn add(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vaddq_s32(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vsubq_s32(a, b) }
        }

        #[inline(always)]
        fn multiply(self, a: int32x4_t, b: i32) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vmulq_n_s32(a, b) }
        }

        #[inline(always)]
        fn max(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vmaxq_s32(a, b) }
        }

        #[inline(always)]
        fn bytes(self, [a, b, c, d]: [int32x4_t; 4]) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD. (Shifts left, and keeps the bits below.)
            unsafe { vsliq_n_s32::<16>(vsliq_n_s32::<8>(a, b), vsliq_n_s32::<8>(c, d)) }
        }

        #[inline(always)]
        fn to_float(self, value: int32x4_t) -> float32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vcvtq_f32_s32(value) }
        }

        #[inline(always)]
        fn to_word(self, value: float32x4_t) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vcvtnq_s32_f32(value) }
        }

        #[inline(always)]
        fn round(self, value: float32x4_t) -> float32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vrndnq_f32(value) }
        }

        #[inline(always)]
        fn scale(self, value: float32x4_t, n: float32x4_t) -> float32x4_t {
            // SAFETY: the token proves Advanced SIMD. (The exponent's bits are from the 23rd on.)
            unsafe {
                let power = vshlq_n_s32::<23>(vcvtq_s32_f32(n));
                vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(value), power))
            }
        }

        #[inline(always)]
        fn divide(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: the token proves Advanced SIMD.
            unsafe { vdivq_f32(a, b) }
        }

        #[inline(always)]
        unsafe fn load(self, from: *const u32) -> int32x4_t {
            // SAFETY: the token proves Advanced SIMD; the caller vouches for the memory.
            unsafe { vld1q_s32(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store(self, value: int32x4_t, to: *mut u32) {
            // SAFETY: the token proves Advanced SIMD; the caller vouches for the memory.
            unsafe { vst1q_s32(to.cast(), value) }
        }
    };
}

impl Words for Neon {
    common!();
    /// Of the two numbers of each word apart: the first two words, and the others.
    type Sums = [int32x4_t; 2];
    const GROUP: usize = 2;
    const OFFSET: u8 = 0;
    const ACROSS: usize = 4;

    #[inline(always)]
    fn floats(self) -> Neon {
        self
    }

    #[inline(always)]
    fn group(self, [a, b, ..]: [int32x4_t; 4]) -> int32x4_t {
        // SAFETY: the token proves Advanced SIMD. (Shifts left, and keeps the bits below.)
        unsafe { vsliq_n_s32::<16>(a, b) }
    }

    #[inline(always)]
    fn start(self, value: int32x4_t) -> Self::Sums {
        // SAFETY: the token proves Advanced SIMD.
        unsafe {
            let zero = vdupq_n_s32(0);
            [vzip1q_s32(value, zero), vzip2q_s32(value, zero)]
        }
    }

    #[inline(always)]
    fn dot(self, [low, high]: Self::Sums, left: int32x4_t, right: int32x4_t) -> Self::Sums {
        // SAFETY: the token proves Advanced SIMD.
        unsafe {
            let (left, right) = (vreinterpretq_s16_s32(left), vreinterpretq_s16_s32(right));
            [vmlal_s16(low, vget_low_s16(left), vget_low_s16(right)), vmlal_high_s16(high, left, right)]
        }
    }

    #[inline(always)]
    fn finish(self, [low, high]: Self::Sums) -> int32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vpaddq_s32(low, high) }
    }
}

impl Words for NeonDot {
    common!();
    type Sums = int32x4_t;
    const GROUP: usize = 4;
    const OFFSET: u8 = 0;
    const ACROSS: usize = 8;

    #[inline(always)]
    fn floats(self) -> Neon {
        self.neon()
    }

    #[inline(always)]
    fn group(self, from: [int32x4_t; 4]) -> int32x4_t {
        self.bytes(from)
    }

    #[inline(always)]
    fn start(self, value: int32x4_t) -> int32x4_t {
        value
    }

    #[inline(always)]
    fn dot(self, mut sums: int32x4_t, left: int32x4_t, right: int32x4_t) -> int32x4_t {
        // The intrinsic is not stable yet; its instruction is.
        // SAFETY: the token proves the instruction, which touches its operands only.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "udot {sums:v}.4s, {left:v}.16b, {right:v}.16b",
                sums = inout(vreg) sums,
                left = in(vreg) left,
                right = in(vreg) right,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }

    #[inline(always)]
    fn finish(self, sums: int32x4_t) -> int32x4_t {
        sums
    }
}

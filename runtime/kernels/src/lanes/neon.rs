//! Four lanes.

use std::arch::aarch64::*;

use half::f16;

use super::{Lanes, Work};
use crate::simd::Neon;

impl Lanes for Neon {
    type Vector = float32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    /// Every aarch64 target enables the features.
    fn run<W: Work>(self, work: W) {
        work.run(self);
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn clamp(self, value: float32x4_t, low: f32, high: f32) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD. (`fmin` gives NaN where one operand is.)
        unsafe { vminq_f32(self.at_least(value, low), vdupq_n_f32(high)) }
    }

    #[inline(always)]
    fn or_zero(self, value: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(value), vceqq_f32(value, value))) }
    }

    #[inline(always)]
    fn at_least(self, value: float32x4_t, low: f32) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD. (`fmax` gives NaN where one operand is.)
        unsafe { vmaxq_f32(value, vdupq_n_f32(low)) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vmaxq_f32(a, b) }
    }

    #[inline(always)]
    fn above(self, a: float32x4_t, b: float32x4_t) -> u64 {
        const BITS: [u32; 4] = [1, 2, 4, 8];
        // SAFETY: the token proves Advanced SIMD; the array has four numbers.
        unsafe { u64::from(vaddvq_u32(vandq_u32(vcgtq_f32(a, b), vld1q_u32(BITS.as_ptr())))) }
    }

    #[inline(always)]
    fn exp2_whole(self, n: float32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD; the caller vouches for the memory.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn pick(self, window: float32x4_t, indices: *const u32, first: u32) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD; the caller vouches for the memory. (Bytes beyond the table are zero.)
        unsafe {
            let lanes = vsubq_u32(vld1q_u32(indices), vdupq_n_u32(first));
            // The four bytes of a lane, from the lowest on.
            let bytes = vmlaq_u32(vdupq_n_u32(0x0302_0100), lanes, vdupq_n_u32(0x0404_0404));
            vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(window), vreinterpretq_u8_u32(bytes)))
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD, of which widening f16 is part; the caller vouches for the memory.
        unsafe { vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(self, value: float32x4_t, to: *mut f32) {
        // SAFETY: the token proves Advanced SIMD; the caller vouches for the memory.
        unsafe { vst1q_f32(to, value) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, len: usize) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD; the caller vouches for `len` numbers.
        unsafe {
            match len {
                1 => vsetq_lane_f32::<0>(*from, vdupq_n_f32(0.0)),
                2 => vcombine_f32(vld1_f32(from), vdup_n_f32(0.0)),
                3 => vcombine_f32(vld1_f32(from), vset_lane_f32::<0>(*from.add(2), vdup_n_f32(0.0))),
                _ => vdupq_n_f32(0.0),
            }
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, value: float32x4_t, to: *mut f32, len: usize) {
        // SAFETY: the token proves Advanced SIMD; the caller vouches for `len` numbers.
        unsafe {
            match len {
                1 => *to = vgetq_lane_f32::<0>(value),
                2 => vst1_f32(to, vget_low_f32(value)),
                3 => {
                    vst1_f32(to, vget_low_f32(value));
                    *to.add(2) = vgetq_lane_f32::<2>(value);
                }
                _ => {}
            }
        }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the token proves Advanced SIMD; the caller vouches for four rows of four numbers on both sides.
        unsafe {
            let row = |i: usize| vld1q_f32(from.add(i * stride));
            let pair = |a, b| (vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(a, b)));
            let ((even, odd), (even2, odd2)) = (pair(row(0), row(1)), pair(row(2), row(3)));
            let columns =
                [vtrn1q_f64(even, even2), vtrn1q_f64(odd, odd2), vtrn2q_f64(even, even2), vtrn2q_f64(odd, odd2)];
            for (i, values) in columns.into_iter().enumerate() {
                vst1q_f32(to.add(i * to_stride), vreinterpretq_f32_f64(values));
            }
        }
    }
}

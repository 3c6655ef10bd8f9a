//! Blocks of 16 channels. Bytes are taken as the signed numbers that are 128 less; the bias takes that back.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Job;
use super::vector::{self, Kernel};
use crate::requantize::Clamp;
use crate::simd::{Neon, NeonDot};

/// Products of 8 bits, of which two are added in 16 bits, which hold `2 * 128 * 127`.
#[derive(Clone, Copy)]
pub(super) struct Pairs(Neon);

/// `sdot`: four rows at a time.
#[derive(Clone, Copy)]
pub(super) struct Quads(NeonDot);

#[derive(Clone, Copy)]
pub(super) struct Ends {
    bias: [int32x4_t; 4],
    multipliers: [float32x4_t; 4],
    zero: int16x8_t,
    low: uint8x16_t,
    high: uint8x16_t,
}

/// Computes an output row, before the table.
pub(super) fn row_of_pairs(token: Neon, job: &Job<'_>, out: &mut [u8]) {
    vector::row(Pairs(token), job, 0..job.weights.channels(), job.weights.sections().0, out);
}

/// Computes an output row, before the table.
pub(super) fn row_of_quads(token: NeonDot, job: &Job<'_>, out: &mut [u8]) {
    vector::row(Quads(token), job, 0..job.weights.channels(), job.weights.sections().0, out);
}

/// A block of a row, less 128; zeros where there is none.
#[inline(always)]
unsafe fn signed(row: Option<*const u8>) -> int8x16_t {
    // SAFETY: every aarch64 target has these instructions; the caller vouches for the memory.
    unsafe {
        match row {
            Some(row) => vreinterpretq_s8_u8(veorq_u8(vld1q_u8(row), vdupq_n_u8(128))),
            None => vdupq_n_s8(0),
        }
    }
}

#[inline(always)]
unsafe fn ends(bias: *const i32, sums: *const i32, multipliers: *const f32, clamp: &Clamp) -> Ends {
    // SAFETY: every aarch64 target has these instructions; the caller vouches for the memory.
    unsafe {
        let part = |k: usize| vmlaq_n_s32(vld1q_s32(bias.add(4 * k)), vld1q_s32(sums.add(4 * k)), 128);
        Ends {
            bias: [part(0), part(1), part(2), part(3)],
            multipliers: [0, 4, 8, 12].map(|at| vld1q_f32(multipliers.add(at))),
            zero: vdupq_n_s16(i16::from(clamp.zero)),
            low: vdupq_n_u8(clamp.low),
            high: vdupq_n_u8(clamp.high),
        }
    }
}

/// Every step saturates, so that the bounds may come last.
#[inline(always)]
unsafe fn finish(sums: [int32x4_t; 4], ends: &Ends, to: *mut u8) {
    // SAFETY: every aarch64 target has these instructions; the caller vouches for the memory.
    unsafe {
        let mut rounded = sums;
        for (sum, multiplier) in rounded.iter_mut().zip(ends.multipliers) {
            *sum = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(*sum), multiplier));
        }
        let [a, b, c, d] = rounded;
        let ab = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), ends.zero);
        let cd = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(c), d), ends.zero);
        let q = vqmovun_high_s16(vqmovun_s16(ab), cd);
        vst1q_u8(to, vminq_u8(vmaxq_u8(q, ends.low), ends.high));
    }
}

impl Kernel for Pairs {
    const CHANNELS: usize = 16;
    const ROWS: usize = 2;
    const BYTES: usize = 32;
    /// The second is `None` beyond the window.
    type Unit = (int8x16_t, Option<int8x16_t>);
    type Sums = [int32x4_t; 4];
    type Ends = Ends;

    fn place(channel: usize, row: usize, weight: i8, unit: &mut [i8]) {
        unit[16 * row + channel] = weight;
    }

    #[inline(always)]
    unsafe fn ends(self, bias: *const i32, sums: *const i32, multipliers: *const f32, clamp: &Clamp) -> Ends {
        // SAFETY: as the caller promises.
        unsafe { ends(bias, sums, multipliers, clamp) }
    }

    #[inline(always)]
    fn start(self, ends: &Ends) -> [int32x4_t; 4] {
        ends.bias
    }

    #[inline(always)]
    unsafe fn unit(self, rows: [Option<*const u8>; 4]) -> Self::Unit {
        // SAFETY: as the caller promises.
        unsafe { (signed(rows[0]), rows[1].map(|row| signed(Some(row)))) }
    }

    #[inline(always)]
    unsafe fn add(self, [a, b, c, d]: [int32x4_t; 4], unit: &Self::Unit, weights: *const i8) -> [int32x4_t; 4] {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let taps = vld1q_s8(weights);
            let mut low = vmull_s8(vget_low_s8(unit.0), vget_low_s8(taps));
            let mut high = vmull_high_s8(unit.0, taps);
            if let Some(second) = unit.1 {
                let taps = vld1q_s8(weights.add(16));
                low = vmlal_s8(low, vget_low_s8(second), vget_low_s8(taps));
                high = vmlal_high_s8(high, second, taps);
            }
            [
                vaddw_s16(a, vget_low_s16(low)),
                vaddw_high_s16(b, low),
                vaddw_s16(c, vget_low_s16(high)),
                vaddw_high_s16(d, high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn finish(self, sums: [int32x4_t; 4], ends: &Ends, to: *mut u8) {
        // SAFETY: as the caller promises.
        unsafe { finish(sums, ends, to) }
    }
}

impl Kernel for Quads {
    const CHANNELS: usize = 16;
    const ROWS: usize = 4;
    const BYTES: usize = 64;
    type Unit = [int8x16_t; 4];
    type Sums = [int32x4_t; 4];
    type Ends = Ends;

    fn place(channel: usize, row: usize, weight: i8, unit: &mut [i8]) {
        unit[4 * channel + row] = weight;
    }

    #[inline(always)]
    unsafe fn ends(self, bias: *const i32, sums: *const i32, multipliers: *const f32, clamp: &Clamp) -> Ends {
        // SAFETY: as the caller promises.
        unsafe { ends(bias, sums, multipliers, clamp) }
    }

    #[inline(always)]
    fn start(self, ends: &Ends) -> [int32x4_t; 4] {
        ends.bias
    }

    #[inline(always)]
    unsafe fn unit(self, rows: [Option<*const u8>; 4]) -> [int8x16_t; 4] {
        // SAFETY: the token proves these instructions; the caller vouches for the memory.
        unsafe {
            let [a, b, c, d] = [signed(rows[0]), signed(rows[1]), signed(rows[2]), signed(rows[3])];
            let zipped = |a, b| (vreinterpretq_s16_s8(vzip1q_s8(a, b)), vreinterpretq_s16_s8(vzip2q_s8(a, b)));
            let ((ab, ab2), (cd, cd2)) = (zipped(a, b), zipped(c, d));
            [
                vreinterpretq_s8_s16(vzip1q_s16(ab, cd)),
                vreinterpretq_s8_s16(vzip2q_s16(ab, cd)),
                vreinterpretq_s8_s16(vzip1q_s16(ab2, cd2)),
                vreinterpretq_s8_s16(vzip2q_s16(ab2, cd2)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add(self, mut sums: [int32x4_t; 4], unit: &[int8x16_t; 4], weights: *const i8) -> [int32x4_t; 4] {
        for (k, sum) in sums.iter_mut().enumerate() {
            // The intrinsic is not stable yet; its instruction is.
            // SAFETY: the token proves the instruction, which touches its operands only; the caller vouches for the memory.
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {sum:v}.4s, {unit:v}.16b, {taps:v}.16b",
                    sum = inout(vreg) *sum,
                    unit = in(vreg) unit[k],
                    taps = in(vreg) vld1q_s8(weights.add(16 * k)),
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn finish(self, sums: [int32x4_t; 4], ends: &Ends, to: *mut u8) {
        // SAFETY: as the caller promises.
        unsafe { finish(sums, ends, to) }
    }
}

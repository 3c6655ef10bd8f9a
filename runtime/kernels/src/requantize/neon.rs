//! Sixteen bytes at a time.

use std::arch::aarch64::*;

use super::vector::{Quantize, copy_part};
use super::{Clamp, Table, table};
use crate::lanes::Lanes;
use crate::simd::Neon;

impl Quantize for Neon {
    type Sums = int32x4_t;

    #[inline(always)]
    fn as_sums(self, bits: float32x4_t) -> int32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vreinterpretq_s32_f32(bits) }
    }

    #[inline(always)]
    fn to_f32(self, sums: int32x4_t) -> float32x4_t {
        // SAFETY: the token proves Advanced SIMD.
        unsafe { vcvtq_f32_s32(sums) }
    }

    #[inline(always)]
    unsafe fn load_bytes<const N: usize>(self, from: *const u8, len: usize, zero: u8) -> [float32x4_t; N] {
        let mut values = [self.splat(0.0); N];
        // SAFETY: the token proves Advanced SIMD; the caller vouches for the memory.
        unsafe {
            let bytes = if len == N * Self::LANES {
                load_whole::<N>(from)
            } else {
                let mut part = [0u8; 16];
                copy_part(from, part.as_mut_ptr(), (N - 1) * Self::LANES, len);
                vld1q_u8(part.as_ptr())
            };
            // The difference of two bytes, modulo 2^16.
            let low = vreinterpretq_s16_u16(vsubl_u8(vget_low_u8(bytes), vdup_n_u8(zero)));
            let high = vreinterpretq_s16_u16(vsubl_u8(vget_high_u8(bytes), vdup_n_u8(zero)));
            for (i, value) in values.iter_mut().enumerate() {
                let half = if i < 2 { low } else { high };
                let words = if i % 2 == 0 { vmovl_s16(vget_low_s16(half)) } else { vmovl_high_s16(half) };
                *value = vcvtq_f32_s32(words);
            }
        }
        values
    }

    /// Conversions and narrowing saturate, and so does the sum with the zero point.
    #[inline(always)]
    unsafe fn store_bytes<const N: usize>(self, values: [float32x4_t; N], clamp: Clamp, to: *mut u8, len: usize) {
        // SAFETY: the token proves Advanced SIMD; the caller vouches for the memory.
        unsafe {
            let zero = vdupq_n_s16(clamp.zero.into());
            let mut q = [vdupq_n_s32(0); 4];
            for (q, &value) in q.iter_mut().zip(&values) {
                *q = vcvtnq_s32_f32(value);
            }
            let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(q[0]), q[1]), zero);
            let mut bytes = vcombine_u8(vqmovun_s16(low), vdup_n_u8(0));
            if N > 2 {
                let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(q[2]), q[3]), zero);
                bytes = vqmovun_high_s16(vget_low_u8(bytes), high);
            }
            let bytes = vminq_u8(vmaxq_u8(bytes, vdupq_n_u8(clamp.low)), vdupq_n_u8(clamp.high));
            if len == N * Self::LANES {
                store_whole::<N>(bytes, to);
            } else {
                let mut part = [0u8; 16];
                vst1q_u8(part.as_mut_ptr(), bytes);
                copy_part(part.as_ptr(), to, (N - 1) * Self::LANES, len);
            }
        }
    }
}

/// Reads `4 * N` bytes.
///
/// # Safety
/// `from` is valid for them.
#[inline(always)]
unsafe fn load_whole<const N: usize>(from: *const u8) -> uint8x16_t {
    // SAFETY: every aarch64 target has these instructions; the caller vouches for the memory.
    unsafe {
        match N {
            1 => vcombine_u8(load_four(from), vdup_n_u8(0)),
            2 => vcombine_u8(vld1_u8(from), vdup_n_u8(0)),
            3 => vcombine_u8(vld1_u8(from), load_four(from.add(8))),
            _ => vld1q_u8(from),
        }
    }
}

/// Reads four bytes.
///
/// # Safety
/// `from` is valid for them.
#[inline(always)]
unsafe fn load_four(from: *const u8) -> uint8x8_t {
    // SAFETY: every aarch64 target has these instructions; the caller vouches for the memory.
    unsafe { vreinterpret_u8_u32(vset_lane_u32::<0>(from.cast::<u32>().read_unaligned(), vdup_n_u32(0))) }
}

/// Writes `4 * N` bytes.
///
/// # Safety
/// `to` is valid for them.
#[inline(always)]
unsafe fn store_whole<const N: usize>(bytes: uint8x16_t, to: *mut u8) {
    // SAFETY: every aarch64 target has these instructions; the caller vouches for the memory.
    unsafe {
        let words = vreinterpretq_u32_u8(bytes);
        match N {
            1 => to.cast::<u32>().write_unaligned(vgetq_lane_u32::<0>(words)),
            2 => vst1_u8(to, vget_low_u8(bytes)),
            3 => {
                vst1_u8(to, vget_low_u8(bytes));
                to.add(8).cast::<u32>().write_unaligned(vgetq_lane_u32::<2>(words));
            }
            _ => vst1q_u8(to, bytes),
        }
    }
}

/// Applies a table by four look-ups of 64 bytes each.
///
/// # Safety
/// `to` is valid for `rows` rows of `len` bytes, `stride` apart.
pub(super) unsafe fn map(full: &Table, to: *mut u8, stride: usize, rows: usize, len: usize) {
    // SAFETY: every aarch64 target has these instructions; parts have 64 bytes each; the caller vouches for the rows.
    unsafe {
        let part = |i: usize| vld1q_u8_x4(full.as_ptr().add(i * 64));
        let parts = [part(0), part(1), part(2), part(3)];
        for row in (0..rows).map(|row| to.add(row * stride)) {
            for at in (0..len / 16).map(|i| row.add(i * 16)) {
                let x = vld1q_u8(at);
                // An index outside of a part finds zero in the first, and what was there before in the others.
                let mut found = vqtbl4q_u8(parts[0], x);
                found = vqtbx4q_u8(found, parts[1], vsubq_u8(x, vdupq_n_u8(64)));
                found = vqtbx4q_u8(found, parts[2], vsubq_u8(x, vdupq_n_u8(128)));
                found = vqtbx4q_u8(found, parts[3], vsubq_u8(x, vdupq_n_u8(192)));
                vst1q_u8(at, found);
            }
            let done = len / 16 * 16;
            table::scalar(full, std::slice::from_raw_parts_mut(row.add(done), len - done));
        }
    }
}

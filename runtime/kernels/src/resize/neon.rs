//! Advanced SIMD: one output pixel's channels, or four columns, in a register. How words of four bytes are multiplied
//! with four taps and summed is a [`Multiply`], so that processors with DotProd share all else.

use std::arch::aarch64::*;

use super::axis::Taps;
use super::{Across, BLOCK, Down, HALF, PRECISION_BITS, gather};
use crate::normalize::Channel;
use crate::simd::Neon;

/// A way to sum words of four bytes times four taps, exact in i32, and proof that this processor has it and Advanced SIMD.
pub(super) trait Multiply: Copy {
    /// Sums of four words.
    type Sums: Copy;
    /// [`HALF`].
    fn start(self) -> Self::Sums;
    /// Adds to each word's sum its bytes times `taps`.
    fn add(self, sums: &mut Self::Sums, words: uint8x16_t, taps: &Taps);
    /// The whole sums.
    fn finish(self, sums: Self::Sums) -> uint32x4_t;
}

impl Multiply for Neon {
    type Sums = uint32x4_t;

    #[inline(always)]
    fn start(self) -> uint32x4_t {
        // SAFETY: the token proves this instruction.
        unsafe { vdupq_n_u32(HALF as u32) }
    }

    #[inline(always)]
    fn add(self, sums: &mut uint32x4_t, words: uint8x16_t, taps: &Taps) {
        // SAFETY: the token proves these instructions.
        unsafe { multiply_add(sums, vreinterpretq_u32_u8(words), taps) }
    }

    #[inline(always)]
    fn finish(self, sums: uint32x4_t) -> uint32x4_t {
        sums
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn multiply_add(sums: &mut uint32x4_t, words: uint32x4_t, taps: &Taps) {
    let byte = vdupq_n_u32(0xFF);
    let [a, b, c, d] = *taps;
    *sums = vmlaq_n_u32(*sums, vandq_u32(words, byte), a);
    *sums = vmlaq_n_u32(*sums, vandq_u32(vshrq_n_u32::<8>(words), byte), b);
    *sums = vmlaq_n_u32(*sums, vandq_u32(vshrq_n_u32::<16>(words), byte), c);
    *sums = vmlaq_n_u32(*sums, vshrq_n_u32::<24>(words), d);
}

pub(super) fn horizontal<const PIXEL: usize, M: Multiply>(
    multiply: M,
    across: &Across,
    rows: [&[u8]; 4],
    planes: [&mut [u32]; 3],
) {
    // SAFETY: the token proves these instructions.
    unsafe { colours::<PIXEL, M>(multiply, across, rows, planes) }
}

pub(super) fn horizontal_quads<M: Multiply>(multiply: M, across: &Across, source: &[u8], plane: &mut [u32]) {
    // SAFETY: the token proves these instructions.
    unsafe { greys(multiply, across, source, plane) }
}

pub(super) fn vertical_u8<'a, M: Multiply>(
    multiply: M,
    down: &Down,
    i: usize,
    quad: impl Fn(usize) -> &'a [u32],
    out: &mut [u8],
) {
    // SAFETY: the token proves these instructions.
    unsafe { bytes(multiply, down, i, quad, out) }
}

pub(super) fn vertical_f32<'a, M: Multiply>(
    multiply: M,
    down: &Down,
    i: usize,
    quad: impl Fn(usize) -> &'a [u32],
    channel: &Channel,
    out: &mut [f32],
) {
    // SAFETY: the token proves these instructions.
    unsafe { floats(multiply, down, i, quad, channel, out) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_16(source: &[u8], at: usize) -> uint8x16_t {
    debug_assert!(at + 16 <= source.len());
    // SAFETY: callers keep `at + 16` within `source`.
    unsafe { vld1q_u8(source.as_ptr().add(at)) }
}

/// The pixels of one group of taps of an output pixel, gathered by channel. Nothing is read beyond the row's end; weights
/// are 0 there.
#[inline]
#[target_feature(enable = "neon")]
fn window<const PIXEL: usize>(row: &[u8], at: usize) -> uint8x16_t {
    let from = at.min(row.len() - 16);
    let control = vaddq_u8(load_16(&const { gather::<PIXEL>() }, 0), vdupq_n_u8((at - from).min(64) as u8));
    vqtbl1q_u8(load_16(row, from), control)
}

/// Output pixel `i` of four rows: words are the channels, bytes the rows.
#[inline]
#[target_feature(enable = "neon")]
fn colour<const PIXEL: usize, M: Multiply>(
    multiply: M,
    start: usize,
    groups: &[[Taps; 4]],
    s: usize,
    rows: [&[u8]; 4],
) -> uint32x4_t {
    let mut sums = [multiply.start(); 4];
    for (g, taps) in groups.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            multiply.add(sums, window::<PIXEL>(row, (start + 4 * g) * PIXEL), &taps[s]);
        }
    }
    let [a, b, c, d] = sums.map(|sums| round(multiply, sums));
    vsliq_n_u32::<24>(vsliq_n_u32::<16>(vsliq_n_u32::<8>(a, b), c), d)
}

#[inline]
#[target_feature(enable = "neon")]
fn round<M: Multiply>(multiply: M, sums: M::Sums) -> uint32x4_t {
    vshrq_n_u32::<{ PRECISION_BITS as i32 }>(multiply.finish(sums))
}

#[inline]
#[target_feature(enable = "neon")]
fn colours<const PIXEL: usize, M: Multiply>(multiply: M, across: &Across, rows: [&[u8]; 4], planes: [&mut [u32]; 3]) {
    let width = rows[0].len();
    let rows = rows.map(|row| &row[..width]);
    let [red, green, blue] = planes.map(|plane| plane.as_chunks_mut::<4>().0);
    let (starts, _) = across.starts.as_chunks::<4>();
    let (taps, _) = across.taps.as_chunks::<4>();
    let planes = red.iter_mut().zip(green).zip(blue);
    for ((starts, taps), ((red, green), blue)) in starts.iter().zip(taps.chunks_exact(across.groups)).zip(planes) {
        let [a, b, c, d] = std::array::from_fn(|s| colour::<PIXEL, M>(multiply, starts[s] as usize, taps, s, rows));
        let wide = vreinterpretq_u64_u32;
        let (ab, cd) = (wide(vtrn1q_u32(a, b)), wide(vtrn1q_u32(c, d)));
        let (ab_green, cd_green) = (wide(vtrn2q_u32(a, b)), wide(vtrn2q_u32(c, d)));
        store(red, vreinterpretq_u32_u64(vtrn1q_u64(ab, cd)));
        store(green, vreinterpretq_u32_u64(vtrn1q_u64(ab_green, cd_green)));
        store(blue, vreinterpretq_u32_u64(vtrn2q_u64(ab, cd)));
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn greys<M: Multiply>(multiply: M, across: &Across, source: &[u8], plane: &mut [u32]) {
    let (plane, _) = plane.as_chunks_mut::<4>();
    let (starts, _) = across.starts.as_chunks::<4>();
    let (taps, _) = across.taps.as_chunks::<4>();
    for ((starts, taps), out) in starts.iter().zip(taps.chunks_exact(across.groups)).zip(plane) {
        let words = std::array::from_fn(|s| {
            let mut sums = multiply.start();
            for (g, taps) in taps.iter().enumerate() {
                multiply.add(&mut sums, window::<4>(source, 4 * (starts[s] as usize + 4 * g)), &taps[s]);
            }
            round(multiply, sums)
        });
        store(out, vreinterpretq_u32_u8(narrow(words)));
    }
}

/// The lowest bytes of sixteen words.
#[inline]
#[target_feature(enable = "neon")]
fn narrow([a, b, c, d]: [uint32x4_t; 4]) -> uint8x16_t {
    let half = |a, b| vcombine_u16(vmovn_u32(a), vmovn_u32(b));
    vcombine_u8(vmovn_u16(half(a, b)), vmovn_u16(half(c, d)))
}

#[inline]
#[target_feature(enable = "neon")]
fn store(out: &mut [u32; 4], value: uint32x4_t) {
    // SAFETY: four words are written to an array of four.
    unsafe { vst1q_u32(out.as_mut_ptr(), value) }
}

/// Columns that are summed at a time.
const PART: usize = 16;

/// The values of columns `x..x + 16` of the row that `taps` make of quads.
#[inline]
#[target_feature(enable = "neon")]
fn part<'a, M: Multiply>(multiply: M, taps: &[Taps], quad: &impl Fn(usize) -> &'a [u32], x: usize) -> [uint32x4_t; 4] {
    let mut sums = [multiply.start(); 4];
    for (q, taps) in taps.iter().enumerate() {
        let (vectors, _) = quad(q)[x..x + PART].as_chunks::<4>();
        for (sums, vector) in sums.iter_mut().zip(vectors) {
            // SAFETY: four words are read from an array of four.
            let words = unsafe { vld1q_u32(vector.as_ptr()) };
            multiply.add(sums, vreinterpretq_u8_u32(words), taps);
        }
    }
    sums.map(|sums| round(multiply, sums))
}

#[inline]
#[target_feature(enable = "neon")]
fn bytes<'a, M: Multiply>(multiply: M, down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], out: &mut [u8]) {
    const { assert!(BLOCK.is_multiple_of(PART)) };
    let first = down.quads(i).start;
    let quad = |q: usize| quad(first + q);
    for (index, out) in out.chunks_mut(PART).enumerate() {
        let packed = narrow(part(multiply, down.taps(i), &quad, index * PART));
        let mut values = [0u8; PART];
        // SAFETY: 16 bytes are written to an array of 16.
        unsafe { vst1q_u8(values.as_mut_ptr(), packed) }
        match out.as_mut_array() {
            Some(whole) => *whole = values,
            None => out.copy_from_slice(&values[..out.len()]),
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn floats<'a, M: Multiply>(
    multiply: M,
    down: &Down,
    i: usize,
    quad: impl Fn(usize) -> &'a [u32],
    channel: &Channel,
    out: &mut [f32],
) {
    let (mean, std) = (vdupq_n_f32(channel.mean()), vdupq_n_f32(channel.std()));
    let inverse = vdupq_n_f32(channel.inverse().unwrap_or_default());
    let first = down.quads(i).start;
    let quad = |q: usize| quad(first + q);
    for (index, out) in out.chunks_mut(PART).enumerate() {
        let mut values = [0f32; PART];
        let parts = part(multiply, down.taps(i), &quad, index * PART);
        for (out, value) in values.as_chunks_mut::<4>().0.iter_mut().zip(parts) {
            let centred = vsubq_f32(vcvtq_f32_u32(value), mean);
            let quotient = vmulq_f32(centred, inverse);
            let rest = vfmsq_f32(centred, quotient, std);
            // SAFETY: four values are written to an array of four.
            unsafe { vst1q_f32(out.as_mut_ptr(), vfmaq_f32(quotient, rest, inverse)) }
        }
        match out.as_mut_array() {
            Some(whole) => *whole = values,
            None => out.copy_from_slice(&values[..out.len()]),
        }
    }
}

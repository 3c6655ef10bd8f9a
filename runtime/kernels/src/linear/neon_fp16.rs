//! [Linear](super) in f16 arithmetic, in tiles of 8 rows by 3 registers of 8: 24 sums, 3 weights and a register of `a`,
//! which is multiplied lane by lane, fill 28 of 32 registers. `a` is rounded to f16 and transposed a block of rows at a
//! time, once for all panels.

use std::arch::aarch64::*;
use std::ops::Range;

use half::f16;

use super::blocks::{self, Job};
use super::tile::{self, Kernel, Tile};
use super::{Arithmetic, F16_BLOCK};
use crate::Aligned;
use crate::grid::tiles;
use crate::lanes::Lanes;
use crate::simd::{Neon, NeonDot};

/// Numbers in a register.
pub(super) const LANES: usize = 8;
/// Registers across the widest tile.
pub(super) const VECTORS: usize = 3;
/// Rows of the largest tile.
const ROWS: usize = 8;

/// Computes the outputs of `rows` and `panels`, in the arithmetic of the weights.
pub(super) fn run_either(token: NeonDot, job: &Job<'_>, rows: Range<usize>, panels: Range<usize>) {
    match (job.weights.arithmetic(), job.weights.as_f16()) {
        (Arithmetic::F16, Some(elements)) => run(token, job, elements, rows, panels),
        _ => blocks::run(token.neon(), job, rows, panels),
    }
}

fn run(token: NeonDot, job: &Job<'_>, elements: &[f16], rows: Range<usize>, panels: Range<usize>) {
    let (inputs, outputs) = (job.weights.inputs(), job.weights.outputs());
    let row_bytes = inputs * (size_of::<f32>() + size_of::<f16>()) + outputs * size_of::<f32>();
    let block = (Neon::BLOCK_BYTES / row_bytes.max(1) / ROWS).max(1) * ROWS;
    let mut scratch = Aligned::default();
    for start in rows.clone().step_by(block) {
        let rows = start..rows.end.min(start + block);
        let packed = scratch.resize(rows.len().div_ceil(ROWS) * inputs * ROWS);
        for (rows, packed) in tiles(rows.clone(), ROWS).zip(packed.chunks_exact_mut((inputs * ROWS).max(1))) {
            pack(&job.a[rows.start * job.a_stride..], job.a_stride, rows.len(), packed);
        }
        for panel in panels.clone() {
            let columns = job.weights.columns(panel);
            let vectors = columns.len().div_ceil(LANES);
            let panel = &elements[columns.start * inputs..][..inputs * vectors * LANES];
            for (i, rows) in tiles(rows.clone(), ROWS).enumerate() {
                let a = packed[i * inputs * ROWS..].as_ptr();
                // SAFETY: the block holds this tile of `a`, and the panel whole registers. Cells of a grid are disjoint,
                // so nothing else touches the outputs. The token proves FEAT_FP16.
                unsafe {
                    let tile = job.tile(rows.start, &columns, (a, ROWS), panel);
                    tile.compute_with(token.neon(), rows.len(), |tile| function(rows.len(), vectors)(token, tile));
                }
            }
        }
    }
}

/// Rounds `count <= ROWS` rows to f16, to nearest, ties to even, and writes them input by input: `ROWS` numbers for each, of
/// which those beyond `count` are zero.
fn pack(rows: &[f32], stride: usize, count: usize, packed: &mut [f16]) {
    let inputs = packed.len() / ROWS;
    let (whole, rest) = packed.split_at_mut(inputs / LANES * LANES * ROWS);
    for (i, packed) in whole.chunks_exact_mut(LANES * ROWS).enumerate() {
        let row = |r: usize| match r < count {
            true => rounded(rows[r * stride + i * LANES..][..LANES].as_chunks().0),
            // SAFETY: every aarch64 target has the instruction.
            false => unsafe { vdupq_n_u16(0) },
        };
        let columns = transposed(std::array::from_fn(row));
        for (packed, column) in packed.chunks_exact_mut(ROWS).zip(columns) {
            // SAFETY: every aarch64 target has the instruction; the slice holds eight numbers.
            unsafe { vst1q_u16(packed.as_mut_ptr().cast(), column) };
        }
    }
    for (i, packed) in rest.chunks_exact_mut(ROWS).enumerate() {
        for (r, packed) in packed.iter_mut().enumerate() {
            *packed = if r < count { f16::from_f32(rows[r * stride + whole.len() / ROWS + i]) } else { f16::ZERO };
        }
    }
}

/// A register of rounded numbers.
#[inline(always)]
fn rounded(from: &[[f32; 4]]) -> uint16x8_t {
    let [low, high] = [0, 1].map(|half| from[half].as_ptr());
    // SAFETY: every aarch64 target has these instructions; both arrays hold four numbers.
    unsafe { vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(vld1q_f32(low)), vld1q_f32(high))) }
}

/// Lane `r` of register `c` becomes lane `c` of register `r`.
#[inline(always)]
fn transposed(rows: [uint16x8_t; 8]) -> [uint16x8_t; 8] {
    // SAFETY: every aarch64 target has these instructions.
    unsafe {
        let pairs = [0, 2, 4, 6].map(|r| {
            let (even, odd) = (vtrn1q_u16(rows[r], rows[r + 1]), vtrn2q_u16(rows[r], rows[r + 1]));
            [vreinterpretq_u32_u16(even), vreinterpretq_u32_u16(odd)]
        });
        let fours = [0, 2].map(|r| {
            let ([a, b], [c, d]) = (pairs[r], pairs[r + 1]);
            [vtrn1q_u32(a, c), vtrn1q_u32(b, d), vtrn2q_u32(a, c), vtrn2q_u32(b, d)].map(|x| vreinterpretq_u64_u32(x))
        });
        let low: [_; 4] = std::array::from_fn(|c| vreinterpretq_u16_u64(vtrn1q_u64(fours[0][c], fours[1][c])));
        let high: [_; 4] = std::array::from_fn(|c| vreinterpretq_u16_u64(vtrn2q_u64(fours[0][c], fours[1][c])));
        [low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]]
    }
}

type Function = unsafe fn(NeonDot, &Tile<f16, f16>);

/// The function of the tiles of `rows` (from 1 to `ROWS`) by `vectors` (from 1 to `VECTORS`).
fn function(rows: usize, vectors: usize) -> Function {
    macro_rules! table {
        ($($rows:literal)+) => {
            [$([compute::<$rows, 1> as Function, compute::<$rows, 2>, compute::<$rows, 3>]),+]
        };
    }
    table!(1 2 3 4 5 6 7 8)[rows - 1][vectors - 1]
}

/// Computes and stores a tile.
///
/// # Safety
/// The tile's pointers are valid for `ROWS` rows and its columns, which start the last of `VECTORS` registers.
#[target_feature(enable = "neon,fp16")]
unsafe fn compute<const ROWS: usize, const VECTORS: usize>(token: NeonDot, tile: &Tile<f16, f16>) {
    let s = token.neon();
    // Each register of f16 sums is widened to two.
    let mut sums = [[[s.splat(0.0); 2]; VECTORS]; ROWS];
    let left = |v: usize, half: usize| tile.columns.saturating_sub(v * LANES + half * Neon::LANES);
    let at = |v: usize, half: usize| v * LANES + half * Neon::LANES;
    if !tile.bias.is_null() {
        for (v, half) in (0..VECTORS).flat_map(|v| [(v, 0), (v, 1)]) {
            // SAFETY: the bias has as many numbers as columns.
            let bias = unsafe { s.load_up_to(tile.bias.wrapping_add(at(v, half)), left(v, half)) };
            sums.iter_mut().for_each(|row| row[v][half] = bias);
        }
    }
    for first in (0..tile.inputs).step_by(F16_BLOCK) {
        // SAFETY: as the caller promises.
        let block = unsafe { products::<ROWS, VECTORS>(tile, first, F16_BLOCK.min(tile.inputs - first)) };
        for (sum, block) in sums.as_flattened_mut().iter_mut().zip(block.as_flattened()) {
            sum[0] = vaddq_f32(sum[0], vcvt_f32_f16(vget_low_f16(*block)));
            sum[1] = vaddq_f32(sum[1], vcvt_high_f32_f16(*block));
        }
    }
    tile::activate(s, tile.activation, sums.as_flattened_mut().as_flattened_mut());
    for (r, row) in sums.iter().enumerate() {
        for (v, half) in (0..VECTORS).flat_map(|v| [(v, 0), (v, 1)]) {
            let mut sum = row[v][half];
            // SAFETY: the output and the residual, if there is one, have this row and these columns.
            unsafe {
                if !tile.residual.is_null() {
                    let residual = tile.residual.wrapping_add(r * tile.residual_stride + at(v, half));
                    sum = s.add(sum, s.load_up_to(residual, left(v, half)));
                }
                s.store_up_to(sum, tile.out.wrapping_add(r * tile.out_stride + at(v, half)), left(v, half));
            }
        }
    }
}

/// Sums of the products of `count` inputs from `first` on.
///
/// # Safety
/// `tile.a` and `tile.panel` are valid for a tile of this size.
#[inline]
#[target_feature(enable = "neon,fp16")]
unsafe fn products<const ROWS: usize, const VECTORS: usize>(
    tile: &Tile<f16, f16>,
    first: usize,
    count: usize,
) -> [[float16x8_t; VECTORS]; ROWS] {
    let zero = vreinterpretq_f16_u16(vdupq_n_u16(0));
    let mut sums = [[zero; VECTORS]; ROWS];
    let mut a = tile.a.wrapping_add(first * tile.a_stride);
    let mut panel = tile.panel.wrapping_add(first * VECTORS * LANES);
    for _ in 0..count {
        let mut weights = [zero; VECTORS];
        for (v, weight) in weights.iter_mut().enumerate() {
            // SAFETY: the panel has `VECTORS` registers for each input.
            *weight = unsafe { vreinterpretq_f16_u16(vld1q_u16(panel.wrapping_add(v * LANES).cast())) };
        }
        // SAFETY: `a` has eight numbers for each input, of which those of the tile's rows come first.
        let column = unsafe { vreinterpretq_f16_u16(vld1q_u16(a.cast())) };
        macro_rules! rows {
            ($($r:literal)+) => {$(
                if $r < ROWS {
                    for (sum, &weight) in sums[$r].iter_mut().zip(&weights) {
                        *sum = vfmaq_laneq_f16::<$r>(*sum, weight, column);
                    }
                }
            )+};
        }
        rows!(0 1 2 3 4 5 6 7);
        (a, panel) = (a.wrapping_add(LANES), panel.wrapping_add(VECTORS * LANES));
    }
    sums
}

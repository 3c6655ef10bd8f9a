//! [The map](super) by `usmmla`, which multiplies 8 inputs of 2 rows and the weights of 2 outputs, in tiles of 3 pairs of rows by 4
//! registers of 4 outputs: 24 sums, the inputs of 3 pairs, and weights on their way fill 28 of 32 registers or more.

use std::arch::aarch64::*;
use std::arch::asm;
use std::hint::black_box;

use super::tile::{self, Function, Kernel, Tile};
use crate::simd::{Neon, NeonI8mm};

impl Kernel for NeonI8mm {
    type Lanes = Neon;
    const VECTORS: usize = 4;
    const GROUP: usize = 8;
    const BLOCK_BYTES: usize = 128 << 10;
    const PREPARED: Option<usize> = None;

    fn lanes(self) -> Neon {
        self.neon()
    }

    fn functions(self) -> &'static [&'static [Function<Self>]] {
        tile::functions!(compute: 1 x (1 2 3 4 5 6 7 8), 2 x (1 2 3 4 5 6 7 8), 3 x (1 2 3 4 5 6 7 8), 4 x (1 2 3 4 5 6))
    }

    #[inline(always)]
    unsafe fn accumulate<const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile,
        start: [int32x4_t; VECTORS],
    ) -> [[int32x4_t; VECTORS]; ROWS] {
        // SAFETY: the token proves the instructions. The panel has two registers for each group and each of `VECTORS`, and each row the
        // group's inputs.
        unsafe {
            // Of two rows and two outputs each; of the last of an odd number of rows, twice the same.
            let mut sums = [[[vdupq_n_s32(0); 2]; VECTORS]; ROWS];
            let (mut a, mut panel) = (tile.a, tile.panel);
            for _ in 0..tile.inputs.div_ceil(8) {
                let mut inputs = [vdupq_n_u8(0); ROWS];
                for (pair, inputs) in inputs[..ROWS.div_ceil(2)].iter_mut().enumerate() {
                    let (first, second) = (2 * pair, (2 * pair + 1).min(ROWS - 1));
                    *inputs =
                        vcombine_u8(vld1_u8(a.add(first * tile.a_stride)), vld1_u8(a.add(second * tile.a_stride)));
                }
                for j in 0..2 * VECTORS {
                    let weights = vld1q_s8(panel.add(j * 16));
                    for (pair, &inputs) in inputs[..ROWS.div_ceil(2)].iter().enumerate() {
                        sums[pair][j / 2][j % 2] = multiply(sums[pair][j / 2][j % 2], inputs, weights);
                    }
                }
                (a, panel) = (a.add(8), panel.add(VECTORS * 32));
            }
            let mut all = [start; ROWS];
            for (r, all) in all.iter_mut().enumerate() {
                for (all, halves) in all.iter_mut().zip(&sums[r / 2]) {
                    let [left, right] = [vreinterpretq_s64_s32(halves[0]), vreinterpretq_s64_s32(halves[1])];
                    let sums = if r % 2 == 0 { vtrn1q_s64(left, right) } else { vtrn2q_s64(left, right) };
                    *all = vaddq_s32(*all, vreinterpretq_s32_s64(sums));
                }
            }
            all
        }
    }

    fn multiply(self, steps: usize) -> usize {
        // SAFETY: the token proves the instructions.
        unsafe {
            let (inputs, weights) = black_box((vdupq_n_u8(1), vdupq_n_s8(1)));
            let mut sums = [vdupq_n_s32(0); 16];
            for _ in 0..steps {
                sums.iter_mut().for_each(|sum| *sum = multiply(*sum, inputs, weights));
            }
            black_box(sums);
            32 * sums.len() * steps
        }
    }
}

/// Adds the products of each two rows of eight inputs and each two of eight weights.
///
/// # Safety
/// The processor has FEAT_I8MM.
#[inline(always)]
unsafe fn multiply(mut sum: int32x4_t, inputs: uint8x16_t, weights: int8x16_t) -> int32x4_t {
    // The intrinsic is not stable yet; its instruction is.
    // SAFETY: as the caller promises; the instruction touches its operands only.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usmmla {sum:v}.4s, {inputs:v}.16b, {weights:v}.16b",
            sum = inout(vreg) sum,
            inputs = in(vreg) inputs,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

unsafe fn compute<const ROWS: usize, const VECTORS: usize>(token: NeonI8mm, tile: &Tile) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<NeonI8mm, ROWS, VECTORS>(token, tile) }
}

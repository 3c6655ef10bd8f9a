//! [The map](super) by `sdot`, in tiles of 6 rows by 4 registers of 4: 24 sums, 4 weights and 4 inputs of a row fill 29 of 32 registers.
//!
//! Inputs are taken less 128, as in [`neon`](super::neon).

use std::arch::aarch64::*;
use std::arch::asm;
use std::hint::black_box;

use super::neon::{signed, unsigned};
use super::tile::{self, Function, Kernel, Tile};
use crate::simd::{Neon, NeonDot};

impl Kernel for NeonDot {
    type Lanes = Neon;
    const VECTORS: usize = 4;
    const GROUP: usize = 4;
    const BLOCK_BYTES: usize = 128 << 10;
    const PREPARED: Option<usize> = Some(1);

    fn lanes(self) -> Neon {
        self.neon()
    }

    fn functions(self) -> &'static [&'static [Function<Self>]] {
        tile::functions!(compute: 1 x (1 2 3 4 5 6 7 8), 2 x (1 2 3 4 5 6 7 8), 3 x (1 2 3 4 5 6 7 8), 4 x (1 2 3 4 5 6))
    }

    #[inline(always)]
    fn prepare(self, row: &[u8], to: &mut [u8]) {
        signed(row, to);
    }

    #[inline(always)]
    fn start(self, bias: int32x4_t, weights: int32x4_t) -> int32x4_t {
        unsigned(bias, weights)
    }

    #[inline(always)]
    unsafe fn accumulate<const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile,
        start: [int32x4_t; VECTORS],
    ) -> [[int32x4_t; VECTORS]; ROWS] {
        let mut sums = [start; ROWS];
        let (mut a, mut panel) = (tile.a, tile.panel);
        for _ in 0..tile.inputs.div_ceil(4) {
            // SAFETY: the token proves the instructions. The panel has `VECTORS` registers for each group, and each row the group's inputs.
            unsafe {
                let mut weights = [vdupq_n_s8(0); VECTORS];
                for (v, weight) in weights.iter_mut().enumerate() {
                    *weight = vld1q_s8(panel.add(v * 16));
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let inputs = a.add(r * tile.a_stride).cast::<u32>().read_unaligned();
                    let inputs = vreinterpret_s8_u32(vset_lane_u32::<0>(inputs, vdup_n_u32(0)));
                    dots(row, &weights, inputs);
                }
                (a, panel) = (a.add(4), panel.add(VECTORS * 16));
            }
        }
        sums
    }

    fn multiply(self, steps: usize) -> usize {
        // SAFETY: the token proves the instructions.
        unsafe {
            let (inputs, weights) = black_box((vdup_n_s8(1), vdupq_n_s8(1)));
            let mut sums = [vdupq_n_s32(0); 16];
            for _ in 0..steps {
                sums.iter_mut().for_each(|sum| *sum = dot(*sum, weights, inputs));
            }
            black_box(sums);
            16 * sums.len() * steps
        }
    }
}

/// Adds the products of each four weights and the first four inputs.
///
/// # Safety
/// The processor has FEAT_DotProd.
#[inline(always)]
unsafe fn dots<const VECTORS: usize>(
    sums: &mut [int32x4_t; VECTORS],
    weights: &[int8x16_t; VECTORS],
    inputs: int8x8_t,
) {
    // Four at once, so that the compiler does not move sums about between them.
    if let ([a, b, c, d], [e, f, g, h]) = (&mut sums[..], &weights[..]) {
        // SAFETY: as the caller promises; the instructions touch their operands only.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {a:v}.4s, {e:v}.16b, {inputs:v}.4b[0]",
                "sdot {b:v}.4s, {f:v}.16b, {inputs:v}.4b[0]",
                "sdot {c:v}.4s, {g:v}.16b, {inputs:v}.4b[0]",
                "sdot {d:v}.4s, {h:v}.16b, {inputs:v}.4b[0]",
                a = inout(vreg) *a,
                b = inout(vreg) *b,
                c = inout(vreg) *c,
                d = inout(vreg) *d,
                e = in(vreg) *e,
                f = in(vreg) *f,
                g = in(vreg) *g,
                h = in(vreg) *h,
                inputs = in(vreg) inputs,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        return;
    }
    for (sum, &weights) in sums.iter_mut().zip(weights) {
        // SAFETY: as the caller promises.
        *sum = unsafe { dot(*sum, weights, inputs) };
    }
}

/// Adds the products of each four weights and the first four inputs.
///
/// # Safety
/// The processor has FEAT_DotProd.
#[inline(always)]
unsafe fn dot(mut sum: int32x4_t, weights: int8x16_t, inputs: int8x8_t) -> int32x4_t {
    // The intrinsic is not stable yet; its instruction is.
    // SAFETY: as the caller promises; the instruction touches its operands only.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {weights:v}.16b, {inputs:v}.4b[0]",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            inputs = in(vreg) inputs,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

unsafe fn compute<const ROWS: usize, const VECTORS: usize>(token: NeonDot, tile: &Tile) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<NeonDot, ROWS, VECTORS>(token, tile) }
}

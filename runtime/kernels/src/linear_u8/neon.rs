//! [The map](super) by products of 16 bits, in tiles of 2 rows by 2 registers of 4 outputs. An output has a register of sums of its own until
//! the end: two products of bytes fit 16 bits, and pairs of them are added to it. So 16 sums, the inputs of 2 rows, and weights
//! and products on their way fill the registers.
//!
//! Inputs are taken less 128, so that they are signed: prepared so a block of rows at a time, once for all panels.

use std::arch::aarch64::*;
use std::arch::asm;
use std::hint::black_box;

use super::tile::{self, Function, Kernel, Tile};
use crate::simd::Neon;

/// Inputs in a register.
const GROUP: usize = 16;

impl Kernel for Neon {
    type Lanes = Self;
    const VECTORS: usize = 2;
    const GROUP: usize = GROUP;
    const BLOCK_BYTES: usize = 128 << 10;
    const PREPARED: Option<usize> = Some(1);

    fn lanes(self) -> Self {
        self
    }

    fn functions(self) -> &'static [&'static [Function<Self>]] {
        tile::functions!(compute: 1 x (1 2 3 4), 2 x (1 2))
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
        // SAFETY: the token proves Advanced SIMD. The panel has four registers for each group and each of `VECTORS`, and each row
        // whole groups.
        unsafe {
            let mut sums = [[[vdupq_n_s32(0); 4]; VECTORS]; ROWS];
            let (mut a, mut panel) = (tile.a.cast::<i8>(), tile.panel);
            let last = tile.inputs % GROUP;
            for _ in 0..tile.inputs / GROUP + usize::from(last > GROUP / 2) {
                let mut inputs = [vdupq_n_s8(0); ROWS];
                for (r, inputs) in inputs.iter_mut().enumerate() {
                    *inputs = vld1q_s8(a.add(r * tile.a_stride));
                }
                for j in (0..4 * VECTORS).step_by(2) {
                    let weights = [vld1q_s8(panel.add(j * GROUP)), vld1q_s8(panel.add((j + 1) * GROUP))];
                    for (row, &inputs) in sums.iter_mut().zip(&inputs) {
                        let row = row.as_flattened_mut();
                        [row[j], row[j + 1]] = products([row[j], row[j + 1]], inputs, weights);
                    }
                }
                (a, panel) = (a.add(GROUP), panel.add(4 * VECTORS * GROUP));
            }
            if (1..=GROUP / 2).contains(&last) {
                for j in 0..4 * VECTORS {
                    let weights = vld1_s8(panel.add(j * GROUP));
                    for (r, row) in sums.iter_mut().enumerate() {
                        let products = vmull_s8(vld1_s8(a.add(r * tile.a_stride)), weights);
                        row[j / 4][j % 4] = vpadalq_s16(row[j / 4][j % 4], products);
                    }
                }
            }
            let mut all = [start; ROWS];
            for (all, sums) in all.iter_mut().zip(&sums) {
                for (all, [a, b, c, d]) in all.iter_mut().zip(sums) {
                    *all = vaddq_s32(*all, vpaddq_s32(vpaddq_s32(*a, *b), vpaddq_s32(*c, *d)));
                }
            }
            all
        }
    }

    fn multiply(self, steps: usize) -> usize {
        // SAFETY: the token proves the instructions.
        unsafe {
            let (inputs, weights) = black_box((vdupq_n_s8(1), [vdupq_n_s8(1); 2]));
            let mut sums = [[vdupq_n_s32(0); 2]; 8];
            for _ in 0..steps {
                sums.iter_mut().for_each(|sums| *sums = products(*sums, inputs, weights));
            }
            black_box(sums);
            32 * sums.len() * steps
        }
    }
}

/// Adds the products of sixteen inputs and sixteen weights of two outputs each, in pairs.
///
/// Two outputs at once, so that the compiler does not begin with more products than there are registers for.
#[inline(always)]
fn products([mut a, mut b]: [int32x4_t; 2], inputs: int8x16_t, weights: [int8x16_t; 2]) -> [int32x4_t; 2] {
    // SAFETY: every aarch64 target has these instructions, which touch their operands only.
    unsafe {
        asm!(
            "smull {c:v}.8h, {inputs:v}.8b, {e:v}.8b",
            "smull {d:v}.8h, {inputs:v}.8b, {f:v}.8b",
            "smlal2 {c:v}.8h, {inputs:v}.16b, {e:v}.16b",
            "smlal2 {d:v}.8h, {inputs:v}.16b, {f:v}.16b",
            "sadalp {a:v}.4s, {c:v}.8h",
            "sadalp {b:v}.4s, {d:v}.8h",
            a = inout(vreg) a,
            b = inout(vreg) b,
            c = out(vreg) _,
            d = out(vreg) _,
            inputs = in(vreg) inputs,
            e = in(vreg) weights[0],
            f = in(vreg) weights[1],
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    [a, b]
}

/// [`Kernel::prepare`] by taking 128 from each input.
#[inline(always)]
pub(super) fn signed(row: &[u8], to: &mut [u8]) {
    let (inputs, rest) = to.split_at_mut(row.len());
    inputs.iter_mut().zip(row).for_each(|(to, &input)| *to = input ^ 128);
    rest.fill(0);
}

/// [`Kernel::start`] for inputs of which 128 has been taken.
#[inline(always)]
pub(super) fn unsigned(bias: int32x4_t, weights: int32x4_t) -> int32x4_t {
    // SAFETY: every aarch64 target has these instructions.
    unsafe { vaddq_s32(bias, vshlq_n_s32::<7>(weights)) }
}

unsafe fn compute<const ROWS: usize, const VECTORS: usize>(token: Neon, tile: &Tile) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<Neon, ROWS, VECTORS>(token, tile) }
}

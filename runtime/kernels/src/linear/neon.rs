//! [Linear](super) in tiles of 8 rows by 3 registers of 4: 24 sums, the weights of two inputs and two pairs of
//! numbers of `a` fill all 32 registers. A pair is loaded once and multiplied lane by lane, so that loads are few
//! beside the multiplications.

use std::arch::aarch64::*;

use super::tile::{self, Element, Function, Kernel, Tile};
use crate::lanes::Lanes;
use crate::simd::Neon;

impl Kernel for Neon {
    const ROWS: usize = 8;
    const VECTORS: usize = 3;
    const BLOCK_BYTES: usize = 128 << 10;

    fn tile<E: Element>(self, rows: usize, vectors: usize) -> Function<Self, E> {
        tile::table!(compute: 1 2 3 4 5 6 7 8; (1 2 3))[rows - 1][vectors - 1]
    }

    #[inline(always)]
    unsafe fn accumulate<E: Element, const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile<E>,
        mut sums: [[float32x4_t; VECTORS]; ROWS],
    ) -> [[float32x4_t; VECTORS]; ROWS] {
        let (mut a, mut panel) = (tile.a, tile.panel);
        for _ in 0..tile.inputs / 2 {
            // SAFETY: the panel has `VECTORS` registers for each of these two inputs, and `a` has both in each row.
            unsafe {
                let even: [_; VECTORS] = registers(self, panel);
                let odd: [_; VECTORS] = registers(self, panel.add(VECTORS * Self::LANES));
                for (r, row) in sums.iter_mut().enumerate() {
                    let pair = vld1_f32(a.add(r * tile.a_stride));
                    for (sum, &weight) in row.iter_mut().zip(&even) {
                        *sum = vfmaq_lane_f32::<0>(*sum, weight, pair);
                    }
                    for (sum, &weight) in row.iter_mut().zip(&odd) {
                        *sum = vfmaq_lane_f32::<1>(*sum, weight, pair);
                    }
                }
                (a, panel) = (a.add(2), panel.add(2 * VECTORS * Self::LANES));
            }
        }
        if !tile.inputs.is_multiple_of(2) {
            // SAFETY: as above, for the last input.
            unsafe {
                let weights: [_; VECTORS] = registers(self, panel);
                for (r, row) in sums.iter_mut().enumerate() {
                    let value = self.splat(*a.add(r * tile.a_stride));
                    for (sum, &weight) in row.iter_mut().zip(&weights) {
                        *sum = self.mul_add(value, weight, *sum);
                    }
                }
            }
        }
        sums
    }
}

/// `VECTORS` registers of weights.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn registers<E: Element, const VECTORS: usize>(token: Neon, panel: *const E) -> [float32x4_t; VECTORS] {
    let mut weights = [token.splat(0.0); VECTORS];
    for (v, weight) in weights.iter_mut().enumerate() {
        // SAFETY: as the caller promises.
        *weight = unsafe { E::load(token, panel.add(v * Neon::LANES)) };
    }
    weights
}

unsafe fn compute<E: Element, const ROWS: usize, const VECTORS: usize>(token: Neon, tile: &Tile<E>) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<Neon, E, ROWS, VECTORS>(token, tile) }
}

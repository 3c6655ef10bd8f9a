//! [Linear](super) in tiles of 6 rows by 2 registers of 8: 12 sums, 2 weights and a broadcast number fill 15 of 16
//! registers.

use super::tile::{self, Element, Function, Kernel, Tile};
use crate::simd::Avx2;

impl Kernel for Avx2 {
    const ROWS: usize = 6;
    const VECTORS: usize = 2;
    const BLOCK_BYTES: usize = 256 << 10;

    fn tile<E: Element>(self, rows: usize, vectors: usize) -> Function<Self, E> {
        tile::table!(compute: 1 2 3 4 5 6; (1 2))[rows - 1][vectors - 1]
    }

    #[inline(always)]
    unsafe fn accumulate<E: Element, const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile<E>,
        sums: [[Self::Vector; VECTORS]; ROWS],
    ) -> [[Self::Vector; VECTORS]; ROWS] {
        // SAFETY: as the caller promises.
        unsafe { tile::broadcast(self, tile, sums) }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn compute<E: Element, const ROWS: usize, const VECTORS: usize>(token: Avx2, tile: &Tile<E>) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<Avx2, E, ROWS, VECTORS>(token, tile) }
}

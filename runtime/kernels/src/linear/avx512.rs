//! [Linear](super) in tiles of 14 rows by 2 registers of 16: 28 sums, 2 weights and a broadcast number fill 31 of 32
//! registers.

use super::tile::{self, Element, Function, Kernel, Tile};
use crate::simd::Avx512;

impl Kernel for Avx512 {
    const ROWS: usize = 14;
    const VECTORS: usize = 2;
    const BLOCK_BYTES: usize = 512 << 10;

    fn tile<E: Element>(self, rows: usize, vectors: usize) -> Function<Self, E> {
        tile::table!(compute: 1 2 3 4 5 6 7 8 9 10 11 12 13 14; (1 2))[rows - 1][vectors - 1]
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn compute<E: Element, const ROWS: usize, const VECTORS: usize>(token: Avx512, tile: &Tile<E>) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<Avx512, E, ROWS, VECTORS>(token, tile) }
}

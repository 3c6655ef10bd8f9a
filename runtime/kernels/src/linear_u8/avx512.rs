//! [The map](super) by VNNI, in tiles of 6 rows by 4 registers of 16: 24 sums, 4 weights and 4 inputs of a row, broadcast, fill 29 of 32
//! registers. Four registers become 64 bytes.

use std::arch::x86_64::*;
use std::hint::black_box;

use super::tile::{self, Function, Kernel, Tile};
use crate::simd::Avx512;

impl Kernel for Avx512 {
    type Lanes = Self;
    const VECTORS: usize = 4;
    const GROUP: usize = 4;
    const BLOCK_BYTES: usize = 512 << 10;
    const PREPARED: Option<usize> = None;

    fn lanes(self) -> Self {
        self
    }

    fn functions(self) -> &'static [&'static [Function<Self>]] {
        tile::functions!(compute: 1 x (1 2 3 4 5 6 7 8), 2 x (1 2 3 4 5 6 7 8), 3 x (1 2 3 4 5 6 7 8), 4 x (1 2 3 4 5 6))
    }

    #[inline(always)]
    unsafe fn accumulate<const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile,
        start: [__m512i; VECTORS],
    ) -> [[__m512i; VECTORS]; ROWS] {
        let mut sums = [start; ROWS];
        let (mut a, mut panel) = (tile.a, tile.panel);
        for _ in 0..tile.inputs.div_ceil(4) {
            // SAFETY: the token proves VNNI. The panel has `VECTORS` registers for each group, and each row the group's inputs.
            unsafe {
                let mut weights = [_mm512_setzero_si512(); VECTORS];
                for (v, weight) in weights.iter_mut().enumerate() {
                    *weight = _mm512_loadu_si512(panel.add(v * 64).cast());
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let inputs = _mm512_set1_epi32(a.add(r * tile.a_stride).cast::<i32>().read_unaligned());
                    for (sum, &weight) in row.iter_mut().zip(&weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, inputs, weight);
                    }
                }
                (a, panel) = (a.add(4), panel.add(VECTORS * 64));
            }
        }
        sums
    }

    fn multiply(self, steps: usize) -> usize {
        #[target_feature(enable = "avx512f,avx512vnni")]
        fn inner(steps: usize) -> usize {
            let (inputs, weights) = black_box((_mm512_set1_epi8(1), _mm512_set1_epi8(1)));
            let mut sums = [_mm512_setzero_si512(); 16];
            for _ in 0..steps {
                sums.iter_mut().for_each(|sum| *sum = _mm512_dpbusd_epi32(*sum, inputs, weights));
            }
            black_box(sums);
            64 * sums.len() * steps
        }
        // SAFETY: the token proves VNNI.
        unsafe { inner(steps) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn compute<const ROWS: usize, const VECTORS: usize>(token: Avx512, tile: &Tile) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<Avx512, ROWS, VECTORS>(token, tile) }
}

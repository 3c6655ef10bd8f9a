//! [The map](super) by products of 16 bits, in tiles of 6 rows by 2 registers of 8: 12 sums, 2 weights, 2 inputs of a row, broadcast, and
//! their products fill all 16 registers. Inputs are widened a block of rows at a time, once for all panels; weights when they are loaded.

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

use super::tile::{self, Function, Kernel, Tile};
use crate::simd::Avx2;

impl Kernel for Avx2 {
    type Lanes = Self;
    const VECTORS: usize = 2;
    const GROUP: usize = 2;
    const BLOCK_BYTES: usize = 256 << 10;
    const PREPARED: Option<usize> = Some(2);

    fn lanes(self) -> Self {
        self
    }

    fn functions(self) -> &'static [&'static [Function<Self>]] {
        tile::functions!(compute: 1 x (1 2 3 4 5 6), 2 x (1 2 3 4 5 6))
    }

    #[inline(always)]
    fn prepare(self, row: &[u8], to: &mut [u8]) {
        let (inputs, rest) = bytemuck::cast_slice_mut::<u8, u16>(to).split_at_mut(row.len());
        inputs.iter_mut().zip(row).for_each(|(to, &input)| *to = input.into());
        rest.fill(0);
    }

    #[inline(always)]
    unsafe fn accumulate<const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile,
        start: [__m256i; VECTORS],
    ) -> [[__m256i; VECTORS]; ROWS] {
        let mut sums = [start; ROWS];
        let (mut a, mut panel) = (tile.a, tile.panel);
        for _ in 0..tile.inputs.div_ceil(2) {
            // SAFETY: the token proves AVX2. The panel has `VECTORS` registers for each group, and each row the group's inputs.
            unsafe {
                let mut weights = [_mm256_setzero_si256(); VECTORS];
                for (v, weight) in weights.iter_mut().enumerate() {
                    *weight = _mm256_cvtepi8_epi16(_mm_loadu_si128(panel.add(v * 16).cast()));
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let inputs = _mm256_set1_epi32(a.add(r * tile.a_stride).cast::<i32>().read_unaligned());
                    for (sum, &weight) in row.iter_mut().zip(&weights) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(inputs, weight));
                    }
                }
                (a, panel) = (a.add(4), panel.add(VECTORS * 16));
            }
        }
        sums
    }

    fn multiply(self, steps: usize) -> usize {
        #[target_feature(enable = "avx2")]
        fn inner(steps: usize) -> usize {
            let (inputs, weights) = (_mm256_set1_epi16(1), _mm256_set1_epi16(1));
            let mut sums = [_mm256_setzero_si256(); 12];
            for _ in 0..steps {
                for sum in &mut sums {
                    // SAFETY: AVX2 has the instruction, which touches its operands only. Written so, it is not done once for all steps.
                    unsafe {
                        let product: __m256i;
                        asm!("vpmaddwd {}, {}, {}", lateout(ymm_reg) product, in(ymm_reg) inputs, in(ymm_reg) weights);
                        *sum = _mm256_add_epi32(*sum, product);
                    }
                }
            }
            black_box(sums);
            16 * sums.len() * steps
        }
        // SAFETY: the token proves AVX2.
        unsafe { inner(steps) }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn compute<const ROWS: usize, const VECTORS: usize>(token: Avx2, tile: &Tile) {
    // SAFETY: as the caller promises.
    unsafe { tile::compute::<Avx2, ROWS, VECTORS>(token, tile) }
}

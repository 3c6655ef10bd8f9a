//! A linear map of rows: fully connected layers, 1x1 convolutions of channel-last maps, and products of two
//! activations.
//!
//! Formula: `out[i][j] = act(bias[j] + sum over p of a[i][p] * weight[j][p]) + residual[i][j]`.
//!
//! Rounding: in f32. A sum starts at the bias and takes `p` in ascending order, by fused multiply-adds except in
//! scalar. Weights stored as f16 are rounded to nearest, ties to even (to infinity from 65520), and widened exactly
//! when they are used.
//!
//! Layout: row-major everywhere. Rows of `a`, `residual` and `out` may lie apart (their strides, in numbers); the
//! numbers between are neither read nor written. Weights are given as `(outputs, inputs)`, and packed as [`Weights`]
//! says.
//!
//! Determinism: at one level, an output's bits depend on its own row of `a`, its weights and the epilogue, and on
//! nothing else: not on the other rows, the blocks, the threads.
//!
//! Tolerance: levels agree within `1.2e-7 * (inputs + 2)` times the sum of the absolute values of all summands, plus
//! what [activation](crate::activation) states. NaN and infinities propagate as the formula says.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
#[cfg(target_arch = "aarch64")]
mod neon;
mod peak;
mod scalar;
mod tile;
mod weights;

pub use peak::peak_macs_per_second;
pub use weights::{Storage, Weights};

use crate::{Activation, SimdLevel};
use blocks::{Grid, Job};

/// What happens to a sum before it is stored. The default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each row: one number per output.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Activation,
    /// Added after the activation: rows of one number per output, and the distance between their starts.
    pub residual: Option<(&'a [f32], usize)>,
}

/// Maps rows `0..rows` of `a` (each `inputs` numbers, `a_stride` apart) to rows of `out` (each `outputs` numbers,
/// `out_stride` apart).
pub fn linear(
    a: &[f32],
    a_stride: usize,
    rows: usize,
    weights: &Weights,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    let job = Job::new(a, a_stride, rows, weights, epilogue, out, out_stride);
    run(&job, Grid::whole(&job), 0);
}

/// As [`linear`], on the threads of the current rayon pool, with the same bits.
pub fn linear_parallel(
    a: &[f32],
    a_stride: usize,
    rows: usize,
    weights: &Weights,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    let job = Job::new(a, a_stride, rows, weights, epilogue, out, out_stride);
    let grid = Grid::for_threads(&job, rayon::current_num_threads());
    if grid.cells() == 1 {
        return run(&job, grid, 0);
    }
    use rayon::prelude::*;
    (0..grid.cells()).into_par_iter().with_max_len(1).for_each(|cell| run(&job, grid, cell));
}

/// Computes one cell of the grid. Cells are disjoint parts of `out`.
fn run(job: &Job<'_>, grid: Grid, cell: usize) {
    let (rows, panels) = grid.cell(cell);
    match job.weights.level() {
        SimdLevel::Scalar => scalar::run(job, rows, panels),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => blocks::run(token.neon(), job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => blocks::run(token.neon(), job, rows, panels),
    }
}

#[cfg(test)]
mod tests;

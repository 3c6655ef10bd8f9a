//! A linear map of rows: fully connected layers, 1x1 convolutions of channel-last maps, and products of two
//! activations.
//!
//! Formula: `out[i][j] = act(bias[j] + sum over p of a[i][p] * weight[j][p]) + residual[i][j]`.
//!
//! Rounding: in f32. A sum starts at the bias and takes `p` in ascending order, by fused multiply-adds except in
//! scalar. Weights stored as f16 are rounded to nearest, ties to even (to infinity from 65520), and widened exactly
//! when they are used.
//!
//! Arithmetic in f16 ([`Storage::F16Arithmetic`]): `a` and the weights are rounded to f16, to nearest, ties to even. Each
//! block of 128 inputs has a sum of its own, which starts at zero and takes `p` in ascending order by fused multiply-adds,
//! each rounded to f16, subnormal numbers included. The sum in f32 starts at the bias and takes the blocks' sums in
//! ascending order; what follows is in f32. Levels without this arithmetic do as for [`Storage::F16`], and
//! [`Weights::arithmetic`] says which it is. Scalar gives the same sums as those with it, bit for bit.
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
//!
//! In f16 (`u = 2^-11`) the sum before the activation is within `(b * u / (1 - b * u) + 2 * u + u * u) * S + inputs * e` of
//! the formula on the given numbers, plus the rounding in f32 above: `b` is the smaller of `inputs` and 128, `S` the sum of
//! the absolute values of the products, `e = 2^-24 * (1 + |a| + |weight|)`, of the largest of each, for what is lost below f16's normal
//! numbers. For 128 inputs and more that is 0.068 `S`, the worst case: errors of random sign cancel for the most part.
//!
//! Overflow in f16: numbers from 65520 on, given, multiplied or summed in a block, become infinite, and so does the
//! output, or NaN where infinities meet or meet zero. It is the caller's to look for them, before an activation that
//! is bounded or cuts negative numbers off hides them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_fp16;
mod peak;
mod scalar;
mod tile;
mod weights;

pub use peak::peak_macs_per_second;
pub use weights::{Arithmetic, Storage, Weights};

use std::ops::Range;

use crate::{Activation, SimdLevel};
use blocks::Job;

/// Inputs whose products are summed in f16, where arithmetic is f16.
const F16_BLOCK: usize = 128;

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
    job.grid(1).for_each(|rows, panels| run(&job, rows, panels));
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
    job.grid(rayon::current_num_threads()).for_each(|rows, panels| run(&job, rows, panels));
}

/// Computes one cell of the grid. Cells are disjoint parts of `out`.
fn run(job: &Job<'_>, rows: Range<usize>, panels: Range<usize>) {
    match job.weights.level() {
        SimdLevel::Scalar => scalar::run(job, rows, panels),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => neon_fp16::run_either(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => neon_fp16::run_either(token.neon_dot(), job, rows, panels),
    }
}

#[cfg(test)]
mod tests;

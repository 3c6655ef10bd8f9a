//! A linear map of quantised rows: fully connected layers and 1x1 convolutions of channel-last maps, from bytes to bytes or to f32.
//!
//! Formula: `sum[i][j] = bias[j] + sum over p of a[i][p] * weight[j][p]`, in i32, for bytes `a` of 0..=255 and weights of -127..=127.
//! `a` is taken without its zero point `z`: the caller puts `-z` times the [sum of an output's weights](Weights::sums) into the bias.
//! To bytes, a sum becomes what [requantize](crate::requantize) says; to f32, it becomes `sum * multiplier[j]`.
//!
//! Rounding: sums are exact; beyond i32, which takes more than 66 000 inputs or a bias near the limits, they wrap around. To f32, the
//! conversion of the sum and the multiplication are rounded one by one, to nearest, ties to even.
//!
//! Layout: row-major everywhere. Rows of `a`, `residual` and `out` may lie apart (their strides, in bytes or numbers); what lies between
//! is neither read nor written. Weights are given as `(outputs, inputs)`, and packed as [`Weights`] says.
//!
//! Determinism: every level, on any number of threads, gives the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
mod peak;
mod scalar;
mod tile;
mod weights;

pub use peak::peak_macs_per_second;
pub use weights::Weights;

use std::ops::Range;

use crate::SimdLevel;
use crate::requantize::Requantize;
use blocks::{Job, Out};

/// What becomes of the sums.
#[derive(Clone, Copy, Debug)]
enum Output<'a> {
    /// They are quantised again.
    Bytes(Requantize<'a>),
    /// They become numbers.
    Floats {
        /// One for each output: scale of the input times that of the output's weights.
        multipliers: &'a [f32],
    },
}

/// Maps rows `0..rows` of `a` (each `inputs` bytes, `a_stride` apart) to rows of `out` (each `outputs` bytes, `out_stride` apart).
/// `bias` has one number for each output.
#[expect(clippy::too_many_arguments, reason = "two matrices with their strides, weights, and what becomes of sums")]
pub fn linear_to_bytes(
    a: &[u8],
    a_stride: usize,
    rows: usize,
    weights: &Weights,
    bias: &[i32],
    requantize: &Requantize<'_>,
    out: &mut [u8],
    out_stride: usize,
) {
    let out = Out::bytes(out, out_stride, requantize);
    run(&Job::new(a, a_stride, rows, weights, bias, out), 1);
}

/// As [`linear_to_bytes`], on the threads of the current rayon pool.
#[expect(clippy::too_many_arguments, reason = "as `linear_to_bytes`")]
pub fn linear_to_bytes_parallel(
    a: &[u8],
    a_stride: usize,
    rows: usize,
    weights: &Weights,
    bias: &[i32],
    requantize: &Requantize<'_>,
    out: &mut [u8],
    out_stride: usize,
) {
    let out = Out::bytes(out, out_stride, requantize);
    run(&Job::new(a, a_stride, rows, weights, bias, out), rayon::current_num_threads());
}

/// Maps rows as [`linear_to_bytes`] does, to rows of numbers: sums times `multipliers`, of which there is one for each output.
#[expect(clippy::too_many_arguments, reason = "as `linear_to_bytes`")]
pub fn linear_to_floats(
    a: &[u8],
    a_stride: usize,
    rows: usize,
    weights: &Weights,
    bias: &[i32],
    multipliers: &[f32],
    out: &mut [f32],
    out_stride: usize,
) {
    let out = Out::floats(out, out_stride, multipliers);
    run(&Job::new(a, a_stride, rows, weights, bias, out), 1);
}

/// As [`linear_to_floats`], on the threads of the current rayon pool.
#[expect(clippy::too_many_arguments, reason = "as `linear_to_bytes`")]
pub fn linear_to_floats_parallel(
    a: &[u8],
    a_stride: usize,
    rows: usize,
    weights: &Weights,
    bias: &[i32],
    multipliers: &[f32],
    out: &mut [f32],
    out_stride: usize,
) {
    let out = Out::floats(out, out_stride, multipliers);
    run(&Job::new(a, a_stride, rows, weights, bias, out), rayon::current_num_threads());
}

fn run(job: &Job<'_>, threads: usize) {
    job.grid(threads).for_each(|rows, panels| run_cell(job, rows, panels));
}

/// Computes one cell of the grid. Cells are disjoint parts of the output.
fn run_cell(job: &Job<'_>, rows: Range<usize>, panels: Range<usize>) {
    match job.weights.level() {
        SimdLevel::Scalar => scalar::run(job, rows, panels),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => blocks::run(token, job, rows, panels),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => blocks::run(token, job, rows, panels),
    }
}

#[cfg(test)]
mod tests;

//! Depthwise convolution of a channel-last map of bytes: every channel by itself.
//!
//! Formula: `sum = bias[c] + sum over i, j of in[y * stride + i * dilation - padding][x * stride + j * dilation - padding][c] *
//! weight[c][i][j]`, where a tap outside the map reads the map's zero point; the sum becomes a byte as
//! [requantisation](crate::requantize) has it. The bias holds what the zero point adds to a sum, with the other sign.
//!
//! Rounding: sums are exact, in i32 (they wrap). Every level gives the same bytes.
//!
//! Layout: maps are rows of pixels of `channels` bytes, without gaps. Weights are given as `(channels, kernel, kernel)`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;
mod weights;

use rayon::prelude::*;

use crate::SimdLevel;
use crate::depthwise::{MAX_KERNEL, Shape};
use crate::requantize::{Requantize, map};

pub use weights::Weights;

/// Computes one output row. `rows` are the input rows that the window's rows see, `None` outside the map, where `zero` stands.
pub fn depthwise_row_u8(
    rows: &[Option<&[u8]>],
    shape: &Shape,
    weights: &Weights,
    bias: &[i32],
    zero: u8,
    requantize: &Requantize<'_>,
    out: &mut [u8],
) {
    let (channels, kernel) = (weights.channels(), weights.kernel());
    let width = shape.output(kernel).1;
    assert_eq!((rows.len(), out.len()), (kernel, width * channels), "the window's rows, and a row of output");
    let input_row = shape.input_row(channels);
    assert!(rows.iter().flatten().all(|row| row.len() == input_row), "rows of the shape's width");
    assert_eq!((bias.len(), requantize.multipliers.len()), (channels, channels), "a number for each channel");
    assert!(requantize.residual.is_none(), "nothing is added");
    assert!(requantize.low <= requantize.high, "no byte is from {} to {}", requantize.low, requantize.high);
    let job = Job { rows, shape, weights, bias, zero, requantize };
    match weights.level() {
        SimdLevel::Scalar => scalar::row(&job, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::row(token, &job, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::row(token, &job, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => neon::row_of_pairs(token, &job, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => neon::row_of_quads(token, &job, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => neon::row_of_quads(token.neon_dot(), &job, out),
    }
    if let Some(table) = requantize.table {
        map(weights.level(), table, out);
    }
}

/// Computes all rows on the threads of the current rayon pool, with the same bits.
pub fn depthwise_parallel_u8(
    input: &[u8],
    shape: &Shape,
    weights: &Weights,
    bias: &[i32],
    zero: u8,
    requantize: &Requantize<'_>,
    out: &mut [u8],
) {
    let (height, width) = shape.output(weights.kernel());
    let (row, input_row) = (width * weights.channels(), shape.input_row(weights.channels()));
    assert_eq!(input.len(), shape.height * input_row, "the input has the shape's size");
    assert_eq!(out.len(), height * row, "the output has the shape's size");
    // Bands of rows share most of what they read.
    let band = height.div_ceil(4 * rayon::current_num_threads()).max(1);
    out.par_chunks_mut(band * row).enumerate().for_each(|(i, out)| {
        for (y, out) in out.chunks_exact_mut(row).enumerate() {
            let seen: [_; MAX_KERNEL] =
                std::array::from_fn(|tap| shape.row(i * band + y, tap).map(|at| &input[at * input_row..][..input_row]));
            depthwise_row_u8(&seen[..weights.kernel()], shape, weights, bias, zero, requantize, out);
        }
    });
}

/// One output row, before the table.
struct Job<'a> {
    rows: &'a [Option<&'a [u8]>],
    shape: &'a Shape,
    weights: &'a Weights,
    bias: &'a [i32],
    zero: u8,
    requantize: &'a Requantize<'a>,
}

//! Depthwise convolution of a channel-last map: every channel by itself.
//!
//! Formula: `out[y][x][c] = act(bias[c] + sum over i, j of in[y * stride + i * dilation - padding][x * stride + j * dilation -
//! padding][c] * weight[c][i][j])`, with zeros outside the map.
//!
//! Rounding: in f32. A sum starts at the bias and takes columns `j`, and rows `i` within them, in ascending order, by fused
//! multiply-adds except in scalar; what lies outside is left out.
//!
//! Layout: maps are rows of pixels of `channels` numbers, without gaps. Weights are given as `(channels, kernel, kernel)`.
//!
//! Tolerance: levels agree within `1.2e-7 * (kernel^2 + 2)` times the sum of the absolute values of all summands, plus what
//! [activation](crate::activation) states.

mod scalar;
#[cfg(test)]
mod tests;
mod vector;

use std::ops::Range;

use rayon::prelude::*;

use crate::lanes::at_level;
use crate::{Activation, Aligned, Shared, SimdLevel};

/// Weights and biases of a depthwise convolution, for one level.
#[derive(Debug)]
pub struct Weights {
    level: SimdLevel,
    channels: usize,
    kernel: usize,
    /// `(kernel, kernel, channels)`.
    taps: Shared<f32>,
    bias: Shared<f32>,
}

impl Weights {
    /// Packs `weight` `(channels, kernel, kernel)` and `bias` `(channels)`.
    pub fn pack(level: SimdLevel, weight: &[f32], bias: &[f32], channels: usize, kernel: usize) -> Self {
        let area = kernel * kernel;
        assert!((1..=MAX_KERNEL).contains(&kernel) && channels > 0, "a kernel of {kernel} and {channels} channels");
        assert_eq!(
            (weight.len(), bias.len()),
            (channels * area, channels),
            "weights and biases of {channels} channels"
        );
        let taps: Aligned<f32> = (0..weight.len()).map(|i| weight[i % channels * area + i / channels]).collect();
        let bias: Aligned<f32> = bias.iter().copied().collect();
        Weights { level, channels, kernel, taps: taps.into(), bias: bias.into() }
    }

    /// Weights and biases that were packed earlier for this level, see [`parts`](Self::parts). `None` if they are not of their sizes.
    pub fn from_parts(
        level: SimdLevel,
        channels: usize,
        kernel: usize,
        taps: Shared<f32>,
        bias: Shared<f32>,
    ) -> Option<Self> {
        let sizes = (kernel.checked_mul(kernel)?.checked_mul(channels)?, channels);
        let fits = (1..=MAX_KERNEL).contains(&kernel) && channels > 0 && (taps.len(), bias.len()) == sizes;
        fits.then_some(Weights { level, channels, kernel, taps, bias })
    }

    /// The packed weights and the biases.
    pub fn parts(&self) -> (&Shared<f32>, &Shared<f32>) {
        (&self.taps, &self.bias)
    }

    /// Channels of the map.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Side of the kernel.
    pub fn kernel(&self) -> usize {
        self.kernel
    }
}

/// Size of the input map, and how a window passes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input.
    pub height: usize,
    /// Pixels of a row of the input.
    pub width: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Pixels from one tap to the next.
    pub dilation: usize,
    /// Zeros on each side.
    pub padding: usize,
}

impl Shape {
    /// Rows and pixels of the output.
    pub fn output(&self, kernel: usize) -> (usize, usize) {
        let reach = self.reach(kernel);
        let side = |n: usize| {
            let padded = self.padding.checked_mul(2).and_then(|both| both.checked_add(n));
            let rest = padded.zip(reach).and_then(|(padded, reach)| padded.checked_sub(reach));
            let Some(rest) = rest.filter(|_| self.stride > 0) else { panic!("the window is larger than the map") };
            rest / self.stride + 1
        };
        (side(self.height), side(self.width))
    }

    /// Numbers in a row of an input of so many channels.
    ///
    /// # Panics
    /// If they cannot be counted: loops rely on rows of this length.
    pub(crate) fn input_row(&self, channels: usize) -> usize {
        self.width.checked_mul(channels).unwrap_or_else(|| panic!("{channels} channels of {self:?} cannot be counted"))
    }

    /// Pixels from the first of a window to its last, both included; `None` if they cannot be counted.
    fn reach(&self, kernel: usize) -> Option<usize> {
        kernel.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)
    }

    /// The input row that row `i` of the window of output row `y` sees; `None` outside the map.
    pub fn row(&self, y: usize, i: usize) -> Option<usize> {
        self.tap(y, i, self.height)
    }
}

/// Largest side of a kernel.
pub const MAX_KERNEL: usize = 11;

/// Computes one output row. `rows` are the input rows that the window's rows see, `None` outside the map.
pub fn depthwise_row(
    rows: &[Option<&[f32]>],
    shape: &Shape,
    weights: &Weights,
    activation: Activation,
    out: &mut [f32],
) {
    let (channels, kernel) = (weights.channels, weights.kernel);
    assert_eq!(
        (rows.len(), out.len()),
        (kernel, shape.output(kernel).1 * channels),
        "the window's rows, and a row of output"
    );
    let input_row = shape.input_row(channels);
    assert!(rows.iter().flatten().all(|row| row.len() == input_row), "rows of the shape's width");
    at_level!(weights.level, scalar::row, vector::row, (
        rows: &[Option<&[f32]>] = rows,
        shape: &Shape = shape,
        weights: &Weights = weights,
        activation: Activation = activation,
        out: &mut [f32] = out,
    ));
}

/// Computes the output rows `rows` to `out`, which begins with the first of them.
pub fn depthwise(
    input: &[f32],
    shape: &Shape,
    weights: &Weights,
    activation: Activation,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let (height, width) = shape.output(weights.kernel);
    let (row, input_row) = (width * weights.channels, shape.input_row(weights.channels));
    assert_eq!(input.len(), shape.height * input_row, "the input has the shape's size");
    assert!(rows.end <= height && out.len() == rows.len() * row, "the output has the rows' size");
    for (y, out) in rows.zip(out.chunks_exact_mut(row)) {
        let seen: [_; MAX_KERNEL] =
            std::array::from_fn(|i| shape.row(y, i).map(|at| &input[at * input_row..][..input_row]));
        depthwise_row(&seen[..weights.kernel], shape, weights, activation, out);
    }
}

/// As [`depthwise`], all rows, on the threads of the current rayon pool, with the same bits.
pub fn depthwise_parallel(input: &[f32], shape: &Shape, weights: &Weights, activation: Activation, out: &mut [f32]) {
    let (height, width) = shape.output(weights.kernel);
    let row = width * weights.channels;
    assert_eq!(out.len(), height * row, "the output has the shape's size");
    // Bands of rows share most of what they read.
    let band = height.div_ceil(4 * rayon::current_num_threads()).max(1);
    out.par_chunks_mut(band * row).enumerate().for_each(|(i, out)| {
        let first = i * band;
        depthwise(input, shape, weights, activation, first..first + out.len() / row, out);
    });
}

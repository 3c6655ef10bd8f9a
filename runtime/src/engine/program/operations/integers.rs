//! Products of bytes with integers.

use std::sync::Arc;

use cutout_kernels::convolution::{Planes, gather_patches};
use cutout_kernels::depthwise::Shape;
use cutout_kernels::requantize::{Requantize, Residual, Table};
use cutout_kernels::{Aligned, Shared, depthwise_u8, linear_u8};
use rayon::prelude::*;

use super::super::super::Precision;
use super::super::operation::{Operation, bytes, bytes_mut};
use super::super::view::Rows;
use super::inverted_residual::Stages;

/// What sums start from, and what becomes of them.
pub(in super::super) struct Sums {
    /// In units of the sums, less what the input's zero point adds.
    pub(in super::super) bias: Shared<i32>,
    pub(in super::super) multipliers: Vec<f32>,
    pub(in super::super) finish: Finish,
}

/// What sums become.
pub(in super::super) enum Finish {
    Numbers,
    /// As [`Requantize`] says; of what is added, the zero point and the multiplier.
    Bytes {
        zero: u8,
        low: u8,
        high: u8,
        table: Option<Box<Table>>,
        residual: Option<(u8, f32)>,
    },
}

impl Sums {
    /// Beyond, a bias would come near the range of the sums.
    pub(in super::super) const MOST_BIAS: f64 = (1u32 << 30) as f64;
    /// Beyond, sums of products might leave the range that such a bias leaves them.
    pub(in super::super) const MOST_INPUTS: usize = (1 << 30) / (255 * 127);

    /// Of sums that become bytes.
    fn requantize<'a>(&'a self, added: Option<(&'a [u8], usize)>) -> Requantize<'a> {
        let Finish::Bytes { zero, low, high, table, residual } = &self.finish else {
            unreachable!("lowering gives what becomes bytes")
        };
        let residual = added.zip(*residual).map(|((values, stride), (zero, multiplier))| Residual {
            values,
            stride,
            zero,
            multiplier,
        });
        let (zero, low, high) = (*zero, *low, *high);
        Requantize { multipliers: &self.multipliers, residual, zero, low, high, table: table.as_deref() }
    }

    fn are_bytes(&self) -> bool {
        matches!(self.finish, Finish::Bytes { .. })
    }
}

/// A linear map of rows.
pub(in super::super) struct ByteLinear {
    pub(in super::super) weights: linear_u8::Weights,
    pub(in super::super) sums: Sums,
    pub(in super::super) input: Rows,
    pub(in super::super) residual: Option<Rows>,
}

impl Operation for ByteLinear {
    fn kind(&self) -> &'static str {
        "linear"
    }

    fn macs(&self) -> u64 {
        (self.input.count * self.weights.inputs() * self.weights.outputs()) as u64
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Rows { count, stride, offset, .. } = self.input;
        let (a, n, bias) = (&bytes(inputs[0])[offset..], self.weights.outputs(), &self.sums.bias);
        if self.sums.are_bytes() {
            let added = self.residual.map(|rows| (&bytes(inputs[1])[rows.offset..], rows.stride));
            let requantize = self.sums.requantize(added);
            let out = bytes_mut(out, count * n);
            linear_u8::linear_to_bytes_parallel(a, stride, count, &self.weights, bias, &requantize, out, n);
        } else {
            let multipliers = &self.sums.multipliers;
            linear_u8::linear_to_floats_parallel(a, stride, count, &self.weights, bias, multipliers, out, n);
        }
    }
}

/// Rows of a map, made of bytes a few at a time.
pub(in super::super) struct ByteMap {
    pub(in super::super) source: ByteSource,
    pub(in super::super) weights: linear_u8::Weights,
    pub(in super::super) sums: Sums,
    /// Pixels of a row of the map.
    pub(in super::super) width: usize,
}

/// What a [`ByteMap`] reads.
pub(in super::super) enum ByteSource {
    /// Pixels.
    Pixels(Rows),
    /// Windows of an image that lies with its channels last; `zero` stands beside it.
    Windows { shape: Shape, channels: usize, kernel: usize, zero: u8 },
}

impl ByteMap {
    /// Elements of a row of the map.
    pub(super) fn row(&self) -> usize {
        self.width * self.weights.outputs()
    }

    pub(super) fn macs(&self, rows: usize) -> u64 {
        (rows * self.row() * self.weights.inputs()) as u64
    }

    /// Computes the rows of bytes from `first` on that `out` has room for, and adds `residual`, which begins at row `first`.
    pub(super) fn compute(
        &self,
        input: &[u8],
        first: usize,
        residual: Option<(&[u8], usize)>,
        patches: &mut Aligned<u8>,
        out: &mut [u8],
    ) {
        let (n, bias) = (self.weights.outputs(), &self.sums.bias);
        self.each(input, first, patches, out, |(a, stride, rows), y, out| {
            let residual = residual.map(|(values, stride)| (&values[y * self.width * stride..], stride));
            let requantize = self.sums.requantize(residual);
            linear_u8::linear_to_bytes(a, stride, rows, &self.weights, bias, &requantize, out, n);
        });
    }

    /// As [`compute`](Self::compute), of rows of numbers.
    fn compute_numbers(&self, input: &[u8], first: usize, patches: &mut Aligned<u8>, out: &mut [f32]) {
        let (n, Sums { bias, multipliers, .. }) = (self.weights.outputs(), &self.sums);
        self.each(input, first, patches, out, |(a, stride, rows), _, out| {
            linear_u8::linear_to_floats(a, stride, rows, &self.weights, bias, multipliers, out, n);
        });
    }

    /// Calls `map` with the rows that it maps (what they lie in, their distance and number), the row of the output, and its place there.
    fn each<E>(
        &self,
        input: &[u8],
        first: usize,
        patches: &mut Aligned<u8>,
        out: &mut [E],
        map: impl Fn((&[u8], usize, usize), usize, &mut [E]),
    ) {
        let (inputs, n, width) = (self.weights.inputs(), self.weights.outputs(), self.width);
        match &self.source {
            ByteSource::Pixels(Rows { stride, offset, .. }) => {
                let rows = out.len() / n;
                map((&input[offset + first * width * stride..], *stride, rows), 0, out);
            }
            ByteSource::Windows { shape, channels, kernel, zero } => {
                let patches = patches.resize(width * inputs);
                let input = &input[..shape.height * shape.width * channels];
                for (y, out) in out.chunks_exact_mut(width * n).enumerate() {
                    gather_patches(input, shape, *channels, *kernel, *zero, first + y, patches);
                    map((patches, inputs, width), y, out);
                }
            }
        }
    }
}

/// A dense convolution, row by row.
pub(in super::super) struct ByteConvolution {
    pub(in super::super) map: ByteMap,
    pub(in super::super) residual: Option<Rows>,
    /// Rows of the map.
    pub(in super::super) height: usize,
}

impl Operation for ByteConvolution {
    fn kind(&self) -> &'static str {
        "convolution"
    }

    fn macs(&self) -> u64 {
        self.map.macs(self.height)
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (input, row) = (bytes(inputs[0]), self.map.row());
        if self.map.sums.are_bytes() {
            let out = bytes_mut(out, self.height * row).par_chunks_exact_mut(row);
            out.enumerate().for_each_init(Aligned::default, |patches, (y, out)| {
                let residual =
                    self.residual.map(|r| (&bytes(inputs[1])[r.offset + y * self.map.width * r.stride..], r.stride));
                self.map.compute(input, y, residual, patches, out);
            });
        } else {
            out.par_chunks_exact_mut(row).enumerate().for_each_init(Aligned::default, |patches, (y, out)| {
                self.map.compute_numbers(input, y, patches, out);
            });
        }
    }
}

/// A depthwise convolution.
pub(in super::super) struct ByteDepthwise {
    pub(in super::super) weights: Arc<depthwise_u8::Weights>,
    pub(in super::super) shape: Shape,
    pub(in super::super) sums: Sums,
    /// What stands beside the map.
    pub(in super::super) zero: u8,
}

impl ByteDepthwise {
    fn size(&self) -> (usize, usize) {
        self.shape.output(self.weights.kernel())
    }
}

impl Operation for ByteDepthwise {
    fn kind(&self) -> &'static str {
        "depthwise"
    }

    fn macs(&self) -> u64 {
        let ((height, width), kernel) = (self.size(), self.weights.kernel());
        (height * width * self.weights.channels() * kernel * kernel) as u64
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let ((height, width), channels) = (self.size(), self.weights.channels());
        let input = &bytes(inputs[0])[..self.shape.height * self.shape.width * channels];
        let (requantize, out) = (self.sums.requantize(None), bytes_mut(out, height * width * channels));
        let (shape, bias) = (&self.shape, &self.sums.bias);
        depthwise_u8::depthwise_parallel_u8(input, shape, &self.weights, bias, self.zero, &requantize, out);
    }
}

/// The convolutions of an inverted residual, of bytes.
pub(in super::super) struct ByteStages {
    pub(in super::super) expand: ByteMap,
    pub(in super::super) spread: ByteDepthwise,
    pub(in super::super) project: ByteMap,
    pub(in super::super) residual: Option<Rows>,
}

impl Stages for ByteStages {
    type Element = u8;
    type Image<'a> = &'a [u8];

    fn rows(&self) -> [usize; 3] {
        let spread = self.project.width * self.spread.weights.channels();
        [self.expand.row(), spread, self.project.row()]
    }

    fn kernel(&self) -> usize {
        self.spread.weights.kernel()
    }

    fn expand(&self, image: &[u8], first: usize, patches: &mut Aligned<u8>, out: &mut [u8]) {
        self.expand.compute(image, first, None, patches, out);
    }

    fn spread(&self, seen: &[Option<&[u8]>], shape: &Shape, out: &mut [u8]) {
        let ByteDepthwise { weights, sums, zero, .. } = &self.spread;
        depthwise_u8::depthwise_row_u8(seen, shape, weights, &sums.bias, *zero, &sums.requantize(None), out);
    }

    fn project(&self, spread: &[u8], y: usize, inputs: &[&[f32]], patches: &mut Aligned<u8>, out: &mut [u8]) {
        let residual =
            self.residual.map(|r| (&bytes(inputs[1])[r.offset + y * self.project.width * r.stride..], r.stride));
        self.project.compute(spread, 0, residual, patches, out);
    }

    fn macs(&self, height: usize) -> u64 {
        self.expand.macs(self.spread.shape.height) + self.spread.macs() + self.project.macs(height)
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn image<'a>(&self, inputs: &[&'a [f32]], _: Planes<'a>) -> &'a [u8] {
        bytes(inputs[0])
    }

    fn out<'a>(&self, out: &'a mut [f32], length: usize) -> &'a mut [u8] {
        bytes_mut(out, length)
    }
}

//! Linear maps and dense convolutions.

use std::sync::{Arc, Mutex, PoisonError};

use cutout_kernels::activation::Activation;
use cutout_kernels::convolution::{self, Planes, Stem};
use cutout_kernels::linear::{Epilogue, Storage, Weights, linear, linear_parallel};
use cutout_kernels::{Aligned, Shared, SimdLevel, depthwise};
use rayon::prelude::*;

use super::super::super::Precision;
use super::super::operation::{Joint, Operation};
use super::super::view::{Rows, View};

/// A linear map of rows, its activation, and a sum.
pub(in super::super) struct Linear {
    pub(in super::super) weights: Weights,
    pub(in super::super) bias: Option<Shared<f32>>,
    pub(in super::super) activation: Activation,
    pub(in super::super) residual: Option<Rows>,
    pub(in super::super) input: Rows,
}

impl Operation for Linear {
    fn kind(&self) -> &'static str {
        "linear"
    }

    fn macs(&self) -> u64 {
        (self.input.count * self.weights.inputs() * self.weights.outputs()) as u64
    }

    fn precision(&self) -> Precision {
        Precision::of(&self.weights)
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Rows { count, stride, offset, .. } = self.input;
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation: self.activation,
            residual: self.residual.map(|rows| (&inputs[1][rows.offset..], rows.stride)),
        };
        linear_parallel(&inputs[0][offset..], stride, count, &self.weights, &epilogue, out, self.weights.outputs());
    }

    fn joint(&self) -> Option<&dyn Joint> {
        // Beyond, the weights are no longer what takes the time.
        const FEW_ROWS: usize = 32;
        (self.input.count < FEW_ROWS).then_some(self)
    }
}

impl Joint for Linear {
    fn scratch(&self, runs: usize) -> usize {
        let (rows, k, n) = (runs * self.input.count, self.weights.inputs(), self.weights.outputs());
        rows * (k + n) + if self.residual.is_some() { rows * n } else { 0 }
    }

    fn run_all<'s>(&self, inputs: &[Vec<&[f32]>], scratch: &'s mut [f32]) -> &'s [f32] {
        let (count, k, n) = (self.input.count, self.weights.inputs(), self.weights.outputs());
        let rows = inputs.len() * count;
        let added = if self.residual.is_some() { rows * n } else { 0 };
        let (values, rest) = scratch[..self.scratch(inputs.len())].split_at_mut(rows * k);
        let (residual, results) = rest.split_at_mut(added);
        for (run, inputs) in inputs.iter().enumerate() {
            self.input.gather(inputs[0], k, &mut values[run * count * k..][..count * k]);
            if let Some(added) = self.residual {
                added.gather(inputs[1], n, &mut residual[run * count * n..][..count * n]);
            }
        }
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation: self.activation,
            residual: self.residual.map(|_| (&*residual, n)),
        };
        linear_parallel(values, k, rows, &self.weights, &epilogue, results, n);
        results
    }
}

/// The rows of a map, made of an input a few at a time.
pub(in super::super) struct RowMap {
    pub(in super::super) source: Source,
    pub(in super::super) bias: Option<Shared<f32>>,
    pub(in super::super) activation: Activation,
    /// Pixels of a row of the map.
    pub(in super::super) width: usize,
}

/// What a [`RowMap`] reads, and with which weights.
pub(in super::super) enum Source {
    /// Pixels, by a linear map.
    Pixels(Weights, Rows),
    /// Windows of an image that lies with its channels last, by a linear map of patches.
    Windows { weights: Weights, shape: depthwise::Shape, channels: usize, kernel: usize },
    /// Windows of planes. The bias is among the weights.
    Planes(Arc<Stem>, depthwise::Shape),
}

impl RowMap {
    /// Numbers that an output is made of, and outputs.
    fn size(&self) -> (usize, usize) {
        match &self.source {
            Source::Pixels(weights, _) | Source::Windows { weights, .. } => (weights.inputs(), weights.outputs()),
            Source::Planes(stem, _) => (stem.inputs(), stem.outputs()),
        }
    }

    /// Numbers of a row of the map.
    pub(in super::super) fn row(&self) -> usize {
        self.width * self.size().1
    }

    /// Multiply-accumulates of `rows` rows.
    pub(in super::super) fn macs(&self, rows: usize) -> u64 {
        let (inputs, outputs) = self.size();
        (rows * self.width * inputs * outputs) as u64
    }

    /// What the weights are kept and multiplied in.
    pub(in super::super) fn precision(&self) -> Precision {
        match &self.source {
            Source::Pixels(weights, _) | Source::Windows { weights, .. } => Precision::of(weights),
            Source::Planes(..) => Precision::F32,
        }
    }

    /// Computes the rows from `first` on that `out` has room for, and adds `residual`, which begins at row `first`. (Planes take no
    /// residual.)
    pub(in super::super) fn compute(
        &self,
        input: Planes<'_>,
        first: usize,
        residual: Option<(&[f32], usize)>,
        scratch: &mut Aligned<f32>,
        out: &mut [f32],
    ) {
        let ((inputs, n), width) = (self.size(), self.width);
        let bias = self.bias.as_deref();
        match &self.source {
            Source::Pixels(weights, Rows { stride, offset, .. }) => {
                let epilogue = Epilogue { bias, activation: self.activation, residual };
                let input = &input.floats()[offset + first * width * stride..];
                linear(input, *stride, out.len() / n, weights, &epilogue, out, n);
            }
            Source::Windows { weights, shape, channels, kernel } => {
                let patches = scratch.resize(width * inputs);
                let input = &input.floats()[..shape.height * shape.width * channels];
                for (y, out) in out.chunks_exact_mut(width * n).enumerate() {
                    convolution::gather_patches(input, shape, *channels, *kernel, 0.0, first + y, patches);
                    let residual = residual.map(|(values, stride)| (&values[y * width * stride..], stride));
                    let epilogue = Epilogue { bias, activation: self.activation, residual };
                    linear(patches, inputs, width, weights, &epilogue, out, n);
                }
            }
            Source::Planes(stem, shape) => {
                let input = match input {
                    Planes::Floats(numbers) => Planes::Floats(&numbers[..shape.height * shape.width * stem.channels()]),
                    levels => levels,
                };
                for (y, out) in out.chunks_exact_mut(width * n).enumerate() {
                    stem.row(input, shape, self.activation, first + y, scratch, out);
                }
            }
        }
    }
}

/// A dense convolution, row by row.
pub(in super::super) struct Convolution {
    pub(in super::super) map: RowMap,
    pub(in super::super) residual: Option<Rows>,
    /// Rows of the map.
    pub(in super::super) height: usize,
}

impl Operation for Convolution {
    fn kind(&self) -> &'static str {
        "convolution"
    }

    fn macs(&self) -> u64 {
        self.map.macs(self.height)
    }

    fn precision(&self) -> Precision {
        self.map.precision()
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        self.run_on_levels(Planes::Floats(inputs[0]), inputs, out);
    }

    fn run_on_levels(&self, image: Planes<'_>, inputs: &[&[f32]], out: &mut [f32]) {
        out.par_chunks_exact_mut(self.map.row()).enumerate().for_each_init(Aligned::default, |patches, (y, out)| {
            let residual = self.residual.map(|r| (&inputs[1][r.offset + y * self.map.width * r.stride..], r.stride));
            self.map.compute(image, y, residual, patches, out);
        });
    }
}

/// A product of two values: of rows with a matrix that is packed at each run.
pub(in super::super) struct Product {
    pub(in super::super) rows: Rows,
    /// `[outputs, inputs]`.
    pub(in super::super) packed: View,
    scratch: Mutex<Vec<Weights>>,
    level: SimdLevel,
}

impl Product {
    pub(in super::super) fn new(level: SimdLevel, rows: Rows, packed: View) -> Self {
        Product { rows, packed, scratch: Mutex::default(), level }
    }
}

impl Operation for Product {
    fn kind(&self) -> &'static str {
        "product"
    }

    fn macs(&self) -> u64 {
        (self.rows.count * self.packed.len()) as u64
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let scratch = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = scratch().pop();
        let mut weights = spare.unwrap_or_else(|| Weights::scratch(self.level, Storage::F32));
        let (shape, strides) = (&self.packed.shape, &self.packed.strides);
        weights.pack_into(&inputs[1][self.packed.offset..], (strides[0], strides[1]), shape[0], shape[1]);
        let Rows { count, stride, offset, .. } = self.rows;
        linear_parallel(&inputs[0][offset..], stride, count, &weights, &Epilogue::default(), out, shape[0]);
        scratch().push(weights);
    }
}

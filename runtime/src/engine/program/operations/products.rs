//! Linear maps and dense convolutions.

use std::sync::{Arc, Mutex, PoisonError};

use cutout_kernels::activation::Activation;
use cutout_kernels::linear::{Epilogue, Storage, Weights, linear, linear_parallel};
use cutout_kernels::{SimdLevel, convolution, depthwise};
use rayon::prelude::*;

use super::super::operation::Operation;
use super::super::view::{Rows, View};

/// A linear map of rows, its activation, and a sum.
pub(in super::super) struct Linear {
    pub(in super::super) weights: Weights,
    pub(in super::super) bias: Option<Arc<Vec<f32>>>,
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

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Rows { count, stride, offset, .. } = self.input;
        let epilogue = Epilogue {
            bias: self.bias.as_ref().map(|b| b.as_slice()),
            activation: self.activation,
            residual: self.residual.map(|rows| (&inputs[1][rows.offset..], rows.stride)),
        };
        linear_parallel(&inputs[0][offset..], stride, count, &self.weights, &epilogue, out, self.weights.outputs());
    }
}

/// A dense convolution: the patches of a row of pixels, then a linear map.
pub(in super::super) struct Convolution {
    pub(in super::super) weights: Weights,
    pub(in super::super) bias: Option<Arc<Vec<f32>>>,
    pub(in super::super) activation: Activation,
    pub(in super::super) residual: Option<Rows>,
    pub(in super::super) shape: depthwise::Shape,
    pub(in super::super) channels: usize,
    pub(in super::super) kernel: usize,
    /// Pixels of an output row.
    pub(in super::super) width: usize,
}

impl Operation for Convolution {
    fn kind(&self) -> &'static str {
        "convolution"
    }

    fn macs(&self) -> u64 {
        let rows = self.shape.output(self.kernel).0;
        (rows * self.width * self.weights.inputs() * self.weights.outputs()) as u64
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (n, k) = (self.weights.outputs(), self.weights.inputs());
        out.par_chunks_exact_mut(self.width * n).enumerate().for_each_init(
            || vec![0.0; self.width * k],
            |patches, (y, out)| {
                convolution::gather_patches(inputs[0], &self.shape, self.channels, self.kernel, y, patches);
                let residual =
                    self.residual.map(|rows| (&inputs[1][rows.offset + y * self.width * rows.stride..], rows.stride));
                let bias = self.bias.as_ref().map(|b| b.as_slice());
                let epilogue = Epilogue { bias, activation: self.activation, residual };
                linear(patches, k, self.width, &self.weights, &epilogue, out, n);
            },
        );
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

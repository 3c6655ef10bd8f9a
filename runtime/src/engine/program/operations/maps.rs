//! Operators on maps and rows without products over channels.

use std::sync::Arc;

use cutout_kernels::activation::Activation;
use cutout_kernels::{Shared, SimdLevel, depthwise, layer_norm, softmax};
use rayon::prelude::*;

use super::super::operation::Operation;
use super::super::view::Rows;

/// A depthwise convolution and its activation.
pub(in super::super) struct Depthwise {
    pub(in super::super) weights: Arc<depthwise::Weights>,
    pub(in super::super) shape: depthwise::Shape,
    pub(in super::super) activation: Activation,
    pub(in super::super) macs: u64,
}

impl Operation for Depthwise {
    fn kind(&self) -> &'static str {
        "depthwise"
    }

    fn macs(&self) -> u64 {
        self.macs
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let input = &inputs[0][..self.shape.height * self.shape.width * self.weights.channels()];
        depthwise::depthwise_parallel(input, &self.shape, &self.weights, self.activation, out);
    }
}

/// Layer normalisation of rows.
pub(in super::super) struct LayerNorm {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) rows: Rows,
    pub(in super::super) gamma: Shared<f32>,
    pub(in super::super) beta: Shared<f32>,
    pub(in super::super) epsilon: f32,
}

impl Operation for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer norm"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Rows { count, width, stride, offset } = self.rows;
        let source = &inputs[0][offset..];
        if stride == width {
            let source = &source[..count * width];
            layer_norm::layer_norm_parallel(self.level, source, width, &self.gamma, &self.beta, self.epsilon, out);
        } else {
            out.par_chunks_exact_mut(width).zip(source.par_chunks(stride)).for_each(|(out, row)| {
                layer_norm::layer_norm(self.level, &row[..width], width, &self.gamma, &self.beta, self.epsilon, out);
            });
        }
    }
}

/// Softmax of rows.
pub(in super::super) struct Softmax {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) rows: Rows,
}

impl Operation for Softmax {
    fn kind(&self) -> &'static str {
        "softmax"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Rows { width, stride, offset, .. } = self.rows;
        out.par_chunks_exact_mut(width).zip(inputs[0][offset..].par_chunks(stride)).with_min_len(64).for_each(
            |(out, row)| {
                out.copy_from_slice(&row[..width]);
                softmax::softmax(self.level, out, width);
            },
        );
    }
}

/// The mean of all pixels.
pub(in super::super) struct MeanPool {
    pub(in super::super) rows: Rows,
}

impl Operation for MeanPool {
    fn kind(&self) -> &'static str {
        "mean pool"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Rows { count, width, stride, offset } = self.rows;
        let mut sums = vec![0.0f64; width];
        for row in inputs[0][offset..].chunks(stride).take(count) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / count as f64) as f32);
    }
}

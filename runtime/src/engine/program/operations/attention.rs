//! Attention.

use cutout_kernels::attention::{self, Operand, Shape, attention};
use cutout_kernels::linear::Weights;
use cutout_kernels::{Shared, SimdLevel};

use super::super::super::Precision;
use super::super::operation::Operation;
use super::super::view::View;

/// `softmax(q k^T + bias) v` for every batch and head. Views are `[batch, heads, tokens, width]`, the width lying side by side; the
/// result is `[batch, tokens, heads, width]`.
pub(in super::super) struct Attention {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) q: View,
    pub(in super::super) k: View,
    pub(in super::super) v: View,
    pub(in super::super) bias: Bias,
}

/// What is added to the scores, as [`attention::Bias`].
pub(in super::super) enum Bias {
    None,
    Table(Shared<f32>),
    Decomposed { rows: Vec<Weights>, columns: Vec<Weights> },
}

impl Operation for Attention {
    fn kind(&self) -> &'static str {
        "attention"
    }

    fn precision(&self) -> Precision {
        match &self.bias {
            Bias::Decomposed { rows, .. } => rows.first().map_or(Precision::F32, Precision::of),
            Bias::None | Bias::Table(_) => Precision::F32,
        }
    }

    fn macs(&self) -> u64 {
        let (keys, width) = (self.k.shape[2], self.k.shape[3]);
        let positions = match &self.bias {
            Bias::None | Bias::Table(_) => 0,
            Bias::Decomposed { rows, columns } => (rows.len() + columns.len()) * width,
        };
        (self.q.shape[..3].iter().product::<usize>() * (keys * (width + self.v.shape[3]) + positions)) as u64
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let operand = |i: usize, view: &View| Operand {
            data: &inputs[i][view.offset..],
            batch_stride: view.strides[0],
            head_stride: view.strides[1],
            row_stride: view.strides[2],
        };
        let (q, k, v) = (operand(0, &self.q), operand(1, &self.k), operand(2, &self.v));
        let shape = Shape {
            batch: self.q.shape[0],
            heads: self.q.shape[1],
            queries: self.q.shape[2],
            keys: self.k.shape[2],
            width: self.k.shape[3],
            value_width: self.v.shape[3],
        };
        let bias = match &self.bias {
            Bias::None => attention::Bias::None,
            Bias::Table(table) => attention::Bias::Table(table),
            Bias::Decomposed { rows, columns } => attention::Bias::Decomposed { rows, columns },
        };
        attention(self.level, q, k, v, bias, &shape, out);
    }
}

//! Attention.

use cutout_kernels::attention::{Operand, Shape, attention};
use cutout_kernels::{Shared, SimdLevel};

use super::super::operation::Operation;
use super::super::view::View;

/// `softmax(q k^T + bias) v` for every batch and head. Views are `[batch, heads, tokens, width]`, the width lying side by side; the
/// result is `[batch, tokens, heads, width]`.
pub(in super::super) struct Attention {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) q: View,
    pub(in super::super) k: View,
    pub(in super::super) v: View,
    /// `[heads, queries, keys]`.
    pub(in super::super) bias: Option<Shared<f32>>,
}

impl Operation for Attention {
    fn kind(&self) -> &'static str {
        "attention"
    }

    fn macs(&self) -> u64 {
        let (keys, width) = (self.k.shape[2], self.k.shape[3] + self.v.shape[3]);
        (self.q.shape[..3].iter().product::<usize>() * keys * width) as u64
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
        attention(self.level, q, k, v, self.bias.as_deref(), &shape, out);
    }
}

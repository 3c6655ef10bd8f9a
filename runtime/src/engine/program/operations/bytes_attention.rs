//! Attention of values in bytes.

use cutout_kernels::SimdLevel;
use cutout_kernels::attention::Shape;
use cutout_kernels::attention_u8::{Operand, Scales, attention_u8, is_in_range};

use super::super::super::Precision;
use super::super::operation::{Operation, bytes, bytes_mut};
use super::super::quantization::Quantization;
use super::super::view::View;

/// As [`Attention`](super::Attention), of queries, keys and values in bytes.
pub(in super::super) struct ByteAttention {
    pub(in super::super) level: SimdLevel,
    /// Of the queries, the keys and the values.
    pub(in super::super) views: [View; 3],
    pub(in super::super) quantizations: [Quantization; 3],
    pub(in super::super) out: Quantization,
    /// In units of the scores: the scale of the queries times that of the keys.
    pub(in super::super) bias: Option<Vec<i32>>,
}

impl ByteAttention {
    /// Whether the kernel takes as many keys and numbers, and these scales.
    pub(in super::super) fn is_in_range(&self) -> bool {
        is_in_range(&self.scales(), &self.shape())
    }

    fn scales(&self) -> Scales {
        let [of_q, of_k, of_v] = self.quantizations.map(|q| q.scale);
        Scales { score: of_q * of_k, output: super::by(of_v, self.out.scale), zero: self.out.zero }
    }

    fn shape(&self) -> Shape {
        let [q, k, v] = &self.views;
        Shape {
            batch: q.shape[0],
            heads: q.shape[1],
            queries: q.shape[2],
            keys: k.shape[2],
            width: k.shape[3],
            value_width: v.shape[3],
        }
    }
}

impl Operation for ByteAttention {
    fn kind(&self) -> &'static str {
        "attention"
    }

    fn macs(&self) -> u64 {
        let Shape { batch, heads, queries, keys, width, value_width } = self.shape();
        (batch * heads * queries * keys * (width + value_width)) as u64
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let [q, k, v] = std::array::from_fn(|i| {
            let View { strides, offset, .. } = &self.views[i];
            let data = &bytes(inputs[i])[*offset..];
            let zero = self.quantizations[i].zero;
            Operand { data, batch_stride: strides[0], head_stride: strides[1], row_stride: strides[2], zero }
        });
        let (scales, shape) = (self.scales(), self.shape());
        let length = shape.batch * shape.queries * shape.heads * shape.value_width;
        attention_u8(self.level, q, k, v, self.bias.as_deref(), &scales, &shape, bytes_mut(out, length));
    }
}

//! Multi-head self-attention on groups of tokens: what the two transformer encoders have in common.

use ndarray::ArrayD;

use crate::error::Result;
use crate::onnx::{GraphBuilder, Value};

use super::Params;
use super::layers::linear;

/// Order of the rows of a joint query-key-value projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QkvOrder {
    /// Per head its query, key and value, then the next head (TinyViT).
    Heads,
    /// All queries, all keys, all values (ViT of Segment Anything).
    Parts,
}

/// Sizes of a self-attention over `groups` of `length` tokens that do not see each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct SelfAttention {
    pub(super) groups: usize,
    pub(super) length: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    pub(super) order: QkvOrder,
}

impl SelfAttention {
    fn channels(self) -> usize {
        self.heads * self.head_dim
    }

    /// Tokens `[groups * length, channels]` to tokens of the same shape.
    ///
    /// `bias` adds to the attention scores `[groups, heads, length, length]`; it gets the queries
    /// `[groups, heads, length, head_dim]`, unscaled, and the scores. The factor `head_dim^-1/2` is
    /// in the weights of the keys.
    pub(super) fn build(
        self,
        g: &mut GraphBuilder,
        p: &Params<'_>,
        tokens: &Value,
        bias: impl FnOnce(&mut GraphBuilder, &Value, Value) -> Result<Value>,
    ) -> Result<Value> {
        let [q, k, v] = self.queries_keys_values(g, &p.sub("qkv"), tokens)?;
        let k = g.transpose(&k, &[0, 1, 3, 2]);
        let scores = g.matmul(&q, &k);
        let scores = bias(g, &q, scores)?;
        let weights = g.softmax(&scores);
        let x = g.matmul(&weights, &v);
        let x = g.transpose(&x, &[0, 2, 1, 3]);
        let x = g.reshape(&x, &[(self.groups * self.length) as i64, self.channels() as i64]);
        g.scoped("proj", |g| linear(g, &p.sub("proj"), &x, self.channels(), self.channels()))
    }

    fn queries_keys_values(self, g: &mut GraphBuilder, p: &Params<'_>, tokens: &Value) -> Result<[Value; 3]> {
        let channels = self.channels();
        let parameter = |name, shape: &[usize]| p.folded(name, shape, shape, |rows| Ok(self.scale_keys(rows)));
        let weight = parameter("weight", &[3 * channels, channels])?;
        let bias = parameter("bias", &[3 * channels])?;
        let [groups, length, heads, dim] = [self.groups, self.length, self.heads, self.head_dim].map(|n| n as i64);
        Ok(g.scoped("qkv", |g| {
            let qkv = g.linear(tokens, &weight, Some(&bias));
            let (shape, perm) = match self.order {
                QkvOrder::Heads => ([groups, length, heads, 3, dim], [3, 0, 2, 1, 4]),
                QkvOrder::Parts => ([groups, length, 3, heads, dim], [2, 0, 3, 1, 4]),
            };
            let qkv = g.reshape(&qkv, &shape);
            let qkv = g.transpose(&qkv, &perm);
            g.split3(&qkv, 0).map(|part| g.reshape(&part, &[groups, heads, length, dim]))
        }))
    }

    fn scale_keys(self, mut rows: ArrayD<f32>) -> ArrayD<f32> {
        let scale = (self.head_dim as f64).sqrt().recip();
        let is_key = |row: usize| match self.order {
            QkvOrder::Heads => row / self.head_dim % 3 == 1,
            QkvOrder::Parts => row / self.channels() == 1,
        };
        for (i, mut row) in rows.outer_iter_mut().enumerate() {
            if is_key(i) {
                row.mapv_inplace(|v| (f64::from(v) * scale) as f32);
            }
        }
        rows
    }
}

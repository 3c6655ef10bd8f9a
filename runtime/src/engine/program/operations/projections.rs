//! Attention between few tokens and an image, with the projections of the image.

use cutout_kernels::attention::{Bias, Operand, Shape, attention};
use cutout_kernels::linear::{Epilogue, Storage, Weights, linear};
use cutout_kernels::softmax::softmax_of_columns;
use cutout_kernels::transpose::transpose;
use cutout_kernels::{Aligned, Shared, SimdLevel};
use rayon::prelude::*;

use super::super::super::Precision;
use super::super::operation::Operation;
use super::super::view::{Rows, View};

/// `softmax(q (x Wk)^T) (y Wv + b)` for every head, of few queries: tokens are brought into the space of `x`, and sums of `y` out of
/// its own. (A bias of the keys adds the same to all scores of a query, and so changes nothing.) The result is
/// `[tokens, heads, width]`.
pub(in super::super) struct FewQueries {
    pub(in super::super) level: SimdLevel,
    /// `[1, heads, tokens, width]`, the width lying side by side.
    pub(in super::super) q: View,
    /// `x`.
    pub(in super::super) keys: Rows,
    /// `y`.
    pub(in super::super) values: Rows,
    /// For each head, from its width to that of `x`.
    pub(in super::super) key_maps: Vec<Weights>,
    /// For each head, from the width of `y` to its own.
    pub(in super::super) value_maps: Vec<Weights>,
    pub(in super::super) value_bias: Shared<f32>,
}

impl Operation for FewQueries {
    fn kind(&self) -> &'static str {
        "attention"
    }

    fn precision(&self) -> Precision {
        self.key_maps.first().map_or(Precision::F32, Precision::of)
    }

    fn macs(&self) -> u64 {
        let (tokens, width) = (self.q.shape[2], self.q.shape[3]);
        let inputs = self.keys.width + self.values.width;
        (self.key_maps.len() * tokens * (self.keys.count + width) * inputs) as u64
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let &[_, heads, tokens, width] = self.q.shape.as_slice() else {
            unreachable!("lowering gives four dimensions")
        };
        let (wide, queries) = (heads * width, heads * tokens);
        let (c, d) = (self.keys.width, self.values.width);
        let mut asked = vec![0.0; queries * c];
        each_head(inputs[0], &self.q, &self.key_maps, &mut asked);
        let operand = |data, rows: Rows| Operand { data, batch_stride: 0, head_stride: 0, row_stride: rows.stride };
        let rows = Rows { count: queries, width: c, stride: c, offset: 0 };
        let shape = Shape { batch: 1, heads: 1, queries, keys: self.keys.count, width: c, value_width: d };
        let (keys, values) = (&inputs[1][self.keys.offset..], &inputs[2][self.values.offset..]);
        let mut mixed = vec![0.0; queries * d];
        attention(
            self.level,
            operand(&asked, rows),
            operand(keys, self.keys),
            operand(values, self.values),
            Bias::None,
            &shape,
            &mut mixed,
        );
        for (head, map) in self.value_maps.iter().enumerate() {
            let bias = Some(&self.value_bias[head * width..][..width]);
            let epilogue = Epilogue { bias, ..Epilogue::default() };
            linear(&mixed[head * d..], heads * d, tokens, map, &epilogue, &mut out[head * width..], wide);
        }
    }
}

/// `softmax((x Wq + b) k^T) v Wo + c + residual`, summed over the heads, of few keys: tokens are brought into the space of `x`, and
/// into that of the result, in which a cell is a sum of them. Without maps of the queries, `x` are the queries. The result is
/// `[cells, outputs]`.
pub(in super::super) struct FewKeys {
    pub(in super::super) level: SimdLevel,
    /// `x`.
    pub(in super::super) queries: Rows,
    /// `[1, heads, tokens, width]`, the width lying side by side.
    pub(in super::super) k: View,
    pub(in super::super) v: View,
    /// For each head, from its width to that of `x`; or none.
    pub(in super::super) query_maps: Vec<Weights>,
    pub(in super::super) query_bias: Option<Shared<f32>>,
    /// For each head, from its width to that of the result.
    pub(in super::super) out_maps: Vec<Weights>,
    pub(in super::super) out_bias: Shared<f32>,
    pub(in super::super) residual: Option<Rows>,
}

impl Operation for FewKeys {
    fn kind(&self) -> &'static str {
        "attention"
    }

    fn precision(&self) -> Precision {
        self.out_maps.first().map_or(Precision::F32, Precision::of)
    }

    fn macs(&self) -> u64 {
        let (tokens, outputs) = (self.k.shape[2], self.out_bias.len());
        let cells = self.queries.count * (self.queries.width + outputs);
        (self.out_maps.len() * tokens * (cells + self.k.shape[3] * outputs)) as u64
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        /// Cells that a task takes at once.
        const BLOCK: usize = 112;
        let &[_, heads, tokens, width] = self.k.shape.as_slice() else {
            unreachable!("lowering gives four dimensions")
        };
        let (c, d, keys) = (self.queries.width, self.out_bias.len(), heads * tokens);
        let head_keys = |token: usize, head: usize| {
            &inputs[1][self.k.offset + head * self.k.strides[1] + token * self.k.strides[2]..][..width]
        };
        let mut asked = vec![0.0; keys * c];
        if self.query_maps.is_empty() {
            for (i, row) in asked.chunks_exact_mut(c).enumerate() {
                row[i % heads * width..][..width].copy_from_slice(head_keys(i / heads, i % heads));
            }
        } else {
            each_head(inputs[1], &self.k, &self.query_maps, &mut asked);
        }
        let mut turned = vec![0.0; keys * c];
        transpose(self.level, &asked, c, [keys, c], &mut turned, keys);
        let mut score = Weights::scratch(self.level, Storage::F32);
        score.pack_into(&turned, (1, keys), keys, c);
        let bias: Option<Vec<f32>> = self.query_bias.as_ref().map(|bias| {
            let dot = |i: usize| {
                let bias = &bias[i % heads * width..][..width];
                bias.iter().zip(head_keys(i / heads, i % heads)).map(|(a, b)| a * b).sum()
            };
            (0..keys).map(dot).collect()
        });
        let mut shares = vec![0.0; keys * d];
        each_head(inputs[2], &self.v, &self.out_maps, &mut shares);
        let mut mix = Weights::scratch(self.level, Storage::F32);
        mix.pack_into(&shares, (1, d), d, keys);
        let Rows { stride, offset, .. } = self.queries;
        let epilogue = Epilogue { bias: bias.as_deref(), ..Epilogue::default() };
        let scratch = || [Aligned::default(), Aligned::default()];
        out.par_chunks_mut(BLOCK * d).enumerate().for_each_init(scratch, |[scores, turned], (block, out)| {
            let (first, count) = (block * BLOCK, out.len() / d);
            let (scores, turned) = (scores.resize(count * keys), turned.resize(count * keys));
            linear(&inputs[0][offset + first * stride..], stride, count, &score, &epilogue, scores, keys);
            // Cells fill registers; the scores of one with all tokens, which heads have to tell apart, do not.
            transpose(self.level, scores, keys, [count, keys], turned, count);
            softmax_of_columns(self.level, turned, tokens, heads * count);
            transpose(self.level, turned, count, [keys, count], scores, keys);
            let residual = self.residual.map(|r| (&inputs[3][r.offset + first * r.stride..], r.stride));
            let epilogue = Epilogue { bias: Some(&self.out_bias), residual, ..Epilogue::default() };
            linear(scores, keys, count, &mix, &epilogue, out, d);
        });
    }
}

/// Maps each head's part of the tokens of a view `[1, heads, tokens, width]` by the head's own map, to rows `(tokens, heads)`.
fn each_head(source: &[f32], view: &View, maps: &[Weights], out: &mut [f32]) {
    let (heads, tokens) = (maps.len(), view.shape[2]);
    for (head, map) in maps.iter().enumerate() {
        let (from, n) = (&source[view.offset + head * view.strides[1]..], map.outputs());
        linear(from, view.strides[2], tokens, map, &Epilogue::default(), &mut out[head * n..], heads * n);
    }
}

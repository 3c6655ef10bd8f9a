//! Multi-head attention of tokens (Vaswani et al., 2017), between the projections before and after it.
//!
//! Formula, for each batch and head: `softmax(q k^T + bias) v`. A scale is the caller's, in the weights that made `q` or `k`.
//!
//! Rounding: in f32. Products of `q` and `k` are summed in ascending order of their width, those of the softmax and `v` in ascending
//! order of the keys, by fused multiply-adds except in scalar; [softmax](crate::softmax) says the rest. The softmax's scale is
//! applied to the result.
//!
//! Layout: operands are rows of adjacent numbers at any distances ([`Operand`]). The result is `(batch, queries, heads, width)`
//! without gaps.
//!
//! Determinism: at one level, bits do not depend on the number of threads.
//!
//! Tolerance: levels agree within 1e-5 times the largest absolute value of `v`, for scores whose summands add up to less than 30 in
//! absolute value.

mod scalar;
#[cfg(test)]
mod tests;
mod vector;

use rayon::prelude::*;

use crate::SimdLevel;
use crate::lanes::at_level;

/// Rows of numbers of every batch, head and token: where they are.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The numbers, from the first row of the first head on.
    pub data: &'a [f32],
    /// From one batch to the next, in numbers; zero if all have the same.
    pub batch_stride: usize,
    /// From one head to the next.
    pub head_stride: usize,
    /// From one token to the next.
    pub row_stride: usize,
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Attentions that do not see each other.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Rows of `q`.
    pub queries: usize,
    /// Rows of `k` and of `v`.
    pub keys: usize,
    /// Numbers of a row of `q` and of `k`.
    pub width: usize,
    /// Numbers of a row of `v`.
    pub value_width: usize,
}

impl<'a> Operand<'a> {
    /// The rows of one batch and head, from the first on.
    fn rows(&self, batch: usize, head: usize) -> Rows<'a> {
        Rows { data: &self.data[batch * self.batch_stride + head * self.head_stride..], stride: self.row_stride }
    }

    fn check(&self, shape: &Shape, rows: usize, width: usize, what: &str) {
        let steps = [(shape.batch, self.batch_stride), (shape.heads, self.head_stride), (rows, self.row_stride)];
        let end = steps.iter().try_fold(width, |end, (n, stride)| end.checked_add((n - 1).checked_mul(*stride)?));
        assert!(end.is_some_and(|end| end <= self.data.len()), "the {what} have too few numbers");
    }
}

/// Rows of one head.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    fn row(&self, i: usize, width: usize) -> &'a [f32] {
        &self.data[i * self.stride..][..width]
    }
}

/// Some queries of one batch, and everything that they attend to.
struct Job<'a> {
    shape: &'a Shape,
    /// Of each head: the keys, turned and padded to whole registers, `(heads, width, padded)`.
    keys: &'a [f32],
    padded: usize,
    /// `(heads, queries, keys)`.
    bias: Option<&'a [f32]>,
    first: usize,
    batch: usize,
}

/// Queries that one task answers.
const QUERIES: usize = 64;
/// Whole registers of every level.
const REGISTER: usize = 16;

/// Attention on the threads of the current rayon pool. `bias` is `(heads, queries, keys)`, the same for every batch.
pub fn attention(
    level: SimdLevel,
    q: Operand<'_>,
    k: Operand<'_>,
    v: Operand<'_>,
    bias: Option<&[f32]>,
    shape: &Shape,
    out: &mut [f32],
) {
    let &Shape { batch, heads, queries, keys, width, value_width } = shape;
    if [batch, heads, queries, keys, width, value_width].contains(&0) {
        return out.fill(0.0);
    }
    q.check(shape, queries, width, "queries");
    k.check(shape, keys, width, "keys");
    v.check(shape, keys, value_width, "values");
    assert!(bias.is_none_or(|b| b.len() == heads * queries * keys), "the bias has a number for each pair");
    let row = heads * value_width;
    assert_eq!(out.len(), batch * queries * row, "the output has a row for each query");
    let padded = keys.next_multiple_of(REGISTER);
    out.par_chunks_exact_mut(queries * row).enumerate().for_each_init(Vec::new, |turned, (batch, out)| {
        turn(k, shape, batch, padded, turned);
        let turned = &*turned;
        out.par_chunks_mut(QUERIES * row).enumerate().for_each_init(Vec::new, |scores, (block, out)| {
            let job = Job { shape, keys: turned, padded, bias, first: block * QUERIES, batch };
            at_level!(level, scalar::block, vector::block, (
                job: &Job<'_> = &job,
                q: Operand<'_> = q,
                v: Operand<'_> = v,
                scores: &mut Vec<f32> = scores,
                out: &mut [f32] = out,
            ));
        });
    });
}

/// The keys of a batch as `(heads, width, padded)`, so that registers hold keys.
fn turn(k: Operand<'_>, shape: &Shape, batch: usize, padded: usize, out: &mut Vec<f32>) {
    out.clear();
    out.resize(shape.heads * shape.width * padded, 0.0);
    for (head, out) in out.chunks_exact_mut(shape.width * padded).enumerate() {
        let rows = k.rows(batch, head);
        for key in 0..shape.keys {
            for (p, &value) in rows.row(key, shape.width).iter().enumerate() {
                out[p * padded + key] = value;
            }
        }
    }
}

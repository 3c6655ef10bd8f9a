//! Multi-head attention of tokens (Vaswani et al., 2017), between the projections before and after it.
//!
//! Formula, for each batch and head: `softmax(q k^T + bias) v`. A scale is the caller's, in the weights that made `q` or `k`. The
//! [`Bias`] is nothing, a table, or the decomposed relative positions of ViTDet (Li et al., "Exploring Plain Vision Transformer
//! Backbones for Object Detection", 2022), as Segment Anything has them.
//!
//! Rounding: in f32. Products of `q` and `k` are summed in ascending order of their width, those of the softmax and `v` in ascending
//! order of the keys, by fused multiply-adds except in scalar; [softmax](crate::softmax) says the rest. The softmax's scale is
//! applied to the result. Other levels than scalar take the keys in blocks: the sums of a block are scaled to the largest score that
//! has been seen (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).
//!
//! Layout: operands are rows of adjacent numbers at any distances ([`Operand`]). The result is `(batch, queries, heads, width)`
//! without gaps.
//!
//! Determinism: at one level, bits do not depend on the number of threads.
//!
//! Tolerance: levels agree within 1e-5 times the largest absolute value of `v`, for scores whose summands add up to less than 30 in
//! absolute value.

mod few;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;

use rayon::prelude::*;

use crate::lanes::at_level;
use crate::linear::{Epilogue, Weights, linear};
use crate::transpose::transpose;
use crate::{Aligned, SimdLevel};

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

/// What is added to the scores.
#[derive(Clone, Copy, Debug)]
pub enum Bias<'a> {
    /// Nothing.
    None,
    /// A number for each pair: `(heads, queries, keys)`, the same for every batch.
    Table(&'a [f32]),
    /// Queries and keys are the cells of a grid, row by row, with as many rows and columns as there are maps. A query in row `y` and
    /// column `x` adds `rows[y](q)[i] + columns[x](q)[j]` to its score with the key in row `i` and column `j`: a map takes the `width`
    /// numbers of a query to a number for each row, or column, of the grid.
    Decomposed {
        /// For the queries of each row.
        rows: &'a [Weights],
        /// For the queries of each column.
        columns: &'a [Weights],
    },
}

impl<'a> Operand<'a> {
    /// The rows of one batch and head, from the first on.
    fn rows(&self, batch: usize, head: usize) -> Rows<'a> {
        Rows { data: &self.data[batch * self.batch_stride + head * self.head_stride..], stride: self.row_stride }
    }

    fn check(&self, shape: &Shape, rows: usize, width: usize, what: &str) {
        let strides = [self.batch_stride, self.head_stride, self.row_stride];
        assert!(
            shape.end(strides, rows, width).is_some_and(|end| end <= self.data.len()),
            "the {what} have too few numbers"
        );
    }
}

impl Shape {
    /// Numbers from the first one of an operand to behind its last one, if that is a number at all: it has `rows` rows of `width`, and
    /// these strides between batches, heads and rows. Nothing of the shape is zero.
    pub(crate) fn end(&self, strides: [usize; 3], rows: usize, width: usize) -> Option<usize> {
        let mut steps = [self.batch, self.heads, rows].into_iter().zip(strides);
        steps.try_fold(width, |end, (n, stride)| end.checked_add((n - 1).checked_mul(stride)?))
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

/// What the queries of one batch attend to, head by head, as the loops read it.
#[derive(Default)]
struct Prepared {
    /// The keys, transposed: `(heads, width, padded)`.
    keys: Aligned<f32>,
    /// `(heads, keys, padded value_width)`.
    values: Aligned<f32>,
    /// Of a decomposed bias, `(heads, queries, rows + columns)`: for each query a number for each row and for each column.
    bias: Aligned<f32>,
}

/// [`Bias`], as far as it depends on the queries already.
#[derive(Clone, Copy)]
enum Added<'a> {
    Nothing,
    Table(&'a [f32]),
    /// [`Prepared::bias`], and the columns of the grid.
    Grid {
        numbers: &'a [f32],
        columns: usize,
    },
}

/// Some queries of one batch, and everything that they attend to.
struct Job<'a> {
    shape: &'a Shape,
    prepared: &'a Prepared,
    padded: usize,
    padded_values: usize,
    bias: Added<'a>,
    first: usize,
    batch: usize,
}

impl Job<'_> {
    /// Adds the bias of a head's query to its scores with the keys from `first` on; with a grid, `first` begins a row of it.
    fn add_bias(&self, head: usize, query: usize, first: usize, scores: &mut [f32]) {
        let Shape { queries, keys, .. } = *self.shape;
        let row = head * queries + query;
        match self.bias {
            Added::Nothing => {}
            Added::Table(table) => {
                scores.iter_mut().zip(&table[row * keys + first..]).for_each(|(score, bias)| *score += bias);
            }
            Added::Grid { numbers, columns } => {
                let rows = keys / columns;
                let (by_row, by_column) = numbers[row * (rows + columns)..][..rows + columns].split_at(rows);
                for (scores, by_row) in scores.chunks_exact_mut(columns).zip(&by_row[first / columns..]) {
                    scores.iter_mut().zip(by_column).for_each(|(score, by_column)| *score += by_row + by_column);
                }
            }
        }
    }

    /// Keys that are taken at once: about as many as stay in a cache with their values, and whole rows of a grid.
    fn block(&self) -> usize {
        const BLOCK: usize = 512;
        match self.bias {
            Added::Grid { columns, .. } => (BLOCK / columns).max(1) * columns,
            Added::Nothing | Added::Table(_) => BLOCK,
        }
    }
}

/// Queries that one task answers.
const QUERIES: usize = 96;
/// Whole registers of every level.
const REGISTER: usize = 16;

/// Attention on the threads of the current rayon pool.
pub fn attention(
    level: SimdLevel,
    q: Operand<'_>,
    k: Operand<'_>,
    v: Operand<'_>,
    bias: Bias<'_>,
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
    match bias {
        Bias::None => {}
        Bias::Table(table) => assert_eq!(table.len(), heads * queries * keys, "the bias has a number for each pair"),
        Bias::Decomposed { rows, columns } => {
            assert!([queries, keys] == [rows.len() * columns.len(); 2], "the grid has a cell for each query and key");
            let fits = |maps: &[Weights]| maps.iter().all(|w| (w.inputs(), w.outputs()) == (width, maps.len()));
            assert!(fits(rows) && fits(columns), "a map gives a number for each row or column of the grid");
        }
    }
    let row = heads * value_width;
    assert_eq!(out.len(), batch * queries * row, "the output has a row for each query");
    if few::suits(bias, shape) {
        return few::attention(level, q, k, v, shape, out);
    }
    let padded = keys.next_multiple_of(REGISTER) + REGISTER;
    let padded_values = value_width.next_multiple_of(REGISTER);
    out.par_chunks_exact_mut(queries * row).enumerate().for_each_init(Prepared::default, |prepared, (batch, out)| {
        prepare(level, [q, k, v], bias, shape, batch, [padded, padded_values], prepared);
        let prepared = &*prepared;
        let bias = match bias {
            Bias::None => Added::Nothing,
            Bias::Table(table) => Added::Table(table),
            Bias::Decomposed { columns, .. } => Added::Grid { numbers: &prepared.bias, columns: columns.len() },
        };
        out.par_chunks_mut(QUERIES * row).enumerate().for_each_init(Vec::new, |scores, (block, out)| {
            let job = Job { shape, prepared, padded, padded_values, bias, first: block * QUERIES, batch };
            at_level!(level, scalar::block, vector::block, (
                job: &Job<'_> = &job,
                q: Operand<'_> = q,
                scores: &mut Vec<f32> = scores,
                out: &mut [f32] = out,
            ));
        });
    });
}

/// Lays out keys and values of a batch, and applies the maps of its bias to the queries.
fn prepare(
    level: SimdLevel,
    [q, k, v]: [Operand<'_>; 3],
    bias: Bias<'_>,
    shape: &Shape,
    batch: usize,
    [padded, padded_values]: [usize; 2],
    into: &mut Prepared,
) {
    let &Shape { heads, queries, keys, width, value_width, .. } = shape;
    let side = match bias {
        Bias::Decomposed { rows, columns } => rows.len() + columns.len(),
        Bias::None | Bias::Table(_) => 0,
    };
    let turned = into.keys.resize(heads * width * padded).par_chunks_exact_mut(width * padded);
    let values = into.values.resize(heads * keys * padded_values).par_chunks_exact_mut(keys * padded_values);
    // A head has at least one number here, so that there is a part for each.
    let numbers = into.bias.resize((heads * queries * side).max(heads)).par_chunks_mut((queries * side).max(1));
    turned.zip(values).zip(numbers).enumerate().for_each(|(head, ((turned, values), numbers))| {
        let rows = k.rows(batch, head);
        transpose(level, rows.data, rows.stride, [keys, width], turned, padded);
        let rows = v.rows(batch, head);
        for (key, out) in values.chunks_exact_mut(padded_values).enumerate() {
            out[..value_width].copy_from_slice(rows.row(key, value_width));
        }
        if let Bias::Decomposed { rows, columns } = bias {
            let asked = q.rows(batch, head);
            let (epilogue, across) = (Epilogue::default(), columns.len());
            for (y, map) in rows.iter().enumerate() {
                let (from, to) = (y * across * asked.stride, y * across * side);
                linear(&asked.data[from..], asked.stride, across, map, &epilogue, &mut numbers[to..], side);
            }
            for (x, map) in columns.iter().enumerate() {
                let (from, to) = (x * asked.stride, x * side + rows.len());
                let steps = (across * asked.stride, across * side);
                linear(&asked.data[from..], steps.0, rows.len(), map, &epilogue, &mut numbers[to..], steps.1);
            }
        }
    });
}

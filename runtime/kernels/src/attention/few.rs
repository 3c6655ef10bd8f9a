//! [Attention](super) of few queries to many keys: the keys are read where they lie, once, and a task takes some of them for all
//! queries (Dao et al., "Flash-Decoding for long-context inference", 2023).

use rayon::prelude::*;

use super::{Bias, Operand, REGISTER, Rows, Shape, scalar, vector};
use crate::lanes::{LOWEST, at_level};
use crate::linear::{Epilogue, Storage, Weights, linear};
use crate::transpose::transpose;
use crate::{Aligned, SimdLevel};

/// Keys that one task takes.
const KEYS: usize = 256;

/// Whether the keys are so many more than the queries that to lay them out anew would be most of the work.
pub(super) fn suits(bias: Bias<'_>, shape: &Shape) -> bool {
    matches!(bias, Bias::None) && shape.queries <= 128 && shape.keys >= 4 * shape.queries && shape.keys >= KEYS / 2
}

/// [`attention`](super::attention) of checked operands.
pub(super) fn attention(
    level: SimdLevel,
    q: Operand<'_>,
    k: Operand<'_>,
    v: Operand<'_>,
    shape: &Shape,
    out: &mut [f32],
) {
    let &Shape { batch, heads, queries, keys, width, value_width } = shape;
    let mut turned = vec![0.0; queries * width];
    let asked: Vec<Weights> = (0..batch * heads)
        .map(|i| {
            let rows = q.rows(i / heads, i % heads);
            transpose(level, rows.data, rows.stride, [queries, width], &mut turned, queries);
            let mut weights = Weights::scratch(level, Storage::F32);
            weights.pack_into(&turned, (1, queries), queries, width);
            weights
        })
        .collect();
    let (blocks, row) = (keys.div_ceil(KEYS), 2 + value_width);
    let padded = queries.next_multiple_of(REGISTER);
    let mut parts = vec![0.0; batch * heads * blocks * queries * row];
    parts.par_chunks_exact_mut(queries * row).enumerate().for_each_init(Aligned::default, |scores, (i, part)| {
        let (of, first) = (i / blocks, i % blocks * KEYS);
        let count = KEYS.min(keys - first);
        let from = |operand: Operand<'_>| first * operand.row_stride;
        let scores = scores.resize(count * padded);
        let rows = k.rows(of / heads, of % heads);
        linear(&rows.data[from(k)..], rows.stride, count, &asked[of], &Epilogue::default(), scores, padded);
        let rows = v.rows(of / heads, of % heads);
        let rows = Rows { data: &rows.data[from(v)..], stride: rows.stride };
        at_level!(level, scalar::part, vector::part, (
            scores: &mut [f32] = scores,
            padded: usize = padded,
            values: Rows<'_> = rows,
            value_width: usize = value_width,
            out: &mut [f32] = part,
        ));
    });
    // The blocks' sums, each scaled to the largest score of all.
    for (i, out) in out.chunks_exact_mut(value_width).enumerate() {
        let (head, query, batch) = (i % heads, i / heads % queries, i / heads / queries);
        let parts = || {
            let of = (batch * heads + head) * blocks;
            (of..of + blocks).map(|block| &parts[(block * queries + query) * row..][..row])
        };
        let largest = parts().map(|part| part[0]).fold(f32::NEG_INFINITY, f32::max);
        let scale = |part: &[f32]| (part[0] - largest).max(LOWEST).exp();
        let total: f32 = parts().map(|part| part[1] * scale(part)).sum();
        out.fill(0.0);
        for part in parts() {
            let scale = scale(part) / total;
            out.iter_mut().zip(&part[2..]).for_each(|(out, sum)| *out += sum * scale);
        }
    }
}

//! [Attention](super) on registers: of keys for the scores, of the width for the result.

use super::{Job, Operand, Rows};
use crate::lanes::Lanes;
use crate::softmax::exponentials;

/// Queries side by side: they share what they read of keys and values.
const TOGETHER: usize = 8;

/// Answers the queries from `job.first` on that `out` has rows for.
#[inline(always)]
pub(super) fn block<S: Lanes>(
    s: S,
    job: &Job<'_>,
    q: Operand<'_>,
    v: Operand<'_>,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let shape = job.shape;
    let row = shape.heads * shape.value_width;
    scores.resize(TOGETHER * job.padded, 0.0);
    let count = out.len() / row;
    for head in 0..shape.heads {
        let mut at = 0;
        while at < count {
            let out = &mut out[at * row + head * shape.value_width..];
            let queries =
                Rows { data: &q.rows(job.batch, head).data[(job.first + at) * q.row_stride..], stride: q.row_stride };
            let values = v.rows(job.batch, head);
            at += match count - at {
                n if n >= TOGETHER => {
                    group::<S, TOGETHER>(s, job, head, job.first + at, queries, values, scores, out, row)
                }
                n if n >= 4 => group::<S, 4>(s, job, head, job.first + at, queries, values, scores, out, row),
                n if n >= 2 => group::<S, 2>(s, job, head, job.first + at, queries, values, scores, out, row),
                _ => group::<S, 1>(s, job, head, job.first + at, queries, values, scores, out, row),
            };
        }
    }
}

/// Answers `N` queries of one head, the first of which is number `first`, and gives `N`.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a part of `block` for several constants")]
fn group<S: Lanes, const N: usize>(
    s: S,
    job: &Job<'_>,
    head: usize,
    first: usize,
    queries: Rows<'_>,
    values: Rows<'_>,
    scores: &mut [f32],
    out: &mut [f32],
    row: usize,
) -> usize {
    let shape = job.shape;
    let asked: [&[f32]; N] = std::array::from_fn(|n| queries.row(n, shape.width));
    let turned = &job.keys[head * shape.width * job.padded..][..shape.width * job.padded];
    for key in (0..shape.keys).step_by(S::LANES) {
        let mut sums = [s.splat(0.0); N];
        for p in 0..shape.width {
            // SAFETY: `padded` is a multiple of the register, so that each of the `width` rows of `turned` has one from `key` on.
            let keys = unsafe { s.load(turned.as_ptr().add(p * job.padded + key)) };
            for (sum, asked) in sums.iter_mut().zip(&asked) {
                // SAFETY: each of the rows has `width` numbers.
                *sum = s.mul_add(s.splat(unsafe { *asked.get_unchecked(p) }), keys, *sum);
            }
        }
        for (n, &sum) in sums.iter().enumerate() {
            // SAFETY: `scores` has `padded` numbers for each of at least `N` queries.
            unsafe { s.store(sum, scores.as_mut_ptr().add(n * job.padded + key)) };
        }
    }
    let mut scales = [0.0; N];
    for (n, scale) in scales.iter_mut().enumerate() {
        let scores = &mut scores[n * job.padded..][..shape.keys];
        if let Some(bias) = job.bias {
            let bias = &bias[(head * shape.queries + first + n) * shape.keys..][..shape.keys];
            scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
        }
        *scale = exponentials(s, scores);
    }
    let last = values.row(shape.keys - 1, shape.value_width);
    debug_assert_eq!(last.len(), shape.value_width);
    for c in (0..shape.value_width).step_by(S::LANES) {
        let len = shape.value_width - c;
        let mut sums = [s.splat(0.0); N];
        for key in 0..shape.keys {
            // SAFETY: the last row of values, which is read above, has `len` numbers from `c` on, and so have those before it.
            let value = unsafe { s.load_up_to(values.data.as_ptr().add(key * values.stride + c), len) };
            for (n, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `scores` has `padded` numbers for each of at least `N` queries.
                let share = unsafe { *scores.as_ptr().add(n * job.padded + key) };
                *sum = s.mul_add(s.splat(share), value, *sum);
            }
        }
        for (n, &sum) in sums.iter().enumerate() {
            let out = &mut out[n * row + c..][..len.min(S::LANES)];
            // SAFETY: the slice has as many numbers as are stored.
            unsafe { s.store_up_to(s.mul(sum, s.splat(scales[n])), out.as_mut_ptr(), len) };
        }
    }
    N
}

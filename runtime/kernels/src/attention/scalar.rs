//! The specification of [attention](super).

use super::{Job, Operand, Rows, Shape};
use crate::SimdLevel;
use crate::softmax::softmax;

/// Answers the queries from `job.first` on that `out` has rows for.
pub(super) fn block(job: &Job<'_>, q: Operand<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
    let &Shape { heads, keys, width, value_width, .. } = job.shape;
    scores.resize(keys, 0.0);
    for (query, out) in (job.first..).zip(out.chunks_exact_mut(heads * value_width)) {
        for (head, out) in out.chunks_exact_mut(value_width).enumerate() {
            let asked = q.rows(job.batch, head).row(query, width);
            let turned = &job.prepared.keys[head * width * job.padded..];
            for (key, score) in scores.iter_mut().enumerate() {
                *score = asked.iter().enumerate().map(|(p, value)| value * turned[p * job.padded + key]).sum();
            }
            job.add_bias(head, query, 0, scores);
            softmax(SimdLevel::Scalar, scores, keys);
            let values =
                Rows { data: &job.prepared.values[head * keys * job.padded_values..], stride: job.padded_values };
            out.fill(0.0);
            for (key, &share) in scores.iter().enumerate() {
                for (out, value) in out.iter_mut().zip(values.row(key, value_width)) {
                    *out += share * value;
                }
            }
        }
    }
}

/// Of scores `(keys, padded)`, the first `queries` of each row: replaces them by their exponentials relative to the largest of each
/// query, and writes for each query that largest score, the sum of its exponentials, and the sum of the values weighted by them.
pub(super) fn part(scores: &mut [f32], padded: usize, values: Rows<'_>, value_width: usize, out: &mut [f32]) {
    for (query, out) in out.chunks_exact_mut(2 + value_width).enumerate() {
        let column = || (query..scores.len()).step_by(padded);
        let largest = column().map(|i| scores[i]).fold(f32::NEG_INFINITY, f32::max);
        out.fill(0.0);
        out[0] = largest;
        for (key, i) in column().enumerate() {
            let share = (scores[i] - largest).max(crate::lanes::LOWEST).exp();
            out[1] += share;
            out[2..].iter_mut().zip(values.row(key, value_width)).for_each(|(sum, value)| *sum += share * value);
        }
    }
}

//! The specification of [attention](super).

use super::{Job, Operand};
use crate::SimdLevel;
use crate::softmax::softmax;

/// Answers the queries from `job.first` on that `out` has rows for.
pub(super) fn block(job: &Job<'_>, q: Operand<'_>, v: Operand<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
    let shape = job.shape;
    scores.resize(shape.keys, 0.0);
    for (query, out) in (job.first..).zip(out.chunks_exact_mut(shape.heads * shape.value_width)) {
        for (head, out) in out.chunks_exact_mut(shape.value_width).enumerate() {
            let asked = q.rows(job.batch, head).row(query, shape.width);
            let turned = &job.keys[head * shape.width * job.padded..];
            for (key, score) in scores.iter_mut().enumerate() {
                *score = asked.iter().enumerate().map(|(p, value)| value * turned[p * job.padded + key]).sum();
                if let Some(bias) = job.bias {
                    *score += bias[(head * shape.queries + query) * shape.keys + key];
                }
            }
            softmax(SimdLevel::Scalar, scores, shape.keys);
            out.fill(0.0);
            let values = v.rows(job.batch, head);
            for (key, &share) in scores.iter().enumerate() {
                for (out, value) in out.iter_mut().zip(values.row(key, shape.value_width)) {
                    *out += share * value;
                }
            }
        }
    }
}

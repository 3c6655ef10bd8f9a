//! The specification of [attention](super).

use super::{Job, Share};
use crate::attention::Shape;
use crate::requantize::Requantize;

/// Answers the queries from `job.first` on that `out` has rows for.
pub(super) fn block(job: &Job<'_>, out: &mut [u8]) {
    let &Shape { heads, queries, keys, width, value_width, .. } = job.shape;
    let [q, k, v] = job.operands;
    let difference = |a: u8, b: u8| i32::from(a) - i32::from(b);
    let factor = Share::factor(job.scales);
    let mut weights = vec![0; keys];
    for (query, out) in (job.first..).zip(out.chunks_exact_mut(heads * value_width)) {
        for (head, out) in out.chunks_exact_mut(value_width).enumerate() {
            let asked = &q.rows(job.batch, head)[query * q.row_stride..][..width];
            let (known, values) = (k.rows(job.batch, head), v.rows(job.batch, head));
            for (key, score) in weights.iter_mut().enumerate() {
                let pairs = asked.iter().zip(&known[key * k.row_stride..][..width]);
                let sum: i32 = pairs.map(|(&a, &b)| difference(a, q.zero) * difference(b, k.zero)).sum();
                *score = sum + job.bias.map_or(0, |bias| bias[(head * queries + query) * keys + key]);
            }
            let largest = weights.iter().copied().fold(i32::MIN, i32::max);
            weights.iter_mut().for_each(|score| *score = Share::weight(*score - largest, factor));
            let total: i32 = weights.iter().sum();
            let requantize = Requantize {
                multipliers: &[job.scales.output / total as f32],
                residual: None,
                zero: job.scales.zero,
                low: 0,
                high: 255,
                table: None,
            };
            for (c, out) in out.iter_mut().enumerate() {
                let pairs = weights.iter().enumerate();
                let sum = pairs.map(|(key, weight)| weight * difference(values[key * v.row_stride + c], v.zero)).sum();
                *out = requantize.value(sum, 0, 0);
            }
        }
    }
}

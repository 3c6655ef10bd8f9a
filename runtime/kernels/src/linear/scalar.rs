//! The specification of [linear](super). A panel is one output wide, so packed weights are the matrix itself.

use std::ops::Range;

use super::Epilogue;
use super::blocks::Job;
use super::tile::Element;
use crate::activation::scalar::value;

/// Computes the outputs of `rows` and `columns`.
pub(super) fn run(job: &Job<'_>, rows: Range<usize>, columns: Range<usize>) {
    if let Some(elements) = job.weights.as_f32() {
        run_stored(job, elements, rows.clone(), columns.clone());
    }
    if let Some(elements) = job.weights.as_f16() {
        run_stored(job, elements, rows, columns);
    }
}

fn run_stored<E: Element>(job: &Job<'_>, elements: &[E], rows: Range<usize>, columns: Range<usize>) {
    let Epilogue { bias, activation, residual } = job.epilogue;
    let inputs = job.weights.inputs();
    for i in rows {
        let a = &job.a[i * job.a_stride..][..inputs];
        // SAFETY: the row is one of the job's, and cells of a grid are disjoint.
        let out = unsafe { job.out_row(i, columns.clone()) };
        for (j, out) in columns.clone().zip(out) {
            let weights = &elements[j * inputs..][..inputs];
            let mut sum = bias.map_or(0.0, |bias| bias[j]);
            for (a, weight) in a.iter().zip(weights) {
                sum += a * weight.widen();
            }
            *out = value(activation, sum) + residual.map_or(0.0, |(residual, stride)| residual[i * stride + j]);
        }
    }
}

//! The specification of [the map](super).

use std::ops::Range;

use super::Output;
use super::blocks::Job;

/// Computes the outputs of `rows` and `panels`, whose width is one.
pub(super) fn run(job: &Job<'_>, rows: Range<usize>, panels: Range<usize>) {
    let inputs = job.weights.inputs();
    for i in rows {
        let a = &job.a[i * job.a_stride..][..inputs];
        let sums = panels.clone().map(|j| (j, sum(a, job.weights.panel(j), job.bias[j])));
        match job.output() {
            Output::Bytes(requantize) => {
                // SAFETY: the output has these columns, and they are of this cell alone.
                let out = unsafe { job.bytes_row(i, panels.clone()) };
                let residual = requantize.residual.map(|r| &r.values[i * r.stride..]);
                for (out, (j, sum)) in out.iter_mut().zip(sums) {
                    *out = requantize.value(sum, j, residual.map_or(0, |row| row[j]));
                }
            }
            Output::Floats { multipliers } => {
                // SAFETY: the output has these columns, and they are of this cell alone.
                let out = unsafe { job.floats_row(i, panels.clone()) };
                for (out, (j, sum)) in out.iter_mut().zip(sums) {
                    *out = sum as f32 * multipliers[j];
                }
            }
        }
    }
}

/// `bias` and the products.
pub(super) fn sum(a: &[u8], weights: &[i8], bias: i32) -> i32 {
    let product = |(&a, &w): (&u8, &i8)| i32::from(a) * i32::from(w);
    a.iter().zip(weights).map(product).fold(bias, i32::wrapping_add)
}

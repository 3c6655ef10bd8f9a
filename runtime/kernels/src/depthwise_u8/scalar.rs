//! The specification of [depthwise_u8](super).

use super::Job;
use crate::requantize::Requantize;

/// Computes an output row, before the table.
pub(super) fn row(job: &Job<'_>, out: &mut [u8]) {
    let &Job { rows, shape, weights, bias, zero, requantize } = job;
    let (channels, kernel) = (weights.channels(), weights.kernel());
    let requantize = Requantize { table: None, ..*requantize };
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        for (c, out) in out.iter_mut().enumerate() {
            let taps = &weights.sections().0[c * kernel * kernel..][..kernel * kernel];
            let mut sum = bias[c];
            for (tap, weight) in taps.iter().enumerate() {
                let pixel = rows[tap / kernel].zip(shape.tap(x, tap % kernel, shape.width));
                let value = pixel.map_or(zero, |(row, column)| row[column * channels + c]);
                sum = sum.wrapping_add(i32::from(value) * i32::from(*weight));
            }
            *out = requantize.value(sum, c, 0);
        }
    }
}

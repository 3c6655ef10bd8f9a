//! The mean of quantised pixels, of every channel by itself.
//!
//! Formula: `t = (sum over pixels of q - count * zero) * multiplier`, which becomes a byte as [requantisation](crate::requantize) has it.
//!
//! Rounding: the sum is exact and converted to f32 to nearest, ties to even; the multiplication is rounded once.

use crate::grid::holds;
use crate::requantize::Clamp;

/// Writes the means of `count` pixels of `out.len()` channels to `out`; `stride` bytes lie between the starts of pixels. `zero` is the
/// zero point of the pixels, `multiplier` their scale by `count` times that of the result; finite.
pub fn mean_u8(rows: &[u8], stride: usize, count: usize, zero: u8, multiplier: f32, clamp: &Clamp, out: &mut [u8]) {
    let width = out.len();
    assert!(count > 0 && width <= stride, "pixels of {width} channels");
    assert!(holds(rows.len(), count, stride, width), "{count} pixels, {stride} apart, in {}", rows.len());
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [0u64; BLOCK];
        for pixel in rows.chunks(stride).take(count) {
            sums.iter_mut().zip(&pixel[block * BLOCK..]).for_each(|(sum, q)| *sum += u64::from(*q));
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = clamp.byte((sum as i64 - count as i64 * i64::from(zero)) as f32 * multiplier);
        }
    }
}

/// Channels at a time.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::bytes;

    #[test]
    #[should_panic(expected = "apart")]
    fn pixels_that_cannot_be_counted_are_refused() {
        let clamp = Clamp { zero: 0, low: 0, high: 255 };
        mean_u8(&[1; 8], 1 << 62, 5, 0, 1.0, &clamp, &mut [0; 4]);
    }

    #[test]
    fn the_mean_is_of_each_channel_and_leaves_out_what_is_between() {
        let (count, stride, width, zero) = (37, 170, 150, 130);
        let rows = bytes(7, (count - 1) * stride + width);
        let clamp = Clamp { zero: 100, low: 0, high: 255 };
        let mut out = vec![0; width];
        // Scales 0.5 and 0.25.
        mean_u8(&rows, stride, count, zero, 0.5 / (count as f32 * 0.25), &clamp, &mut out);
        for (c, got) in out.into_iter().enumerate() {
            let sum: f64 = (0..count).map(|p| f64::from(rows[p * stride + c]) - f64::from(zero)).sum();
            let wanted = (sum / count as f64 * 2.0 + 100.0).clamp(0.0, 255.0);
            assert!((f64::from(got) - wanted).abs() <= 0.5 + 1e-4, "{c}: {got} {wanted}");
        }
    }
}

//! Layer normalisation of rows (Ba et al., 2016), as `torch.nn.LayerNorm` over the last dimension.
//!
//! Formula: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and (biased) variance of each row.
//!
//! Rounding: the mean first, then the mean of the squared deviations from it; in f64 in scalar, in f32 in the registers of the others.
//!
//! Layout: rows of `channels` numbers without gaps.
//!
//! Tolerance: levels agree within `2e-6 + 3e-7 * |mean| / deviation` times the larger of 1 and the normalised value, times `|gamma|`.

use rayon::prelude::*;

use crate::SimdLevel;
use crate::lanes::{Lanes, at_level};

/// Normalises rows of `input` to `out`.
pub fn layer_norm(
    level: SimdLevel,
    input: &[f32],
    channels: usize,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    out: &mut [f32],
) {
    assert!(
        channels > 0 && input.len().is_multiple_of(channels) && input.len() == out.len(),
        "rows of {channels} channels"
    );
    assert_eq!((gamma.len(), beta.len()), (channels, channels), "a scale and a shift for each channel");
    at_level!(level, scalar, vector, (
        input: &[f32] = input,
        gamma: &[f32] = gamma,
        beta: &[f32] = beta,
        epsilon: f32 = epsilon,
        out: &mut [f32] = out,
    ));
}

/// As [`layer_norm`], on the threads of the current rayon pool, with the same bits.
pub fn layer_norm_parallel(
    level: SimdLevel,
    input: &[f32],
    channels: usize,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    out: &mut [f32],
) {
    const BLOCK: usize = 1 << 14;
    let block = (BLOCK / channels).max(1) * channels;
    out.par_chunks_mut(block).zip(input.par_chunks(block)).for_each(|(out, input)| {
        layer_norm(level, input, channels, gamma, beta, epsilon, out);
    });
}

/// The specification.
fn scalar(input: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
    let count = gamma.len() as f64;
    for (input, out) in input.chunks_exact(gamma.len()).zip(out.chunks_exact_mut(gamma.len())) {
        let mean = input.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = input.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
        for (((out, &x), gamma), beta) in out.iter_mut().zip(input).zip(gamma).zip(beta) {
            *out = ((f64::from(x) - mean) * scale) as f32 * gamma + beta;
        }
    }
}

/// The rows on registers.
#[inline(always)]
fn vector<S: Lanes>(s: S, input: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, out: &mut [f32]) {
    let channels = gamma.len();
    let count = channels as f32;
    let whole = channels - channels % S::LANES;
    for (input, out) in input.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        let (x, y) = (input.as_ptr(), out.as_mut_ptr());
        let mut sum = s.splat(0.0);
        for c in (0..channels).step_by(S::LANES) {
            // SAFETY: the row has `channels - c` numbers from `c` on; the lanes beyond are zero.
            sum = s.add(sum, unsafe { s.load_up_to(x.add(c), channels - c) });
        }
        let mean = s.sum(sum) / count;
        let minus = s.splat(-mean);
        let mut squares = s.splat(0.0);
        for c in (0..whole).step_by(S::LANES) {
            // SAFETY: whole registers of the row.
            let deviation = s.add(unsafe { s.load(x.add(c)) }, minus);
            squares = s.mul_add(deviation, deviation, squares);
        }
        let rest: f32 = input[whole..].iter().map(|x| (x - mean) * (x - mean)).sum();
        let variance = (s.sum(squares) + rest) / count;
        let scale = s.splat(1.0 / (variance + epsilon).sqrt());
        for c in (0..channels).step_by(S::LANES) {
            let len = channels - c;
            // SAFETY: the row, the scales and the shifts have `len` numbers from `c` on.
            unsafe {
                let unit = s.mul(s.add(s.load_up_to(x.add(c), len), minus), scale);
                let (gamma, beta) = (s.load_up_to(gamma.as_ptr().add(c), len), s.load_up_to(beta.as_ptr().add(c), len));
                s.store_up_to(s.mul_add(unit, gamma, beta), y.add(c), len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Values;

    #[test]
    fn every_level_is_the_formula_and_threads_change_no_bit() {
        let mut values = Values::new(8);
        for channels in [1, 2, 5, 15, 16, 17, 31, 64, 160, 257] {
            for mean in [0.0, 3.0] {
                let rows = 3 + 40_000 / channels;
                let input: Vec<f32> = values.vec(rows * channels, 1.5).iter().map(|v| v + mean).collect();
                let (gamma, beta) = (values.vec(channels, 2.0), values.vec(channels, 1.0));
                for level in SimdLevel::available() {
                    let mut out = vec![f32::NAN; input.len()];
                    layer_norm(level, &input, channels, &gamma, &beta, 1e-6, &mut out);
                    for (input, out) in input.chunks(channels).zip(out.chunks(channels)) {
                        let n = channels as f64;
                        let mean = input.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
                        let variance = input.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
                        for (c, &got) in out.iter().enumerate() {
                            let unit = (f64::from(input[c]) - mean) / (variance + 1e-6).sqrt();
                            let limit = (2e-6 + 3e-7 * mean.abs() / (variance + 1e-6).sqrt())
                                * unit.abs().max(1.0)
                                * f64::from(gamma[c].abs());
                            let expected = unit * f64::from(gamma[c]) + f64::from(beta[c]);
                            assert!(
                                (f64::from(got) - expected).abs() <= limit + 2e-7,
                                "{level} {channels} {got} {expected}"
                            );
                        }
                    }
                    for threads in [1, 3] {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        let mut again = vec![f32::NAN; input.len()];
                        pool.install(|| layer_norm_parallel(level, &input, channels, &gamma, &beta, 1e-6, &mut again));
                        assert!(again == out, "{level} {threads}");
                    }
                }
            }
        }
    }
}

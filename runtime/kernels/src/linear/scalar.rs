//! The specification of [linear](super). A panel is one output wide, so packed weights are the matrix itself.

use std::ops::Range;

use half::f16;

use super::blocks::Job;
use super::tile::Element;
use super::{Arithmetic, Epilogue, F16_BLOCK};
use crate::activation::scalar::value;

/// Computes the outputs of `rows` and `columns`.
pub(super) fn run(job: &Job<'_>, rows: Range<usize>, columns: Range<usize>) {
    let inputs = job.weights.inputs();
    if let Some(elements) = job.weights.as_f32() {
        run_with(job, rows.clone(), columns.clone(), |a, j, bias| sum(a, &elements[j * inputs..], bias));
    }
    if let Some(elements) = job.weights.as_f16() {
        let weights = |j: usize| &elements[j * inputs..][..inputs];
        match job.weights.arithmetic() {
            Arithmetic::F32 => run_with(job, rows, columns, |a, j, bias| sum(a, weights(j), bias)),
            Arithmetic::F16 => run_with(job, rows, columns, |a, j, bias| sum_in_f16(a, weights(j), bias)),
        }
    }
}

fn run_with(job: &Job<'_>, rows: Range<usize>, columns: Range<usize>, sum: impl Fn(&[f32], usize, f32) -> f32) {
    let Epilogue { bias, activation, residual } = job.epilogue;
    for i in rows {
        let a = &job.a[i * job.a_stride..][..job.weights.inputs()];
        // SAFETY: the row is one of the job's, and cells of a grid are disjoint.
        let out = unsafe { job.out_row(i, columns.clone()) };
        for (j, out) in columns.clone().zip(out) {
            let sum = sum(a, j, bias.map_or(0.0, |bias| bias[j]));
            *out = value(activation, sum) + residual.map_or(0.0, |(residual, stride)| residual[i * stride + j]);
        }
    }
}

fn sum<E: Element>(a: &[f32], weights: &[E], bias: f32) -> f32 {
    a.iter().zip(weights).fold(bias, |sum, (a, weight)| sum + a * weight.widen())
}

fn sum_in_f16(a: &[f32], weights: &[f16], bias: f32) -> f32 {
    let blocks = a.chunks(F16_BLOCK).zip(weights.chunks(F16_BLOCK));
    let block = |(a, weights): (&[f32], &[f16])| {
        let products = a.iter().zip(weights);
        products.fold(f16::ZERO, |sum, (a, weight)| multiply_add(f16::from_f32(*a), *weight, sum)).to_f32()
    };
    blocks.map(block).fold(bias, |sum, block| sum + block)
}

/// `a * b + c` of f16 numbers, rounded once.
fn multiply_add(a: f16, b: f16, c: f16) -> f16 {
    // The product is exact in f64. So is the sum, unless one summand is so small beside the other that it decides no rounding to f16
    // (a product has 22 digits, so near a tie of f16 nothing is lost). Rounded to odd, f32 has digits enough for the last rounding to be the only one.
    let exact = a.to_f64() * b.to_f64() + c.to_f64();
    let near = exact as f32;
    let beyond = if near.is_finite() { f64::from(near).abs() - exact.abs() } else { 0.0 };
    let odd = match near.to_bits() {
        bits if beyond > 0.0 => (bits - 1) | 1,
        bits if beyond < 0.0 => bits | 1,
        bits => bits,
    };
    f16::from_f32(f32::from_bits(odd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Values;

    /// A finite number in units of 2^-48.
    fn units(value: f16) -> i128 {
        (value.to_f64() * 2f64.powi(48)) as i128
    }

    #[test]
    fn the_sum_is_the_nearest_number_and_even_in_a_tie() {
        let mut values = Values::new(5);
        for i in 0..300_000 {
            let bits = values.bits();
            let [a, b, c] = [0, 16, 32].map(|shift| f16::from_bits((bits >> shift) as u16));
            // Every other sum is close to a tie: its product is of the size of half of the other's last digit.
            let (a, b) = if i % 2 == 0 { (a, b) } else { (f16::from_f32(c.to_f32() / 4096.0), f16::from_f32(1.0)) };
            if !(a.is_finite() && b.is_finite() && c.is_finite()) {
                continue;
            }
            let exact = (a.to_f64() * 2f64.powi(24)) as i128 * (b.to_f64() * 2f64.powi(24)) as i128 + units(c);
            let got = multiply_add(a, b, c);
            let limit = 65520i128 << 48;
            assert_eq!(got.is_infinite(), exact.abs() >= limit, "{a} * {b} + {c} is {got}");
            if !got.is_finite() {
                continue;
            }
            let error = (exact - units(got)).abs();
            for near in [got.to_bits().wrapping_sub(1), got.to_bits() + 1].map(f16::from_bits) {
                if near.is_finite() {
                    let other = (exact - units(near)).abs();
                    assert!(
                        error < other || error == other && got.to_bits().is_multiple_of(2),
                        "{a} * {b} + {c} is {got}"
                    );
                }
            }
        }
    }
}

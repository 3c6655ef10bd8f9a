//! Numbers to bytes and back.

use super::{Quantize, Requantize};
use crate::SimdLevel;
use crate::lanes::at_level;

/// Zero point and bounds of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    /// The byte that stands for zero.
    pub zero: u8,
    /// The least byte.
    pub low: u8,
    /// The greatest byte; not below `low`.
    pub high: u8,
}

impl Clamp {
    /// The specification: `round(min(max(t, low - zero), high - zero)) + zero`, ties to even. NaN gives `low`.
    pub(crate) fn byte(&self, t: f32) -> u8 {
        let [low, high] = self.bounds();
        (t.max(low).min(high).round_ties_even() as i32 + i32::from(self.zero)) as u8
    }

    /// `low - zero` and `high - zero`.
    pub(crate) fn bounds(&self) -> [f32; 2] {
        [self.low, self.high].map(|bound| f32::from(i16::from(bound) - i16::from(self.zero)))
    }
}

impl From<&Requantize<'_>> for Clamp {
    fn from(requantize: &Requantize<'_>) -> Self {
        Clamp { zero: requantize.zero, low: requantize.low, high: requantize.high }
    }
}

/// The bytes that stand for numbers, as ONNX QuantizeLinear: `round(x / scale) + zero`, clamped to 0..=255; NaN gives `zero`.
///
/// Rounding: the division is rounded to f32, and its result to nearest, ties to even. Every level gives the same bytes.
pub fn quantize(level: SimdLevel, input: &[f32], scale: f32, zero: u8, out: &mut [u8]) {
    assert_eq!(input.len(), out.len(), "a byte for each number");
    at_level!(level, quantize_scalar, quantize_vector, (
        input: &[f32] = input,
        scale: f32 = scale,
        zero: u8 = zero,
        out: &mut [u8] = out,
    ));
}

fn quantize_scalar(input: &[f32], scale: f32, zero: u8, out: &mut [u8]) {
    let clamp = Clamp { zero, low: 0, high: 255 };
    for (out, x) in out.iter_mut().zip(input) {
        let t = x / scale;
        *out = clamp.byte(if t.is_nan() { 0.0 } else { t });
    }
}

#[inline(always)]
fn quantize_vector<S: Quantize>(s: S, input: &[f32], scale: f32, zero: u8, out: &mut [u8]) {
    let whole = input.len() / (4 * S::LANES) * 4 * S::LANES;
    for i in (0..whole).step_by(4 * S::LANES) {
        quantize_registers::<S, 4>(s, &input[i..], scale, zero, &mut out[i..]);
    }
    for i in (whole..input.len()).step_by(S::LANES) {
        quantize_registers::<S, 1>(s, &input[i..], scale, zero, &mut out[i..]);
    }
}

/// `N` registers, or what there is of one.
#[inline(always)]
fn quantize_registers<S: Quantize, const N: usize>(s: S, input: &[f32], scale: f32, zero: u8, out: &mut [u8]) {
    let len = (N * S::LANES).min(input.len()).min(out.len());
    let mut values = [s.splat(0.0); N];
    // SAFETY: `len` numbers and bytes follow, all of them where there are several registers.
    unsafe {
        for (i, value) in values.iter_mut().enumerate() {
            let x = s.load_up_to(input.as_ptr().add(i * S::LANES), len - i * S::LANES);
            *value = s.or_zero(s.div(x, s.splat(scale)));
        }
        s.store_bytes(values, Clamp { zero, low: 0, high: 255 }, out.as_mut_ptr(), len);
    }
}

/// The numbers that bytes stand for: `(q - zero) * scale`, rounded once. Every level gives the same bits.
pub fn dequantize(level: SimdLevel, input: &[u8], scale: f32, zero: u8, out: &mut [f32]) {
    assert_eq!(input.len(), out.len(), "a number for each byte");
    at_level!(level, dequantize_scalar, dequantize_vector, (
        input: &[u8] = input,
        scale: f32 = scale,
        zero: u8 = zero,
        out: &mut [f32] = out,
    ));
}

fn dequantize_scalar(input: &[u8], scale: f32, zero: u8, out: &mut [f32]) {
    for (out, q) in out.iter_mut().zip(input) {
        *out = f32::from(i16::from(*q) - i16::from(zero)) * scale;
    }
}

#[inline(always)]
fn dequantize_vector<S: Quantize>(s: S, input: &[u8], scale: f32, zero: u8, out: &mut [f32]) {
    let whole = input.len() / (4 * S::LANES) * 4 * S::LANES;
    for i in (0..whole).step_by(4 * S::LANES) {
        dequantize_registers::<S, 4>(s, &input[i..], scale, zero, &mut out[i..]);
    }
    for i in (whole..input.len()).step_by(S::LANES) {
        dequantize_registers::<S, 1>(s, &input[i..], scale, zero, &mut out[i..]);
    }
}

/// `N` registers, or what there is of one.
#[inline(always)]
fn dequantize_registers<S: Quantize, const N: usize>(s: S, input: &[u8], scale: f32, zero: u8, out: &mut [f32]) {
    let len = (N * S::LANES).min(input.len()).min(out.len());
    // SAFETY: `len` bytes and numbers follow, all of them where there are several registers.
    unsafe {
        for (i, q) in s.load_bytes::<N>(input.as_ptr(), len, zero).into_iter().enumerate() {
            s.store_up_to(s.mul(q, s.splat(scale)), out.as_mut_ptr().add(i * S::LANES), len - i * S::LANES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Values, bytes};

    /// Ties, the ends, what is beyond them, and what is no number.
    fn numbers() -> Vec<f32> {
        let mut out: Vec<f32> = (-1200..1200).map(|i| i as f32 * 0.25).collect();
        out.extend([
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            0.0,
            -0.0,
            1e-40,
            2.2e9,
            -2.2e9,
        ]);
        out.extend(Values::new(5).vec(3000, 400.0));
        out
    }

    #[test]
    fn numbers_become_the_nearest_bytes() {
        let mut out = [0; 9];
        let input = [0.5, 1.5, -0.5, -3.0, 1e30, f32::NAN, f32::NEG_INFINITY, 126.6, 255.0];
        quantize(SimdLevel::Scalar, &input, 1.0, 128, &mut out);
        assert_eq!(out, [128, 130, 128, 125, 255, 128, 0, 255, 255]);
        let mut back = [f32::NAN; 3];
        dequantize(SimdLevel::Scalar, &[0, 128, 255], 0.5, 128, &mut back);
        assert_eq!(back, [-64.0, 0.0, 63.5]);
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let (numbers, bytes) = (numbers(), bytes(4, 300));
        for level in SimdLevel::available() {
            for (scale, zero) in [(1.0, 0), (0.5, 255), (0.037, 131), (1e-38, 7), (3e38, 128)] {
                for len in (0..70).chain([numbers.len()]) {
                    let input = &numbers[numbers.len() - len..];
                    let mut out = [vec![9; len], vec![9; len]];
                    quantize(SimdLevel::Scalar, input, scale, zero, &mut out[0]);
                    quantize(level, input, scale, zero, &mut out[1]);
                    assert!(out[0] == out[1], "{level} {scale} {zero} {len}");
                }
                for len in (0..70).chain([300]) {
                    let mut out = [vec![9.0f32; len], vec![9.0; len]];
                    dequantize(SimdLevel::Scalar, &bytes[..len], scale, zero, &mut out[0]);
                    dequantize(level, &bytes[..len], scale, zero, &mut out[1]);
                    let bits = out.map(|out| out.into_iter().map(f32::to_bits).collect::<Vec<_>>());
                    assert!(bits[0] == bits[1], "{level} {scale} {zero} {len}");
                }
            }
        }
    }

    #[test]
    fn bytes_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        for (level, zero) in SimdLevel::available().into_iter().zip([0, 3, 128, 255].into_iter().cycle()) {
            let (mut numbers, mut again) = (vec![0.0; 256], vec![0; 256]);
            dequantize(level, &all, 0.0137, zero, &mut numbers);
            quantize(level, &numbers, 0.0137, zero, &mut again);
            assert_eq!(again, all, "{level}");
        }
    }
}

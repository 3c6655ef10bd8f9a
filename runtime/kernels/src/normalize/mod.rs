//! Normalisation of 8-bit pixels into the model's input.
//!
//! Formula: `(value - mean) / std` per channel, in this order, in f32, as `Sam.preprocess` has it.
//!
//! Layout: planes, or pixels of three interleaved values.
//!
//! Tolerance: none. A [`Channel`] holds the 256 values that a channel can have, each a correctly rounded subtraction and
//! division; where arithmetic is faster than looking them up, `q = (value - mean) * inverse` is corrected once,
//! `q + (value - mean - q * std) * inverse` with fused multiplications, which gives the same bits: that is tried with all
//! 256 values when the channel is made.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use crate::SimdLevel;

/// Mean and standard deviation of one channel, and what they make of each level.
#[derive(Debug, Clone)]
pub struct Channel {
    mean: f32,
    std: f32,
    inverse: Option<f32>,
    values: [f32; 256],
}

impl Channel {
    /// The channel that subtracts `mean` and divides by `std`.
    pub fn new(mean: f32, std: f32) -> Self {
        let values: [f32; 256] = std::array::from_fn(|level| (level as f32 - mean) / std);
        let inverse = 1.0 / std;
        let corrected = |level: usize| {
            let centred = level as f32 - mean;
            let quotient = centred * inverse;
            (-quotient).mul_add(std, centred).mul_add(inverse, quotient)
        };
        let same = (0..256).all(|level| corrected(level).to_bits() == values[level].to_bits());
        Channel { mean, std, inverse: same.then_some(inverse), values }
    }

    /// The normalised value of a level.
    pub fn value(&self, level: u8) -> f32 {
        self.values[usize::from(level)]
    }

    /// Subtracted first.
    pub fn mean(&self) -> f32 {
        self.mean
    }

    /// Divided by then.
    pub fn std(&self) -> f32 {
        self.std
    }

    /// `1 / std`, if the corrected product has the quotient's bits for every level.
    pub fn inverse(&self) -> Option<f32> {
        self.inverse
    }
}

/// Interleaves one row of three planes into pixels: `out` has three values for each of a plane's.
pub fn interleave<T: Copy>(level: SimdLevel, planes: [&[T]; 3], out: &mut [T]) {
    assert!(planes.iter().all(|plane| 3 * plane.len() == out.len()), "three planes, as wide as the row");
    match level {
        SimdLevel::Scalar => scalar::interleave(planes, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::interleave(token, planes, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::interleave(token, planes, out),
        // The specification compiles to `st3`.
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(_) | SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => scalar::interleave(planes, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_normalisations_need_no_division() {
        for (mean, std) in [(123.675, 58.395), (116.28, 57.12), (103.53, 57.375), (127.5, 127.5), (0.0, 1.0)] {
            assert!(Channel::new(mean, std).inverse().is_some(), "({mean}, {std})");
        }
        assert!(Channel::new(1.0, 0.0).inverse().is_none(), "no number is 1 / 0");
    }

    #[test]
    fn official_constants_give_the_official_extremes() {
        // (0 - 123.675) / 58.395 and (255 - 103.53) / 57.375, correctly rounded to f32.
        let (red, blue) = (Channel::new(123.675, 58.395), Channel::new(103.53, 57.375));
        assert_eq!(red.value(0), -123.675f32 / 58.395f32);
        assert!((red.value(0) - -2.117_904).abs() < 1e-6 && (blue.value(255) - 2.64).abs() < 1e-6);
    }

    #[test]
    fn planes_become_pixels_at_every_level() {
        for level in SimdLevel::available() {
            for width in (0..70).chain([513]) {
                let plane = |c: usize| (0..width).map(|x| (3 * x + c) as f32).collect::<Vec<_>>();
                let planes = [plane(0), plane(1), plane(2)];
                let mut out = vec![-1.0; 3 * width];
                interleave(level, planes.each_ref().map(Vec::as_slice), &mut out);
                assert!(out.iter().enumerate().all(|(i, &v)| v == i as f32), "{level}, {width} wide");
            }
        }
    }
}

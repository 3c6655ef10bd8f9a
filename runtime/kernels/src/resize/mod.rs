//! Separable antialiased bilinear resize of 8-bit images, bit-equal to `Image.resize(size, BILINEAR)` of Pillow up to
//! version 12, which is what Segment Anything was trained and published with. Pillow 13 does the vertical pass first
//! where that is cheaper (tall images made much smaller), and so differs there by a level here and there.
//!
//! Formula, per axis with `scale = input / output`: output pixel `i` is a weighted mean of the input pixels around
//! `centre = (i + 0.5) * scale`, with the triangle filter `1 - |d| / max(scale, 1)` of the distance `d` from there to
//! a pixel's centre, over the pixels from `int(centre - support + 0.5)` to `int(centre + support + 0.5)`, where
//! `support = max(scale, 1)`, cut at the image's edges.
//!
//! Rounding: weights are normalised in f64, then rounded half away from zero to 22 fractional bits. A pass sums in
//! i32 from one half, shifts right by 22 and clips to 0..=255. The horizontal pass comes first and rounds to u8; a
//! pass whose axis keeps its size is left out.
//!
//! Layout: interleaved channels (3 for the horizontal pass, any for the vertical one), rows of bytes.
//!
//! Tolerance: none; every implementation gives the same bytes. (Pillow: `src/libImaging/Resample.c`.)

mod scalar;

pub use scalar::{horizontal_rgb8, vertical};

/// Fractional bits of a weight: 32 less 8 for the pixel and 2 for headroom, as in Pillow.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Which input pixels make each output pixel along one axis, and with which weights.
#[derive(Debug, Default)]
pub struct Axis {
    input: usize,
    output: usize,
    windows: Vec<Window>,
    weights: Vec<i32>,
}

/// One output pixel's share of an [`Axis`].
#[derive(Debug, Clone, Copy)]
struct Window {
    /// First input pixel.
    start: usize,
    /// First weight.
    offset: usize,
    /// Number of input pixels and weights.
    len: usize,
}

impl Axis {
    /// Makes this the axis from `input` to `output` pixels, both at least 1. Does nothing if it already is.
    pub fn prepare(&mut self, input: usize, output: usize) {
        if (self.input, self.output) == (input, output) {
            return;
        }
        (self.input, self.output) = (input, output);
        self.windows.clear();
        self.weights.clear();
        let scale = input as f64 / output as f64;
        let support = scale.max(1.0);
        let mut reals: Vec<f64> = Vec::new();
        for i in 0..output {
            let centre = (i as f64 + 0.5) * scale;
            // Casts to usize cut towards zero and at zero, as C's do where the value is not below -1.
            let start = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(input);
            reals.clear();
            reals.extend((start..end).map(|x| triangle((x as f64 - centre + 0.5) * (1.0 / support))));
            let sum: f64 = reals.iter().sum();
            let offset = self.weights.len();
            self.weights.extend(reals.iter().map(|w| (0.5 + w / sum * f64::from(1 << PRECISION_BITS)) as i32));
            self.windows.push(Window { start, offset, len: end - start });
        }
    }

    /// Whether this axis keeps its size, so that its pass is left out.
    pub fn is_identity(&self) -> bool {
        self.input == self.output
    }

    /// First input pixel of output pixel `i`, and the weights from there on.
    fn window(&self, i: usize) -> (usize, &[i32]) {
        let Window { start, offset, len } = self.windows[i];
        (start, &self.weights[offset..offset + len])
    }
}

fn triangle(distance: f64) -> f64 {
    (1.0 - distance.abs()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_within_rounding() {
        for (input, output) in [(1, 1), (1, 7), (7, 1), (1800, 1024), (641, 640), (13, 1024), (65_535, 3)] {
            let mut axis = Axis::default();
            axis.prepare(input, output);
            for i in 0..output {
                let (start, weights) = axis.window(i);
                assert!(start + weights.len() <= input && !weights.is_empty());
                let error = weights.iter().map(|&w| i64::from(w)).sum::<i64>() - (1 << PRECISION_BITS);
                assert!(error.unsigned_abs() <= weights.len() as u64 / 2 + 1, "{input} -> {output}: {error}");
            }
        }
    }

    #[test]
    fn halving_weighs_four_pixels_one_three_three_one() {
        let mut axis = Axis::default();
        axis.prepare(8, 4);
        let (start, weights) = axis.window(1);
        // Distances 1.5, 0.5, 0.5, 1.5 of a triangle of half-width 2: 1/8, 3/8, 3/8, 1/8.
        let eighth = 1 << (PRECISION_BITS - 3);
        assert_eq!((start, weights), (1, &[eighth, 3 * eighth, 3 * eighth, eighth][..]));
    }
}

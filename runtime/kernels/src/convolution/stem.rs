//! The first convolution of an image that lies in planes.

use crate::activation::vector::Apply;
use crate::depthwise::Shape;
use crate::lanes::{Lanes, Work, at_level};
use crate::{Activation, Aligned, SimdLevel};

/// What a [`Stem`] reads: planes of its shape's size, one behind the other.
#[derive(Clone, Copy, Debug)]
pub enum Planes<'a> {
    /// Numbers.
    Floats(&'a [f32]),
    /// Levels of an image of `height` rows of `width` pixels at the top left of each plane. What is beside the image does not count.
    Levels {
        /// Of each plane, row by row.
        levels: &'a [u8],
        /// Rows of the image.
        height: usize,
        /// Pixels of a row of the image.
        width: usize,
    },
}

impl<'a> Planes<'a> {
    /// The numbers; none where there are levels.
    pub fn floats(self) -> &'a [f32] {
        match self {
            Planes::Floats(numbers) => numbers,
            Planes::Levels { .. } => &[],
        }
    }
}

/// Weights of a dense convolution of a few planes, for one level.
#[derive(Debug)]
pub struct Stem {
    level: SimdLevel,
    channels: usize,
    kernel: usize,
    outputs: usize,
    /// `(channels, kernel, kernel, outputs)`.
    taps: Aligned<f32>,
    bias: Aligned<f32>,
    /// What stands beside the image, of each plane.
    outside: Vec<f32>,
}

impl Stem {
    /// Packs `weight` `(outputs, channels, kernel, kernel)` and `bias` `(outputs)`.
    pub fn pack(level: SimdLevel, weight: &[f32], bias: &[f32], channels: usize, kernel: usize) -> Self {
        let (outputs, patch) = (bias.len(), channels * kernel * kernel);
        assert!(patch > 0 && outputs > 0, "a convolution has channels, a kernel and outputs");
        assert_eq!(weight.len(), outputs * patch, "weights of {outputs} outputs");
        let taps = (0..weight.len()).map(|i| weight[i % outputs * patch + i / outputs]).collect();
        Stem {
            level,
            channels,
            kernel,
            outputs,
            taps,
            bias: bias.iter().copied().collect(),
            outside: vec![0.0; channels],
        }
    }

    /// As [`pack`](Self::pack), for planes that hold levels: the convolution takes them as `(level - mean) / std` of each plane, and zero
    /// beside the image. Both are folded into weights and biases, in f64: `weight / std`, and a bias less the sum of `weight * mean /
    /// std`; beside the image stands the mean.
    pub fn pack_for_levels(
        level: SimdLevel,
        weight: &[f32],
        bias: &[f32],
        (mean, std): (&[f32], &[f32]),
        kernel: usize,
    ) -> Self {
        let (channels, area) = (mean.len(), kernel * kernel);
        let patch = channels * area;
        assert!(std.len() == channels && weight.len() == bias.len() * patch, "weights of {} outputs", bias.len());
        let scaled = |(i, w): (usize, &f32)| f64::from(*w) / f64::from(std[i % patch / area]);
        let weights: Vec<f32> = weight.iter().enumerate().map(|tap| scaled(tap) as f32).collect();
        let bias: Vec<f32> = bias
            .iter()
            .zip(weight.chunks_exact(patch.max(1)))
            .map(|(bias, taps)| {
                let taps = taps.iter().enumerate();
                let means: f64 = taps.map(|(i, w)| scaled((i, w)) * f64::from(mean[i / area])).sum();
                (f64::from(*bias) - means) as f32
            })
            .collect();
        Stem { outside: mean.to_vec(), ..Stem::pack(level, &weights, &bias, channels, kernel) }
    }

    /// Planes of the image.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Numbers of an output pixel.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Numbers that an output is made of.
    pub fn inputs(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// Computes output row `y`, of pixels of `outputs` numbers, from planes of the shape's size.
    ///
    /// A sum starts at the bias and takes planes, rows and columns in ascending order, what stands outside included, by fused
    /// multiply-adds except in scalar. Levels agree within `1.2e-7 * (inputs + 2)` times the sum of the absolute values of all summands,
    /// plus what [activation](crate::activation) states.
    pub fn row(
        &self,
        planes: Planes<'_>,
        shape: &Shape,
        activation: Activation,
        y: usize,
        scratch: &mut Aligned<f32>,
        out: &mut [f32],
    ) {
        let (_, width) = shape.output(self.kernel);
        let plane = shape.height * shape.width;
        let len = match planes {
            Planes::Floats(numbers) => numbers.len(),
            Planes::Levels { levels, height, width } => {
                assert!(height <= shape.height && width <= shape.width, "the image is no larger than the planes");
                levels.len()
            }
        };
        assert_eq!(len, plane * self.channels, "the planes have the shape's size");
        assert_eq!(out.len(), width * self.outputs, "a row of outputs");
        // The rows that the window sees, with what stands outside at both ends.
        let padded = (width - 1) * shape.stride + (self.kernel - 1) * shape.dilation + 1;
        let rows = scratch.resize(self.channels * self.kernel * padded);
        for (i, row) in rows.chunks_exact_mut(padded).enumerate() {
            row.fill(self.outside[i / self.kernel]);
            let Some(at) = shape.row(y, i % self.kernel) else { continue };
            let inside = &mut row[shape.padding.min(padded)..];
            let start = i / self.kernel * plane + at * shape.width;
            match planes {
                Planes::Floats(numbers) => {
                    let len = shape.width.min(inside.len());
                    inside[..len].copy_from_slice(&numbers[start..][..len]);
                }
                Planes::Levels { levels, height, width } if at < height => {
                    let levels = &levels[start..][..width];
                    inside.iter_mut().zip(levels).for_each(|(number, level)| *number = f32::from(*level));
                }
                Planes::Levels { .. } => {}
            }
        }
        let rows = &*rows;
        at_level!(self.level, scalar, vector, (
            stem: &Stem = self,
            rows: &[f32] = rows,
            shape: &Shape = shape,
            activation: Activation = activation,
            out: &mut [f32] = out,
        ));
    }
}

/// The specification.
fn scalar(stem: &Stem, rows: &[f32], shape: &Shape, activation: Activation, out: &mut [f32]) {
    let padded = rows.len() / (stem.channels * stem.kernel);
    for (x, out) in out.chunks_exact_mut(stem.outputs).enumerate() {
        out.copy_from_slice(&stem.bias);
        for (tap, weights) in stem.taps.chunks_exact(stem.outputs).enumerate() {
            let value = rows[tap / stem.kernel * padded + x * shape.stride + tap % stem.kernel * shape.dilation];
            out.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
        out.iter_mut().for_each(|v| *v = crate::activation::scalar::value(activation, *v));
    }
}

/// Pixels side by side: they share weights.
const TOGETHER: usize = 8;

#[inline(always)]
fn vector<S: Lanes>(s: S, stem: &Stem, rows: &[f32], shape: &Shape, activation: Activation, out: &mut [f32]) {
    let width = out.len() / stem.outputs;
    for c in (0..stem.outputs).step_by(2 * S::LANES) {
        let len = (stem.outputs - c).min(2 * S::LANES);
        let whole = width / TOGETHER * TOGETHER;
        let (most, rest) = out.split_at_mut(whole * stem.outputs);
        for (i, out) in most.chunks_exact_mut(TOGETHER * stem.outputs).enumerate() {
            // Known lengths make two kinds of code, neither of which asks at every number.
            match len == 2 * S::LANES {
                true => pixels::<S, TOGETHER>(s, stem, rows, shape, i * TOGETHER, c, 2 * S::LANES, out),
                false => pixels::<S, TOGETHER>(s, stem, rows, shape, i * TOGETHER, c, len, out),
            }
        }
        for (i, out) in rest.chunks_exact_mut(stem.outputs).enumerate() {
            pixels::<S, 1>(s, stem, rows, shape, whole + i, c, len, out);
        }
    }
    Apply { activation, values: out }.run(s);
}

/// `N` pixels from pixel `x` on, of the `len` outputs from `c` on, at most two registers.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a part of `vector` for several constants")]
fn pixels<S: Lanes, const N: usize>(
    s: S,
    stem: &Stem,
    rows: &[f32],
    shape: &Shape,
    x: usize,
    c: usize,
    len: usize,
    out: &mut [f32],
) {
    let padded = rows.len() / (stem.channels * stem.kernel);
    let reach = (x + N - 1) * shape.stride + (stem.kernel - 1) * shape.dilation;
    assert!(reach < padded && c + len <= stem.outputs && out.len() == N * stem.outputs, "pixels of the row");
    let len = [len.min(S::LANES), len.saturating_sub(S::LANES)];
    // SAFETY: `len` outputs follow `c`, and `c + LANES`, in the bias, in the weights of a tap, and in each pixel of `out`; where
    // `len` is zero nothing is read or written. The last pixel's window ends inside the padded rows.
    unsafe {
        let load = |from: *const f32| [0, 1].map(|v| s.load_up_to(from.wrapping_add(c + v * S::LANES), len[v]));
        let mut sums = [load(stem.bias.as_ptr()); N];
        let mut weights = stem.taps.as_ptr();
        for row in rows.chunks_exact(padded) {
            let mut row = row.as_ptr().add(x * shape.stride);
            for _ in 0..stem.kernel {
                let tap = load(weights);
                for (p, sums) in sums.iter_mut().enumerate() {
                    let value = s.splat(*row.add(p * shape.stride));
                    for (sum, weight) in sums.iter_mut().zip(tap) {
                        *sum = s.mul_add(value, weight, *sum);
                    }
                }
                (weights, row) = (weights.wrapping_add(stem.outputs), row.wrapping_add(shape.dilation));
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                s.store_up_to(sum, out.as_mut_ptr().wrapping_add(p * stem.outputs + c + v * S::LANES), len[v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Values;

    #[test]
    fn every_level_is_the_formula() {
        let mut values = Values::new(12);
        for (height, width, stride, dilation, padding, kernel, outputs) in [
            (9, 11, 2, 1, 1, 3, 32),
            (8, 30, 2, 1, 1, 3, 24),
            (5, 5, 1, 2, 2, 3, 7),
            (7, 16, 1, 1, 0, 5, 65),
            (3, 40, 4, 1, 3, 7, 1),
        ] {
            let (channels, shape) = (3, Shape { height, width, stride, dilation, padding });
            let planes = values.vec(channels * height * width, 2.0);
            let weight = values.vec(outputs * channels * kernel * kernel, 1.0);
            let bias = values.vec(outputs, 1.0);
            let (rows, columns) = shape.output(kernel);
            for (level, y) in SimdLevel::available().into_iter().flat_map(|l| (0..rows).map(move |y| (l, y))) {
                let stem = Stem::pack(level, &weight, &bias, channels, kernel);
                let mut out = vec![f32::NAN; columns * outputs];
                stem.row(Planes::Floats(&planes), &shape, Activation::None, y, &mut Aligned::default(), &mut out);
                for (i, &got) in out.iter().enumerate() {
                    let (x, n) = (i / outputs, i % outputs);
                    let (mut sum, mut size) = (f64::from(bias[n]), f64::from(bias[n].abs()));
                    for tap in 0..channels * kernel * kernel {
                        let (c, r, k) = (tap / kernel / kernel, tap / kernel % kernel, tap % kernel);
                        let at = |p: usize, t: usize| (p * stride + t * dilation) as i64 - padding as i64;
                        let (row, column) = (at(y, r), at(x, k));
                        if (0..height as i64).contains(&row) && (0..width as i64).contains(&column) {
                            let value = planes[(c * height + row as usize) * width + column as usize];
                            let product = f64::from(value) * f64::from(weight[n * channels * kernel * kernel + tap]);
                            (sum, size) = (sum + product, size + product.abs());
                        }
                    }
                    let limit = 1.2e-7 * (channels * kernel * kernel + 2) as f64 * size;
                    assert!((f64::from(got) - sum).abs() <= limit, "{level} {shape:?} {got} {sum}");
                }
                let mut active = vec![f32::NAN; columns * outputs];
                stem.row(Planes::Floats(&planes), &shape, Activation::Relu6, y, &mut Aligned::default(), &mut active);
                crate::activation::apply(level, Activation::Relu6, &mut out);
                assert!(active == out, "{level}");
            }
        }
    }

    #[test]
    fn levels_are_normalised_and_nothing_counts_beside_the_image() {
        let mut values = Values::new(13);
        let (mean, std) = ([120.0, 110.5, 100.25], [58.0, 57.0, 56.5]);
        for (height, width, image) in [(9, 11, (9, 11)), (8, 30, (5, 30)), (12, 24, (12, 13)), (6, 7, (1, 1))] {
            let shape = Shape { height, width, stride: 2, dilation: 1, padding: 1 };
            let (outputs, kernel) = (20, 3);
            let weight = values.vec(outputs * 27, 1.0);
            let bias = values.vec(outputs, 1.0);
            // Beside the image stands what must not be read.
            let inside = |i: usize| i / width % height < image.0 && i % width < image.1;
            let levels: Vec<u8> =
                (0..3 * height * width).map(|i| if inside(i) { (i * 37 % 256) as u8 } else { 255 }).collect();
            let normalised = |i: usize| (f32::from(levels[i]) - mean[i / (height * width)]) / std[i / (height * width)];
            let floats: Vec<f32> = (0..levels.len()).map(|i| if inside(i) { normalised(i) } else { 0.0 }).collect();
            let (rows, columns) = shape.output(kernel);
            for (level, y) in SimdLevel::available().into_iter().flat_map(|l| (0..rows).map(move |y| (l, y))) {
                let mut wanted = vec![f32::NAN; columns * outputs];
                let stem = Stem::pack(level, &weight, &bias, 3, kernel);
                let planes = Planes::Floats(&floats);
                stem.row(planes, &shape, Activation::None, y, &mut Aligned::default(), &mut wanted);
                let mut got = vec![f32::NAN; columns * outputs];
                let stem = Stem::pack_for_levels(level, &weight, &bias, (&mean, &std), kernel);
                let planes = Planes::Levels { levels: &levels, height: image.0, width: image.1 };
                stem.row(planes, &shape, Activation::None, y, &mut Aligned::default(), &mut got);
                // 27 summands of at most 255 / 56 each, and means that cancel.
                let worst = wanted.iter().zip(&got).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(worst < 1e-4, "{level} {shape:?} {worst}");
            }
        }
    }
}

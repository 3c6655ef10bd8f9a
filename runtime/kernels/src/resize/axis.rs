//! Which input pixels make each output pixel, and their weights in the form that a level multiplies with.

use super::{PRECISION_BITS, digits, gather};
use crate::{Aligned, SimdLevel};

/// Windows longer than this may sum to a little above 255, which only the specification clips.
const MOST_UNCLIPPED: usize = 16_000;

/// Which input pixels make each output pixel along one axis, and with which weights.
#[derive(Debug, Default)]
struct Axis {
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
    fn make(&mut self, input: usize, output: usize) {
        assert!(input > 0 && output > 0, "an axis from {input} to {output} pixels");
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

    /// First input pixel of output pixel `i`, and the weights from there on.
    fn window(&self, i: usize) -> (usize, &[i32]) {
        let Window { start, offset, len } = self.windows[i];
        (start, &self.weights[offset..offset + len])
    }

    /// The most pixels that any output pixel is made of.
    fn longest(&self) -> usize {
        self.windows.iter().map(|window| window.len).max().unwrap_or(0)
    }

    /// The level that this axis runs at, if `level` is asked for.
    fn level(&self, level: SimdLevel) -> SimdLevel {
        if self.longest() > MOST_UNCLIPPED { SimdLevel::Scalar } else { level }
    }
}

fn triangle(distance: f64) -> f64 {
    (1.0 - distance.abs()).max(0.0)
}

/// Four consecutive weights from `first` on, zero where `weights` has none; `first` may be negative.
fn four(weights: &[i32], first: isize) -> [i32; 4] {
    std::array::from_fn(|k| {
        let index = usize::try_from(first + k as isize);
        index.ok().and_then(|index| weights.get(index)).copied().unwrap_or(0)
    })
}

/// Weights of four taps, in the form that a level multiplies with.
pub(super) type Taps = [u32; 4];

fn pack(level: SimdLevel, weights: [i32; 4]) -> Taps {
    match level {
        SimdLevel::Scalar => weights.map(|w| w as u32),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(_) => digits::halves(weights),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(_) => digits::signed_bytes(weights),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(_) => weights.map(|w| w as u32),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => digits::bytes(weights),
    }
}

/// Output pixels that a level makes side by side in one register.
fn lanes(level: SimdLevel) -> usize {
    match level {
        SimdLevel::Scalar => 1,
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(_) => 2,
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(_) => 4,
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(_) | SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => 1,
    }
}

/// How the windows of four neighbouring output pixels lie in 64 bytes, for byte shuffles within 16. No part straddles two cache lines.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Near {
    /// The bytes within `words`, gathered by channel.
    pub(super) bytes: [u8; 64],
    /// For each output pixel the four words that hold its window.
    pub(super) words: [u8; 16],
}

impl Near {
    /// The windows that begin at `offsets` bytes, which lie at most 51 apart and ascend from 0.
    fn new(offsets: [usize; 4], gather: [u8; 16]) -> Self {
        Near {
            words: std::array::from_fn(|k| (offsets[k / 4] / 4 + k % 4) as u8),
            bytes: std::array::from_fn(|k| gather[k % 16] + (offsets[k / 16] % 4) as u8),
        }
    }
}

/// The horizontal axis, made for one level and pixels of one size.
#[derive(Debug, Default)]
pub struct Across {
    made_for: Option<(SimdLevel, usize)>,
    axis: Axis,
    level: Option<SimdLevel>,
    pub(super) groups: usize,
    /// First input pixel of each output pixel, repeated at the end to whole blocks.
    pub(super) starts: Vec<u32>,
    /// For each block of `4 * lanes` output pixels, each group of four taps and each `s` in 0..4: the taps of output
    /// pixels `s`, `s + 4`, ... of the block; of `4 s`, `4 s + 1`, ... where there are four lanes.
    pub(super) taps: Aligned<Taps>,
    /// For each four output pixels, if those of each four are near, made of two groups at most, and there are four lanes.
    pub(super) near: Vec<Near>,
}

impl Across {
    /// Makes this the axis from `input` to `output` pixels of `pixel` bytes, 3 or 4 (quads are pixels of 4), both at least
    /// 1. Does nothing if it already is.
    pub fn prepare(&mut self, level: SimdLevel, pixel: usize, input: usize, output: usize) {
        let axis = &self.axis;
        if (self.made_for, axis.input, axis.output) == (Some((level, pixel)), input, output) {
            return;
        }
        self.axis.make(input, output);
        self.made_for = Some((level, pixel));
        let axis = &self.axis;
        let level = axis.level(level);
        self.level = Some(level);
        self.groups = axis.longest().div_ceil(4);
        let (lanes, last) = (lanes(level), output - 1);
        let padded = output.next_multiple_of(4 * lanes);
        self.starts.clear();
        self.starts.extend((0..padded).map(|i| axis.windows[i.min(last)].start as u32));
        self.taps = Aligned::default();
        self.near.clear();
        if level == SimdLevel::Scalar {
            return;
        }
        let control = if pixel == 3 { gather::<3>() } else { gather::<4>() };
        if lanes == 4 && self.groups <= 2 {
            let offsets = self
                .starts
                .as_chunks()
                .0
                .iter()
                .map(|&starts: &[u32; 4]| starts.map(|start| (start - starts[0]) as usize * pixel));
            if offsets.clone().all(|offsets| offsets[3] <= 51) {
                self.near.extend(offsets.map(|offsets| Near::new(offsets, control)));
            }
        }
        let mut taps = Vec::new();
        for block in (0..padded).step_by(4 * lanes) {
            for group in 0..self.groups {
                let of = |s, lane| if lanes == 4 { 4 * s + lane } else { s + 4 * lane };
                let pixels = (0..4).flat_map(|s| (0..lanes).map(move |lane| block + of(s, lane)));
                let weights = pixels.map(|i| four(axis.window(i.min(last)).1, 4 * group as isize));
                taps.extend(weights.map(|weights| pack(level, weights)));
            }
        }
        self.taps = taps.into_iter().collect();
    }

    /// Number of input pixels.
    pub fn input(&self) -> usize {
        self.axis.input
    }

    /// Bytes of an input pixel.
    pub(super) fn pixel(&self) -> usize {
        self.made_for.map_or(0, |(_, pixel)| pixel)
    }

    /// Number of output pixels.
    pub fn output(&self) -> usize {
        self.axis.output
    }

    pub(super) fn level(&self) -> SimdLevel {
        self.level.unwrap_or(SimdLevel::Scalar)
    }

    pub(super) fn window(&self, i: usize) -> (usize, &[i32]) {
        self.axis.window(i)
    }
}

/// The vertical axis, made for one level. Its input comes in quads of rows: quad `q` is input rows `4 q..4 q + 4`.
#[derive(Debug, Default)]
pub struct Down {
    made_for: Option<SimdLevel>,
    axis: Axis,
    level: Option<SimdLevel>,
    /// First of each output row's quads in `taps`, and where the last row's end.
    offsets: Vec<usize>,
    taps: Vec<Taps>,
}

impl Down {
    /// Makes this the axis from `input` to `output` rows, both at least 1. Does nothing if it already is.
    pub fn prepare(&mut self, level: SimdLevel, input: usize, output: usize) {
        let axis = &self.axis;
        if (self.made_for, axis.input, axis.output) == (Some(level), input, output) {
            return;
        }
        self.axis.make(input, output);
        self.made_for = Some(level);
        let axis = &self.axis;
        let level = axis.level(level);
        self.level = Some(level);
        self.taps.clear();
        self.offsets.clear();
        self.offsets.push(0);
        for i in 0..output {
            let (start, weights) = axis.window(i);
            // A last row of weight 0 may open a quad that nothing needs.
            let used = weights.iter().rposition(|&weight| weight != 0).map_or(1, |last| last + 1);
            let quads = start / 4..(start + used).div_ceil(4);
            let weights = quads.map(|quad| four(weights, (4 * quad) as isize - start as isize));
            self.taps.extend(weights.map(|weights| pack(level, weights)));
            self.offsets.push(self.taps.len());
        }
    }

    /// Number of input rows.
    pub fn input(&self) -> usize {
        self.axis.input
    }

    /// Number of output rows.
    pub fn output(&self) -> usize {
        self.axis.output
    }

    /// The quads that output row `i` is made of.
    pub fn quads(&self, i: usize) -> std::ops::Range<usize> {
        let first = self.axis.windows[i].start / 4;
        first..first + self.offsets[i + 1] - self.offsets[i]
    }

    /// The most quads that any output row is made of.
    pub fn most_quads(&self) -> usize {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    pub(super) fn level(&self) -> SimdLevel {
        self.level.unwrap_or(SimdLevel::Scalar)
    }

    pub(super) fn window(&self, i: usize) -> (usize, &[i32]) {
        self.axis.window(i)
    }

    /// The taps of output row `i`, one for each of its quads.
    pub(super) fn taps(&self, i: usize) -> &[Taps] {
        &self.taps[self.offsets[i]..self.offsets[i + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_within_rounding() {
        for (input, output) in [(1, 1), (1, 7), (7, 1), (1800, 1024), (641, 640), (13, 1024), (65_535, 3)] {
            let mut axis = Axis::default();
            axis.make(input, output);
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
        axis.make(8, 4);
        let (start, weights) = axis.window(1);
        // Distances 1.5, 0.5, 0.5, 1.5 of a triangle of half-width 2: 1/8, 3/8, 3/8, 1/8.
        let eighth = 1 << (PRECISION_BITS - 3);
        assert_eq!((start, weights), (1, &[eighth, 3 * eighth, 3 * eighth, eighth][..]));
    }

    #[test]
    fn a_size_that_is_kept_weighs_one_pixel_so_that_its_pass_changes_nothing() {
        let mut axis = Axis::default();
        axis.make(5, 5);
        for i in 0..5 {
            let (start, weights) = axis.window(i);
            assert_eq!((start, weights[0]), (i, 1 << PRECISION_BITS));
            assert!(weights[1..].iter().all(|&weight| weight == 0));
        }
    }
}

//! [`Statistics`]: what calibration learns of each value, and its file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::points::Channels;

/// Bins of a histogram.
pub const BINS: usize = 2048;

/// What is known of the numbers of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// The least number seen.
    pub min: f32,
    /// The greatest number seen.
    pub max: f32,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Default for Channel {
    fn default() -> Self {
        Channel { min: f32::INFINITY, max: f32::NEG_INFINITY, sum: 0.0, squares: 0.0 }
    }
}

impl Channel {
    /// The greatest magnitude.
    pub fn magnitude(&self) -> f32 {
        self.max.abs().max(self.min.abs())
    }

    fn add(&mut self, v: f32) {
        self.min = self.min.min(v);
        self.max = self.max.max(v);
        self.sum += f64::from(v);
        self.squares += f64::from(v) * f64::from(v);
    }

    fn add_all(&mut self, values: &[f32]) {
        let (mut sum, mut squares) = (0.0, 0.0);
        // Short runs, so that sums of f32 stay exact enough.
        for run in values.chunks(256) {
            let [mut s, mut q] = [0.0_f32; 2];
            for &v in run {
                self.min = self.min.min(v);
                self.max = self.max.max(v);
                s += v;
                q += v * v;
            }
            sum += f64::from(s);
            squares += f64::from(q);
        }
        self.sum += sum;
        self.squares += squares;
    }
}

/// How often numbers fall into equal parts of a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Where the first bin begins.
    pub low: f32,
    /// Where the last bin ends.
    pub high: f32,
    /// Numbers in each bin.
    pub counts: Vec<f64>,
}

impl Histogram {
    /// An empty one of [`BINS`] bins.
    pub fn new(low: f32, high: f32) -> Self {
        Histogram { low, high, counts: vec![0.0; BINS] }
    }

    /// Counts numbers; those beyond the range count in the bins at its ends.
    pub fn add(&mut self, values: &[f32]) {
        let last = self.counts.len() - 1;
        let scale = self.counts.len() as f32 / (self.high - self.low).max(f32::MIN_POSITIVE);
        for &v in values {
            // A cast saturates: what is below the range is in bin 0.
            let bin = ((v - self.low) * scale) as usize;
            self.counts[bin.min(last)] += 1.0;
        }
    }

    /// How wide a bin is.
    pub fn width(&self) -> f64 {
        (f64::from(self.high) - f64::from(self.low)) / self.counts.len() as f64
    }

    /// The middle of a bin.
    pub fn centre(&self, bin: usize) -> f64 {
        f64::from(self.low) + (bin as f64 + 0.5) * self.width()
    }

    /// How many numbers were counted.
    pub fn total(&self) -> f64 {
        self.counts.iter().sum()
    }
}

/// What is known of one value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValueStatistics {
    /// Numbers seen in each channel.
    pub count: f64,
    /// Its channels.
    pub channels: Vec<Channel>,
    /// All its numbers, once the range is known.
    pub histogram: Option<Histogram>,
}

impl ValueStatistics {
    /// Takes up the numbers of a tensor whose channels are where `layout` says. `None`, and nothing done, where it has another number
    /// of channels than those before, or a number that is not finite.
    pub fn observe(&mut self, shape: &[usize], values: &[f32], layout: Channels) -> Option<()> {
        let [outer, a, middle, b] = dimensions(shape, layout)?;
        if self.channels.is_empty() {
            self.channels = vec![Channel::default(); a * b];
        }
        if self.channels.len() != a * b || values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        for (at, block) in values.chunks_exact(middle * b).enumerate() {
            let channels = &mut self.channels[at % a * b..][..b];
            match channels {
                [one] => one.add_all(block),
                many => block.chunks_exact(b).for_each(|row| many.iter_mut().zip(row).for_each(|(c, &v)| c.add(v))),
            }
        }
        self.count += (outer * middle) as f64;
        Some(())
    }

    /// Least and greatest number of all channels; `None` before any was seen.
    pub fn range(&self) -> Option<(f32, f32)> {
        let bounds = self
            .channels
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), c| (low.min(c.min), high.max(c.max)));
        (bounds.0 <= bounds.1).then_some(bounds)
    }

    /// Means of the channels.
    pub fn means(&self) -> Vec<f64> {
        self.channels.iter().map(|c| c.sum / self.count.max(1.0)).collect()
    }

    /// Mean squares of the channels.
    pub fn mean_squares(&self) -> Vec<f64> {
        self.channels.iter().map(|c| c.squares / self.count.max(1.0)).collect()
    }

    /// Variances of the channels, or a hundredth of their mean squares if that is more: a channel that was constant so far still counts.
    pub fn variances(&self) -> Vec<f64> {
        self.mean_squares()
            .iter()
            .zip(self.means())
            .map(|(square, mean)| (square - mean * mean).max(square / 100.0))
            .collect()
    }
}

/// A shape as `[outer, a, middle, b]`, where channel `(a, b)` is number `a * b's size + b`.
fn dimensions(shape: &[usize], layout: Channels) -> Option<[usize; 4]> {
    let product = |dims: &[usize]| dims.iter().product::<usize>();
    match (layout, shape) {
        (Channels::Second, [n, c, rest @ ..]) => Some([*n, *c, product(rest), 1]),
        (Channels::Last, [rest @ .., c]) => Some([product(rest), 1, 1, *c]),
        (Channels::Heads, [n, heads, tokens, numbers]) => Some([*n, *heads, *tokens, *numbers]),
        _ => None,
    }
}

/// What is known of the values of a network, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The values.
    pub values: BTreeMap<String, ValueStatistics>,
    /// Pictures that they come from.
    pub pictures: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_apart_in_every_layout() {
        // Channel c of 6 holds the numbers c and -c.
        let second: Vec<f32> = (0..6).flat_map(|c| [c as f32, -(c as f32)]).collect();
        let last: Vec<f32> = (0..6).map(|c| c as f32).chain((0..6).map(|c| -(c as f32))).collect();
        // Two heads of three numbers, two tokens.
        let heads: Vec<f32> =
            (0..2).flat_map(|h| [1.0, -1.0].map(|s| (0..3).map(move |d| s * (3 * h + d) as f32))).flatten().collect();
        let cases: [(Channels, &[usize], &[f32]); 3] = [
            (Channels::Second, &[1, 6, 2, 1], &second),
            (Channels::Last, &[2, 6], &last),
            (Channels::Heads, &[1, 2, 2, 3], &heads),
        ];
        for (layout, shape, values) in cases {
            let mut found = ValueStatistics::default();
            found.observe(shape, values, layout).unwrap();
            found.observe(shape, values, layout).unwrap();
            assert_eq!(found.count, 4.0);
            for (c, channel) in found.channels.iter().enumerate() {
                let c = c as f32;
                assert_eq!((channel.min, channel.max, channel.magnitude()), (-c, c, c), "{layout:?}");
                assert_eq!((channel.sum, channel.squares), (0.0, f64::from(4.0 * c * c)), "{layout:?}");
            }
            assert_eq!(found.range(), Some((-5.0, 5.0)));
        }
    }

    #[test]
    fn other_channels_and_infinities_are_refused() {
        let mut found = ValueStatistics::default();
        found.observe(&[1, 2, 1, 1], &[1.0, 2.0], Channels::Second).unwrap();
        assert!(found.observe(&[1, 3, 1, 1], &[1.0, 2.0, 3.0], Channels::Second).is_none());
        assert!(found.observe(&[1, 2, 1, 1], &[1.0, f32::INFINITY], Channels::Second).is_none());
        assert_eq!((found.count, found.range()), (1.0, Some((1.0, 2.0))));
    }

    #[test]
    fn a_histogram_counts_every_number_once() {
        let mut histogram = Histogram::new(-1.0, 1.0);
        let values: Vec<f32> = (0..=BINS).map(|i| -1.0 + 2.0 * i as f32 / BINS as f32).chain([-7.0, 9.0]).collect();
        histogram.add(&values);
        assert_eq!(histogram.total(), values.len() as f64);
        // The end of the range and what is beyond it are in the last bin.
        assert_eq!((histogram.counts[0], histogram.counts[1], histogram.counts[BINS - 1]), (2.0, 1.0, 3.0));
        assert!((histogram.centre(BINS / 2) - histogram.width() / 2.0).abs() < 1e-12);
    }
}

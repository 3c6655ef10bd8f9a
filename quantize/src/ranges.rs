//! From a histogram to a scale and a zero point.
//!
//! A range `[low, high]`, widened to hold zero, becomes `scale = (high - low) / 255` and `zero = round(-low / scale)`; a number `x` is
//! kept as `q = clamp(round(x / scale) + zero, 0, 255)` and read as `(q - zero) * scale`. Zero is kept exactly.
//!
//! Methods that choose the range (sources in docs/quantization.md): everything seen; percentiles; the least divergence of Kullback and
//! Leibler between the numbers and what is kept of them; the least mean square error.

use std::fmt;
use std::str::FromStr;

use cutout_models::{Affine, Normalization};
use serde::{Deserialize, Serialize};

use crate::statistics::Histogram;

/// The greatest byte.
const LEVELS: f64 = 255.0;
/// Ranges tried for each end, from the whole range inwards.
const STEPS: usize = 64;

/// Scale and zero point of a range, which is widened to hold zero.
pub fn affine(low: f64, high: f64) -> Affine {
    let (low, high) = (low.min(0.0), high.max(0.0));
    let scale = ((high - low) / LEVELS) as f32;
    if !scale.is_normal() {
        return Affine { scale: 1.0, zero: 0 };
    }
    let zero = (-low / f64::from(scale)).round_ties_even().clamp(0.0, LEVELS) as u8;
    Affine { scale, zero }
}

/// The least and the greatest number that bytes stand for.
pub fn range(Affine { scale, zero }: Affine) -> (f64, f64) {
    let (scale, zero) = (f64::from(scale), f64::from(zero));
    (-zero * scale, (LEVELS - zero) * scale)
}

/// The byte that a number is kept as.
pub fn byte(Affine { scale, zero }: Affine, x: f64) -> u8 {
    ((x / f64::from(scale)).round_ties_even() + f64::from(zero)).clamp(0.0, LEVELS) as u8
}

/// How the normalised image is kept: with as many as possible of its levels apart, and with the least error then.
pub fn of_image(normalization: Normalization) -> Affine {
    const NEAR: i32 = 40;
    let Normalization { mean, std } = normalization;
    let values: Vec<[f64; 256]> = mean
        .iter()
        .zip(&std)
        .map(|(&mean, &std)| std::array::from_fn(|level| (level as f64 - f64::from(mean)) / f64::from(std)))
        .collect();
    let all = || values.iter().flatten().copied();
    let whole = affine(all().fold(0.0, f64::min), all().fold(0.0, f64::max));
    let mut best = (usize::MAX, f64::INFINITY, whole);
    for near in -NEAR..=NEAR {
        let scale = (f64::from(whole.scale) * (1.0 + f64::from(near) / 2000.0)) as f32;
        for zero in [whole.zero.saturating_sub(1), whole.zero, whole.zero.saturating_add(1)] {
            let candidate = Affine { scale, zero };
            let number = |x| f64::from(i16::from(byte(candidate, x)) - i16::from(zero)) * f64::from(scale);
            let error: f64 = all().map(|x| (number(x) - x).powi(2)).sum();
            let joined = |levels: &[f64; 256]| {
                levels.windows(2).filter(|w| byte(candidate, w[0]) == byte(candidate, w[1])).count()
            };
            let joined = values.iter().map(joined).sum();
            if (joined, error) < (best.0, best.1) {
                best = (joined, error, candidate);
            }
        }
    }
    best.2
}

/// How a range is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Everything that was seen.
    MinMax,
    /// All but one in 1000 at each end (percentile 99.9).
    Percentile,
    /// All but one in 10000 at each end (percentile 99.99).
    #[serde(rename = "percentile99.99")]
    HighPercentile,
    /// The least divergence of Kullback and Leibler.
    Entropy,
    /// The least mean square error.
    Mse,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 5] =
        [Method::MinMax, Method::Percentile, Method::HighPercentile, Method::Entropy, Method::Mse];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Method::MinMax => "minmax",
            Method::Percentile => "percentile",
            Method::HighPercentile => "percentile99.99",
            Method::Entropy => "entropy",
            Method::Mse => "mse",
        }
    }

    /// The quantisation that it chooses for the numbers of a histogram, of which `seen` is the range.
    pub fn choose(self, histogram: &Histogram, seen: (f32, f32)) -> Affine {
        let seen = (f64::from(seen.0), f64::from(seen.1));
        let (low, high) = match self {
            Method::MinMax => seen,
            Method::Percentile => within(percentiles(histogram, 1e-3), seen),
            Method::HighPercentile => within(percentiles(histogram, 1e-4), seen),
            Method::Entropy => least(seen, |low, high| divergence(histogram, low, high)),
            Method::Mse => least(seen, |low, high| mean_square_error(histogram, affine(low, high))),
        };
        affine(low, high)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    /// A method by its name; else a sentence that lists them.
    fn from_str(name: &str) -> Result<Self, String> {
        let names = Method::ALL.map(Method::name).join(", ");
        let found = Method::ALL.into_iter().find(|m| m.name() == name);
        found.ok_or_else(|| format!("there is no method '{name}': give one of {names}"))
    }
}

/// The mean square error of numbers that are kept as bytes.
pub fn mean_square_error(histogram: &Histogram, kept: Affine) -> f64 {
    let (low, high) = range(kept);
    // A number within the range errs evenly by up to half a step: a twelfth of the step's square.
    let rounding = f64::from(kept.scale).powi(2) / 12.0;
    let error = |bin: usize| {
        let x = histogram.centre(bin);
        let beyond = x - x.clamp(low, high);
        if beyond == 0.0 { rounding } else { beyond * beyond }
    };
    let sum: f64 = histogram.counts.iter().enumerate().filter(|(_, n)| **n > 0.0).map(|(i, n)| n * error(i)).sum();
    sum / histogram.total().max(1.0)
}

/// Where all but `share` of the numbers at each end begin and end.
fn percentiles(histogram: &Histogram, share: f64) -> (f64, f64) {
    let allowed = histogram.total() * share;
    let last = histogram.counts.len() - 1;
    let (mut low, mut high, mut below, mut above) = (0, last, histogram.counts[0], histogram.counts[last]);
    while below <= allowed && low < last {
        low += 1;
        below += histogram.counts[low];
    }
    while above <= allowed && high > low {
        high -= 1;
        above += histogram.counts[high];
    }
    let half = histogram.width() / 2.0;
    (histogram.centre(low) - half, histogram.centre(high) + half)
}

fn within(range: (f64, f64), seen: (f64, f64)) -> (f64, f64) {
    (range.0.max(seen.0), range.1.min(seen.1))
}

/// The range with the least loss: its upper end first, then its lower end.
fn least(seen: (f64, f64), loss: impl Fn(f64, f64) -> f64) -> (f64, f64) {
    let (low, high) = (seen.0.min(0.0), seen.1.max(0.0));
    let inwards = |end: f64| (0..STEPS).map(move |i| end * (1.0 - i as f64 / STEPS as f64));
    let best = |candidates: Vec<(f64, f64)>| {
        let losses = candidates.iter().map(|&(low, high)| loss(low, high)).collect::<Vec<_>>();
        let at = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        candidates[at]
    };
    // Both ends together, then each by itself.
    let (low, high) = best(inwards(1.0).map(|f| (low * f, high * f)).collect());
    let (low, high) = if high > 0.0 { best(inwards(seen.1).map(|high| (low, high)).collect()) } else { (low, high) };
    if low < 0.0 { best(inwards(seen.0).map(|low| (low, high)).collect()) } else { (low, high) }
}

/// The divergence of Kullback and Leibler of what is kept within `[low, high]` from the numbers: those beyond the range count at its
/// ends, and numbers of one byte are taken as spread evenly over the bins that hold any.
fn divergence(histogram: &Histogram, low: f64, high: f64) -> f64 {
    let kept = affine(low, high);
    let (low, _) = range(kept);
    let scale = f64::from(kept.scale);
    let bins = histogram.counts.len();
    let level = |bin: usize| (((histogram.centre(bin) - low) / scale).round_ties_even()).clamp(0.0, LEVELS) as usize;
    let inside = |bin: usize| {
        let at = (histogram.centre(bin) - low) / scale;
        (-0.5..=LEVELS + 0.5).contains(&at)
    };
    // Reference: the numbers, those beyond the range moved to its first and last bin.
    let (Some(first), Some(last)) = ((0..bins).find(|&b| inside(b)), (0..bins).rfind(|&b| inside(b))) else {
        return f64::INFINITY;
    };
    let mut reference = histogram.counts[first..=last].to_vec();
    let beyond = [histogram.counts[..first].iter().sum::<f64>(), histogram.counts[last + 1..].iter().sum::<f64>()];
    reference[0] += beyond[0];
    reference[last - first] += beyond[1];
    // Kept: of the numbers within the range alone.
    let (mut sums, mut filled) = ([0.0; 256], [0.0; 256]);
    for bin in first..=last {
        if reference[bin - first] > 0.0 {
            sums[level(bin)] += histogram.counts[bin];
            filled[level(bin)] += 1.0;
        }
    }
    let (total, read): (f64, f64) = (reference.iter().sum(), sums.iter().sum());
    if total == 0.0 || read == 0.0 {
        return f64::INFINITY;
    }
    let term = |bin: usize| {
        let p = reference[bin - first] / total;
        let q = sums[level(bin)] / filled[level(bin)] / read;
        match (p > 0.0, q > 0.0) {
            (false, _) => 0.0,
            (true, true) => p * (p / q).ln(),
            // What was beyond the range fell where nothing was.
            (true, false) => p * (p / 1e-12).ln(),
        }
    };
    (first..=last).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of a bell of deviation 1 on [-4, 4], and one number in 4000 at 40.
    fn heavy_tail() -> (Histogram, (f32, f32)) {
        let mut histogram = Histogram::new(-4.0, 40.0);
        for i in -4000..4000 {
            let x = f64::from(i) / 1000.0;
            let count = (1000.0 * (-x * x / 2.0).exp()).round() as usize;
            histogram.add(&vec![x as f32; count]);
        }
        let total = histogram.total();
        histogram.add(&vec![40.0; (total / 4000.0) as usize]);
        (histogram, (-4.0, 40.0))
    }

    #[test]
    fn zero_is_kept_exactly_and_ranges_hold_it() {
        for (low, high) in [(-1.0, 3.0), (2.0, 3.0), (-5.0, -1.0), (-0.3, 0.1), (0.0, 6.0)] {
            let kept = affine(low, high);
            let (from, to) = range(kept);
            let step = f64::from(kept.scale);
            assert_eq!(byte(kept, 0.0), kept.zero);
            assert!(from <= low.min(0.0) + step && to >= high.max(0.0) - step, "{low} {high}: {from} {to}");
        }
        assert_eq!(affine(0.0, 6.0), Affine { scale: 6.0 / 255.0, zero: 0 });
        assert_eq!(affine(0.0, 0.0), Affine { scale: 1.0, zero: 0 });
    }

    #[test]
    fn levels_of_an_image_stay_apart() {
        let kept = of_image(Normalization::SIGNED_UNIT);
        let bytes: std::collections::BTreeSet<u8> =
            (0..256).map(|v| byte(kept, (f64::from(v) - 127.5) / 127.5)).collect();
        // Zero lies between two levels, so that one byte is lost.
        assert_eq!(bytes.len(), 255);
        let kept = of_image(Normalization::SEGMENT_ANYTHING);
        let (low, high) = range(kept);
        assert!((-2.2..-2.0).contains(&low) && (2.5..2.75).contains(&high), "{low} {high}");
    }

    #[test]
    fn percentiles_cut_what_their_share_says() {
        let (histogram, seen) = heavy_tail();
        let range = |method: Method| range(method.choose(&histogram, seen));
        assert!((range(Method::MinMax).1 - 40.0).abs() < 0.2);
        // One in 4000 is less than one in 1000 and more than one in 10000.
        assert!(range(Method::Percentile).1 < 4.0);
        assert!((range(Method::HighPercentile).1 - 40.0).abs() < 0.2);
    }

    #[test]
    fn the_least_error_is_least() {
        let (histogram, seen) = heavy_tail();
        let error = |method: Method| mean_square_error(&histogram, method.choose(&histogram, seen));
        for method in Method::ALL {
            assert!(error(Method::Mse) <= error(method) * (1.0 + 1e-9), "{method}");
        }
        // Without a tail nothing is gained by cutting much.
        let mut flat = Histogram::new(0.0, 1.0);
        flat.add(&(0..100_000).map(|i| i as f32 / 1e5).collect::<Vec<_>>());
        for method in [Method::Mse, Method::Entropy] {
            assert!(range(method.choose(&flat, (0.0, 1.0))).1 > 0.97, "{method}");
        }
    }

    #[test]
    fn entropy_cuts_a_tail_that_is_far_away() {
        let (histogram, seen) = heavy_tail();
        let (low, high) = range(Method::Entropy.choose(&histogram, seen));
        assert!(high < 20.0 && low > -5.0, "{low} {high}");
    }

    #[test]
    fn methods_are_found_by_name() {
        for method in Method::ALL {
            assert_eq!(method.name().parse(), Ok(method));
        }
        assert!("best".parse::<Method>().unwrap_err().contains("minmax"));
    }
}

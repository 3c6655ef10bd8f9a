//! How far a mean can be trusted.

use super::evaluate::SourceScores;
use super::protocol::Scores;
use super::rng::SplitMix64;

/// Resamples: the ends of a 95 % interval are then the 50th smallest and largest of them.
const RESAMPLES: usize = 2000;

/// A 95 % interval of each score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower ends.
    pub low: Scores,
    /// Upper ends.
    pub high: Scores,
}

/// Percentile bootstrap (Efron 1979) of the mean over a source's objects. Whole images are drawn with replacement, for
/// objects of one image share their difficulty. `None` with fewer than two images: nothing is known of the spread. The
/// draw is fixed by `seed`.
pub(super) fn source_interval(source: &SourceScores, seed: u64) -> Option<Interval> {
    Some(percentiles(resampled_means(source, seed)?))
}

/// The same for the mean over sources, each resampled for itself. `None` where any of them has fewer than two images.
pub(super) fn overall_interval(sources: &[SourceScores], seed: u64) -> Option<Interval> {
    let mut means = vec![[0.0; 5]; RESAMPLES];
    for (source, salt) in sources.iter().zip(0..) {
        for (sum, mean) in means.iter_mut().zip(resampled_means(source, seed.wrapping_add(salt))?) {
            for (s, m) in sum.iter_mut().zip(mean) {
                *s += m / sources.len() as f64;
            }
        }
    }
    (!sources.is_empty()).then(|| percentiles(means))
}

fn resampled_means(source: &SourceScores, seed: u64) -> Option<Vec<[f64; 5]>> {
    let images = sums_per_image(source);
    if images.len() < 2 {
        return None;
    }
    let mut rng = SplitMix64::new(seed);
    let resample = |_| {
        let (mut count, mut sums) = (0.0, [0.0; 5]);
        for _ in 0..images.len() {
            let (n, image) = &images[rng.below(images.len())];
            count += n;
            sums.iter_mut().zip(image).for_each(|(s, v)| *s += v);
        }
        sums.map(|s| s / count)
    };
    Some((0..RESAMPLES).map(resample).collect())
}

/// Number of objects and sums of scores of each image.
fn sums_per_image(source: &SourceScores) -> Vec<(f64, [f64; 5])> {
    source
        .objects
        .chunk_by(|a, b| a.image == b.image)
        .map(|objects| {
            let mut sums = [0.0; 5];
            for object in objects {
                sums.iter_mut().zip(object.scores.to_array()).for_each(|(s, v)| *s += v);
            }
            (objects.len() as f64, sums)
        })
        .collect()
}

fn percentiles(means: Vec<[f64; 5]>) -> Interval {
    let ends: [(f64, f64); 5] = std::array::from_fn(|i| {
        let mut column: Vec<f64> = means.iter().map(|row| row[i]).collect();
        column.sort_unstable_by(f64::total_cmp);
        let cut = column.len() / 40;
        match column.as_slice() {
            [] => (0.0, 0.0),
            sorted => (sorted[cut], sorted[sorted.len() - 1 - cut]),
        }
    });
    Interval { low: Scores::from_array(ends.map(|e| e.0)), high: Scores::from_array(ends.map(|e| e.1)) }
}

#[cfg(test)]
mod tests {
    use super::super::evaluate::ObjectScores;
    use super::*;

    fn source(boxes: &[(usize, f64)]) -> SourceScores {
        let object = |&(image, bbox): &(usize, f64)| ObjectScores {
            image,
            relative_size: 0.5,
            aspect: 1.0,
            scores: Scores { bbox, ..Scores::default() },
        };
        SourceScores { name: "s".into(), objects: boxes.iter().map(object).collect() }
    }

    /// The mean of n images that score 0 or 1 at even odds has the standard error sqrt(1/4n); the interval is 1.96 of
    /// it each way.
    #[test]
    fn matches_the_normal_approximation() {
        let even: Vec<(usize, f64)> = (0..400).map(|i| (i, (i % 2) as f64)).collect();
        let interval = source_interval(&source(&even), 5).unwrap();
        let expected = 1.96 * (0.25_f64 / 400.0).sqrt();
        assert!((interval.low.bbox - (0.5 - expected)).abs() < 0.006, "{interval:?}");
        assert!((interval.high.bbox - (0.5 + expected)).abs() < 0.006, "{interval:?}");
        assert_eq!(interval.low.clicks5, 0.0);
    }

    /// Four equal objects in each image carry no more than one: the interval stays as wide.
    #[test]
    fn objects_of_one_image_count_once() {
        let single: Vec<(usize, f64)> = (0..100).map(|i| (i, (i % 2) as f64)).collect();
        let fourfold: Vec<(usize, f64)> = (0..400).map(|i| (i / 4, (i / 4 % 2) as f64)).collect();
        assert_eq!(source_interval(&source(&single), 1), source_interval(&source(&fourfold), 1));
    }

    #[test]
    fn overall_is_narrower_than_its_sources_and_unknown_for_a_single_image() {
        let even: Vec<(usize, f64)> = (0..100).map(|i| (i, (i % 2) as f64)).collect();
        let sources = vec![source(&even); 4];
        let (one, all) = (source_interval(&sources[0], 2).unwrap(), overall_interval(&sources, 2).unwrap());
        let width = |i: Interval| i.high.bbox - i.low.bbox;
        assert!((width(one) / width(all) - 2.0).abs() < 0.2, "{} {}", width(one), width(all));
        assert_eq!(source_interval(&source(&[(0, 0.5), (0, 1.0)]), 2), None);
        assert_eq!(overall_interval(&[], 2), None);
    }
}

//! [`Report`]: the figures of an evaluation, for machines and for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::bootstrap::{Interval, overall_interval, source_interval};
use super::dataset::Selection;
use super::evaluate::{Evaluation, ObjectScores};
use super::groups::{Aspect, Bucket};
use super::protocol::Scores;
use super::skipped::Skipped;

/// Mean scores and the number of objects behind them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Mean IoUs.
    #[serde(flatten)]
    pub scores: Scores,
    /// How many objects.
    pub objects: usize,
}

/// The figures of an evaluation. Serialises as `{"overall": FIGURES, "sources": {NAME: FIGURES}, ...}` with FIGURES =
/// `{"box", "point_best", "point_chosen", "clicks3", "clicks5", "objects"}`; displays as a table.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Means over the sources' means; `objects` is their sum.
    pub overall: Figures,
    /// Means over the objects of each source.
    pub sources: BTreeMap<String, Figures>,
    /// What was evaluated, in words.
    pub model: String,
    /// The split.
    pub split: String,
    /// The largest number of objects of a source, `None` for all.
    pub limit: Option<usize>,
    /// Seed of the draw and of the intervals.
    pub seed: u64,
    /// Sources without a scored object.
    pub empty: Vec<String>,
    /// What was left out.
    pub skipped: Skipped,
    /// Whether the evaluation was ended early, so that figures cover a part only.
    pub stopped: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    #[serde(skip)]
    intervals: (Option<Interval>, BTreeMap<String, Option<Interval>>),
    #[serde(rename = "by_size", serialize_with = "named")]
    buckets: Vec<(&'static str, Figures)>,
    #[serde(rename = "by_aspect", serialize_with = "named")]
    aspects: Vec<(&'static str, Figures)>,
}

impl Report {
    /// Sums up; `None` where no object at all was scored. `model` says what was evaluated.
    pub fn new(evaluation: &Evaluation, selection: &Selection, model: impl Into<String>) -> Option<Self> {
        let seed = selection.seed;
        let sources: BTreeMap<String, Figures> =
            evaluation.sources.iter().filter_map(|s| Some((s.name.clone(), mean(s.objects.iter())?))).collect();
        let intervals = evaluation.sources.iter().map(|s| (s.name.clone(), source_interval(s, seed))).collect();
        let group = |name, within: &dyn Fn(&ObjectScores) -> bool| {
            let figures = evaluation.sources.iter().filter_map(|s| mean(s.objects.iter().filter(|o| within(o))));
            Some((name, mean_of_means(figures)?))
        };
        let bucket = |b: Bucket| group(b.name(), &|o| Bucket::of(o.relative_size) == b);
        let aspect = |a: Aspect| group(a.name(), &|o| Aspect::of(o.aspect) == a);
        Some(Self {
            overall: mean_of_means(sources.values().copied())?,
            model: model.into(),
            split: selection.split.clone(),
            limit: selection.limit,
            seed,
            empty: evaluation.empty.clone(),
            skipped: evaluation.skipped.clone(),
            stopped: evaluation.stopped,
            seconds: evaluation.elapsed.as_secs_f64(),
            intervals: (overall_interval(&evaluation.sources, seed), intervals),
            buckets: Bucket::ALL.into_iter().filter_map(bucket).collect(),
            aspects: Aspect::ALL.into_iter().filter_map(aspect).collect(),
            sources,
        })
    }

    /// The 95 % interval of a source's figures; `None` where it is unknown, with fewer than two images.
    pub fn interval(&self, source: &str) -> Option<Interval> {
        self.intervals.1.get(source).copied().flatten()
    }

    /// The 95 % interval of the overall figures; `None` where that of a source is unknown.
    pub fn overall_interval(&self) -> Option<Interval> {
        self.intervals.0
    }

    /// Figures by [`Bucket`], the size of the object: means over the sources that have such objects.
    pub fn buckets(&self) -> &[(&'static str, Figures)] {
        &self.buckets
    }

    /// Figures by [`Aspect`], the shape of the image: means over the sources that have such images.
    pub fn aspects(&self) -> &[(&'static str, Figures)] {
        &self.aspects
    }
}

fn named<S: Serializer>(groups: &[(&'static str, Figures)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(groups.iter().copied())
}

fn mean<'a>(objects: impl Iterator<Item = &'a ObjectScores>) -> Option<Figures> {
    let (mut count, mut sums) = (0, [0.0; 5]);
    for object in objects {
        count += 1;
        sums.iter_mut().zip(object.scores.to_array()).for_each(|(sum, v)| *sum += v);
    }
    (count > 0).then(|| Figures { scores: Scores::from_array(sums.map(|s| s / count as f64)), objects: count })
}

fn mean_of_means(figures: impl Iterator<Item = Figures>) -> Option<Figures> {
    let (mut count, mut objects, mut sums) = (0, 0, [0.0; 5]);
    for source in figures {
        count += 1;
        objects += source.objects;
        sums.iter_mut().zip(source.scores.to_array()).for_each(|(sum, v)| *sum += v);
    }
    (count > 0).then(|| Figures { scores: Scores::from_array(sums.map(|s| s / f64::from(count))), objects })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.sources.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = longest.max("mean IoU".len());
        let limit = self.limit.map_or(String::new(), |n| format!(", at most {n} objects a source, seed {}", self.seed));
        writeln!(f, "{} on split '{}'{limit}", self.model, self.split)?;
        writeln!(f)?;
        let [a, b, c, d, e] = Scores::NAMES;
        writeln!(f, "{:width$}  objects  {a:<13}  {b:<13}  {c:<13}  {d:<13}  {e}", "mean IoU")?;
        for (name, figures) in &self.sources {
            row(f, name, width, figures, self.interval(name))?;
        }
        row(f, "overall", width, &self.overall, self.overall_interval())?;
        writeln!(f)?;
        for (name, figures) in self.buckets.iter().chain(&self.aspects) {
            row(f, name, width, figures, None)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "overall and what follows: means over sources; ± is half of the 95 % bootstrap interval over images."
        )?;
        writeln!(
            f,
            "small < 1/16 <= medium < 3/16 <= large: sqrt(mask area / image area). 1:1 to 16:9: the image's sides."
        )?;
        if !self.empty.is_empty() {
            writeln!(f, "No object scored in: {}.", self.empty.join(", "))?;
        }
        for (reason, count, examples) in self.skipped.iter() {
            writeln!(f, "Left out: {count} {}; for instance {}", reason.describe(), examples.join("; "))?;
        }
        if self.stopped {
            writeln!(f, "Stopped early: the figures cover a part of the data only.")?;
        }
        write!(f, "{} objects in {:.1} s", self.overall.objects, self.seconds)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, width: usize, figures: &Figures, i: Option<Interval>) -> fmt::Result {
    write!(f, "{name:width$}  {:>7}", figures.objects)?;
    let half = i.map(|i| {
        let (low, high) = (i.low.to_array(), i.high.to_array());
        std::array::from_fn::<f64, 5, _>(|k| (high[k] - low[k]) / 2.0)
    });
    for (k, score) in figures.scores.to_array().into_iter().enumerate() {
        match half {
            Some(half) => write!(f, "  {score:.3} ± {:.3}", half[k])?,
            None if k + 1 < Scores::NAMES.len() => write!(f, "  {:<13}", format!("{score:.3}"))?,
            None => write!(f, "  {score:.3}")?,
        }
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::super::evaluate::SourceScores;
    use super::super::skipped::Reason;
    use super::*;

    fn object(image: usize, relative_size: f64, value: f64) -> ObjectScores {
        let aspect = if image == 0 { 1.5 } else { 1.0 };
        let scores = Scores::from_array([value, value / 2.0, value / 4.0, value / 8.0, value / 16.0]);
        ObjectScores { image, relative_size, aspect, scores }
    }

    /// Source a: three objects of mean 0.5; source b: one of 1.0.
    fn evaluation() -> Evaluation {
        let a = vec![object(0, 0.01, 0.25), object(0, 0.1, 0.5), object(1, 0.5, 0.75)];
        let b = vec![object(0, 0.01, 1.0)];
        let mut skipped = Skipped::default();
        skipped.add(Reason::MissingImages, "x.jpg");
        Evaluation {
            sources: vec![SourceScores { name: "a".into(), objects: a }, SourceScores { name: "b".into(), objects: b }],
            empty: vec!["c".into()],
            skipped,
            stopped: false,
            elapsed: Duration::from_millis(1500),
        }
    }

    fn report() -> Report {
        Report::new(&evaluation(), &Selection::default(), "some model").unwrap()
    }

    fn keys(value: &Value) -> Vec<&str> {
        let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn overall_is_the_mean_over_sources_in_exactly_these_keys() {
        let json = serde_json::to_value(report()).unwrap();
        let figures = ["box", "clicks3", "clicks5", "objects", "point_best", "point_chosen"];
        assert_eq!(keys(&json["overall"]), figures);
        assert_eq!(keys(&json["sources"]), ["a", "b"]);
        assert_eq!(keys(&json["sources"]["a"]), figures);
        assert_eq!(json["overall"]["box"], 0.75);
        assert_eq!(json["overall"]["point_best"], 0.375);
        assert_eq!(json["overall"]["point_chosen"], 0.1875);
        assert_eq!(json["overall"]["clicks3"], 0.09375);
        assert_eq!(json["overall"]["clicks5"], 0.046875);
        assert_eq!(json["overall"]["objects"], 4);
        assert_eq!((&json["sources"]["a"]["box"], &json["sources"]["a"]["objects"]), (&0.5.into(), &3.into()));
        assert_eq!(json["sources"]["b"]["clicks5"], 1.0 / 16.0);
        assert_eq!((&json["split"], &json["seconds"]), (&"heldout".into(), &1.5.into()));
        assert_eq!((&json["by_size"]["medium"]["box"], &json["by_aspect"]["1:1"]["objects"]), (&0.5.into(), &1.into()));
        assert_eq!(json["skipped"], serde_json::json!({"missing_images": 1}));
    }

    #[test]
    fn groups_are_means_over_the_sources_that_have_such_objects() {
        let report = report();
        let boxes: Vec<_> = report.buckets().iter().map(|(b, f)| (*b, f.scores.bbox, f.objects)).collect();
        let expected = [("small", (0.25 + 1.0) / 2.0, 2), ("medium", 0.5, 1), ("large", 0.75, 1)];
        assert_eq!(boxes, expected);
        let shapes: Vec<_> = report.aspects().iter().map(|(a, f)| (*a, f.scores.bbox, f.objects)).collect();
        assert_eq!(shapes, [("1:1", 0.75, 1), ("3:2", (0.375 + 1.0) / 2.0, 3)]);
    }

    #[test]
    fn the_table_is_aligned_and_tells_what_is_missing() {
        let text = report().to_string();
        let column = |prefix: &str, what: &str| {
            let line = text.lines().find(|line| line.starts_with(prefix)).unwrap();
            line.chars().count() - line.split_once(what).unwrap().1.chars().count() - what.chars().count()
        };
        assert_eq!(column("mean IoU", "box"), column("a ", "0.500 ±"));
        assert_eq!(column("mean IoU", "clicks5"), column("a ", "0.031 ±"));
        assert_eq!(column("mean IoU", "clicks5"), column("overall ", "0.047"));
        for part in ["No object scored in: c.", "Left out: 1 images missing; for instance x.jpg", "split 'heldout'"] {
            assert!(text.contains(part), "{text}");
        }
        // With a single image nothing is known of b's spread, and so of the whole's.
        assert!(report().interval("a").is_some() && report().interval("b").is_none());
        assert!(report().overall_interval().is_none());
    }

    #[test]
    fn nothing_scored_is_no_report() {
        let nothing = Evaluation { sources: vec![], ..evaluation() };
        assert!(Report::new(&nothing, &Selection::default(), "m").is_none());
    }
}

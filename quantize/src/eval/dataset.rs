//! Annotated images on disk.
//!
//! A data set is a folder with one folder per source, or a single such source:
//!
//! ```text
//! DIR/<source>/annotations.jsonl.gz      or annotations.jsonl; one JSON object per image
//! DIR/<source>/images/...
//! ```
//!
//! A line is `{"file", "width", "height", "split", "segments": [{"rle": {"size": [h, w], "counts"}, ...}], ...}`.
//! `file` is relative to the source's folder (or to its `images` folder). Other fields are ignored, `area` and `bbox`
//! among them: the mask is the truth. A line without `split` belongs to every split; without `width` and `height` the
//! image's own size decides.
//!
//! A folder or file that cannot be read to its end is an error. A single bad line, image or mask is left out and
//! counted in [`Skipped`]. Only names and run-length codes are kept in memory; images are opened one at a time during
//! evaluation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cutout_runtime::CocoRle;

use super::annotations::{find_sources, read_source};
use super::rng;
use super::skipped::Skipped;
use crate::{Error, Result};

/// Which objects of a data set to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The split, as the annotations name it.
    pub split: String,
    /// Names of sources; empty for all.
    pub sources: Vec<String>,
    /// At most so many objects of each source; `None` for all. The draw depends on `seed`, the image's name and the
    /// mask alone: the order of lines and segments does not matter, and a larger limit keeps the objects of a smaller
    /// one.
    pub limit: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for Selection {
    /// All objects of split `heldout`, seed 0.
    fn default() -> Self {
        Self { split: "heldout".into(), sources: Vec::new(), limit: None, seed: 0 }
    }
}

/// One image and the objects to ask about.
#[derive(Debug, Clone)]
pub struct AnnotatedImage {
    /// The image file.
    pub path: PathBuf,
    /// The objects' masks, of the image's own size.
    pub objects: Vec<CocoRle>,
}

/// One source: a set of images with a common origin.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name of its folder.
    pub name: String,
    /// The images that hold a selected object, by file name.
    pub images: Vec<AnnotatedImage>,
}

impl Source {
    /// How many objects are selected.
    pub fn objects(&self) -> usize {
        self.images.iter().map(|image| image.objects.len()).sum()
    }
}

/// The selected part of a data set.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What was selected.
    pub selection: Selection,
    /// The sources that hold anything selected, by name.
    pub sources: Vec<Source>,
    /// The sources that hold nothing selected, by name.
    pub empty: Vec<String>,
    /// What was left out of the selected split while reading.
    pub skipped: Skipped,
}

impl Dataset {
    /// Reads the annotations below `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] where a folder or an annotation file cannot be read to its end (a truncated gzip file, for one);
    /// [`Error::Dataset`] where `dir` is no data set, a source has two annotation files, a source asked for does not
    /// exist, or nothing is selected.
    pub fn open(dir: &Path, selection: Selection) -> Result<Self> {
        let found = find_sources(dir)?;
        if let Some(unknown) = selection.sources.iter().find(|name| !found.iter().any(|(n, _)| n == *name)) {
            let known: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::dataset(format!(
                "{} has no source '{unknown}'; it has: {}",
                dir.display(),
                known.join(", ")
            )));
        }
        let (mut sources, mut empty, mut skipped, mut splits) = (vec![], vec![], Skipped::default(), BTreeSet::new());
        for (name, annotations) in found {
            if !selection.sources.is_empty() && !selection.sources.contains(&name) {
                continue;
            }
            let mut images = read_source(&annotations, &selection.split, &mut splits, &mut skipped)?;
            draw(&mut images, &selection);
            images.sort_by(|a, b| a.path.cmp(&b.path));
            if images.is_empty() {
                empty.push(name);
            } else {
                sources.push(Source { name, images });
            }
        }
        if sources.is_empty() {
            let splits: Vec<&str> = splits.iter().map(String::as_str).collect();
            let left_out: usize = skipped.iter().map(|(_, count, _)| count).sum();
            let first = skipped.iter().find_map(|(_, _, examples)| examples.first()).map_or("", String::as_str);
            let mut what = format!("{} holds no object of split '{}'", dir.display(), selection.split);
            what += &format!("; splits found: {}", if splits.is_empty() { "none".into() } else { splits.join(", ") });
            if left_out > 0 {
                what += &format!("; left out {left_out} lines, images or masks, the first: {first}");
            }
            return Err(Error::Dataset { what });
        }
        Ok(Self { selection, sources, empty, skipped })
    }

    /// How many objects are selected in all.
    pub fn objects(&self) -> usize {
        self.sources.iter().map(Source::objects).sum()
    }
}

/// Keeps the objects with the lowest keys, `selection.limit` of them, and the images that hold any.
fn draw(images: &mut Vec<AnnotatedImage>, selection: &Selection) {
    let Some(limit) = selection.limit else { return };
    let mut keyed: Vec<(u64, usize, usize)> = Vec::new();
    for (i, image) in images.iter().enumerate() {
        let name = image.path.file_name().unwrap_or_default().to_string_lossy();
        for (j, rle) in image.objects.iter().enumerate() {
            keyed.push((rng::key(selection.seed, &[name.as_bytes(), rle.counts.as_bytes()]), i, j));
        }
    }
    keyed.sort_unstable();
    let kept: BTreeSet<(usize, usize)> = keyed.into_iter().take(limit).map(|(_, i, j)| (i, j)).collect();
    for (i, image) in images.iter_mut().enumerate() {
        let mut j = 0..;
        image.objects.retain(|_| j.next().is_some_and(|j| kept.contains(&(i, j))));
    }
    images.retain(|image| !image.objects.is_empty());
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use cutout_runtime::{Mask, Size};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::super::skipped::Reason;
    use super::super::testing::{Tiny, rectangle};
    use super::*;

    const SIZE: Size = Size { width: 12, height: 10 };

    fn rle(x: usize, y: usize, w: usize, h: usize) -> CocoRle {
        CocoRle::encode(&rectangle(SIZE, x, y, w, h))
    }

    fn open(dir: &Path, limit: Option<usize>, seed: u64) -> Dataset {
        Dataset::open(dir, Selection { limit, seed, ..Selection::default() }).unwrap()
    }

    fn drawn(dataset: &Dataset) -> BTreeSet<(String, String)> {
        let images = dataset.sources.iter().flat_map(|s| &s.images);
        let name = |i: &AnnotatedImage| i.path.file_name().unwrap().to_string_lossy().into_owned();
        images.flat_map(|i| i.objects.iter().map(move |o| (name(i), o.counts.clone()))).collect()
    }

    #[test]
    fn reads_packed_and_plain_sources_and_a_single_one() {
        let tiny = Tiny::new();
        tiny.source(
            "b",
            &[json!({"file": "images/0.img", "width": 12, "height": 10, "split": "heldout",
            "segments": [{"rle": rle(1, 2, 3, 4), "area": 99, "annotator": 7, "news": {"deep": [1]}}], "rank": 0.5})],
        );
        let lines = [
            json!({"file": "0.img", "split": "heldout",
                "segments": [{"rle": {"size": [10, 12], "counts": [20, 5, 95]}}]}),
            json!({"file": "images/0.img", "split": "train", "segments": [{"rle": rle(0, 0, 2, 2)}]}),
            json!({"file": "images/0.img", "segments": [{"rle": rle(0, 0, 2, 2)}]}),
        ];
        let packed = tiny.source("a", &[]);
        std::fs::remove_file(packed.join("annotations.jsonl")).unwrap();
        let mut gz = GzEncoder::new(File::create(packed.join("annotations.jsonl.gz")).unwrap(), Compression::fast());
        lines.iter().for_each(|line| writeln!(gz, "{line}").unwrap());
        gz.finish().unwrap();

        let all = open(tiny.path(), None, 0);
        let counts: Vec<_> = all.sources.iter().map(|s| (s.name.as_str(), s.objects())).collect();
        assert_eq!(counts, [("a", 2), ("b", 1)]);
        assert!(all.skipped.is_empty(), "{:?}", all.skipped);
        // Column-major counts, by hand: 20 pixels are two columns of ten, then five pixels down the third.
        assert_eq!(all.sources[0].images[0].objects[0].decode().unwrap(), rectangle(SIZE, 2, 0, 1, 5));
        let one = open(&packed, None, 0);
        assert_eq!((one.sources[0].name.as_str(), one.objects()), ("a", 2));

        let train = Selection { split: "train".into(), ..Selection::default() };
        let train = Dataset::open(tiny.path(), train).unwrap();
        assert_eq!((train.objects(), train.empty), (2, vec!["b".to_owned()]));
        let only = Selection { sources: vec!["b".into()], ..Selection::default() };
        assert_eq!(Dataset::open(tiny.path(), only).unwrap().sources.len(), 1);
    }

    #[test]
    fn what_is_bad_is_counted_by_reason() {
        let tiny = Tiny::new();
        let (good, none) = (rle(1, 1, 2, 2), CocoRle::encode(&Mask::from_runs(SIZE, vec![]).unwrap()));
        let folder = tiny.source(
            "s",
            &[
                json!({"file": "images/0.img", "width": 12, "height": 10, "segments": [
                {"rle": good}, {"rle": none}, {"rle": {"size": [10, 12], "counts": "!!"}}, {"area": 4}, 5,
                {"rle": {"size": [12, 10], "counts": [0, 120]}}, {"rle": {"size": [10, 12], "counts": [0, 121]}}]}),
                json!({"file": "images/gone.img", "segments": [{"rle": good}]}),
                json!({"file": "../s/images/0.img", "segments": [{"rle": good}]}),
                json!({"file": "images/0.img"}),
                json!([1, 2]),
            ],
        );
        let mut file = File::options().append(true).open(folder.join("annotations.jsonl")).unwrap();
        file.write_all(b"\n{\"file\": \"ima\n\xff\xfe\n").unwrap();
        let dataset = open(tiny.path(), None, 0);
        assert_eq!(dataset.objects(), 1);
        let counts: Vec<_> = dataset.skipped.iter().map(|(reason, count, _)| (reason, count)).collect();
        assert_eq!(
            counts,
            [
                (Reason::BrokenLines, 4),
                (Reason::MissingImages, 2),
                (Reason::BrokenMasks, 4),
                (Reason::WrongSizeMasks, 1),
                (Reason::EmptyMasks, 1),
            ]
        );
        let first = dataset.skipped.iter().next().map(|(_, _, examples)| examples[0].clone()).unwrap();
        assert!(first.contains("annotations.jsonl:4"), "{first}");
    }

    #[test]
    fn what_is_no_data_set_is_an_error_that_says_what_there_is() {
        let tiny = Tiny::new();
        let error = |selection| Dataset::open(tiny.path(), selection).unwrap_err().to_string();
        assert!(error(Selection::default()).contains("annotations.jsonl"));
        assert!(matches!(Dataset::open(&tiny.path().join("no"), Selection::default()), Err(Error::Io { .. })));
        let folder = tiny
            .source("s", &[json!({"file": "images/0.img", "split": "val", "segments": [{"rle": rle(0, 0, 1, 1)}]})]);
        assert!(error(Selection::default()).contains("splits found: val"));
        assert!(error(Selection { sources: vec!["t".into()], ..Selection::default() }).contains("it has: s"));
        // A packed file that ends early must not pass for a shorter one.
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&std::fs::read(folder.join("annotations.jsonl")).unwrap()).unwrap();
        let mut bytes = gz.finish().unwrap();
        bytes.truncate(bytes.len() - 6);
        std::fs::write(folder.join("annotations.jsonl.gz"), bytes).unwrap();
        assert!(error(Selection::default()).contains("both exist"));
        std::fs::remove_file(folder.join("annotations.jsonl")).unwrap();
        assert!(matches!(Dataset::open(tiny.path(), Selection::default()), Err(Error::Io { .. })));
    }

    #[test]
    fn the_draw_does_not_depend_on_order_and_grows_with_the_limit() {
        let object = |i: usize| json!({"rle": rle(i % 6, i / 6, 2, 2)});
        let line = |image: usize, objects: Vec<usize>| {
            json!({"file": format!("images/{image}.img"),
                   "segments": objects.into_iter().map(object).collect::<Vec<_>>()})
        };
        let (forward, backward) = (Tiny::new(), Tiny::new());
        forward.source("s", &[line(0, (0..20).collect()), line(1, (20..40).collect())]);
        backward.source("s", &[line(1, (20..40).rev().collect()), line(0, (0..20).rev().collect())]);
        let ten = drawn(&open(forward.path(), Some(10), 3));
        assert_eq!(ten.len(), 10);
        assert_eq!(ten, drawn(&open(backward.path(), Some(10), 3)));
        assert!(drawn(&open(forward.path(), Some(20), 3)).is_superset(&ten));
        assert_ne!(ten, drawn(&open(forward.path(), Some(10), 4)));
        assert_eq!(open(forward.path(), Some(99), 3).objects(), 40);
    }
}

//! [`evaluate`]: a data set through a segmenter, image after image.

use std::path::Path;
use std::time::{Duration, Instant};

use cutout_runtime::{ErrorKind, Mask, Size};

use super::dataset::{AnnotatedImage, Dataset};
use super::protocol::{Scores, score_objects};
use super::segmenter::Segmenter;
use super::skipped::{Reason, Skipped};
use crate::{Error, Result};

/// Decodes an image file to row-major RGB, three bytes a pixel, and its size; the error says why it cannot.
pub type DecodeImage<'a> = dyn Fn(&Path) -> Result<(Vec<u8>, Size), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Follows an evaluation, and may end it early.
pub trait Progress {
    /// A source begins.
    fn source(&mut self, _name: &str, _objects: usize) {}
    /// So many more objects are done (scored or left out).
    fn advance(&mut self, _objects: usize) {}
    /// Asked before every image: true ends the evaluation, which reports what it has.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Follows nothing.
impl Progress for () {}

/// The scores of one object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectScores {
    /// Which image of the source, counted from 0: objects of one image are not independent of each other.
    pub image: usize,
    /// Square root of the mask's share of the image's pixels, 0 to 1.
    pub relative_size: f64,
    /// Longer side of the image over its shorter one.
    pub aspect: f64,
    /// The scores.
    pub scores: Scores,
}

/// The scores of one source; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceScores {
    /// The source's name.
    pub name: String,
    /// The objects, image after image.
    pub objects: Vec<ObjectScores>,
}

/// What an evaluation found, object by object.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The sources of which at least one object was scored.
    pub sources: Vec<SourceScores>,
    /// The sources of which none was, by name.
    pub empty: Vec<String>,
    /// What was left out, while reading and while evaluating.
    pub skipped: Skipped,
    /// Whether [`Progress::stop`] ended it before its time.
    pub stopped: bool,
    /// How long it took, images' decoding included.
    pub elapsed: Duration,
}

/// Puts every selected object of `dataset` through the [protocol](super::protocol). Images are opened one after another
/// and dropped again; threads, if any, are the segmenter's own.
///
/// # Errors
/// [`Error::Model`] where the segmenter fails, other than on the shape of an image. Images that cannot be decoded and
/// masks that do not fit their image are left out and counted.
pub fn evaluate(
    dataset: &Dataset,
    segmenter: &mut impl Segmenter,
    decode: &DecodeImage<'_>,
    progress: &mut dyn Progress,
) -> Result<Evaluation> {
    let start = Instant::now();
    let mut found = Evaluation {
        sources: Vec::new(),
        empty: dataset.empty.clone(),
        skipped: dataset.skipped.clone(),
        stopped: false,
        elapsed: Duration::ZERO,
    };
    for source in &dataset.sources {
        progress.source(&source.name, source.objects());
        let mut objects = Vec::with_capacity(source.objects());
        for (index, image) in source.images.iter().enumerate() {
            found.stopped = found.stopped || progress.stop();
            if found.stopped {
                break;
            }
            let scored = evaluate_image(image, segmenter, decode, &mut found.skipped)?;
            objects.extend(scored.into_iter().map(|object| ObjectScores { image: index, ..object }));
            progress.advance(image.objects.len());
        }
        if objects.is_empty() {
            found.empty.push(source.name.clone());
        } else {
            found.sources.push(SourceScores { name: source.name.clone(), objects });
        }
    }
    found.elapsed = start.elapsed();
    Ok(found)
}

fn evaluate_image(
    image: &AnnotatedImage,
    segmenter: &mut impl Segmenter,
    decode: &DecodeImage<'_>,
    skipped: &mut Skipped,
) -> Result<Vec<ObjectScores>> {
    let at = image.path.display();
    let failed = |source| Error::Model { image: image.path.clone(), source };
    let (rgb, size) = match decode(&image.path) {
        Ok(decoded) => decoded,
        Err(error) => {
            skipped.add(Reason::UnreadableImages, format!("{at}: {error}"));
            return Ok(Vec::new());
        }
    };
    let mut masks: Vec<Mask> = Vec::with_capacity(image.objects.len());
    for rle in &image.objects {
        let mask = rle.decode().map_err(failed)?;
        if mask.size() == size {
            masks.push(mask);
        } else {
            skipped.add(Reason::WrongSizeMasks, format!("{at}: the mask is {}, the image {size}", mask.size()));
        }
    }
    if masks.is_empty() {
        return Ok(Vec::new());
    }
    match segmenter.set_image(&rgb, size) {
        Err(error) if error.kind() == ErrorKind::InvalidImage => {
            skipped.add(Reason::UnreadableImages, format!("{at}: {error}"));
            return Ok(Vec::new());
        }
        result => result.map_err(failed)?,
    }
    let scores = score_objects(segmenter, &masks).map_err(failed)?;
    let aspect = size.width.max(size.height) as f64 / size.width.min(size.height) as f64;
    let relative = |mask: &Mask| (mask.area() as f64 / size.pixels() as f64).sqrt();
    let object = |(mask, scores)| ObjectScores { image: 0, relative_size: relative(mask), aspect, scores };
    Ok(masks.iter().zip(scores).map(object).collect())
}

#[cfg(test)]
mod tests {
    use super::super::baseline::FilledBox;
    use super::super::dataset::Selection;
    use super::super::testing::{Oracle, Tiny, decode, rectangle};
    use super::*;

    const SIZE: Size = Size { width: 12, height: 10 };

    fn union(a: &Mask, b: &Mask) -> Mask {
        let either: Vec<bool> = a.to_bools().into_iter().zip(b.to_bools()).map(|(a, b)| a || b).collect();
        Mask::from_bools(SIZE, &either).unwrap()
    }

    /// Image 0: an L of 6 pixels in a box of 3x4, and a 4x5 rectangle. Image 1: a single pixel.
    fn objects() -> Vec<Vec<Mask>> {
        let l = union(&rectangle(SIZE, 0, 0, 1, 4), &rectangle(SIZE, 0, 3, 3, 1));
        vec![vec![l, rectangle(SIZE, 6, 2, 4, 5)], vec![rectangle(SIZE, 11, 9, 1, 1)]]
    }

    #[derive(Default)]
    struct Watch {
        sources: Vec<(String, usize)>,
        done: usize,
        stop_at: Option<usize>,
    }

    impl Progress for Watch {
        fn source(&mut self, name: &str, objects: usize) {
            self.sources.push((name.to_owned(), objects));
        }

        fn advance(&mut self, objects: usize) {
            self.done += objects;
        }

        fn stop(&mut self) -> bool {
            self.stop_at.is_some_and(|n| self.done >= n)
        }
    }

    #[test]
    fn an_oracle_is_always_right() {
        let tiny = Tiny::new();
        tiny.objects("s", &objects());
        let dataset = Dataset::open(tiny.path(), Selection::default()).unwrap();
        let mut watch = Watch::default();
        let mut oracle = Oracle { images: objects(), image: 0 };
        let found = evaluate(&dataset, &mut oracle, &decode, &mut watch).unwrap();
        assert_eq!((watch.sources, watch.done), (vec![("s".to_owned(), 3)], 3));
        let rows = &found.sources[0].objects;
        assert_eq!(rows.iter().map(|row| row.image).collect::<Vec<_>>(), [0, 0, 1]);
        assert!(rows.iter().all(|row| row.scores == Scores::from_array([1.0; 5])), "{rows:?}");
        let expected = [6.0_f64, 20.0, 1.0].map(|area| (area / 120.0).sqrt());
        assert_eq!(rows.iter().map(|row| row.relative_size).collect::<Vec<_>>(), expected);
        assert!(!found.stopped && found.skipped.is_empty());
    }

    #[test]
    fn the_filled_box_scores_the_share_of_its_box_and_the_whole_image_that_of_the_image() {
        let tiny = Tiny::new();
        tiny.objects("s", &objects());
        let dataset = Dataset::open(tiny.path(), Selection::default()).unwrap();
        let found = evaluate(&dataset, &mut FilledBox::default(), &decode, &mut ()).unwrap();
        let scores: Vec<Scores> = found.sources[0].objects.iter().map(|row| row.scores).collect();
        let whole = |bbox, share: f64| Scores::from_array([bbox, share, share, share, share]);
        assert_eq!(scores, [whole(6.0 / 12.0, 6.0 / 120.0), whole(1.0, 20.0 / 120.0), whole(1.0, 1.0 / 120.0)]);
    }

    #[test]
    fn an_image_of_another_size_or_kind_is_left_out_and_counted() {
        let tiny = Tiny::new();
        for name in ["a", "b", "c"] {
            tiny.objects(name, &objects());
        }
        std::fs::write(tiny.path().join("a/images/0.img"), "0 10 12").unwrap();
        std::fs::write(tiny.path().join("b/images/0.img"), "no picture").unwrap();
        std::fs::write(tiny.path().join("b/images/1.img"), "1 12").unwrap();
        let dataset = Dataset::open(tiny.path(), Selection::default()).unwrap();
        let mut watch = Watch::default();
        let found = evaluate(&dataset, &mut Oracle { images: objects(), image: 0 }, &decode, &mut watch).unwrap();
        assert_eq!(watch.done, 9);
        let counts: Vec<_> = found.sources.iter().map(|s| (s.name.as_str(), s.objects.len())).collect();
        assert_eq!(counts, [("a", 1), ("c", 3)]);
        assert_eq!(found.empty, ["b"]);
        assert_eq!(found.skipped.count(Reason::WrongSizeMasks), 2);
        assert_eq!(found.skipped.count(Reason::UnreadableImages), 2);
    }

    #[test]
    fn stopping_keeps_what_was_scored() {
        let tiny = Tiny::new();
        tiny.objects("a", &objects());
        tiny.objects("b", &objects());
        let dataset = Dataset::open(tiny.path(), Selection::default()).unwrap();
        let mut watch = Watch { stop_at: Some(2), ..Watch::default() };
        let found = evaluate(&dataset, &mut FilledBox::default(), &decode, &mut watch).unwrap();
        assert!(found.stopped);
        assert_eq!(found.sources.iter().map(|s| s.objects.len()).collect::<Vec<_>>(), [2]);
    }
}

//! Several forms of a model, asked the same about annotated images: their overlap with the truth, and with the first of them.

use cutout_runtime::{CocoRle, Mask, PredictOptions, Predictor, Prompt, Result as RuntimeResult, ScoredMask};
use serde::Serialize;

use super::dataset::{AnnotatedImage, Dataset};
use super::distance::deepest_point;
use super::evaluate::{DecodeImage, Progress};
use super::protocol::exact_box;
use crate::{Error, Result};

/// Overlaps (IoU, 0 to 1) of one form's answers: means over the sources' means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Overlaps {
    /// From the exact box, with the truth.
    #[serde(rename = "box")]
    pub bbox: f64,
    /// From the deepest point, the truly best of three, with the truth.
    pub point_best: f64,
    /// From the deepest point, the one of highest predicted IoU, with the truth.
    pub point_chosen: f64,
    /// From the box, with the first form's answer.
    pub box_agreement: f64,
    /// From the point, with the first form's choice: the same of the three masks.
    pub point_agreement: f64,
}

impl Overlaps {
    const COUNT: usize = 5;

    fn from_array([bbox, point_best, point_chosen, box_agreement, point_agreement]: [f64; Self::COUNT]) -> Self {
        Overlaps { bbox, point_best, point_chosen, box_agreement, point_agreement }
    }
}

/// An object about which two forms differ.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The image file.
    pub image: std::path::PathBuf,
    /// Which form differs from the first, by its number.
    pub form: usize,
    /// Whether the box was asked about, or else the point.
    pub by_box: bool,
    /// Overlap of the two answers.
    pub agreement: f64,
    /// Overlap of the first form's answer with the truth.
    pub first: f64,
    /// Overlap of this form's answer with the truth.
    pub own: f64,
    /// The prompt.
    #[serde(skip)]
    pub prompt: Prompt,
    /// The annotated mask.
    #[serde(skip)]
    pub truth: CocoRle,
    /// The first form's mask.
    #[serde(skip)]
    pub first_mask: CocoRle,
    /// This form's mask.
    #[serde(skip)]
    pub own_mask: CocoRle,
}

/// What comparing forms found.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Of each form, the first included.
    pub forms: Vec<Overlaps>,
    /// How many objects.
    pub objects: usize,
    /// How many images could not be used.
    pub left_out: usize,
    /// The objects that the last form agrees least about, the worst first.
    pub worst: Vec<Case>,
}

/// Cases that are kept.
const WORST: usize = 8;

/// Asks every form about every selected object, by box and by point.
///
/// # Errors
/// [`Error::Model`] where one fails; [`Error::Dataset`] where no object could be used.
pub fn compare(
    dataset: &Dataset,
    forms: &mut [Predictor],
    decode: &DecodeImage<'_>,
    progress: &mut dyn Progress,
) -> Result<Comparison> {
    let mut found = Comparison { forms: Vec::new(), objects: 0, left_out: 0, worst: Vec::new() };
    let mut means = vec![[0.0; Overlaps::COUNT]; forms.len()];
    let mut sources = 0;
    for source in &dataset.sources {
        progress.source(&source.name, source.objects());
        let mut sums = vec![[0.0; Overlaps::COUNT]; forms.len()];
        let before = found.objects;
        for image in &source.images {
            compare_image(image, forms, decode, &mut sums, &mut found)
                .map_err(|source| Error::Model { image: image.path.clone(), source })?;
            progress.advance(image.objects.len());
        }
        let objects = found.objects - before;
        if objects > 0 {
            sources += 1;
            let add = |(mean, sum): (&mut f64, &f64)| *mean += sum / objects as f64;
            means.iter_mut().zip(&sums).for_each(|(mean, sum)| mean.iter_mut().zip(sum).for_each(add));
        }
    }
    if sources == 0 {
        return Err(Error::dataset("no object could be used: images cannot be read, or masks do not fit them"));
    }
    found.forms = means.into_iter().map(|m| Overlaps::from_array(m.map(|v| v / f64::from(sources)))).collect();
    Ok(found)
}

/// What one form answers about an object.
struct Answers {
    boxed: Mask,
    three: Vec<ScoredMask>,
}

fn compare_image(
    image: &AnnotatedImage,
    forms: &mut [Predictor],
    decode: &DecodeImage<'_>,
    sums: &mut [[f64; Overlaps::COUNT]],
    found: &mut Comparison,
) -> RuntimeResult<()> {
    let Ok((rgb, size)) = decode(&image.path) else {
        found.left_out += 1;
        return Ok(());
    };
    let objects: Vec<Mask> =
        image.objects.iter().filter_map(|rle| rle.decode().ok()).filter(|m| m.size() == size).collect();
    let mut boxes = Vec::with_capacity(objects.len());
    let mut points = Vec::with_capacity(objects.len());
    for object in &objects {
        boxes.push(Prompt::new().with_box(exact_box(object)?));
        let (x, y) = deepest_point(object).unwrap_or_default();
        points.push(Prompt::new().with_point(x as f32, y as f32, true));
    }
    let mut answers: Vec<Vec<Answers>> = Vec::with_capacity(forms.len());
    for form in forms.iter_mut() {
        super::Segmenter::set_image(form, &rgb, size)?;
        let boxed = form.predict_batch(&boxes, &PredictOptions { multimask: false })?;
        let three = form.predict_batch(&points, &PredictOptions { multimask: true })?;
        let both = boxed.into_iter().zip(three);
        answers.push(both.map(|(b, t)| Answers { boxed: b.best().mask.clone(), three: t.masks }).collect());
    }
    for (o, object) in objects.iter().enumerate() {
        found.objects += 1;
        let first = &answers[0][o];
        let choice = chosen(&first.three);
        for (f, sums) in sums.iter_mut().enumerate() {
            let own = &answers[f][o];
            let mut best = 0.0_f64;
            for mask in &own.three {
                best = best.max(mask.mask.iou(object)?);
            }
            let scores = [
                own.boxed.iou(object)?,
                best,
                own.three[chosen(&own.three)].mask.iou(object)?,
                own.boxed.iou(&first.boxed)?,
                own.three[choice].mask.iou(&first.three[choice].mask)?,
            ];
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
            if f + 1 == answers.len() && f > 0 {
                let by_point = [&first.three[choice].mask, &own.three[choice].mask];
                for (by_box, agreement, [was, is], prompt) in
                    [(true, scores[3], [&first.boxed, &own.boxed], &boxes[o]), (false, scores[4], by_point, &points[o])]
                {
                    if found.worst.len() == WORST && agreement >= found.worst[WORST - 1].agreement {
                        continue;
                    }
                    let case = Case {
                        image: image.path.clone(),
                        form: f,
                        by_box,
                        agreement,
                        first: was.iou(object)?,
                        own: is.iou(object)?,
                        prompt: prompt.clone(),
                        truth: CocoRle::encode(object),
                        first_mask: CocoRle::encode(was),
                        own_mask: CocoRle::encode(is),
                    };
                    found.worst.push(case);
                    found.worst.sort_by(|a, b| a.agreement.total_cmp(&b.agreement));
                    found.worst.truncate(WORST);
                }
            }
        }
    }
    Ok(())
}

/// The mask of highest predicted IoU, the first of equals.
fn chosen(three: &[ScoredMask]) -> usize {
    (1..three.len()).fold(0, |best, i| if three[i].predicted_iou > three[best].predicted_iou { i } else { best })
}

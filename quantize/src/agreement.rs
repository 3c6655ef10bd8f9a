//! How far the masks of two models are from each other, where there are no annotations: the masks of one are the truth for the other.

use cutout_runtime::{BBox, ImageView, Mask, PredictOptions, Predictor, Prompt, Size};
use serde::Serialize;

use crate::Result;
use crate::calibrate::Pictures;
use crate::error::Error;

/// Points along each side of a picture that are asked about.
const GRID: usize = 3;
/// Masks below this share of the picture tell little.
const LEAST: f64 = 0.001;

/// What is asked of a picture, and what the reference answers.
pub struct Asked {
    /// The picture's number.
    pub picture: usize,
    /// Each prompt, which of its masks counts (`None`: the single one), and that mask.
    pub prompts: Vec<(Prompt, Option<usize>, Mask)>,
}

/// How far a model's masks are from the reference's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Mean intersection over union.
    pub iou: f64,
    /// The least.
    pub worst: f64,
    /// How many masks.
    pub masks: usize,
}

/// Asks the reference about points of a grid, and about the boxes of its answers.
///
/// # Errors
/// [`Error::Calibration`] where a picture cannot be read, [`Error::Engine`] where the model fails.
pub fn ask(reference: &mut Predictor, pictures: &dyn Pictures, numbers: &[usize]) -> Result<Vec<Asked>> {
    numbers.iter().map(|&picture| ask_one(reference, pictures, picture)).collect()
}

fn ask_one(reference: &mut Predictor, pictures: &dyn Pictures, picture: usize) -> Result<Asked> {
    let (rgb, size) = load(pictures, picture)?;
    reference.set_image(&ImageView::rgb8(&rgb, size)?)?;
    let at = |i: usize, side: usize| ((i as f32 + 0.5) / GRID as f32 * side as f32).floor();
    let points: Vec<Prompt> = (0..GRID * GRID)
        .map(|i| Prompt::new().with_point(at(i % GRID, size.width), at(i / GRID, size.height), true))
        .collect();
    let mut prompts = Vec::new();
    for (point, answer) in points.iter().zip(reference.predict_batch(&points, &PredictOptions { multimask: true })?) {
        let scores = answer.masks.iter().enumerate().map(|(i, m)| (m.predicted_iou, i));
        let Some((_, best)) = scores.max_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
        let mask = answer.masks[best].mask.clone();
        if (mask.area() as f64) < LEAST * size.pixels() as f64 {
            continue;
        }
        let Some((x, y, w, h)) = mask.bbox() else { continue };
        let bbox = BBox { x0: x as f32, y0: y as f32, x1: (x + w) as f32, y1: (y + h) as f32 };
        prompts.push((point.clone(), Some(best), mask));
        let boxed = Prompt::new().with_box(bbox);
        let single = reference.predict(&boxed, &PredictOptions { multimask: false })?;
        let mask = single.best().mask.clone();
        if mask.area() > 0 {
            prompts.push((boxed, None, mask));
        }
    }
    Ok(Asked { picture, prompts })
}

/// Asks a model the same, and compares.
///
/// # Errors
/// As [`ask`].
pub fn compare(asked: &[Asked], model: &mut Predictor, pictures: &dyn Pictures) -> Result<Agreement> {
    let mut ious = Vec::new();
    for Asked { picture, prompts } in asked {
        let (rgb, size) = load(pictures, *picture)?;
        model.set_image(&ImageView::rgb8(&rgb, size)?)?;
        for multimask in [true, false] {
            let of_kind: Vec<_> = prompts.iter().filter(|(_, which, _)| which.is_some() == multimask).collect();
            let asked: Vec<Prompt> = of_kind.iter().map(|(prompt, ..)| prompt.clone()).collect();
            let answers = model.predict_batch(&asked, &PredictOptions { multimask })?;
            for ((_, which, mask), answer) in of_kind.into_iter().zip(answers) {
                ious.push(answer.masks[which.unwrap_or(0)].mask.iou(mask)?);
            }
        }
    }
    let masks = ious.len();
    let iou = if masks == 0 { 1.0 } else { ious.iter().sum::<f64>() / masks as f64 };
    Ok(Agreement { iou, worst: ious.iter().copied().fold(1.0, f64::min), masks })
}

fn load(pictures: &dyn Pictures, number: usize) -> Result<(Vec<u8>, Size)> {
    pictures.load(number).map_err(|e| Error::calibration(format!("{}: {e}", pictures.name(number))))
}

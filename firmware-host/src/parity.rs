//! Parity: the same weights, image and prompts through Cutout and through the official code.
//!
//! The weights are stand-ins that anyone can make ([`cutout_models::standin`]), so a reference folder needs to hold
//! nothing but the official code's answers.

mod reference;
mod report;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cutout_runtime::{
    ImageView, Model, ModelOptions, PredictOptions, Predictor, Preprocessor, ResizeLongestSide, Size, upscale_to_image,
};
use reference::{Case, Reference};
pub use report::{ParityReport, Quantity, Tolerance};

/// Grey levels by which the resized image may differ.
const RESIZE: f64 = 1.0;
/// Allowed difference in the image embedding, whose standard deviation is about 1.
const EMBEDDING: f64 = 1e-3;
/// Allowed difference in the low-resolution logits.
const LOGITS: f64 = 1e-2;
/// Allowed difference in predicted IoU.
const PREDICTED_IOU: f64 = 1e-3;
/// Least agreement of masks.
const MASK_IOU: f64 = 0.999;

/// Runs every case of a reference folder through Cutout, on embeddings of its own making, and compares.
///
/// The network's input size is sixteen times the reference's embedding; any image size goes. `note` is told what takes
/// long. The input size in `options` is the folder's, whatever it says.
///
/// # Errors
/// If a file is missing, damaged or of the wrong shape, holds values that are not finite, or a network cannot be run.
/// A difference beyond its tolerance is no error: the report says so.
pub fn check_parity(folder: &Path, options: ModelOptions, note: impl Fn(&str)) -> Result<ParityReport> {
    let reference = Reference::open(folder)?;
    let expected = reference.embedding()?;
    let (grid_height, grid_width) = (expected.shape()[2], expected.shape()[3]);
    let input = Size { width: grid_width * 16, height: grid_height * 16 };
    let image = reference.image()?;
    let view = ImageView::rgb8(&image.pixels, image.size)?;

    note("making stand-in weights and preparing the networks");
    let bundle = reference.bundle(input)?;
    let normalization = bundle.normalization();
    let options = ModelOptions { input: None, ..options };
    let mut predictor = Predictor::new(Model::load(bundle, options)?);

    let mut differences = Differences::new();
    let resized = reference.picture("resized.png")?;
    let transform = ResizeLongestSide::new(image.size, input)?;
    let ours = transform.resized_size();
    ensure!(
        ours == resized.size,
        "resized.png is {}x{}, an input of {}x{} asks for {}x{}",
        resized.size.width,
        resized.size.height,
        input.width,
        input.height,
        ours.width,
        ours.height
    );
    let mut preprocessor = Preprocessor::new(input, normalization);
    let pixels = preprocessor.resize(&view, ours)?;
    let levels = pixels.iter().zip(&resized.pixels).map(|(a, b)| f64::from(a.abs_diff(*b)));
    differences.resize.see(levels.fold(0.0, f64::max), "");

    note("encoding the image");
    let embedding = predictor.set_image(&view)?;
    differences.embedding.see(largest_difference(embedding.features().values(), expected.iter()), "");

    note("answering the prompts");
    for case in &reference.cases.cases {
        differences
            .compare(&reference, case, &mut predictor, (grid_height * 4, grid_width * 4))
            .with_context(|| format!("case '{}'", case.name))?;
    }
    let quantities = differences.into_quantities();
    Ok(ParityReport {
        model: reference.cases.model.clone(),
        seed: reference.cases.seed,
        input: [input.height, input.width],
        cases: reference.cases.cases.len(),
        ok: quantities.iter().all(|q| q.ok),
        quantities,
    })
}

/// What is compared, and the worst seen of each.
struct Differences {
    resize: Quantity,
    embedding: Quantity,
    logits: Quantity,
    iou_single: Quantity,
    iou_multimask: Quantity,
    mask: Quantity,
    area: Quantity,
    mean: Quantity,
    deviation: Quantity,
}

impl Differences {
    fn new() -> Self {
        let at_most = |name, bound| Quantity::new(name, Some(Tolerance::AtMost(bound)));
        Differences {
            resize: at_most("resized image, grey levels", RESIZE),
            embedding: at_most("image embedding", EMBEDDING),
            logits: at_most("low-resolution logits", LOGITS),
            iou_single: at_most("predicted IoU, single mask", PREDICTED_IOU),
            iou_multimask: at_most("predicted IoU, three masks", PREDICTED_IOU),
            mask: Quantity::new("IoU of masks (token 1)", Some(Tolerance::AtLeast(MASK_IOU))),
            area: Quantity::new("area of masks (token 1), pixels", None),
            mean: Quantity::new("mean of full-resolution logits", None),
            deviation: Quantity::new("deviation of full-res. logits", None),
        }
    }

    fn compare(
        &mut self,
        reference: &Reference,
        case: &Case,
        predictor: &mut Predictor,
        low_res: (usize, usize),
    ) -> Result<()> {
        let prompt = reference.prompt(case, low_res)?;
        let single = predictor.predict(&prompt, &PredictOptions { multimask: false })?;
        let three = predictor.predict(&prompt, &PredictOptions { multimask: true })?;
        let masks: Vec<_> = single.masks.iter().chain(&three.masks).collect();
        ensure!(masks.len() == 4, "{} masks came back, not one and three", masks.len());

        let name = &case.name;
        let ours: Vec<f32> = masks.iter().flat_map(|m| m.low_res_logits.values.iter().copied()).collect();
        self.logits.see(largest_difference(&ours, reference.low_res(name, low_res)?.iter()), name);
        let ious: Vec<f32> = masks.iter().map(|m| m.predicted_iou).collect();
        self.iou_single.see(largest_difference(&ious[..1], &case.iou_single), name);
        self.iou_multimask.see(largest_difference(&ious[1..], &case.iou_multimask), name);
        let mask = &masks[1].mask;
        self.mask.see(mask.iou(&reference.mask1(name)?)?, name);
        if let Some(area) = case.area_px_mask1 {
            self.area.see(mask.area().abs_diff(area) as f64, name);
        }
        if let (Some(mean), Some(deviation)) = (case.logits_full_res_mean, case.logits_full_res_std) {
            let embedding = predictor.embedding().context("the embedding is gone")?;
            let logits = upscale_to_image(&masks[0].low_res_logits, embedding.transform())?;
            let (our_mean, our_deviation) = mean_and_deviation(&logits);
            self.mean.see((our_mean - mean).abs(), name);
            self.deviation.see((our_deviation - deviation).abs(), name);
        }
        Ok(())
    }

    fn into_quantities(self) -> Vec<Quantity> {
        vec![
            self.resize,
            self.embedding,
            self.logits,
            self.iou_single,
            self.iou_multimask,
            self.mask,
            self.area,
            self.mean,
            self.deviation,
        ]
    }
}

/// Largest absolute difference; NaN if any value is NaN or the numbers of values differ.
fn largest_difference<'a>(ours: &[f32], theirs: impl IntoIterator<Item = &'a f32>) -> f64 {
    let mut theirs = theirs.into_iter();
    let mut largest = 0.0f64;
    for a in ours {
        let Some(b) = theirs.next() else { return f64::NAN };
        let difference = (f64::from(*a) - f64::from(*b)).abs();
        if difference.is_nan() {
            return f64::NAN;
        }
        largest = largest.max(difference);
    }
    if theirs.next().is_some() { f64::NAN } else { largest }
}

/// Mean and standard deviation (of a sample, as torch computes it).
fn mean_and_deviation(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let squares = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_unequal_or_broken_values_are_not_numbers() {
        assert_eq!(largest_difference(&[1.0, 2.0], &[1.5, 2.25]), 0.5);
        assert!(largest_difference(&[1.0, 2.0], &[1.0]).is_nan());
        assert!(largest_difference(&[1.0], &[1.0, 2.0]).is_nan());
        assert!(largest_difference(&[f32::NAN, 2.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn deviation_is_that_of_a_sample() {
        let (mean, deviation) = mean_and_deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(mean, 5.0);
        assert!((deviation - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
    }
}

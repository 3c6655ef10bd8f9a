//! What a program that links the runtime can rely on, shown with the shipped model on the sample scene.

use std::sync::OnceLock;

use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_runtime::{
    ErrorKind, ImageEmbedding, InputShape, LowResLogits, Model, ModelOptions, PredictOptions, Predictor, Prompt,
};
use cutout_tests::{scene_objects, scene_photo, senseless_prompts, shipped_model};
use rayon::prelude::*;

/// Largest difference that sums in another order may make in logits, whose deviation is about ten.
const ROUNDING: f32 = 1e-3;

fn ready() -> Predictor {
    static EMBEDDING: OnceLock<ImageEmbedding> = OnceLock::new();
    let embedding = EMBEDDING.get_or_init(|| {
        let mut predictor = Predictor::new(shipped_model());
        predictor.set_image(&scene_photo().view()).unwrap().clone()
    });
    let mut predictor = Predictor::new(shipped_model());
    predictor.set_embedding(embedding.clone()).unwrap();
    predictor
}

fn farthest(a: &LowResLogits, b: &LowResLogits) -> f32 {
    assert_eq!((a.height, a.width), (b.height, b.width));
    a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

const ONE: PredictOptions = PredictOptions { multimask: false };
const THREE: PredictOptions = PredictOptions { multimask: true };

#[test]
fn a_prompt_gets_one_mask_or_three_of_the_photos_size() {
    let mut predictor = ready();
    let object = &scene_objects()[0];
    let prompt = Prompt::new().with_point(object.point.x, object.point.y, true);
    for (options, count) in [(ONE, 1), (THREE, 3)] {
        let prediction = predictor.predict(&prompt, &options).unwrap();
        assert_eq!(prediction.masks.len(), count);
        for mask in &prediction.masks {
            assert_eq!(mask.mask.size(), scene_photo().size());
            assert!((0.0..=1.0).contains(&mask.stability_score));
        }
        let best = prediction.best().predicted_iou;
        assert!(prediction.masks.iter().all(|m| m.predicted_iou <= best));
    }
}

#[test]
fn a_batch_answers_as_single_prompts_do_whatever_their_mix() {
    let mut predictor = ready();
    let mut prompts: Vec<Prompt> = scene_objects().iter().map(|o| Prompt::new().with_box(o.bbox)).collect();
    prompts.extend(scene_objects().iter().map(|o| Prompt::new().with_point(o.point.x, o.point.y, true)));
    let first = predictor.predict(&prompts[0], &ONE).unwrap().masks.remove(0).low_res_logits;
    // More prompts of one shape than run at once.
    prompts.extend((0..9).map(|i| Prompt::new().with_point(40.0 + 13.0 * i as f32, 90.0, true)));
    prompts.push(Prompt::new().with_mask(first.clone()));
    prompts.push(Prompt::new().with_mask(first).with_point(5.0, 5.0, false));
    let together = predictor.predict_batch(&prompts, &ONE).unwrap();
    assert_eq!(together.len(), prompts.len());
    for (prompt, batched) in prompts.iter().zip(&together) {
        let alone = predictor.predict(prompt, &ONE).unwrap();
        let (a, b) = (&alone.masks[0], &batched.masks[0]);
        assert_eq!(farthest(&a.low_res_logits, &b.low_res_logits), 0.0);
        assert_eq!(a.predicted_iou, b.predicted_iou);
    }
}

#[test]
fn a_saved_embedding_answers_as_the_photo_did() {
    let mut predictor = ready();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.embedding");
    let mut kept = predictor.embedding().unwrap().clone();
    kept.frame_id = Some(42);
    kept.save(&path).unwrap();
    let loaded = ImageEmbedding::load(&path).unwrap();
    assert_eq!(loaded, kept);
    let prompt = Prompt::new().with_box(scene_objects()[0].bbox);
    let before = predictor.predict(&prompt, &ONE).unwrap();
    predictor.set_embedding(loaded).unwrap();
    let after = predictor.predict(&prompt, &ONE).unwrap();
    assert_eq!(before.masks[0].low_res_logits, after.masks[0].low_res_logits);

    let bytes = std::fs::read(&path).unwrap();
    for cut in (0..bytes.len()).step_by(bytes.len() / 97).chain([7, 8, 9, bytes.len() - 1]) {
        let error = ImageEmbedding::from_bytes(&bytes[..cut]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelMismatch, "cut at {cut}");
    }
}

#[test]
fn an_embedding_of_another_input_size_is_refused() {
    let small = ModelOptions { input: Some(InputShape::Fixed(InputSize::new(256, 320))), ..ModelOptions::default() };
    let mut other = Predictor::new(Model::load(Bundle::shipped().unwrap(), small).unwrap());
    let embedding = other.set_image(&scene_photo().view()).unwrap().clone();
    assert_eq!(embedding.grid(), (16, 20));
    let prompt = Prompt::new().with_box(scene_objects()[0].bbox);
    assert_eq!(other.predict(&prompt, &ONE).unwrap().masks[0].mask.size(), scene_photo().size());
    let error = ready().set_embedding(embedding).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelMismatch);
    assert!(error.to_string().contains("320x256"), "{error}");
}

#[test]
fn prompts_that_make_no_sense_are_refused_and_the_image_stays() {
    let mut predictor = ready();
    for prompt in &senseless_prompts() {
        let error = predictor.predict(prompt, &ONE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPrompt, "{error}");
    }
    predictor.predict(&Prompt::new().with_point(5.0, 5.0, true), &ONE).unwrap();
    let error = Predictor::new(shipped_model()).predict(&Prompt::new().with_point(5.0, 5.0, true), &ONE).unwrap_err();
    assert!(error.to_string().contains("set_image"), "{error}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let answer = |threads| {
        let options = ModelOptions { threads, ..ModelOptions::default() };
        let mut predictor = Predictor::new(Model::load(Bundle::shipped().unwrap(), options).unwrap());
        predictor.set_image(&scene_photo().view()).unwrap();
        predictor.predict(&Prompt::new().with_box(scene_objects()[0].bbox), &ONE).unwrap().masks.remove(0)
    };
    let (one, three) = (answer(1), answer(3));
    assert!(farthest(&one.low_res_logits, &three.low_res_logits) < ROUNDING);
    assert!(one.mask.iou(&three.mask).unwrap() > 0.999);
}

/// A worker of a rayon pool that waits for tract would take up the next image meanwhile, on the same thread.
#[test]
fn predictors_may_run_side_by_side_inside_and_outside_of_a_pool() {
    let prompts: Vec<Prompt> = scene_objects().iter().map(|o| Prompt::new().with_box(o.bbox)).collect();
    let expected = ready().predict_batch(&prompts, &ONE).unwrap();
    let work = |_| {
        let mut predictor = ready();
        predictor.set_image(&scene_photo().view()).unwrap();
        let mut answers = predictor.predict_batch(&prompts, &ONE).unwrap();
        answers.push(predictor.predict(&prompts[0], &ONE).unwrap());
        for (answer, expected) in answers.iter().zip(expected.iter().chain([&expected[0]])) {
            let (a, b) = (&answer.masks[0].low_res_logits, &expected.masks[0].low_res_logits);
            assert!(farthest(a, b) < ROUNDING);
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    pool.install(|| (0..12).into_par_iter().for_each(work));
    std::thread::scope(|scope| (0..4).for_each(|n| drop(scope.spawn(move || work(n)))));
}

//! A second look at a small object: finer, never lost, and the plain answer where there is nothing to gain.

use std::time::Duration;

use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_runtime::{
    BBox, ErrorKind, ImageView, InputShape, Mask, Model, ModelOptions, PredictOptions, Prediction, Predictor, Prompt,
    Region, Size, Zoom,
};
use cutout_tests::{SceneObject, scene_objects, scene_photo, senseless_prompts, shipped_model};

const ONE: PredictOptions = PredictOptions { multimask: false };
const THREE: PredictOptions = PredictOptions { multimask: true };
/// What is asked of the shipped model on small objects of the scene, zoomed, from a box.
const FROM_A_BOX: f64 = 0.8;

fn ready() -> Predictor {
    let mut predictor = Predictor::new(shipped_model());
    predictor.set_image(&scene_photo().view()).unwrap();
    predictor
}

fn zoomed(predictor: &mut Predictor, prompt: &Prompt, options: &PredictOptions) -> Prediction {
    predictor.predict_zoomed(&scene_photo().view(), prompt, options, &Zoom::default()).unwrap()
}

fn boxed(object: &SceneObject) -> Prompt {
    Prompt::new().with_box(object.bbox)
}

fn pointed(object: &SceneObject) -> Prompt {
    Prompt::new().with_point(object.point.x, object.point.y, true)
}

fn lies_in(mask: &Mask, region: Region) -> bool {
    mask.bbox().is_none_or(|(x, y, w, h)| {
        let [x, y, w, h] = [x, y, w, h].map(|v| v as usize);
        region.x0 <= x && region.y0 <= y && x + w <= region.x1 && y + h <= region.y1
    })
}

fn assert_same(a: &Prediction, b: &Prediction) {
    assert_eq!((a.zoomed, a.masks.len()), (b.zoomed, b.masks.len()));
    for (a, b) in a.masks.iter().zip(&b.masks) {
        assert_eq!(a.mask, b.mask);
        assert_eq!(a.low_res_logits, b.low_res_logits);
        assert_eq!((a.predicted_iou, a.stability_score), (b.predicted_iou, b.stability_score));
    }
}

#[test]
fn small_objects_are_found_from_their_boxes_no_worse_than_plainly() {
    let mut predictor = ready();
    let (mut count, mut plain_sum, mut zoomed_sum, mut each) = (0, 0.0, 0.0, String::new());
    for object in scene_objects() {
        let prompt = boxed(&object);
        let plain = predictor.predict(&prompt, &ONE).unwrap().masks[0].mask.iou(&object.mask).unwrap();
        let answer = zoomed(&mut predictor, &prompt, &ONE);
        let Some(region) = answer.zoomed else { continue };
        let BBox { x0, y0, x1, y1 } = object.bbox;
        assert!(region.x0 as f32 <= x0 && region.y0 as f32 <= y0 && x1 <= region.x1 as f32 && y1 <= region.y1 as f32);
        let mask = &answer.masks[0].mask;
        assert_eq!((answer.masks.len(), mask.size()), (1, scene_photo().size()));
        assert!(lies_in(mask, region), "{}", object.name);
        let iou = mask.iou(&object.mask).unwrap();
        assert!(iou >= plain - 0.05, "{}: {iou:.3}, plain {plain:.3}", object.name);
        each += &format!(" {} {plain:.2} {iou:.2},", object.name);
        (count, plain_sum, zoomed_sum) = (count + 1, plain_sum + plain, zoomed_sum + iou);
    }
    let (plain, zoomed) = (plain_sum / f64::from(count), zoomed_sum / f64::from(count));
    assert!(count >= 4, "only {count} objects are zoomed in on:{each}");
    assert!(zoomed >= FROM_A_BOX && zoomed >= plain, "{zoomed:.3}, plain {plain:.3}:{each}");
}

#[test]
fn a_point_gets_three_masks_of_which_those_in_the_region_are_seen_anew() {
    let mut predictor = ready();
    let mut anew = 0;
    for object in scene_objects() {
        let plain = predictor.predict(&pointed(&object), &THREE).unwrap();
        let answer = zoomed(&mut predictor, &pointed(&object), &THREE);
        assert_eq!(answer.masks.len(), 3);
        let Some(region) = answer.zoomed else { continue };
        let mut moved = 0;
        for (a, b) in answer.masks.iter().zip(&plain.masks) {
            assert_eq!(a.mask.size(), scene_photo().size());
            if lies_in(&b.mask, region) {
                assert!(lies_in(&a.mask, region));
                moved += usize::from(a.low_res_logits != b.low_res_logits);
            } else {
                assert_eq!(a.mask, b.mask);
            }
        }
        assert!(moved > 0 && lies_in(&plain.best().mask, region), "{}: the best mask at least", object.name);
        anew += moved;
    }
    assert!(anew >= 4, "{anew} masks");
}

#[test]
fn the_image_stays_set_and_need_not_have_been() {
    let object = &scene_objects()[0];
    let mut predictor = ready();
    let before = predictor.predict(&boxed(object), &ONE).unwrap();
    let (embedding, timings) = (predictor.embedding().cloned(), predictor.image_timings());
    let answer = zoomed(&mut predictor, &boxed(object), &ONE);
    assert!(answer.zoomed.is_some());
    assert!(answer.timings.encode > Duration::ZERO && answer.timings.preprocess > Duration::ZERO);
    assert_eq!(predictor.embedding(), embedding.as_ref());
    assert_eq!(predictor.image_timings(), timings);
    assert_same(&predictor.predict(&boxed(object), &ONE).unwrap(), &before);

    let mut fresh = Predictor::new(shipped_model());
    let first = zoomed(&mut fresh, &boxed(object), &ONE);
    assert_same(&first, &answer);
    assert!(first.timings.encode > fresh.image_timings().encode, "both runs of the encoder count");
    assert_same(&fresh.predict(&boxed(object), &ONE).unwrap(), &before);
}

#[test]
fn a_large_object_gets_exactly_the_plain_answer() {
    let mut predictor = ready();
    let Size { width, height } = scene_photo().size();
    let whole = Prompt::new().with_box(BBox::new(0.0, 0.0, width as f32, height as f32));
    for options in [ONE, THREE] {
        let answer = zoomed(&mut predictor, &whole, &options);
        assert_eq!((answer.zoomed, answer.timings.encode), (None, Duration::ZERO));
        assert_same(&answer, &predictor.predict(&whole, &options).unwrap());
    }
    // Foreground points belong to the object, wherever the box is.
    let apart = boxed(&scene_objects()[0]).with_point(0.0, 0.0, true).with_point(width as f32, height as f32, true);
    let answer = zoomed(&mut predictor, &apart, &ONE);
    assert_same(&answer, &predictor.predict(&apart, &ONE).unwrap());
    let never = Zoom { below: 0.0, ..Zoom::default() };
    let prompt = boxed(&scene_objects()[0]);
    let answer = predictor.predict_zoomed(&scene_photo().view(), &prompt, &ONE, &never).unwrap();
    assert_same(&answer, &predictor.predict(&prompt, &ONE).unwrap());
}

/// The logits are those of the whole image: about the same mask comes back from them, with or without zoom.
#[test]
fn logits_of_a_zoomed_answer_are_the_mask_of_a_further_prompt() {
    let mut predictor = ready();
    let mut sums = [0.0; 3];
    let mut count = 0.0;
    for object in scene_objects() {
        let answer = zoomed(&mut predictor, &boxed(&object), &ONE);
        if answer.zoomed.is_none() {
            continue;
        }
        let found = &answer.masks[0];
        let transform = *predictor.embedding().unwrap().transform();
        let upscaled = cutout_runtime::upscale_to_image(&found.low_res_logits, &transform).unwrap();
        let coarse = Mask::from_logits(scene_photo().size(), &upscaled, 0.0).unwrap();
        let prompt = pointed(&object).with_mask(found.low_res_logits.clone());
        let plain = predictor.predict(&prompt, &ONE).unwrap();
        let again = zoomed(&mut predictor, &prompt.with_point(1.0, 1.0, false), &ONE);
        for (sum, mask) in sums.iter_mut().zip([&coarse, &plain.masks[0].mask, &again.masks[0].mask]) {
            *sum += mask.iou(&found.mask).unwrap();
        }
        count += 1.0;
    }
    let [coarse, plain, again] = sums.map(|sum| sum / count);
    assert!(coarse > 0.9 && plain > 0.7 && again > 0.7, "{coarse:.3} {plain:.3} {again:.3}");
}

#[test]
fn what_predict_refuses_is_refused_and_the_image_stays() {
    let mut predictor = ready();
    let view = scene_photo().view();
    let good = boxed(&scene_objects()[0]);
    let before = predictor.predict(&good, &ONE).unwrap();
    let logits = &before.masks[0].low_res_logits;
    let turned = cutout_runtime::LowResLogits { height: logits.width, width: logits.height, ..logits.clone() };
    let mut wrong = senseless_prompts();
    wrong.push(good.clone().with_mask(turned));
    for prompt in &wrong {
        let error = predictor.predict_zoomed(&view, prompt, &ONE, &Zoom::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPrompt, "{error}");
    }
    let flat = Zoom { context: f32::NAN, ..Zoom::default() };
    let error = predictor.predict_zoomed(&view, &good, &ONE, &flat).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPrompt, "{error}");
    let other = view.crop(Region::new(0, 0, 900, 600)).unwrap();
    let error = predictor.predict_zoomed(&other, &good, &ONE, &Zoom::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidImage, "{error}");
    assert_same(&predictor.predict(&good, &ONE).unwrap(), &before);

    let mut fresh = Predictor::new(shipped_model());
    fresh.predict_zoomed(&view, &senseless_prompts()[1], &ONE, &Zoom::default()).unwrap_err();
    assert!(fresh.embedding().is_none(), "the image is not encoded for a prompt that makes no sense");
}

#[test]
fn awkward_images_and_prompts_are_answered() {
    let shapes = [InputShape::Fit(64), InputShape::Fixed(InputSize::new(64, 96))];
    for input in shapes {
        let options = ModelOptions { input: Some(input), ..ModelOptions::default() };
        let model = Model::load(Bundle::shipped().unwrap(), options).unwrap();
        for size in [Size::new(1, 1), Size::new(1, 300), Size::new(300, 1), Size::new(300, 200)] {
            let pixels: Vec<u8> = (0..3 * size.pixels()).map(|i| (i * i / 7 % 251) as u8).collect();
            let view = ImageView::rgb8(&pixels, size).unwrap();
            let mut predictor = Predictor::new(model.clone());
            let (w, h) = (size.width as f32, size.height as f32);
            let prompts = [
                Prompt::new().with_box(BBox::new(0.0, 0.0, 1.0, 1.0)),
                Prompt::new().with_box(BBox::new(w - 1.0, h - 1.0, w, h)),
                Prompt::new().with_box(BBox::new(w - 0.25, 0.0, w, 0.25)),
                Prompt::new().with_box(BBox::new(0.0, 0.0, 1.0, 1.0)).with_point(w, h, true),
                Prompt::new().with_point(w, h, true),
                Prompt::new().with_point(0.0, 0.0, true).with_point(w, 0.0, false),
                Prompt::new().with_point(w / 2.0, h / 2.0, false),
            ];
            let mut seen_anew = 0;
            for (prompt, options) in prompts.iter().flat_map(|prompt| [(prompt, ONE), (prompt, THREE)]) {
                let answer = predictor.predict_zoomed(&view, prompt, &options, &Zoom::default()).unwrap();
                assert!(answer.masks.iter().all(|found| found.mask.size() == size));
                let cells = predictor.embedding().unwrap().grid();
                let logits = answer.masks.iter().map(|found| &found.low_res_logits);
                assert!(logits.into_iter().all(|l| (l.height, l.width) == (4 * cells.0, 4 * cells.1)));
                seen_anew += usize::from(answer.zoomed.is_some());
            }
            assert_eq!(seen_anew > 0, size.pixels() > 1, "{input:?}, {size}");
        }
    }
}

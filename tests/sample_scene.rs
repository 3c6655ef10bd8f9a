//! The first answers that a newcomer sees are right.

use cutout_runtime::{PredictOptions, Predictor, Prompt};
use cutout_tests::{scene_objects, scene_photo, shipped_model};

/// What is asked of the shipped model on held-out photos, from a box.
const FROM_A_BOX: f64 = 0.76;

#[test]
fn objects_of_the_scene_are_found_from_their_boxes() {
    let photo = scene_photo();
    let mut predictor = Predictor::new(shipped_model());
    predictor.set_image(&photo.view()).unwrap();
    let objects = scene_objects();
    assert!(objects.len() >= 4, "a scene of several objects");
    let mut sum = 0.0;
    let mut each = String::new();
    for object in &objects {
        let answer = predictor.predict(&Prompt::new().with_box(object.bbox), &PredictOptions::default()).unwrap();
        let iou = answer.masks[0].mask.iou(&object.mask).unwrap();
        each += &format!(" {} {iou:.2}", object.name);
        sum += iou;
    }
    let mean = sum / objects.len() as f64;
    assert!(mean >= FROM_A_BOX, "mean IoU {mean:.3}:{each}");
}

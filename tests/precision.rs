//! Weights in half precision: nearly the same masks, half the bytes, and never another precision than what is said.

use cutout::parity::check_parity;
use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_runtime::engine::{Operators, Precision};
use cutout_runtime::{
    ErrorKind, ImageEmbedding, InputShape, Model, ModelOptions, PredictOptions, Predictor, Prompt, ScoredMask,
    SimdLevel,
};
use cutout_tests::{scene_objects, scene_photo, shared};

/// What the masks of f32 and of weights in f16 must have in common.
const SAME: f64 = 0.995;

fn load(options: ModelOptions) -> Model {
    Model::load(Bundle::shipped().unwrap(), options).unwrap()
}

/// The answers about the first objects of the sample photo, from their boxes.
fn answers(options: ModelOptions, objects: usize) -> Vec<ScoredMask> {
    let mut predictor = Predictor::new(load(options));
    predictor.set_image(&scene_photo().view()).unwrap();
    let boxes = scene_objects().into_iter().take(objects).map(|object| Prompt::new().with_box(object.bbox));
    boxes.map(|prompt| predictor.predict(&prompt, &PredictOptions::default()).unwrap().masks.remove(0)).collect()
}

/// The shipped weights are f16 as they are stored. Only the mask decoder's scaled projections are rounded once more.
#[test]
fn weights_in_f16_give_the_shipped_model_s_masks() {
    let [exact, half] = [Precision::F32, Precision::F16].map(|precision| {
        let options = ModelOptions { precision, ..ModelOptions::default() };
        let mut predictor = Predictor::new(load(options));
        predictor.set_image(&scene_photo().view()).unwrap();
        (predictor.embedding().unwrap().features().clone(), answers(options, usize::MAX))
    });
    assert!(exact.0 == half.0, "the image encoder's weights are f16 already");
    for (exact, half) in exact.1.iter().zip(&half.1) {
        let iou = exact.mask.iou(&half.mask).unwrap();
        assert!(iou >= SAME, "{iou}");
    }
}

/// The stand-in weights of MobileSAM are f32, and so are the official answers on them.
#[test]
fn weights_rounded_to_f16_give_the_official_masks() {
    let Some(folder) = shared("reference/mobile_sam_seed1", "weights rounded to f16") else { return };
    let options = ModelOptions { precision: Precision::F16, ..ModelOptions::default() };
    let report = check_parity(&folder, options, |_| {}).unwrap();
    let quantity = |name: &str| report.quantities.iter().find(|q| q.name.contains(name)).unwrap().worst;
    assert!(quantity("IoU of masks") >= SAME, "{report}");
    assert!(quantity("image embedding") > 1e-3, "nothing was rounded: {report}");
}

/// The best level that has it, on x86 the scalar one; at a small input, which that can do in seconds.
#[test]
fn arithmetic_in_f16_finds_the_same_objects() {
    let has = |l: &SimdLevel| Precision::F16Arithmetic.at(*l) == Precision::F16Arithmetic;
    let level = SimdLevel::available().into_iter().rfind(has).unwrap();
    let [exact, half] = [Precision::F32, Precision::F16Arithmetic].map(|precision| {
        let (input, operators) = (Some(InputShape::Fit(160)), Operators::Own(level));
        answers(ModelOptions { input, operators, precision, ..ModelOptions::default() }, 2)
    });
    for (exact, half) in exact.iter().zip(&half) {
        let iou = exact.mask.iou(&half.mask).unwrap();
        assert!(iou >= 0.97, "{level}: {iou}");
        assert!(exact.low_res_logits != half.low_res_logits, "{level} did not compute in f16");
    }
}

#[test]
fn a_profile_says_what_runs() {
    for level in SimdLevel::available() {
        for precision in [Precision::F32, Precision::F16, Precision::F16Arithmetic] {
            let model = load(ModelOptions { operators: Operators::Own(level), precision, ..ModelOptions::default() });
            let size = InputSize::new(64, 64);
            let runs = precision.at(level);
            assert_eq!(model.encoder_precision(size).unwrap(), runs);
            let layers = model.profile_encoder(size, 1).unwrap();
            let with_weights = ["linear", "inverted residual", "convolution"];
            let (products, others): (Vec<_>, Vec<_>) = layers.iter().partition(|l| with_weights.contains(&l.operator));
            assert!(products.len() > 5, "{level}");
            for layer in products {
                assert_eq!(layer.precision, runs, "{level}, {precision}: {layer:?}");
            }
            assert!(others.iter().all(|l| l.precision == Precision::F32));
        }
    }
}

#[test]
fn what_the_guard_names_and_the_decoder_stay_in_f32() {
    const NAMED: &str = "image_encoder/neck/pw1/Conv";
    let mut bundle = Bundle::shipped().unwrap();
    bundle.set_f16_arithmetic_excluded(vec![NAMED.to_owned()]);
    let options = ModelOptions {
        operators: Operators::Own(SimdLevel::Scalar),
        precision: Precision::F16Arithmetic,
        input: Some(InputShape::Fixed(InputSize::new(64, 64))),
        ..ModelOptions::default()
    };
    let mut predictor = Predictor::new(Model::load(bundle, options).unwrap());
    let layers = predictor.model().profile_encoder(InputSize::new(64, 64), 1).unwrap();
    for layer in layers.iter().filter(|l| l.operator == "linear") {
        let expected = if layer.name == NAMED { Precision::F16 } else { Precision::F16Arithmetic };
        assert_eq!(layer.precision, expected, "{}", layer.name);
    }
    assert!(layers.iter().any(|l| l.name == NAMED));
    predictor.set_image(&scene_photo().view()).unwrap();
    let prompt = Prompt::new().with_point(300.0, 200.0, true);
    let layers = predictor.profile_decoder(&prompt, 1).unwrap();
    assert!(layers.iter().any(|l| l.precision == Precision::F16));
    assert!(layers.iter().all(|l| l.precision != Precision::F16Arithmetic));
}

#[test]
fn an_embedding_that_was_prompted_in_another_precision_answers_as_a_fresh_one() {
    let prompt = Prompt::new().with_point(300.0, 200.0, true);
    let answer = |predictor: &mut Predictor| {
        predictor.predict(&prompt, &PredictOptions::default()).unwrap().best().low_res_logits.clone()
    };
    let predictor = |precision| {
        let input = Some(InputShape::Fixed(InputSize::new(96, 128)));
        Predictor::new(load(ModelOptions { input, precision, ..ModelOptions::default() }))
    };
    let mut exact = predictor(Precision::F32);
    let embedding = exact.set_image(&scene_photo().view()).unwrap().clone();
    let bytes = embedding.to_bytes().unwrap();
    let mut half = predictor(Precision::F16);
    half.set_embedding(ImageEmbedding::from_bytes(&bytes).unwrap()).unwrap();
    let fresh = answer(&mut half);
    let first = answer(&mut exact);
    assert!(first != fresh, "the decoder's weights are rounded");
    half.set_embedding(embedding).unwrap();
    assert!(answer(&mut half) == fresh);
}

#[test]
fn tract_computes_in_f32_only() {
    let options = ModelOptions { operators: Operators::Tract, precision: Precision::F16, ..ModelOptions::default() };
    let Err(error) = Model::load(Bundle::shipped().unwrap(), options) else { panic!("tract has no f16 here") };
    assert_eq!(error.kind(), ErrorKind::Engine);
    assert!(error.to_string().contains("f32"), "{error}");
}

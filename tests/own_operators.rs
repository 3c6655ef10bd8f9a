//! Our own operators give what tract gives, at every SIMD level and with any number of threads.

use cutout_models::Bundle;
use cutout_models::arch::{InputSize, sam_vit};
use cutout_models::standin;
use cutout_runtime::engine::{Inputs, Network, Operators, Precision, Tensor, Threads};
use cutout_runtime::{InputShape, Model, ModelOptions, PredictOptions, Predictor, Prompt, SimdLevel};
use cutout_tests::{scene_objects, scene_photo};

/// Largest difference that rounding may make, as a share of the largest value.
const ROUNDING: f32 = 2e-5;

const INPUTS: [InputShape; 3] =
    [InputShape::Fit(512), InputShape::Fixed(InputSize::new(256, 384)), InputShape::Fixed(InputSize::new(96, 32))];

fn predictor(operators: Operators, input: InputShape, threads: usize) -> Predictor {
    let options = ModelOptions { input: Some(input), threads, operators, ..ModelOptions::default() };
    let mut predictor = Predictor::new(Model::load(Bundle::shipped().unwrap(), options).unwrap());
    predictor.set_image(&scene_photo().view()).unwrap();
    predictor
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn close(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let worst =
        ours.iter().zip(theirs).fold(0.0f32, |m, (a, b)| m.max(if a.is_nan() { f32::INFINITY } else { (a - b).abs() }));
    assert!(worst <= ROUNDING * largest(theirs), "{what}: {worst} of {}", largest(theirs));
}

/// Prompts of several numbers of points, with and without a box and an earlier answer.
fn prompts(predictor: &mut Predictor) -> Vec<Prompt> {
    let objects = scene_objects();
    let (a, b) = (objects[0].bbox, objects[1].bbox);
    let centre = [(a.x0 + a.x1) / 2.0, (a.y0 + a.y1) / 2.0];
    let boxed = Prompt::new().with_box(a);
    let point = Prompt::new().with_point(centre[0], centre[1], true);
    let clicks = (0..7).fold(point.clone(), |p, i| p.with_point(b.x0 + i as f32, b.y0 + 1.5 * i as f32, i % 2 == 0));
    let earlier = predictor.predict(&boxed, &PredictOptions::default()).unwrap().masks[0].low_res_logits.clone();
    vec![boxed.clone(), point.clone(), clicks.with_box(b), boxed.with_mask(earlier.clone()), point.with_mask(earlier)]
}

fn features(predictor: &Predictor) -> Vec<&Tensor> {
    let embedding = predictor.embedding().unwrap();
    std::iter::once(embedding.features()).chain(embedding.high_res()).collect()
}

#[test]
fn they_answer_as_tract_does() {
    let options = PredictOptions { multimask: true };
    for input in INPUTS {
        let mut theirs = predictor(Operators::Tract, input, 2);
        let prompts = prompts(&mut theirs);
        let expected = theirs.predict_batch(&prompts, &options).unwrap();
        for level in SimdLevel::available() {
            let mut ours = predictor(Operators::Own(level), input, 2);
            let size = ours.embedding().unwrap().transform().model_size();
            let one = ModelOptions { threads: 1, operators: Operators::Own(level), ..ModelOptions::default() };
            let layers = Model::load(Bundle::shipped().unwrap(), one)
                .and_then(|m| m.profile_encoder(InputSize::new(size.height, size.width), 1))
                .unwrap();
            assert!(!layers.is_empty(), "tract ran the image encoder at {input:?}");
            for (a, b) in features(&ours).into_iter().zip(features(&theirs)) {
                assert_eq!(a.shape(), b.shape());
                close(&format!("{level}, {input:?}, features {:?}", a.shape()), a.values(), b.values());
            }
            // The same features for both, so that the decoder's own rounding is what is compared.
            ours.set_embedding(theirs.embedding().unwrap().clone()).unwrap();
            for (i, expected) in expected.iter().enumerate() {
                let alone = ours.predict(&prompts[i], &options).unwrap();
                for (a, b) in alone.masks.iter().zip(&expected.masks) {
                    close(
                        &format!("{level}, {input:?}, prompt {i}"),
                        &a.low_res_logits.values,
                        &b.low_res_logits.values,
                    );
                    assert!((a.predicted_iou - b.predicted_iou).abs() < 1e-4);
                }
            }
        }
    }
}

#[test]
fn neither_threads_nor_batches_change_a_bit() {
    let run = |threads| {
        let mut p = predictor(Operators::default(), InputShape::Fit(512), threads);
        let prompts = prompts(&mut p);
        let together = p.predict_batch(&prompts, &PredictOptions::default()).unwrap();
        let alone: Vec<_> = prompts.iter().map(|one| p.predict(one, &PredictOptions::default()).unwrap()).collect();
        let bits = |answers: Vec<cutout_runtime::Prediction>| -> Vec<u32> {
            answers.iter().flat_map(|a| &a.masks[0].low_res_logits.values).map(|v| v.to_bits()).collect()
        };
        let features: Vec<u32> = features(&p).iter().flat_map(|t| t.values()).map(|v| v.to_bits()).collect();
        (features, bits(alone), bits(together))
    };
    let one = run(1);
    assert!(one.1 == one.2, "a batch changes its answers");
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads change the answers");
    }
}

/// An encoder of Segment Anything with `channels` in heads of `width`: a block of global attention over more keys than are taken at
/// once, then one of windows, which reach beyond the grid in both directions.
#[test]
fn they_run_the_vit_of_segment_anything() {
    const SIDE: usize = 26;
    let (channels, width, hidden) = (40, 20, 56);
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| shapes.push((format!("image_encoder.{name}"), shape.to_vec()));
    let mut linear = |name: String, outputs: usize, inputs: usize| {
        add(format!("{name}.weight"), &[outputs, inputs]);
        add(format!("{name}.bias"), &[outputs]);
    };
    for block in 0..2 {
        linear(format!("blocks.{block}.attn.qkv"), 3 * channels, channels);
        linear(format!("blocks.{block}.attn.proj"), channels, channels);
        linear(format!("blocks.{block}.mlp.lin1"), hidden, channels);
        linear(format!("blocks.{block}.mlp.lin2"), channels, hidden);
    }
    let norms = ["blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2"].map(|name| (name, channels));
    for (name, channels) in norms.into_iter().chain([("neck.1", 256), ("neck.3", 256)]) {
        add(format!("{name}.weight"), &[channels]);
        add(format!("{name}.bias"), &[channels]);
    }
    for (block, entries) in [2 * SIDE - 1, 27].into_iter().enumerate() {
        add(format!("blocks.{block}.attn.rel_pos_h"), &[entries, width]);
        add(format!("blocks.{block}.attn.rel_pos_w"), &[entries, width]);
    }
    add("pos_embed".into(), &[1, SIDE, SIDE, channels]);
    add("patch_embed.proj.weight".into(), &[channels, 3, 16, 16]);
    add("patch_embed.proj.bias".into(), &[channels]);
    add("neck.0.weight".into(), &[256, channels, 1, 1]);
    add("neck.2.weight".into(), &[256, 256, 3, 3]);
    let weights = standin::state_dict(shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())), 5);

    let size = InputSize::new(16 * SIDE, 16 * 22);
    let pixels = (0..3 * size.height * size.width).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 2.0).collect();
    let image = Tensor::new(vec![1, 3, size.height, size.width], pixels).unwrap();
    let run = |operators, threads| {
        let onnx = sam_vit::image_encoder(&weights, size).unwrap();
        let threads = Threads::new(threads).unwrap();
        let network =
            Network::load("image encoder", onnx, Inputs::default(), operators, Precision::F32, &threads).unwrap();
        assert_eq!(network.is_tract(), operators == Operators::Tract, "{operators}");
        network.run(&[("image", &image)]).unwrap().remove(0)
    };
    let expected = run(Operators::Tract, 1);
    for level in SimdLevel::available() {
        let ours = run(Operators::Own(level), 1);
        assert_eq!(ours.shape(), expected.shape());
        close(&level.to_string(), ours.values(), expected.values());
        assert!(run(Operators::Own(level), 3).values() == ours.values(), "{level}: threads change the embedding");
    }
}

/// A prompt of a mask alone has no points: steps without elements are steps still.
#[test]
fn a_profile_has_a_time_for_every_step_of_any_prompt() {
    let mut p = predictor(Operators::default(), InputShape::Fixed(InputSize::new(96, 96)), 1);
    let boxed = Prompt::new().with_box(scene_objects()[0].bbox);
    let logits = p.predict(&boxed, &PredictOptions::default()).unwrap().masks[0].low_res_logits.clone();
    let alone = p.profile_decoder(&Prompt::new().with_mask(logits), 2).unwrap();
    let last = alone.last().unwrap();
    assert!(last.time.as_nanos() > 0, "{last:?}");
    assert!(alone.iter().any(|l| l.name.contains("mask_downscaling")), "the mask was left out");
    let boxed = p.profile_decoder(&boxed, 2).unwrap();
    let costs = |name: &str| boxed.iter().any(|l| l.name.contains(name));
    assert!(!costs("mask_downscaling") && !costs("dense/MatMul"), "a mask that is not given costs");
}

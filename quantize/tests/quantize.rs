//! From pictures to a model of bytes, on narrow networks of each architecture.

use std::cell::RefCell;
use std::collections::BTreeSet;

use cutout_models::arch::InputSize;
use cutout_models::registry::{MOBILE_SAM, SAM_VIT_B};
use cutout_models::{Bundle, Manifest, ModelSpec, Precision, standin};
use cutout_quantize::calibrate::{PictureError, Pictures, Watch, choose};
use cutout_quantize::calibrated::Calibrated;
use cutout_quantize::encoder::{Bench, Sample, distance};
use cutout_quantize::points::{Channels, Points};
use cutout_quantize::ranges::Method;
use cutout_quantize::recipe::{Chosen, Recipe, Settings};
use cutout_quantize::{half, rewrites};
use cutout_runtime::engine::Operators;
use cutout_runtime::{InputShape, Size};

#[path = "../../models/tests/graph_support/mod.rs"]
mod graph_support;

use graph_support::{Shapes, decoder_shapes, sam_vit_shapes, tiny_vit_shapes};

const SIDE: usize = 320;

/// A narrow model with the full mask decoder.
fn narrow(spec: &ModelSpec, encoder: &Shapes) -> Bundle {
    let decoder = decoder_shapes();
    let encoder = encoder.0.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
    let all = encoder.chain(decoder.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())));
    let manifest = Manifest { input_size: InputSize::square(SIDE), ..Manifest::of(spec) };
    Bundle::from_parts(manifest, &standin::state_dict(all, 7)).unwrap()
}

fn bundles() -> [Bundle; 3] {
    let mut shipped = Bundle::shipped().unwrap();
    shipped = Bundle::from_parts(
        Manifest { input_size: InputSize::square(SIDE), ..shipped.manifest().clone() },
        shipped.weights(),
    )
    .unwrap();
    [shipped, narrow(&MOBILE_SAM, &tiny_vit_shapes()), narrow(&SAM_VIT_B, &sam_vit_shapes())]
}

/// Smooth pictures with edges, each another; some that cannot be read, some of one colour.
struct Made {
    good: usize,
    broken: usize,
    flat: usize,
}

impl Pictures for Made {
    fn len(&self) -> usize {
        self.good + self.broken + self.flat
    }

    fn name(&self, number: usize) -> String {
        format!("picture {number}")
    }

    fn load(&self, number: usize) -> Result<(Vec<u8>, Size), PictureError> {
        let size = if number.is_multiple_of(2) { Size::new(64, 48) } else { Size::new(40, 60) };
        if number < self.broken {
            return Err("cut short".into());
        }
        let flat = number < self.broken + self.flat;
        let value = |i: usize| {
            let (x, y, c) = (i / 3 % size.width, i / 3 / size.width, i % 3);
            let wave = ((x * (number + 2) + y * (c + 1)) as f32 / 9.0).sin() * 90.0 + 128.0;
            if (x + number).is_multiple_of(13) { 255 } else { wave as u8 }
        };
        Ok(((0..3 * size.pixels()).map(|i| if flat { 70 } else { value(i) }).collect(), size))
    }
}

fn settings(part: &std::path::Path) -> Settings {
    Settings { method: None, trials: 1, operators: Operators::default(), threads: 1, part: part.into() }
}

fn samples(bench: &Bench, bundle: &Bundle, numbers: std::ops::Range<usize>) -> Vec<Sample> {
    let made = Made { good: 99, broken: 0, flat: 0 };
    let sample = |n| {
        let (rgb, size) = made.load(n).unwrap();
        bench.sample(bundle, &rgb, size).unwrap()
    };
    numbers.map(sample).collect()
}

#[test]
fn points_leave_out_what_is_inside_operators() {
    let [_, mobile, vit] = bundles().map(|b| b.folded().unwrap());
    let points = |b: &Bundle| Points::of(&b.image_encoder_onnx(b.input_size()).unwrap()).unwrap();
    let within = |all: &Points, scope: &str| -> Vec<(String, Channels)> {
        let inside = all.points.iter().filter_map(|p| Some((p.value.strip_prefix(scope)?.to_owned(), p.channels)));
        inside.collect()
    };
    let named = |list: &[(&str, Channels)]| list.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect::<Vec<_>>();
    use Channels::{Heads, Last, Second};
    // A block of TinyViT: no scores, no softmax, nothing inside of GELU, no views, no sums before a bias.
    let block = [
        ("attn/norm/LayerNormalization", Last),
        ("attn/qkv/Add", Last),
        ("attn/MatMul.1", Heads),
        ("attn/proj/Add", Last),
        ("Add", Last),
        ("local_conv/Conv", Second),
        ("mlp/norm/LayerNormalization", Last),
        ("mlp/fc1/Add", Last),
        ("mlp/Mul.1", Last),
        ("mlp/fc2/Add", Last),
        ("Add.1", Last),
    ];
    let mobile = points(&mobile);
    assert_eq!(within(&mobile, "image_encoder/layers.1/blocks.0/"), named(&block));
    assert_eq!(mobile.points[0].value, "image");
    // Segment Anything's adds relative positions to its scores, which are inside of attention too.
    let vit = points(&vit);
    let block: Vec<String> = within(&vit, "image_encoder/blocks.1/").into_iter().map(|(name, _)| name).collect();
    assert_eq!(block.len(), 10, "{block:?}");
    // The normalisation that gives the output is none.
    assert!(!vit.points.iter().any(|p| p.value.contains("neck/3/")));
    for layer in &vit.layers {
        assert!(layer.bias.is_some() || layer.node.contains("neck"), "{layer:?}");
    }
}

#[test]
fn rewritten_networks_compute_the_same() {
    for bundle in bundles() {
        let folded = bundle.folded().unwrap();
        let model = folded.image_encoder_onnx(folded.input_size()).unwrap();
        let points = Points::of(&model).unwrap();
        let all = rewrites::rewrites(&model, &points, &folded).unwrap();
        let bench = Bench::new(InputShape::of_bundle(&folded), Operators::default(), 1).unwrap();
        let mut changed = folded.clone();
        let levels = changed.normalization();
        rewrites::whole_levels(&mut changed, &points).unwrap();
        let moved = changed.normalization();
        assert_eq!(moved != levels, levels.mean[0] == 127.5, "{moved:?}");
        for (number, rewrite) in all.iter().enumerate() {
            // Anything from a third to three.
            let factor = |c: usize| 3.0_f32.powf(((c * 37 + number * 11) % 19) as f32 / 9.0 - 1.0);
            let factors: Vec<f32> = (0..rewrite.channels).map(factor).collect();
            rewrite.apply(&mut changed, &factors).unwrap();
            assert!(rewrite.apply(&mut changed, &factors[1..]).is_err());
        }
        assert!(all.len() >= 7, "{}: {} rewrites", bundle.name(), all.len());
        let [was, is] = [&folded, &changed].map(|b| bench.outputs(b, &samples(&bench, b, 0..2)).unwrap());
        let error = distance(&was, &is);
        // Where the mean moves to a level, what is beside the image is half a level off.
        let bound = if moved == levels { 3e-5 } else { 0.02 };
        assert!(error < bound, "{}: {error}", bundle.name());
        assert_ne!(folded.id(), changed.id());
    }
}

/// Keeps what is said, and stops when it is told to.
#[derive(Default)]
struct Listener {
    notes: Vec<String>,
    steps: RefCell<usize>,
}

impl Watch for Listener {
    fn begin(&mut self, _: &str, _: usize) {}

    fn advance(&mut self, steps: usize) {
        *self.steps.borrow_mut() += steps;
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

#[test]
fn a_model_of_bytes_answers_nearly_as_in_floats_and_comes_again_from_its_calibration() {
    let folder = tempfile::tempdir().unwrap();
    for bundle in bundles() {
        let mut settings = settings(&folder.path().join(format!("{}.part", bundle.name())));
        // What hurts least is looked for in one network: it takes a trial for each value and method.
        settings.method = (bundle.name() != MOBILE_SAM.name).then_some(Method::Mse);
        let pictures = Made { good: 4, broken: 0, flat: 0 };
        let mut recipe = Recipe::new(&bundle, &settings).unwrap();
        let choice = choose(&pictures, recipe.bench(), 4, folder.path(), &mut ()).unwrap();
        let chosen = Chosen { pictures: &pictures, choice: &choice };
        let prepared = recipe.calibrate(chosen, &mut ()).unwrap();
        let quantized = recipe.quantized(&prepared, &BTreeSet::new()).unwrap();
        assert_eq!(quantized.manifest().precision, Precision::Int8);
        let outputs = |b: &Bundle| recipe.bench().outputs(b, &samples(recipe.bench(), b, 20..22)).unwrap();
        let [was, is] = [&bundle, &quantized].map(outputs);
        let error = distance(&was, &is);
        assert!(error < 0.15 && error > 1e-4, "{}: {error}", bundle.name());

        // With all layers in floats only the weights' half precision and the decoder are left.
        let all: BTreeSet<String> = prepared.quantizer.points.layers.iter().map(|l| l.node.clone()).collect();
        let floats = recipe.quantized(&prepared, &all).unwrap();
        let near = distance(&was, &outputs(&floats));
        assert!(near < error / 2.0, "{}: {near} of {error}", bundle.name());

        // Interrupted at the end, nothing is done again; the same model comes out.
        let mut again = Recipe::new(&bundle, &settings).unwrap();
        let mut listener = Listener::default();
        let second = again.calibrate(chosen, &mut listener).unwrap();
        assert!(listener.notes.iter().any(|n| n.contains("going on")), "{:?}", listener.notes);
        assert_eq!(again.quantized(&second, &BTreeSet::new()).unwrap().id(), quantized.id());

        let path = folder.path().join("calibration.safetensors");
        prepared.calibrated.write(&path, &prepared.quantizer.points).unwrap();
        let known = Calibrated::open(&path).unwrap();
        let from_file = recipe.from_calibrated(known.clone()).unwrap();
        let third = recipe.quantized(&from_file, &BTreeSet::new()).unwrap();
        let error_from_file = distance(&was, &outputs(&third));
        assert!(error_from_file < error * 1.3, "{}: {error_from_file} of {error}", bundle.name());
        let other = Calibrated { model: "another@1".into(), ..known };
        assert!(recipe.from_calibrated(other).is_err());
        assert!(half::beyond_range(&prepared.quantizer).unwrap().is_empty(), "{}", bundle.name());
        recipe.finish();
        assert!(!settings.part.exists());
    }
}

#[test]
fn pictures_of_no_use_are_said_to_be_so() {
    let bench = Bench::new(InputShape::Fit(64), Operators::default(), 1).unwrap();
    let place = std::path::Path::new("photos");
    let choose = |good, broken, flat| choose(&Made { good, broken, flat }, &bench, 10, place, &mut ());
    for (found, words) in [((0, 0, 0), "holds no picture"), ((0, 3, 0), "cut short"), ((0, 0, 2), "one colour")] {
        let error = choose(found.0, found.1, found.2).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("photos"), "{error}");
    }
    let some = choose(5, 2, 1).unwrap();
    assert_eq!((some.chosen.len(), some.unreadable.len(), some.flat.len()), (5, 2, 1));
    let warnings = some.warnings().join("\n");
    for words in
        ["2 pictures left out that cannot be read", "1 picture of one colour left out", "5 pictures may be too few"]
    {
        assert!(warnings.contains(words), "{warnings}");
    }
    assert!(choose(40, 0, 0).unwrap().chosen.len() == 10);
}

//! A compiled model answers as the one that it was made from, bit for bit; and a file that is not what was written gives one clear error.

use std::fs;
use std::path::{Path, PathBuf};

use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_models::compiled::{CompiledModel, CompiledWriter};
use cutout_runtime::engine::{Operators, Precision};
use cutout_runtime::{
    ErrorKind, InputShape, Model, ModelOptions, PredictOptions, Prediction, Predictor, Prompt, SimdLevel, Size,
};
use cutout_tests::{scene_objects, scene_photo};
use serde_json::Value;

const SMALL: InputSize = InputSize::square(64);

fn compile(folder: &Path, sizes: &[InputSize], level: SimdLevel) -> PathBuf {
    let path = folder.join("model.cutout");
    Model::compile(&Bundle::shipped().unwrap(), sizes, (Operators::Own(level), Precision::F32), &path).unwrap();
    path
}

fn options(input: Option<InputShape>, level: SimdLevel) -> ModelOptions {
    ModelOptions { input, threads: 2, operators: Operators::Own(level), precision: Precision::F32 }
}

fn load(path: &Path, options: ModelOptions) -> Result<Model, String> {
    let bundle = Bundle::open_compiled(path).map_err(|e| e.to_string())?;
    Model::load(bundle, options).map_err(|e| e.to_string())
}

/// Answers to prompts with and without a box, several points and an earlier answer, as bits.
fn answers(model: Model) -> Vec<u32> {
    let mut predictor = Predictor::new(model);
    predictor.set_image(&scene_photo().view()).unwrap();
    let object = &scene_objects()[0];
    let point = Prompt::new().with_point(object.point.x, object.point.y, true);
    let three = PredictOptions { multimask: true };
    let first = predictor.predict(&point, &three).unwrap();
    let refined = point.clone().with_mask(first.masks[1].low_res_logits.clone());
    let boxed = point.with_box(object.bbox).with_point(1.0, 2.0, false);
    let mut all = vec![first];
    all.extend(predictor.predict_batch(&[refined, boxed], &three).unwrap());
    let masks = all.iter().flat_map(|answer: &Prediction| &answer.masks);
    masks.flat_map(|mask| mask.low_res_logits.values.iter().chain([&mask.predicted_iou]).map(|v| v.to_bits())).collect()
}

#[test]
fn it_answers_as_the_model_that_it_was_made_from_at_every_level() {
    let folder = tempfile::tempdir().unwrap();
    // The scene lies 3:2, in neither of these shapes exactly.
    let fit = InputShape::Fit(96);
    let (wide, other) = (fit.for_image(scene_photo().size()), InputSize::new(64, 32));
    for level in SimdLevel::available() {
        let path = compile(folder.path(), &[other, wide], level);
        let plain = |input| Model::load(Bundle::shipped().unwrap(), options(Some(input), level)).unwrap();
        let compiled = load(&path, options(None, level)).unwrap();
        assert_eq!((compiled.id(), compiled.input_shape()), (plain(fit).id(), fit));
        assert!(answers(compiled) == answers(plain(fit)), "{level}");
        let fixed = InputShape::Fixed(other);
        let compiled = load(&path, options(Some(fixed), level)).unwrap();
        assert!(answers(compiled) == answers(plain(fixed)), "{level}");
    }
}

#[test]
fn an_image_of_another_shape_takes_the_size_that_shows_it_largest() {
    let folder = tempfile::tempdir().unwrap();
    let level = SimdLevel::best();
    let path = compile(folder.path(), &[SMALL, InputSize::new(32, 64), InputSize::new(32, 96)], level);
    let model = load(&path, options(Some(InputShape::Fit(64)), level)).unwrap();
    assert_eq!(model.input_for(Size::new(200, 100)), InputSize::new(32, 64));
    assert_eq!(model.input_for(Size::new(100, 200)), SMALL);
    assert_eq!(model.input_for(Size::new(900, 100)), InputSize::new(32, 64));
}

#[test]
fn other_levels_and_sizes_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let level = SimdLevel::best();
    let path = compile(folder.path(), &[SMALL], level);
    let refusal = |input, operators| {
        let options = ModelOptions { input, threads: 1, operators, precision: Precision::F32 };
        let error = Model::load(Bundle::open_compiled(&path).unwrap(), options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ModelMismatch);
        error.to_string()
    };
    let foreign = refusal(None, Operators::Own(SimdLevel::Scalar));
    assert!(foreign.contains(level.name()) && foreign.contains("--operators scalar"), "{foreign}");
    assert!(refusal(None, Operators::Tract).contains("tract"));
    for (input, told) in [(InputShape::Fixed(InputSize::new(96, 32)), "96x32"), (InputShape::Fit(96), "96x96")] {
        let size = refusal(Some(input), Operators::Own(level));
        assert!(size.contains("64x64") && size.contains(&format!("--size {told}")), "{size}");
    }
    let bundle = Bundle::open_compiled(&path).unwrap();
    for error in [
        bundle.image_encoder_onnx(SMALL).err().unwrap(),
        bundle.write(&folder.path().join("b"), cutout_models::Precision::F32).err().unwrap(),
    ] {
        assert!(error.to_string().contains("the model that it was made from"), "{error}");
    }
    let again = folder.path().join("again.cutout");
    let compile = |level| Model::compile(&bundle, &[SMALL], (Operators::Own(level), Precision::F32), &again);
    assert!(compile(SimdLevel::Scalar).is_err() && !again.exists());
    compile(level).unwrap();
    assert!(fs::read(&again).unwrap() == fs::read(&path).unwrap(), "the same model gives another file");
}

#[test]
fn files_that_are_cut_or_changed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let level = SimdLevel::best();
    let path = compile(folder.path(), &[SMALL], level);
    let sound = fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.cutout");
    let told = |bytes: &[u8]| {
        fs::write(&damaged, bytes).unwrap();
        let told = match Bundle::open_compiled(&damaged) {
            Err(e) => e.to_string(),
            Ok(bundle) => {
                bundle.verify().and(bundle.check_architecture()).expect_err("damage was not found").to_string()
            }
        };
        assert!(told.contains("damaged.cutout"), "{told}");
        told
    };
    let offsets = (0..200).chain((200..sound.len()).step_by(sound.len() / 40)).chain(sound.len() - 9..sound.len());
    for length in offsets.clone() {
        assert!(length == 0 || told(&sound[..length]).contains("cutout models compile"), "cut to {length}");
    }
    assert!(told(&[&sound[..], b"more"].concat()).contains("cutout models compile"));
    for at in offsets {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(told(&bytes).contains("cutout models compile"), "bit {} of byte {at}", at % 8);
    }
    // The first part: weights, which opening does not read and verifying does.
    let mut bytes = sound.clone();
    bytes[130] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let bundle = Bundle::open_compiled(&damaged).unwrap();
    assert!(bundle.verify().unwrap_err().to_string().contains("sha256"));
    // A later version is another thing than damage.
    bytes[8] = 2;
    assert!(told(&bytes).contains("version 2") && told(&bytes).contains("version 1"));
}

/// Files whose hashes are right and whose contents are not: made on purpose, not by accident.
#[test]
fn contents_that_make_no_sense_are_errors_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let level = SimdLevel::best();
    let path = compile(folder.path(), &[SMALL], level);
    let (sound, shipped) = (fs::read(&path).unwrap(), Bundle::shipped().unwrap());
    let model = CompiledModel::open(&path).unwrap();
    let names = ["image encoder", "mask decoder"];
    let described =
        names.map(|name| -> Value { serde_json::from_slice(model.network(name, SMALL).unwrap().unwrap()).unwrap() });
    let hostile = folder.path().join("hostile.cutout");
    let pixels = vec![90; 3 * 64 * 64];
    let image = cutout_runtime::ImageView::rgb8(&pixels, Size::new(64, 64)).unwrap();
    let mut random = Random(7);
    let mut refused = 0;
    const ROUNDS: usize = 100;
    for round in 0..ROUNDS {
        let mut networks = described.clone();
        random.change(&mut networks[round % 2]);
        let mut file = CompiledWriter::create(&hostile).unwrap();
        // As one part, behind the header, so that everything lies where it lay.
        file.add(&sound[128..]).unwrap();
        for (name, network) in names.iter().zip(&networks) {
            file.add_network(name, SMALL, network.to_string().as_bytes()).unwrap();
        }
        file.finish(&shipped, level.name(), "f32").unwrap();
        let outcome = load(&hostile, options(Some(InputShape::Fixed(SMALL)), level)).and_then(|model| {
            let mut predictor = Predictor::new(model);
            predictor.set_image(&image).map_err(|e| e.to_string())?;
            let prompt = Prompt::new().with_point(30.0, 30.0, true);
            predictor.predict(&prompt, &PredictOptions::default()).map_err(|e| e.to_string())
        });
        let changed = networks[round % 2] != described[round % 2];
        refused += usize::from(changed && outcome.is_err());
    }
    assert!(refused > ROUNDS / 4, "{refused} of {ROUNDS} were refused");
}

/// A linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// Changes one thing somewhere inside.
    fn change(&mut self, value: &mut Value) {
        match value {
            Value::Number(number) => {
                let old = number.as_i64().unwrap_or(1);
                *value = [0, 1, -1, old + 1, old - 1, old * 2, 64, i64::MAX][self.below(8)].into();
            }
            Value::String(text) => {
                *text = ["Add", "Conv", "MatMul", "image", "mask_input", ""][self.below(6)].to_owned()
            }
            Value::Array(items) if items.is_empty() || self.below(6) == 0 => match self.below(2) {
                0 => items.truncate(items.len() / 2),
                _ => items.extend(items.clone().into_iter().rev().take(1)),
            },
            Value::Array(items) => {
                let at = self.below(items.len());
                self.change(&mut items[at]);
            }
            Value::Object(fields) if fields.is_empty() => *value = Value::Null,
            Value::Object(fields) => {
                let key = fields.keys().nth(self.below(fields.len())).unwrap().clone();
                match self.below(20) {
                    0 => drop(fields.remove(&key)),
                    _ => self.change(&mut fields[&key]),
                }
            }
            Value::Null | Value::Bool(_) => *value = true.into(),
        }
    }
}

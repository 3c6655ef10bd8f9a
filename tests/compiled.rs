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
use cutout_tests::{scene_objects, scene_photo, shipped_int8};
use serde_json::{Value, json};

const SMALL: InputSize = InputSize::square(64);

fn compile(folder: &Path, sizes: &[InputSize], level: SimdLevel) -> PathBuf {
    compile_bundle(&Bundle::shipped().unwrap(), folder, sizes, level)
}

fn compile_bundle(bundle: &Bundle, folder: &Path, sizes: &[InputSize], level: SimdLevel) -> PathBuf {
    let path = folder.join("model.cutout");
    Model::compile(bundle, sizes, (Operators::Own(level), Precision::F32), &path).unwrap();
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
    for (bundle, precision) in [(Bundle::shipped().unwrap(), Precision::F32), (shipped_int8(), Precision::Int8)] {
        for level in SimdLevel::available() {
            let path = compile_bundle(&bundle, folder.path(), &[other, wide], level);
            let plain = |input| Model::load(bundle.clone(), options(Some(input), level)).unwrap();
            let compiled = load(&path, options(None, level)).unwrap();
            assert_eq!((compiled.id(), compiled.input_shape()), (plain(fit).id(), fit));
            assert_eq!(compiled.bundle().manifest(), plain(fit).bundle().manifest());
            assert_eq!(compiled.encoder_precision(wide).unwrap(), precision);
            assert!(answers(compiled) == answers(plain(fit)), "{precision}, {level}");
            let fixed = InputShape::Fixed(other);
            let compiled = load(&path, options(Some(fixed), level)).unwrap();
            assert!(answers(compiled) == answers(plain(fixed)), "{precision}, {level}");
        }
    }
}

/// It is the model that says so.
#[test]
fn nobody_asks_for_int8() {
    for bundle in [Bundle::shipped().unwrap(), shipped_int8()] {
        let options = ModelOptions { precision: Precision::Int8, ..ModelOptions::default() };
        let error = Model::load(bundle, options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ModelMismatch);
    }
    assert!("int8".parse::<Precision>().unwrap_err().contains("f16"));
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
    for bundle in [Bundle::shipped().unwrap(), shipped_int8()] {
        let forge = Forge::new(bundle);
        let mut random = Random(7);
        let mut refused = 0;
        const ROUNDS: usize = 60;
        for round in 0..ROUNDS {
            let mut networks = forge.described.clone();
            random.change(&mut networks[round % 2]);
            let outcome = forge.answer(&networks);
            let changed = networks[round % 2] != forge.described[round % 2];
            refused += usize::from(changed && outcome.is_err());
        }
        assert!(refused > ROUNDS / 4, "{refused} of {ROUNDS} were refused");
    }
}

/// What the scales of a quantised model may not be; and what they may be without a panic, whatever it gives.
#[test]
fn scales_that_make_no_sense_are_errors_and_never_panics() {
    let forge = Forge::new(shipped_int8());
    forge.answer(&forge.described).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut networks = forge.described.clone();
        change(&mut networks[0]["graph"]);
        assert!(networks != forge.described, "nothing was changed");
        forge.answer(&networks)
    };
    let held: Vec<String> = forge.described[0]["graph"]["quantized"].as_object().unwrap().keys().cloned().collect();
    let scaled: Vec<String> = forge.described[0]["graph"]["scaled"].as_object().unwrap().keys().cloned().collect();
    assert!(held.len() > 20 && scaled.len() > 20);
    for wrong in [json!(0.0), json!(-0.05), json!(1e39), json!(null)] {
        let held = held.iter().step_by(25);
        assert!(held.clone().all(|name| changed(&|g| g["quantized"][name]["scale"] = wrong.clone()).is_err()));
        let scaled = scaled.iter().step_by(25);
        assert!(scaled.clone().all(|name| changed(&|g| g["scaled"][name]["scales"][0] = wrong.clone()).is_err()));
    }
    for name in scaled.iter().step_by(31) {
        let scales = |g: &mut Value, change: &dyn Fn(&mut Vec<Value>)| {
            change(g["scaled"][name]["scales"].as_array_mut().unwrap());
        };
        assert!(changed(&|g| scales(g, &|all| all.truncate(3))).is_err());
        assert!(changed(&|g| scales(g, &|all| all.clear())).is_err());
        assert!(changed(&|g| scales(g, &|all| all.push(json!(1.0)))).is_err());
        assert!(changed(&|g| g["scaled"][name]["axis"] = json!(7)).is_err());
        for extreme in [1e-44, 3e38] {
            let _ = changed(&|g| scales(g, &|all| all.fill(json!(extreme))));
        }
        let _ = changed(&|g| drop(g["scaled"].as_object_mut().unwrap().remove(name)));
    }
    for name in held.iter().step_by(19) {
        for extreme in [1e-44, 3e38] {
            let _ = changed(&|g| g["quantized"][name]["scale"] = json!(extreme));
        }
        let _ = changed(&|g| g["quantized"][name]["zero"] = json!(255));
        let _ = changed(&|g| drop(g["quantized"].as_object_mut().unwrap().remove(name)));
        assert!(changed(&|g| g["quantized"][name]["zero"] = json!(256)).is_err());
    }
}

/// Makes files of other contents than what was compiled, with the right hashes.
struct Forge {
    bundle: Bundle,
    folder: tempfile::TempDir,
    sound: Vec<u8>,
    /// The image encoder and the mask decoder.
    described: [Value; 2],
}

impl Forge {
    const NAMES: [&str; 2] = ["image encoder", "mask decoder"];

    fn new(bundle: Bundle) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = compile_bundle(&bundle, folder.path(), &[SMALL], SimdLevel::best());
        let (sound, model) = (fs::read(&path).unwrap(), CompiledModel::open(&path).unwrap());
        let described =
            Self::NAMES.map(|name| serde_json::from_slice(model.network(name, SMALL).unwrap().unwrap()).unwrap());
        Forge { bundle, folder, sound, described }
    }

    /// What a model of these networks answers.
    fn answer(&self, networks: &[Value; 2]) -> Result<Prediction, String> {
        let (level, path) = (SimdLevel::best(), self.folder.path().join("hostile.cutout"));
        let mut file = CompiledWriter::create(&path).unwrap();
        // As one part, behind the header, so that everything lies where it lay.
        file.add(&self.sound[128..]).unwrap();
        for (name, network) in Self::NAMES.iter().zip(networks) {
            file.add_network(name, SMALL, network.to_string().as_bytes()).unwrap();
        }
        file.finish(&self.bundle, level.name(), "f32").unwrap();
        let pixels: Vec<u8> = (0..3 * 64 * 64).map(|i| (i * 7 % 251) as u8).collect();
        let image = cutout_runtime::ImageView::rgb8(&pixels, Size::new(64, 64)).unwrap();
        let mut predictor = Predictor::new(load(&path, options(Some(InputShape::Fixed(SMALL)), level))?);
        predictor.set_image(&image).map_err(|e| e.to_string())?;
        let prompt = Prompt::new().with_point(30.0, 30.0, true);
        predictor.predict(&prompt, &PredictOptions::default()).map_err(|e| e.to_string())
    }
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

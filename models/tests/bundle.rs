//! A bundle is whole or not there, and says so when it is not what its manifest promises.

use std::fs;
use std::path::Path;

use cutout_models::checkpoint::{Dtype, StateDict};
use cutout_models::registry::{CUTOUT_S, MOBILE_SAM};
use cutout_models::{Architecture, Bundle, Error, Manifest, Precision, standin};
use ndarray::{ArrayD, IxDyn};

/// Stand-in weights of the names and shapes of the shipped model.
fn weights(seed: u64) -> StateDict {
    let shipped = Bundle::shipped().unwrap();
    let of = shipped.weights();
    standin::state_dict(of.names().map(|n| (n, of.get(n).unwrap().shape())), seed)
}

fn bundle(seed: u64) -> Bundle {
    Bundle::from_parts(Manifest::of(&CUTOUT_S), &weights(seed)).unwrap()
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn single_precision_keeps_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (path, original) = (folder.path().join("models/m"), bundle(1));
    let written = original.write(&path, Precision::F32).unwrap();
    assert_eq!(entries(&path), ["manifest.json", "weights.safetensors"]);
    assert_eq!(entries(path.parent().unwrap()), ["m"]);
    let opened = Bundle::open(&path).unwrap();
    opened.verify().unwrap();
    opened.check_architecture().unwrap();
    assert_eq!(opened.id(), written.id());
    assert_eq!(opened.manifest().precision, Precision::F32);
    assert_eq!(opened.normalization(), CUTOUT_S.normalization);
    assert_eq!(opened.weights().len(), original.weights().len());
    for name in original.weights().names() {
        assert_eq!(opened.weights().to_f32(name).unwrap(), original.weights().to_f32(name).unwrap(), "{name}");
    }
}

#[test]
fn half_precision_rounds_once_and_halves_the_size() {
    let folder = tempfile::tempdir().unwrap();
    let original = bundle(1);
    let written = original.write(&folder.path().join("m"), Precision::F16).unwrap();
    for name in original.weights().names() {
        assert_eq!(written.weights().get(name).unwrap().dtype(), Dtype::F16);
        let exact = original.weights().to_f32(name).unwrap();
        for (e, r) in exact.iter().zip(&written.weights().to_f32(name).unwrap()) {
            // Half a unit in the last of 11 bits, or of the smallest subnormal.
            assert!((e - r).abs() <= (e.abs() * 2f32.powi(-11)).max(2f32.powi(-25)), "{name}: {e} became {r}");
        }
    }
    let bytes = written.manifest().files[0].bytes;
    let values = original.weights().parameter_count() as u64 * 2;
    assert!((values..values + values / 50).contains(&bytes), "{bytes} bytes for {values} of values");
}

#[test]
fn a_changed_byte_opens_and_fails_verification() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    let expected = bundle(1).write(&path, Precision::F16).unwrap().manifest().files[0].sha256.clone();
    let file = path.join("weights.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let message = Bundle::open(&path).unwrap().verify().unwrap_err().to_string();
    assert!(message.contains("weights.safetensors") && message.contains(&expected), "{message}");
}

#[test]
fn a_truncated_or_missing_file_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    bundle(1).write(&path, Precision::F16).unwrap();
    let file = path.join("weights.safetensors");
    let length = fs::metadata(&file).unwrap().len();
    fs::File::options().write(true).open(&file).unwrap().set_len(length - 1).unwrap();
    let message = Bundle::open(&path).unwrap_err().to_string();
    assert!(message.contains(&length.to_string()) && message.contains(&(length - 1).to_string()), "{message}");
    fs::remove_file(&file).unwrap();
    assert!(matches!(Bundle::open(&path), Err(Error::Io { .. })));
    fs::write(path.join("manifest.json"), "{").unwrap();
    assert!(matches!(Bundle::open(&path), Err(Error::Malformed { .. })));
    assert!(matches!(Bundle::open(&folder.path().join("none")), Err(Error::Io { .. })));
}

#[test]
fn writing_replaces_bundles_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    let first = bundle(1).write(&path, Precision::F16).unwrap().id();
    let second = bundle(2).write(&path, Precision::F16).unwrap().id();
    assert_ne!(first, second);
    assert_eq!(Bundle::open(&path).unwrap().id(), second);
    assert_eq!(entries(folder.path()), ["m"]);

    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("cat.jpg"), "cat").unwrap();
    assert!(matches!(bundle(1).write(&photos, Precision::F16), Err(Error::Refused { .. })));
    assert_eq!(entries(&photos), ["cat.jpg"]);
    assert_eq!(entries(folder.path()), ["m", "photos"]);
}

#[test]
fn a_weight_beyond_half_precision_is_refused_without_debris() {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = weights(1);
    let name = "mask_decoder.iou_token.weight";
    weights.insert(name, &ArrayD::from_elem(IxDyn(&[1, 256]), 1e5));
    let bundle = Bundle::from_parts(Manifest::of(&CUTOUT_S), &weights).unwrap();
    let message = bundle.write(&folder.path().join("m"), Precision::F16).unwrap_err().to_string();
    assert!(message.contains(name), "{message}");
    assert_eq!(entries(folder.path()), [""; 0]);
    bundle.write(&folder.path().join("m"), Precision::F32).unwrap();
}

#[test]
fn a_checkpoint_must_be_complete() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.safetensors");
    let mut with_leftovers = weights(1);
    with_leftovers.insert("pixel_mean", &ArrayD::zeros(IxDyn(&[3, 1, 1])));
    with_leftovers.insert("image_encoder.bn.num_batches_tracked", &ArrayD::from_elem(IxDyn(&[]), 3e5));
    with_leftovers.write_safetensors(Dtype::F32, &whole).unwrap();
    let bundle = Bundle::from_checkpoint(&whole, &CUTOUT_S).unwrap();
    assert_eq!(bundle.weights().len(), with_leftovers.len() - 2);
    assert_eq!(bundle.manifest().parameters, weights(1).parameter_count() as u64);

    let missing = "mask_decoder.output_hypernetworks_mlps.3.layers.2.bias";
    let mut holed = StateDict::new();
    let full = weights(1);
    for name in full.names().filter(|n| *n != missing) {
        holed.insert(name, &full.to_f32(name).unwrap());
    }
    let path = folder.path().join("holed.safetensors");
    holed.write_safetensors(Dtype::F32, &path).unwrap();
    let message = Bundle::from_checkpoint(&path, &CUTOUT_S).unwrap_err().to_string();
    assert!(message.contains(missing), "{message}");
    assert!(matches!(Bundle::from_checkpoint(&whole, &MOBILE_SAM), Err(Error::Mismatch { .. })));
}

#[test]
fn a_checkpoint_of_ones_own_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.safetensors");
    weights(3).write_safetensors(Dtype::F32, &path).unwrap();
    let bundle = Bundle::from_unknown_checkpoint(&path).unwrap();
    assert_eq!((bundle.name(), bundle.architecture()), ("mine", Architecture::CutoutS));
    let mut other = StateDict::new();
    other.insert("some.weight", &ArrayD::zeros(IxDyn(&[2])));
    other.write_safetensors(Dtype::F32, &path).unwrap();
    assert!(matches!(Bundle::from_unknown_checkpoint(&path), Err(Error::Mismatch { .. })));
}

#[test]
fn ids_in_memory_follow_the_contents() {
    assert_eq!(bundle(1).id(), bundle(1).id());
    assert_ne!(bundle(1).id(), bundle(2).id());
    let id = bundle(1).id();
    let (name, digits) = id.split_once('@').unwrap();
    assert_eq!((name, digits.len()), ("cutout-s", 12));
}

#[test]
fn the_shipped_model_is_whole() {
    let shipped = Bundle::shipped().unwrap();
    shipped.verify().unwrap();
    shipped.check_architecture().unwrap();
    assert_eq!(shipped.name(), CUTOUT_S.name);
    assert_eq!(shipped.architecture(), CUTOUT_S.architecture);
    assert_eq!(shipped.normalization(), CUTOUT_S.normalization);
    assert_eq!(shipped.input_size(), CUTOUT_S.input_size);
    // The random frequencies of the position encoding are stored, not trained.
    assert_eq!(shipped.manifest().parameters, CUTOUT_S.parameters + 2 * 128);
}

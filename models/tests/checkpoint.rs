//! Checkpoints written by PyTorch and by the Python safetensors package give the values that Python
//! wrote; files of other kinds are refused in words. `data/make_checkpoints.py` makes the samples.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cutout_models::Error;
use cutout_models::checkpoint::{Dtype, StateDict, write_safetensors};
use half::f16;
use ndarray::{ArrayD, arr1};
use serde_json::Value;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn expected(name: &str) -> serde_json::Map<String, Value> {
    let all: Value = serde_json::from_slice(&std::fs::read(sample("expected.json")).unwrap()).unwrap();
    all[name].as_object().unwrap().clone()
}

fn dtype(name: &str) -> Dtype {
    match name {
        "float64" => Dtype::F64,
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "bool" => Dtype::Bool,
        other => panic!("{other}"),
    }
}

/// Names, element types, shapes and every value are those that Python wrote down.
fn assert_holds(weights: &StateDict, name: &str) {
    let expected = expected(name);
    let mut names: Vec<_> = expected.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(weights.names().collect::<Vec<_>>(), names);
    for (tensor, expected) in &expected {
        let found = weights.get(tensor).unwrap();
        assert_eq!(found.dtype(), dtype(expected["dtype"].as_str().unwrap()), "{tensor}");
        let shape: Vec<usize> = serde_json::from_value(expected["shape"].clone()).unwrap();
        assert_eq!(found.shape(), shape, "{tensor}");
        let values: Vec<f64> = serde_json::from_value(expected["values"].clone()).unwrap();
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        let found = weights.to_f32(tensor).unwrap();
        assert_eq!(found.shape(), shape, "{tensor}");
        assert_eq!(found.iter().copied().collect::<Vec<_>>(), values, "{tensor}");
    }
}

#[test]
fn torch_checkpoints_give_the_values_that_pytorch_wrote() {
    for (file, contents) in [
        ("plain.pt", "plain.pt"),
        ("protocol4.pt", "plain.pt"),
        ("module_prefix.pt", "plain.pt"),
        ("mixed.pt", "mixed.pt"),
        ("views.pt", "views.pt"),
        ("nested.pt", "nested.pt"),
        ("parameters.pt", "parameters.pt"),
    ] {
        assert_holds(&StateDict::open(sample(file)).unwrap(), contents);
        assert_holds(&StateDict::from_bytes(std::fs::read(sample(file)).unwrap()).unwrap(), contents);
    }
}

#[test]
fn safetensors_give_the_values_that_python_wrote() {
    let open = StateDict::open(sample("mixed.safetensors")).unwrap();
    let bytes = StateDict::from_bytes(std::fs::read(sample("mixed.safetensors")).unwrap()).unwrap();
    let built_in = StateDict::from_safetensors_static(include_bytes!("data/mixed.safetensors")).unwrap();
    for weights in [open, bytes, built_in] {
        assert_holds(&weights, "mixed.safetensors");
        assert_eq!(weights.metadata()["note"], "Grüße");
        assert_eq!(weights.metadata()["format"], "pt");
        assert_eq!(weights.parameter_count(), 3 + 4 + 4 + 1 + 4 + 3);
    }
}

#[test]
fn a_header_length_that_looks_like_a_pickle_does_not_mislead() {
    let mut header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.to_vec();
    header.resize(0x280, b' ');
    let file = [&0x280u64.to_le_bytes(), header.as_slice(), &1.5f32.to_le_bytes()].concat();
    assert_eq!(file[0], 0x80);
    assert_eq!(StateDict::from_bytes(file).unwrap().to_f32("w").unwrap()[[0]], 1.5);
}

#[test]
fn code_in_a_checkpoint_is_refused_by_name() {
    for (file, name) in [
        ("os_system.pt", "os.system"),
        ("eval.pt", "builtins.eval"),
        ("whole_module.pt", "torch.nn.modules.linear.Linear"),
        ("unsigned.pt", "torch._utils._rebuild_tensor_v3"),
        ("torchscript.pt", "TorchScript"),
        ("big_endian.pt", "big-endian"),
    ] {
        let path = sample(file);
        let error = StateDict::open(&path).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{file}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(&path.display().to_string()), "{text}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, hint) in [
        (sample("legacy.pt"), "save it again with torch.save"),
        (sample("compressed.pt"), "compressed"),
        (sample("no_tensors.pt"), "'epoch', 'args'"),
        (sample("negated.pt"), "plain copy"),
        (file("empty.pt", b""), "empty"),
        (file("text.pt", b"hello, world, this is no checkpoint"), "neither"),
        (file("short.pt", b"PK"), "neither"),
        (file("bare.pt", b"\x80\x02}q\x00."), "bare pickle"),
        (file("empty.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "data.pkl"),
    ] {
        let error = StateDict::open(&path).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(hint) && text.contains(&path.display().to_string()), "{text}");
    }
    for path in [folder.path().to_owned(), folder.path().join("missing.pt")] {
        let error = StateDict::open(&path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn written_files_hold_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let mut weights = StateDict::open(sample("views.pt")).unwrap();
    weights.insert_metadata("licence", "MIT");
    weights.insert_metadata("by", "a test");
    weights.write_safetensors(Dtype::F32, &path).unwrap();
    let single = std::fs::read(&path).unwrap();
    let read = StateDict::open(&path).unwrap();
    assert_eq!(read.metadata(), weights.metadata());
    for name in weights.names() {
        assert_eq!(read.to_f32(name).unwrap(), weights.to_f32(name).unwrap(), "{name}");
    }

    // An older map of a file that is written again stays whole.
    weights.write_safetensors(Dtype::F16, &path).unwrap();
    assert_eq!(read.to_f32("base").unwrap(), weights.to_f32("base").unwrap());
    let half = StateDict::open(&path).unwrap();
    for name in weights.names() {
        assert_eq!(half.get(name).unwrap().dtype(), Dtype::F16);
        let rounded = weights.to_f32(name).unwrap().mapv(|v| f16::from_f32(v).to_f32());
        assert_eq!(half.to_f32(name).unwrap(), rounded, "{name}");
    }
    weights.write_safetensors(Dtype::F32, &path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), single);

    // Integers are not weights: they stay what they are.
    StateDict::open(sample("mixed.pt")).unwrap().write_safetensors(Dtype::F32, &path).unwrap();
    let mixed = StateDict::open(&path).unwrap();
    let original = StateDict::open(sample("mixed.pt")).unwrap();
    for name in original.names() {
        let kept = original.get(name).unwrap().dtype();
        let written = if kept.is_float() { Dtype::F32 } else { kept };
        assert_eq!(mixed.get(name).unwrap().dtype(), written, "{name}");
        assert_eq!(mixed.to_f32(name).unwrap(), original.to_f32(name).unwrap(), "{name}");
    }
}

#[test]
fn half_precision_values_are_written_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let values: Vec<f16> = [0.0, -1.5, 65504.0, 6e-8, f32::INFINITY].map(f16::from_f32).to_vec();
    let tensors = [("b", &[5usize] as &[usize], values.as_slice()), ("a", &[1, 1], &values[1..2])];
    let metadata = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    write_safetensors(tensors, &metadata, Dtype::F16, &path).unwrap();
    let read = StateDict::open(&path).unwrap();
    assert_eq!(
        read.to_f32("b").unwrap().into_raw_vec_and_offset().0,
        values.iter().map(|v| v.to_f32()).collect::<Vec<_>>()
    );
    assert_eq!(read.get("a").unwrap().shape(), [1, 1]);
    assert_eq!(read.metadata(), &metadata);
}

#[test]
fn a_failed_write_leaves_no_debris() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let mut weights = StateDict::new();
    let fine: ArrayD<f32> = arr1(&[1.0]).into_dyn();
    weights.insert("a", &fine);
    weights.write_safetensors(Dtype::F16, &path).unwrap();
    let before = std::fs::read(&path).unwrap();

    weights.insert("b", &arr1(&[1.0, 65520.0]).into_dyn());
    let error = weights.write_safetensors(Dtype::F16, &path).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains("'b'"), "{error}");
    assert!(matches!(weights.write_safetensors(Dtype::I8, &path), Err(Error::Mismatch { .. })));
    assert!(matches!(
        write_safetensors([("x", &[2usize] as &[usize], &[1.0f32] as &[f32])], &BTreeMap::new(), Dtype::F32, &path),
        Err(Error::Mismatch { .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let nowhere = folder.path().join("missing/out.safetensors");
    let error = weights.write_safetensors(Dtype::F32, &nowhere).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");

    let occupied = folder.path().join("folder");
    std::fs::create_dir_all(occupied.join("inside")).unwrap();
    assert!(matches!(weights.write_safetensors(Dtype::F32, &occupied), Err(Error::Io { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

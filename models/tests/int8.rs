//! Tensors of 8-bit integers: what a file of them holds, and which files are damaged.

use cutout_models::checkpoint::{Dtype, StateDict};
use cutout_models::{Bundle, Error, Manifest, registry};
use ndarray::ArrayD;

/// A `.safetensors` file of tensors: name, element type, shape and bytes.
fn file(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let range = [data.len(), data.len() + bytes.len()];
        entries.push(format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":{range:?}}}"));
        data.extend(bytes);
    }
    let header = format!("{{{}}}", entries.join(","));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Two channels of three numbers, with that companion.
fn with_scales(dtype: &str, shape: &[usize], scales: &[f32]) -> Result<StateDict, Error> {
    let numbers = [127i8, 0, -1, -127, 64, 2].map(|n| n as u8).to_vec();
    StateDict::from_bytes(file(&[("w.scale", dtype, shape, floats(scales)), ("w", "I8", &[2, 3, 1], numbers)]))
}

#[test]
fn numbers_stand_for_multiples_of_their_channels_scale() {
    let weights = with_scales("F32", &[2, 1, 1], &[0.5, 3.0]).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["w"]);
    assert_eq!(weights.parameter_count(), 6);
    let tensor = weights.get("w").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::I8, [2, 3, 1].as_slice()));
    assert_eq!((tensor.scales().unwrap().axis(), tensor.scales().unwrap().values()), (0, [0.5, 3.0].as_slice()));
    let expected = ArrayD::from_shape_vec(vec![2, 3, 1], vec![63.5, 0.0, -0.5, -381.0, 192.0, 6.0]).unwrap();
    assert_eq!(weights.to_f32("w").unwrap(), expected);
}

#[test]
fn written_numbers_are_those_that_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let weights = with_scales("F32", &[2, 1, 1], &[0.3, 3.7]).unwrap();
    for dtype in [Dtype::F32, Dtype::F16] {
        weights.write_safetensors(dtype, &path).unwrap();
        let read = StateDict::open(&path).unwrap();
        let (found, expected) = (read.get("w").unwrap(), weights.get("w").unwrap());
        assert_eq!((found.dtype(), found.scales()), (Dtype::I8, expected.scales()));
        assert_eq!(read.to_f32("w").unwrap(), weights.to_f32("w").unwrap());
    }
}

#[test]
fn scales_that_do_not_fit_are_damage() {
    let nan = f32::NAN;
    let cases: [(&str, &[usize], &[f32]); 9] = [
        ("F32", &[2], &[0.5, 3.0]),
        ("F32", &[1, 2, 1], &[0.5, 3.0]),
        ("F32", &[3, 1, 1], &[0.5, 3.0, 1.0]),
        ("F32", &[2, 3, 1], &[0.5; 6]),
        ("I32", &[2, 1, 1], &[0.5, 3.0]),
        ("F32", &[2, 1, 1], &[0.5, nan]),
        ("F32", &[2, 1, 1], &[f32::INFINITY, 1.0]),
        ("F32", &[2, 1, 1], &[0.5, 0.0]),
        ("F32", &[2, 1, 1], &[-0.5, 1.0]),
    ];
    for (dtype, shape, scales) in cases {
        let error = with_scales(dtype, shape, scales).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("'w'") && text.contains("scale"), "{text}");
    }
    // Per input channel: an axis that a transposed convolution has its outputs along.
    assert_eq!(with_scales("F32", &[1, 3, 1], &[1.0, 2.0, 3.0]).unwrap().get("w").unwrap().scales().unwrap().axis(), 1);
}

#[test]
fn numbers_that_no_quantiser_makes_are_damage() {
    for numbers in [[127, 0, 1, 100, 64, 2], [127, -128, 1, 127, 64, 2]] {
        let bytes = numbers.map(|n: i16| n as u8).to_vec();
        let scales = floats(&[1.0, 1.0]);
        let tensors = [("w", "I8", [2, 3].as_slice(), bytes), ("w.scale", "F32", &[2, 1], scales)];
        let weights = StateDict::from_bytes(file(&tensors)).unwrap();
        let error = weights.to_f32("w").unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("'w'"), "{error:?}");
    }
}

#[test]
fn a_bundle_has_a_scale_for_every_tensor_of_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = file(&[("w", "I8", &[2], vec![127, 127])]);
    std::fs::write(folder.path().join("weights.safetensors"), &bytes).unwrap();
    let mut manifest = Manifest::of(&registry::CUTOUT_S);
    let sha256 = cutout_models::digest::sha256(&bytes);
    let name = "weights.safetensors".into();
    manifest.files = vec![cutout_models::manifest::FileEntry { name, bytes: bytes.len() as u64, sha256 }];
    std::fs::write(folder.path().join("manifest.json"), manifest.to_json().unwrap()).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("'w'"), "{error:?}");
    // By itself, such a tensor is one of integers.
    let plain = StateDict::from_bytes(bytes).unwrap();
    assert!(plain.get("w").unwrap().scales().is_none());
    assert_eq!(plain.to_f32("w").unwrap()[[1]], 127.0);
}

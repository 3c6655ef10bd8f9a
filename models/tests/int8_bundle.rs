//! Quantised bundles: what is stored, what survives, and what is refused.

use std::collections::BTreeMap;

use cutout_models::arch::InputSize;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::checkpoint::Dtype;
use cutout_models::onnx::proto::TensorProto;
use cutout_models::onnx::{Dim, OnnxModel};
use cutout_models::{Affine, Bundle, Error, Precision, Quantization};
use ndarray::{ArrayD, Axis};

mod graph_support;

use graph_support::graph;

/// Weights of convolutions and products of the shipped model, all scaled by their largest magnitude.
fn products(folded: &Bundle) -> BTreeMap<String, Option<Vec<f32>>> {
    let inner = |name: &&str| {
        let tensor = folded.weights().get(name).unwrap();
        name.ends_with(".weight") && tensor.shape().len() > 1 && tensor.shape()[0] > 8 && !name.contains("_embed")
    };
    folded.weights().names().filter(inner).map(|name| (name.to_owned(), None)).collect()
}

fn table(names: &[&str]) -> Quantization {
    let affine = |i: usize| Affine { scale: 0.01 * (i + 1) as f32, zero: i as u8 };
    let activations = names.iter().enumerate().map(|(i, name)| ((*name).to_owned(), affine(i))).collect();
    Quantization { activations, method: BTreeMap::from([("calibration".into(), "none".into())]) }
}

fn shipped_int8(activations: &[&str]) -> Bundle {
    let folded = Bundle::shipped().unwrap().folded().unwrap();
    folded.to_int8(&products(&folded), table(activations)).unwrap()
}

fn graphs(bundle: &Bundle) -> [OnnxModel; 2] {
    let shape = DecoderShape { prompts: Dim::Fixed(1), points: Dim::Fixed(2), embedding: (4, 6) };
    [bundle.image_encoder_onnx(InputSize::new(64, 96)).unwrap(), bundle.mask_decoder_onnx(shape).unwrap()]
}

const SOME: [&str; 3] = ["image", "image_encoder/backbone/03/Conv", "mask_decoder/transformer/layers.0/mlp/Relu"];

#[test]
fn a_quantised_bundle_survives_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    let bundle = shipped_int8(&SOME);
    assert_eq!(bundle.manifest().precision, Precision::Int8);
    let written = bundle.write(&path, Precision::Int8).unwrap();
    let opened = Bundle::open(&path).unwrap();
    opened.verify().unwrap();
    opened.check_architecture().unwrap();
    assert_eq!(opened.id(), written.id());
    assert_eq!(opened.manifest().quantization, bundle.manifest().quantization);
    assert!(opened.weights().is_folded());
    for name in bundle.weights().names() {
        let (found, expected) = (opened.weights().get(name).unwrap(), bundle.weights().get(name).unwrap());
        assert_eq!(
            (found.dtype(), found.shape(), found.scales()),
            (expected.dtype(), expected.shape(), expected.scales())
        );
        assert_eq!(opened.weights().to_f32(name).unwrap(), bundle.weights().to_f32(name).unwrap(), "{name}");
    }
    for (memory, file) in graphs(&bundle).iter().zip(&graphs(&opened)) {
        assert!(memory.proto() == file.proto());
    }
    // 6.4 million weights of one byte, and little else.
    let (bytes, elements) = (opened.manifest().files[0].bytes, opened.manifest().parameters);
    assert!(bytes < elements + elements / 20, "{bytes} bytes for {elements} elements");
}

#[test]
fn weights_are_bytes_matrices_half_and_vectors_single() {
    let bundle = shipped_int8(&[]);
    let folded = Bundle::shipped().unwrap().folded().unwrap();
    for name in bundle.weights().names() {
        let tensor = bundle.weights().get(name).unwrap();
        let exact = folded.weights().to_f32(name).unwrap();
        let found = bundle.weights().to_f32(name).unwrap();
        match tensor.dtype() {
            Dtype::F32 => assert!(tensor.shape().len() < 2 && found == exact, "{name}"),
            Dtype::F16 => assert!(tensor.shape().len() > 1 && tensor.scales().is_none(), "{name}"),
            other => {
                assert_eq!(other, Dtype::I8);
                let scales = tensor.scales().unwrap();
                assert_eq!(scales.axis(), 0);
                for ((found, exact), scale) in found.outer_iter().zip(exact.outer_iter()).zip(scales.values()) {
                    let within = |(f, e): (&f32, &f32)| (f - e).abs() <= 0.5001 * scale;
                    assert!(found.iter().zip(&exact).all(within), "{name}");
                }
            }
        }
    }
}

#[test]
fn ids_follow_the_scales_of_activations() {
    let ids = [shipped_int8(&SOME).id(), shipped_int8(&SOME[..2]).id(), shipped_int8(&[]).id()];
    assert_eq!(ids[0], shipped_int8(&SOME).id());
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

#[test]
fn scales_of_values_that_do_not_exist_are_found() {
    let folded = Bundle::shipped().unwrap().folded().unwrap();
    for name in ["image_encoder/backbone/77/Conv", "image_encoder.backbone.03.weight"] {
        let error = folded.to_int8(&BTreeMap::new(), table(&["image", name])).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains(name), "{error:?}");
    }
    let mut bad = table(&["image"]);
    bad.activations.insert("image".into(), Affine { scale: f32::NAN, zero: 0 });
    assert!(folded.to_int8(&BTreeMap::new(), bad).is_err());
}

#[test]
fn what_is_not_there_or_not_folded_is_not_quantised() {
    let plain = Bundle::shipped().unwrap();
    let folded = plain.folded().unwrap();
    let none = BTreeMap::new;
    assert!(plain.to_int8(&none(), table(&[])).is_err());
    assert!(shipped_int8(&[]).to_int8(&none(), table(&[])).is_err());
    let name = "image_encoder.backbone.99.weight";
    let message = folded.to_int8(&[(name.into(), None)].into(), table(&[])).unwrap_err().to_string();
    assert!(message.contains(name), "{message}");
    let name = "image_encoder.backbone.03.weight";
    let message = folded.to_int8(&[(name.into(), Some(vec![1.0]))].into(), table(&[])).unwrap_err().to_string();
    assert!(message.contains(name), "{message}");

    let mut quantized = shipped_int8(&[]);
    let values: ArrayD<f32> = folded.weights().to_f32(name).unwrap();
    assert!(quantized.set(name, &values).is_err());
    let bias = "image_encoder.backbone.03.bias";
    quantized.set(bias, &folded.weights().to_f32(bias).unwrap()).unwrap();
}

#[test]
fn precision_does_not_change_on_the_way_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    let plain = Bundle::shipped().unwrap();
    for (bundle, precision) in
        [(&shipped_int8(&[]), Precision::F16), (&shipped_int8(&[]), Precision::F32), (&plain, Precision::Int8)]
    {
        assert!(matches!(bundle.write(&path, precision), Err(Error::Refused { .. })));
        assert!(!path.exists());
    }
}

#[test]
fn quantised_graphs_have_the_nodes_of_the_float_ones() {
    let names = |model: &OnnxModel, quantizes: bool| -> Vec<String> {
        let nodes = graph(model).node.iter().filter(|n| n.op_type.ends_with("quantizeLinear") == quantizes);
        let nodes = nodes.filter(|n| n.op_type != "QuantizeLinear");
        nodes.map(|n| n.name.clone()).collect()
    };
    let quantized = shipped_int8(&SOME);
    for (found, expected) in graphs(&quantized).iter().zip(&graphs(&Bundle::shipped().unwrap())) {
        assert_eq!(names(found, false), names(expected, false));
        assert!(names(found, true).len() > 50);
        assert_eq!(graph(found).output, graph(expected).output);
    }
}

#[test]
fn the_bytes_of_a_graph_are_those_of_the_bundle() {
    let bundle = shipped_int8(&SOME);
    let constants: Vec<TensorProto> = graphs(&bundle).iter().flat_map(|m| graph(m).initializer.clone()).collect();
    let mut compared = 0;
    for constant in constants.iter().filter(|t| t.data_type == TensorProto::INT8) {
        let scales = bundle.weights().get(&constant.name).unwrap().scales().unwrap().values();
        let named = format!("{}/scale", constant.name);
        let stored = constants.iter().find(|t| t.name == named).unwrap();
        let values = bundle.weights().to_f32(&constant.name).unwrap();
        // Convolutions lie as they are stored, matrices the other way round.
        let values = if values.ndim() == 2 { values.reversed_axes() } else { values };
        let axis = if values.ndim() == 2 { 1 } else { 0 };
        let found = graph_support::floats(stored);
        for ((at, value), byte) in values.indexed_iter().zip(&constant.raw_data) {
            assert_eq!(f32::from(byte.cast_signed()) * found[at[axis]], *value, "{}", constant.name);
        }
        for ((found, stored), channel) in found.iter().zip(scales).zip(values.axis_iter(Axis(axis))) {
            assert!(found == stored || channel.iter().all(|v| *v == 0.0), "{}", constant.name);
        }
        compared += 1;
    }
    assert_eq!(compared, products(&bundle).len());
}

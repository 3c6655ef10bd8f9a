//! The decoder graph: what goes in, what comes out, which parameters it takes.

use std::collections::HashSet;

use cutout_models::arch::mask_decoder::{DecoderShape, mask_decoder};
use cutout_models::checkpoint::StateDict;
use cutout_models::onnx::proto::{DimensionValue, ValueInfoProto};
use cutout_models::onnx::{Dim, OPSET};
use ndarray::ArrayD;

mod graph_support;

use graph_support::{decoder_shapes, graph};

const SHAPE: DecoderShape = DecoderShape { prompts: Dim::Fixed(3), points: Dim::Fixed(2), embedding: (2, 5) };

fn weights_without(missing: &str) -> StateDict {
    let mut weights = StateDict::new();
    for (name, shape) in decoder_shapes().into_iter().filter(|(name, _)| name != missing) {
        weights.insert(name, &ArrayD::zeros(shape));
    }
    weights
}

fn weights() -> StateDict {
    weights_without("")
}

/// `name: 1x256x2x5`, as the file declares it.
fn declared(values: &[ValueInfoProto]) -> Vec<String> {
    let dims = |v: &ValueInfoProto| {
        let tensor = v.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
        let dims = tensor.shape.as_ref().unwrap().dim.iter().map(|d| match d.value.as_ref().unwrap() {
            DimensionValue::DimValue(n) => n.to_string(),
            DimensionValue::DimParam(name) => name.clone(),
        });
        dims.collect::<Vec<_>>().join("x")
    };
    values.iter().map(|v| format!("{}: {}", v.name, dims(v))).collect()
}

#[test]
fn declares_the_official_inputs_and_all_four_tokens() {
    let model = mask_decoder(&weights(), SHAPE).unwrap();
    assert_eq!(
        declared(&graph(&model).input),
        [
            "image_embeddings: 1x256x2x5",
            "point_coords: 3x2x2",
            "point_labels: 3x2",
            "mask_input: 3x1x8x20",
            "has_mask_input: 1"
        ]
    );
    assert_eq!(declared(&graph(&model).output), ["low_res_masks: 3x4x8x20", "iou_predictions: 3x4"]);
}

#[test]
fn symbolic_dimensions_keep_their_names() {
    let shape = DecoderShape { prompts: Dim::Symbol("num_prompts"), points: Dim::Symbol("num_points"), ..SHAPE };
    let model = mask_decoder(&weights(), shape).unwrap();
    let inputs = declared(&graph(&model).input);
    assert!(inputs.contains(&"point_coords: num_promptsxnum_pointsx2".to_owned()), "{inputs:?}");
    assert!(inputs.contains(&"mask_input: num_promptsx1x8x20".to_owned()), "{inputs:?}");
    assert_eq!(
        declared(&graph(&model).output),
        ["low_res_masks: num_promptsx4x8x20", "iou_predictions: num_promptsx4"]
    );
}

#[test]
fn skip_inputs_come_with_the_skip_weights_only() {
    let mut weights = weights();
    weights.insert("image_encoder.skip_s0.weight", &ArrayD::zeros(vec![32, 64, 1, 1]));
    let model = mask_decoder(&weights, SHAPE).unwrap();
    let inputs = declared(&graph(&model).input);
    assert_eq!(inputs[..3], ["image_embeddings: 1x256x2x5", "high_res_s0: 1x32x8x20", "high_res_s1: 1x64x4x10"]);
    for skip in ["high_res_s0", "high_res_s1"] {
        assert!(graph(&model).node.iter().any(|n| n.input.iter().any(|i| i == skip)), "{skip} is not used");
    }
}

#[test]
fn no_points_means_no_sparse_tokens() {
    let reads_points = |shape| {
        let model = mask_decoder(&weights(), shape).unwrap();
        assert!(graph(&model).input.iter().any(|i| i.name == "point_coords"));
        graph(&model).node.iter().any(|n| n.input.iter().any(|i| i.starts_with("point_")))
    };
    assert!(reads_points(SHAPE));
    assert!(!reads_points(DecoderShape { points: Dim::Fixed(0), ..SHAPE }));
}

#[test]
fn every_official_parameter_is_required_in_its_official_shape() {
    assert_eq!(decoder_shapes().len(), 137, "parameters of the published checkpoints, apart from the image encoder's");
    let weights = weights();
    for (name, shape) in decoder_shapes() {
        let mut wrong = weights.clone();
        let reshaped: Vec<usize> = std::iter::once(1).chain(shape).collect();
        wrong.insert(name.as_str(), &ArrayD::zeros(reshaped));
        let error = mask_decoder(&wrong, SHAPE).unwrap_err().to_string();
        assert!(error.contains(&format!("'{name}' has shape")), "{name}: {error}");
    }
}

#[test]
fn a_missing_parameter_is_named() {
    for name in [
        "prompt_encoder.point_embeddings.3.weight",
        "mask_decoder.transformer.layers.1.cross_attn_image_to_token.q_proj.bias",
        "mask_decoder.output_hypernetworks_mlps.2.layers.1.weight",
    ] {
        let error = mask_decoder(&weights_without(name), SHAPE).unwrap_err();
        assert_eq!(error.to_string(), format!("tensor '{name}' is missing"));
    }
}

#[test]
fn empty_shapes_are_refused() {
    for shape in [
        DecoderShape { prompts: Dim::Fixed(0), ..SHAPE },
        DecoderShape { embedding: (0, 5), ..SHAPE },
        DecoderShape { embedding: (2, 0), ..SHAPE },
    ] {
        assert!(mask_decoder(&weights(), shape).is_err(), "{shape:?}");
    }
}

#[test]
fn the_file_is_well_formed() {
    let model = mask_decoder(&weights(), SHAPE).unwrap();
    let graph = graph(&model);
    assert_eq!(model.proto().opset_import[0].version, OPSET);

    let mut known: HashSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
    for tensor in &graph.initializer {
        assert!(known.insert(&tensor.name), "{} is defined twice", tensor.name);
        let elements: i64 = tensor.dims.iter().product();
        let size = if tensor.data_type == 7 { 8 } else { 4 };
        assert_eq!(tensor.raw_data.len() as i64, elements * size, "{}", tensor.name);
    }
    let mut used = HashSet::new();
    for node in &graph.node {
        for input in &node.input {
            assert!(known.contains(input.as_str()), "{} reads {input} before it exists", node.name);
            used.insert(input.as_str());
        }
        for output in &node.output {
            assert!(known.insert(output), "{output} is defined twice");
        }
    }
    for output in &graph.output {
        assert!(known.contains(output.name.as_str()), "{} is never computed", output.name);
    }
    for name in graph.initializer.iter().map(|t| &t.name).chain(graph.input.iter().map(|i| &i.name)) {
        assert!(used.contains(name.as_str()), "{name} is dead weight");
    }
    for path in ["mask_decoder/transformer/layers.1/self_attn/q_proj/", "prompt_encoder/mask_downscaling/3/"] {
        assert!(graph.node.iter().any(|n| n.name.starts_with(path)), "no node of {path}");
    }
}

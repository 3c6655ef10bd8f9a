//! Quantised graphs: who reads what, and which integers stand for a constant.

use std::collections::BTreeMap;

use cutout_models::onnx::proto::{NodeProto, TensorProto};
use cutout_models::onnx::{ConvSpec, GraphBuilder, OnnxModel, Parameter};
use cutout_models::{Affine, Error};
use ndarray::ArrayD;

mod graph_support;

use graph_support::{constant, floats, graph};

fn parameter(name: &str, shape: &[usize], values: &[f32]) -> Parameter {
    Parameter { name: name.into(), values: ArrayD::from_shape_vec(shape, values.to_vec()).unwrap() }
}

/// `x` through a convolution, an activation, a product and a transposed convolution; the activation's result is an output too.
fn float_graph() -> OnnxModel {
    let mut g = GraphBuilder::new("small");
    let x = g.input("x", &[1, 2, 4, 4].map(Into::into));
    let weight = parameter("conv.w", &[2, 2, 1, 1], &[1.27, -0.5, 0.01, 2.54]);
    let y = g.conv(&x, &weight, Some(&parameter("conv.b", &[2], &[0.3, -7.0])), ConvSpec::default());
    let y = g.relu(&y);
    let matrix = parameter("linear.w", &[3, 4], &[127.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 5.0, -2.0, 254.0, 6.0]);
    let z = g.linear(&y, &matrix, Some(&parameter("linear.b", &[3], &[0.1; 3])));
    let up = parameter("up.w", &[2, 1, 2, 2], &[12.7, 1.0, 0.1, 0.2, -3.0, 4.0, 5.0, 6.0]);
    let up = g.conv_transpose_2x2(&y, &up, &parameter("up.b", &[1], &[0.5]));
    g.output("activated", &y, &[1, 2, 4, 4].map(Into::into));
    g.output("mapped", &z, &[1, 2, 4, 3].map(Into::into));
    g.output("up", &up, &[1, 1, 8, 8].map(Into::into));
    g.finish()
}

fn activations(names: &[&str]) -> BTreeMap<String, Affine> {
    names.iter().map(|name| ((*name).to_owned(), Affine { scale: 0.25, zero: 7 })).collect()
}

fn weights() -> BTreeMap<String, Vec<f32>> {
    let scales: [(&str, &[f32]); 3] = [("conv.w", &[0.01, 0.02]), ("linear.w", &[1.0, 1.0, 2.0]), ("up.w", &[0.1])];
    scales.into_iter().map(|(name, scales)| (name.to_owned(), scales.to_vec())).collect()
}

fn node<'a>(model: &'a OnnxModel, name: &str) -> &'a NodeProto {
    graph(model).node.iter().find(|n| n.name == name).unwrap_or_else(|| panic!("no node {name}"))
}

fn signed(tensor: &TensorProto) -> Vec<i8> {
    assert_eq!(tensor.data_type, TensorProto::INT8);
    tensor.raw_data.iter().map(|b| b.cast_signed()).collect()
}

#[test]
fn readers_take_what_bytes_stand_for() {
    let model = float_graph().quantized(&activations(&["x", "Relu", "elsewhere"]), &BTreeMap::new()).unwrap();
    for value in ["x", "Relu"] {
        let names = ["quantized", "dequantized", "scale", "zero"].map(|what| format!("{value}/{what}"));
        let [bytes, floats_of, scale, zero] = &names;
        assert_eq!(node(&model, bytes).input, [value, scale.as_str(), zero]);
        assert_eq!(node(&model, floats_of).input, [bytes, scale, zero].map(String::as_str));
        assert_eq!(floats(constant(graph(&model), scale)), [0.25]);
        let zero = constant(graph(&model), zero);
        assert_eq!(
            (zero.data_type, zero.raw_data.as_slice(), zero.dims.len()),
            (TensorProto::UINT8, [7].as_slice(), 0)
        );
    }
    assert_eq!(node(&model, "Conv").input, ["x/dequantized", "conv.w", "conv.b"]);
    assert_eq!(node(&model, "Relu").input, ["Conv"]);
    assert_eq!(node(&model, "MatMul").input, ["Relu/dequantized", "linear.w"]);
    assert_eq!(node(&model, "ConvTranspose").input[0], "Relu/dequantized");
    // An output is what was computed, not what bytes can say of it.
    assert_eq!(node(&model, "activated").input, ["Relu"]);
    assert_eq!(graph(&model).node.len(), float_graph().proto().graph.as_ref().unwrap().node.len() + 4);
}

#[test]
fn values_that_only_outputs_are_made_of_stay() {
    let model = float_graph().quantized(&activations(&["Add", "ConvTranspose", "up"]), &BTreeMap::new()).unwrap();
    assert!(model.proto() == float_graph().proto());
}

#[test]
fn nodes_come_after_what_they_read() {
    let model = float_graph().quantized(&activations(&["x", "Conv", "Relu"]), &weights()).unwrap();
    let graph = graph(&model);
    let inputs = graph.input.iter().map(|i| i.name.as_str());
    let mut known: Vec<&str> = inputs.chain(graph.initializer.iter().map(|t| t.name.as_str())).collect();
    for node in &graph.node {
        assert!(node.input.iter().all(|input| known.contains(&input.as_str())), "{}", node.name);
        known.extend(node.output.iter().map(String::as_str));
    }
    let count = known.len();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), count, "a name is given twice");
}

#[test]
fn constants_are_multiples_of_their_channels_scale() {
    let model = float_graph().quantized(&BTreeMap::new(), &weights()).unwrap();
    let graph = graph(&model);
    assert_eq!(signed(constant(graph, "conv.w")), [127, -50, 0, 127]);
    // As the product reads it, (inputs, outputs): the second output has no weights but zeros.
    assert_eq!(signed(constant(graph, "linear.w")), [127, 0, 2, 1, 0, -1, 2, 0, 127, 3, 0, 3]);
    assert_eq!(signed(constant(graph, "up.w")), [127, 10, 1, 2, -30, 40, 50, 60]);
    for (name, axis, scales) in
        [("conv.w", 0, vec![0.01, 0.02]), ("linear.w", 1, vec![1.0, 1.0, 2.0]), ("up.w", 1, vec![0.1])]
    {
        let back = node(&model, &format!("{name}/dequantized"));
        assert_eq!(back.op_type, "DequantizeLinear");
        assert_eq!(back.input, [name, format!("{name}/scale").as_str()]);
        assert_eq!(back.attribute.iter().find(|a| a.name == "axis").unwrap().i, Some(axis));
        assert_eq!(floats(constant(graph, &back.input[1])), scales);
    }
    assert_eq!(node(&model, "Conv").input, ["x", "conv.w/dequantized", "conv.b"]);
    assert_eq!(node(&model, "MatMul").input[1], "linear.w/dequantized");
    // What is no product of bytes keeps its bias.
    assert_eq!(constant(graph, "conv.b").data_type, TensorProto::FLOAT);
}

#[test]
fn the_bias_of_a_convolution_of_bytes_counts_products_of_units() {
    let model = float_graph().quantized(&activations(&["x", "Relu"]), &weights()).unwrap();
    let bias = constant(graph(&model), "conv.b");
    assert_eq!(bias.data_type, TensorProto::INT32);
    let numbers: Vec<i32> = bias.raw_data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect();
    // 0.3 / (0.25 * 0.01) and -7 / (0.25 * 0.02).
    assert_eq!(numbers, [120, -1400]);
    assert_eq!(floats(constant(graph(&model), "conv.b/scale")), [0.25 * 0.01, 0.25 * 0.02]);
    assert_eq!(node(&model, "Conv").input, ["x/dequantized", "conv.w/dequantized", "conv.b/dequantized"]);
    for float in ["linear.b", "up.b"] {
        assert_eq!(constant(graph(&model), float).data_type, TensorProto::FLOAT);
    }
}

#[test]
fn a_bias_beyond_32_bits_stays_float() {
    let mut scales = weights();
    scales.insert("conv.w".into(), vec![0.01, 1e-9]);
    let model = float_graph().quantized(&activations(&["x"]), &scales).unwrap();
    assert_eq!(constant(graph(&model), "conv.b").data_type, TensorProto::FLOAT);
    assert_eq!(node(&model, "Conv").input[2], "conv.b");
}

#[test]
fn what_cannot_be_quantised_is_named() {
    for (name, scales) in [
        ("conv.w", vec![1.0]),
        ("conv.w", vec![1.0, 0.0]),
        ("conv.w", vec![1.0, f32::NAN]),
        ("conv.b", vec![1.0, 1.0]),
        ("none", vec![1.0]),
    ] {
        let error = float_graph().quantized(&BTreeMap::new(), &[(name.to_owned(), scales)].into()).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains(name), "{error:?}");
    }
    let twice = float_graph().quantized(&activations(&["x"]), &BTreeMap::new()).unwrap();
    let message = twice.quantized(&activations(&["x"]), &BTreeMap::new()).unwrap_err().to_string();
    assert!(message.contains("x/scale"), "{message}");
    let mut old = float_graph();
    old.proto_mut().opset_import[0].version = 12;
    assert!(old.quantized(&activations(&["x"]), &BTreeMap::new()).unwrap_err().to_string().contains("13"));
}

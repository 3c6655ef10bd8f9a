//! ONNX files of other programs: what is read of them, and what is refused.

use std::path::Path;

use cutout_models::Error;
use cutout_models::onnx::proto::{AttributeProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto};
use cutout_models::onnx::{ConvSpec, GraphBuilder, OnnxModel, Parameter};
use ndarray::ArrayD;
use prost::Message;

mod graph_support;

use graph_support::{constant, floats, graph};

fn own() -> OnnxModel {
    let parameter =
        |name: &str, shape: &[usize]| Parameter { name: name.into(), values: ArrayD::from_elem(shape, 0.5) };
    let mut g = GraphBuilder::new("small");
    let x = g.input("x", &[1, 2, 3, 3].map(Into::into));
    let y = g.conv(&x, &parameter("w", &[2, 2, 1, 1]), Some(&parameter("b", &[2])), ConvSpec::default());
    let y = g.gelu(&y);
    let y = g.reshape(&y, &[1, 18]);
    g.output("y", &y, &[1, 18].map(Into::into));
    g.finish().with_metadata("key", "value")
}

fn changed(change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut model = own();
    change(model.proto_mut());
    model.to_bytes()
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|i| (*i).into()).collect(),
        output: vec![output.into()],
        op_type: op.into(),
        attribute: attributes,
        ..Default::default()
    }
}

/// A length-delimited field of a protobuf message.
fn field(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(payload.len() as u64, &mut out);
    [out.as_slice(), payload].concat()
}

/// The model with more in its graph, which readers of protobuf merge.
fn with_graph(more: &[u8]) -> Vec<u8> {
    [own().to_bytes(), field(7, more)].concat()
}

fn with_node(more: &[u8]) -> Vec<u8> {
    with_graph(&field(1, &[node("Relu", &["x"], "extra", Vec::new()).encode_to_vec().as_slice(), more].concat()))
}

fn with_attribute(more: &[u8]) -> Vec<u8> {
    let attribute = AttributeProto { name: "a".into(), ..Default::default() }.encode_to_vec();
    with_node(&field(5, &[attribute.as_slice(), more].concat()))
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.onnx");
    own().write(&path).unwrap();
    assert!(OnnxModel::read(&path).unwrap().proto() == own().proto());
    assert!(OnnxModel::from_bytes(&own().to_bytes()).unwrap().proto() == own().proto());
}

#[test]
fn parts_of_files_fail_cleanly() {
    let mut model = own();
    model.proto_mut().metadata_props.clear();
    let whole = model.to_bytes();
    for length in 0..whole.len() {
        let error = OnnxModel::from_bytes(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{length} of {}: {error:?}", whole.len());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.onnx");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let text = OnnxModel::read(&path).unwrap_err().to_string();
    assert!(text.contains("part.onnx") && text.contains("damaged or incomplete"), "{text}");
    for other in ["", "PK\u{3}\u{4} a zip archive", "hello, world, this is no model"] {
        assert!(OnnxModel::from_bytes(other.as_bytes()).is_err(), "{other}");
    }
    assert!(matches!(OnnxModel::read(Path::new("none.onnx")), Err(Error::Io { .. })));
}

#[test]
fn changed_bytes_never_panic() {
    let whole = own().to_bytes();
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let _ = OnnxModel::from_bytes(&bytes);
        }
    }
}

#[test]
fn elements_are_read_wherever_they_are() {
    let tensor = |name: &str, data_type, dims: &[i64]| TensorProto {
        name: name.into(),
        data_type,
        dims: dims.to_vec(),
        ..Default::default()
    };
    let typed = [
        TensorProto { float_data: vec![1.5, -2.0], ..tensor("f32", TensorProto::FLOAT, &[2]) },
        TensorProto { double_data: vec![0.1], ..tensor("f64", TensorProto::DOUBLE, &[]) },
        TensorProto { int64_data: vec![-1, 1 << 40], ..tensor("i64", TensorProto::INT64, &[1, 2]) },
        TensorProto { int32_data: vec![-1, 7], ..tensor("i32", TensorProto::INT32, &[2]) },
        TensorProto { int32_data: vec![-128, 127], ..tensor("i8", TensorProto::INT8, &[2]) },
        TensorProto { int32_data: vec![255, 0], ..tensor("u8", TensorProto::UINT8, &[2]) },
        TensorProto { int32_data: vec![0x3c00], ..tensor("f16", 10, &[1]) },
        tensor("empty", TensorProto::FLOAT, &[0, 3]),
    ];
    let bytes = changed(|m| m.graph.as_mut().unwrap().initializer.extend(typed));
    let model = OnnxModel::from_bytes(&bytes).unwrap();
    let raw = |name: &str| constant(graph(&model), name).raw_data.clone();
    assert_eq!(floats(constant(graph(&model), "f32")), [1.5, -2.0]);
    assert_eq!(raw("f64"), 0.1f64.to_le_bytes());
    assert_eq!(raw("i64"), [(-1i64).to_le_bytes(), (1i64 << 40).to_le_bytes()].concat());
    assert_eq!(raw("i32"), [(-1i32).to_le_bytes(), 7i32.to_le_bytes()].concat());
    assert_eq!(raw("i8"), [128, 127]);
    assert_eq!(raw("u8"), [255, 0]);
    assert_eq!(raw("f16"), [0, 0x3c]);
    assert_eq!(raw("empty"), [0u8; 0]);
    for tensor in &graph(&model).initializer {
        assert!(tensor.float_data.is_empty() && tensor.int32_data.is_empty() && tensor.int64_data.is_empty());
    }

    for bad in [
        TensorProto { float_data: vec![1.5], ..tensor("bad", TensorProto::FLOAT, &[2]) },
        TensorProto { raw_data: vec![0; 7], ..tensor("bad", TensorProto::FLOAT, &[2]) },
        TensorProto { int32_data: vec![256], ..tensor("bad", TensorProto::UINT8, &[1]) },
        TensorProto { raw_data: vec![0; 4], ..tensor("bad", TensorProto::FLOAT, &[-1]) },
        TensorProto { raw_data: vec![0; 4], ..tensor("bad", TensorProto::FLOAT, &[i64::MAX, i64::MAX]) },
        TensorProto { raw_data: vec![0; 4], ..tensor("bad", 8, &[1]) },
    ] {
        let text = OnnxModel::from_bytes(&changed(|m| m.graph.as_mut().unwrap().initializer.push(bad))).unwrap_err();
        assert!(text.to_string().contains("'bad'"), "{text}");
    }
}

#[test]
fn constant_nodes_become_constants() {
    let attribute = |name: &str| AttributeProto { name: name.into(), ..Default::default() };
    let tensor =
        TensorProto { data_type: TensorProto::FLOAT, dims: vec![1], float_data: vec![4.0], ..Default::default() };
    let nodes = [
        node("Constant", &[], "t", vec![AttributeProto { t: Some(tensor.clone()), ..attribute("value") }]),
        node("Constant", &[], "f", vec![AttributeProto { f: Some(2.5), ..attribute("value_float") }]),
        node("Constant", &[], "is", vec![AttributeProto { ints: vec![3, 4], ..attribute("value_ints") }]),
        node("ConstantOfShape", &["is"], "filled", vec![AttributeProto { t: Some(tensor), ..attribute("value") }]),
    ];
    let bytes = changed(|m| {
        let graph = m.graph.as_mut().unwrap();
        graph.input.push(graph_input("w"));
        graph.node.splice(0..0, nodes);
    });
    let model = OnnxModel::from_bytes(&bytes).unwrap();
    assert_eq!(floats(constant(graph(&model), "t")), [4.0]);
    assert_eq!((floats(constant(graph(&model), "f")), constant(graph(&model), "f").dims.len()), (vec![2.5], 0));
    assert_eq!(constant(graph(&model), "is").dims, [2]);
    assert!(graph(&model).node.iter().all(|n| n.op_type != "Constant"));
    // A constant is no input, a node without a name is called by its output, and its tensor is settled too.
    assert_eq!(model.input_names().collect::<Vec<_>>(), ["x"]);
    let filled = graph(&model).node.iter().find(|n| n.op_type == "ConstantOfShape").unwrap();
    assert_eq!(filled.name, "filled");
    assert_eq!(filled.attribute[0].t.as_ref().unwrap().raw_data, 4f32.to_le_bytes());

    let text = node("Constant", &[], "s", vec![AttributeProto { s: Some(vec![b'a']), ..attribute("value_string") }]);
    let error = OnnxModel::from_bytes(&changed(|m| m.graph.as_mut().unwrap().node.push(text))).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains("value_string"), "{error:?}");
}

fn graph_input(name: &str) -> cutout_models::onnx::proto::ValueInfoProto {
    let mut input = graph(&own()).input[0].clone();
    input.name = name.into();
    input
}

#[test]
fn what_would_be_lost_is_refused_by_name() {
    for (bytes, what) in [
        ([own().to_bytes(), field(25, b"\n\x01f")].concat(), "functions"),
        ([own().to_bytes(), field(20, b"\n\x00")].concat(), "training"),
        (with_graph(&field(15, b"\n\x00")), "sparse"),
        (with_node(&field(7, b"com.microsoft")), "com.microsoft"),
        (with_node(&field(8, b"other")), "overloaded"),
        (with_attribute(&field(6, b"\n\x00")), "subgraphs"),
        (with_attribute(&field(11, b"\n\x00")), "subgraphs"),
        (with_attribute(&field(9, b"text")), "texts"),
        (with_attribute(&field(10, b"\n\x00")), "lists of tensors"),
        (with_attribute(&field(22, b"\n\x00")), "sparse"),
        (with_attribute(&field(21, b"alpha")), "functions"),
        (with_graph(&field(5, &field(6, b"text"))), "texts"),
        (with_graph(&field(5, &field(11, b"\x01"))), "unsigned"),
        (with_graph(&field(11, &field(2, &field(4, b"\n\x00")))), "no tensors"),
    ] {
        let error = OnnxModel::from_bytes(&bytes).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains(what), "{what}: {error:?}");
    }
    // What is empty, or for people, changes nothing.
    for harmless in [field(6, b"a note"), field(7, b""), field(7, b"ai.onnx"), field(8, b"")] {
        let model = OnnxModel::from_bytes(&with_node(&harmless)).unwrap();
        assert_eq!(graph(&model).node.len(), graph(&own()).node.len() + 1);
    }
    assert!(OnnxModel::from_bytes(&[own().to_bytes(), field(6, b"a note")].concat()).is_ok());
    assert!(OnnxModel::from_bytes(&with_graph(&field(10, b"a note"))).is_ok());
    // A field that no version of the schema has.
    assert!(matches!(OnnxModel::from_bytes(&with_graph(&field(99, b""))), Err(Error::Malformed { .. })));
}

#[test]
fn values_are_made_once_before_their_use() {
    for extra in [
        node("Relu", &["later"], "extra", Vec::new()),
        node("Relu", &["x"], "Conv", Vec::new()),
        node("Relu", &["x"], "w", Vec::new()),
    ] {
        let bytes = changed(|m| m.graph.as_mut().unwrap().node.push(extra));
        assert!(matches!(OnnxModel::from_bytes(&bytes), Err(Error::Malformed { .. })));
    }
    let no_output = changed(|m| drop(m.graph.as_mut().unwrap().node.pop()));
    assert!(OnnxModel::from_bytes(&no_output).unwrap_err().to_string().contains("\"y\""));
    // An optional input may be absent.
    let optional = changed(|m| m.graph.as_mut().unwrap().node.push(node("Clip", &["x", "", "x"], "extra", Vec::new())));
    OnnxModel::from_bytes(&optional).unwrap();
}

#[test]
fn weights_beside_the_model_are_read_from_its_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let external = |location: &str, length: &str| {
        changed(|m| {
            let tensor = &mut m.graph.as_mut().unwrap().initializer[0];
            tensor.raw_data.clear();
            tensor.data_location = Some(TensorProto::EXTERNAL);
            tensor.external_data = vec![entry("location", location), entry("offset", "8"), entry("length", length)];
        })
    };
    let numbers: Vec<u8> = (0..8).flat_map(|n| (n as f32).to_le_bytes()).collect();
    std::fs::write(folder.path().join("w.bin"), &numbers).unwrap();
    let path = folder.path().join("m.onnx");
    let read = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        OnnxModel::read(&path)
    };
    let model = read(external("w.bin", "16")).unwrap();
    assert_eq!(floats(constant(graph(&model), "w")), [2.0, 3.0, 4.0, 5.0]);
    assert!(constant(graph(&model), "w").external_data.is_empty());

    assert!(matches!(read(external("w.bin", "4000")), Err(Error::Malformed { .. })));
    assert!(matches!(read(external("w.bin", "12")), Err(Error::Malformed { .. })));
    assert!(matches!(read(external("w.bin", "-1")), Err(Error::Malformed { .. })));
    assert!(matches!(read(external("none.bin", "16")), Err(Error::Io { .. })));
    for location in ["../w.bin", "/etc/passwd", "", "a/w.bin"] {
        assert!(matches!(read(external(location, "16")), Err(Error::Refused { .. })), "{location}");
    }
    assert!(matches!(OnnxModel::from_bytes(&external("w.bin", "16")), Err(Error::Refused { .. })));
}

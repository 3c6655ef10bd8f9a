//! Models that are two ONNX files: what is taken over, what is kept, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;

use cutout_models::arch::InputSize;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::onnx::proto::{DimensionValue, GraphProto, NodeProto, ValueInfoProto};
use cutout_models::onnx::{Dim, OnnxModel};
use cutout_models::{
    Affine, Architecture, Bundle, DECODER_FILE, ENCODER_FILE, Error, Normalization, Precision, Quantization,
};

const SIZE: InputSize = InputSize::new(64, 96);
const SHAPE: DecoderShape =
    DecoderShape { prompts: Dim::Fixed(1), points: Dim::Symbol("num_points"), embedding: (4, 6) };

fn graphs(bundle: &Bundle) -> [OnnxModel; 2] {
    [bundle.image_encoder_onnx(SIZE).unwrap(), bundle.mask_decoder_onnx(SHAPE).unwrap()]
}

fn shipped() -> [OnnxModel; 2] {
    graphs(&Bundle::shipped().unwrap())
}

fn written(folder: &Path, [encoder, decoder]: &[OnnxModel; 2]) {
    encoder.write(&folder.join(ENCODER_FILE)).unwrap();
    decoder.write(&folder.join(DECODER_FILE)).unwrap();
}

fn opened(pair: &[OnnxModel; 2]) -> Result<Bundle, Error> {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), pair);
    assert!(Bundle::is_onnx_folder(folder.path()));
    Bundle::open(folder.path())
}

fn graph(model: &mut OnnxModel) -> &mut GraphProto {
    model.proto_mut().graph.as_mut().unwrap()
}

fn value<'a>(values: &'a mut [ValueInfoProto], name: &str) -> &'a mut ValueInfoProto {
    values.iter_mut().find(|v| v.name == name).unwrap()
}

/// The dimensions of an input or output.
fn set_dim(value: &mut ValueInfoProto, at: usize, dim: Option<DimensionValue>) {
    let tensor = value.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    tensor.shape.as_mut().unwrap().dim[at].value = dim;
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let (input, output) = (inputs.iter().map(|i| (*i).into()).collect(), vec![output.to_owned()]);
    NodeProto { input, output, name: String::new(), op_type: op.into(), attribute: Vec::new() }
}

#[test]
fn the_graphs_come_back_as_they_were_written() {
    let pair = shipped();
    let bundle = opened(&pair).unwrap();
    bundle.check_architecture().unwrap();
    assert_eq!((bundle.architecture(), bundle.input_size()), (Architecture::Onnx, SIZE));
    assert_eq!(bundle.normalization(), Normalization::SEGMENT_ANYTHING);
    assert_eq!(bundle.manifest().precision, Precision::F32);
    for (found, expected) in graphs(&bundle).iter().zip(&pair) {
        assert!(found.proto() == expected.proto());
    }
    assert_eq!(bundle.id().split_once('@').unwrap().1, opened(&pair).unwrap().id().split_once('@').unwrap().1);
}

#[test]
fn other_sizes_and_batches_are_refused() {
    let bundle = opened(&shipped()).unwrap();
    let message = bundle.image_encoder_onnx(InputSize::square(512)).unwrap_err().to_string();
    assert!(message.contains("64x96") && message.contains("512x512") && message.contains("export"), "{message}");
    assert!(bundle.mask_decoder_onnx(DecoderShape { embedding: (4, 4), ..SHAPE }).is_err());
    let message =
        bundle.mask_decoder_onnx(DecoderShape { prompts: Dim::Symbol("b"), ..SHAPE }).unwrap_err().to_string();
    assert!(message.contains("one prompt"), "{message}");
    assert!(bundle.mask_decoder_onnx(DecoderShape { points: Dim::Fixed(3), ..SHAPE }).is_ok());
}

#[test]
fn a_manifest_says_what_files_do_not() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &shipped());
    let manifest = folder.path().join("manifest.json");
    let text = r#"{"name": "mine", "normalization": {"mean": [1, 2, 3], "std": [4, 5, 6]}, "licence": "MIT"}"#;
    std::fs::write(&manifest, text).unwrap();
    let bundle = Bundle::open(folder.path()).unwrap();
    assert_eq!((bundle.name(), bundle.manifest().licence.as_str()), ("mine", "MIT"));
    assert_eq!(bundle.normalization(), Normalization { mean: [1.0, 2.0, 3.0], std: [4.0, 5.0, 6.0] });
    std::fs::write(&manifest, r#"{"input_size": {"height": 64, "width": 64}}"#).unwrap();
    let message = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("64x64") && message.contains("64x96"), "{message}");
    for wrong in [r#"{"normalization": {"mean": [1, 2, 3], "std": [0, 5, 6]}}"#, r#"{"name": 3}"#] {
        std::fs::write(&manifest, wrong).unwrap();
        assert!(matches!(Bundle::open(folder.path()), Err(Error::Malformed { .. })), "{wrong}");
    }
    // That of a bundle is no manifest of these files.
    std::fs::write(&manifest, r#"{"architecture": "cutout_s"}"#).unwrap();
    assert!(!Bundle::is_onnx_folder(folder.path()));
}

#[test]
fn what_the_masks_do_not_need_is_cut() {
    let [encoder, mut decoder] = shipped();
    let expected = decoder.clone();
    let g = graph(&mut decoder);
    g.input.push(ValueInfoProto { name: "orig_im_size".into(), ..g.input[0].clone() });
    g.output.insert(0, ValueInfoProto { name: "masks".into(), ..g.output[0].clone() });
    g.node.push(node("Resize", &["low_res_masks", "orig_im_size"], "masks"));
    let bundle = opened(&[encoder, decoder]).unwrap();
    assert!(graphs(&bundle)[1].proto() == expected.proto());
}

#[test]
fn names_of_the_two_graphs_do_not_collide() {
    let [encoder, mut decoder] = shipped();
    let (own, taken) = ("mask_decoder.iou_prediction_head.layers.0.bias", "image_encoder.skip_s1.weight");
    let g = graph(&mut decoder);
    g.initializer.iter_mut().filter(|t| t.name == own).for_each(|t| t.name = taken.into());
    g.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == own).for_each(|i| *i = taken.into());
    let bundle = opened(&[encoder, decoder]).unwrap();
    let shape = |name: &str| bundle.weights().get(name).unwrap().shape().to_vec();
    assert_eq!(shape(taken), [64, 32, 1, 1]);
    assert_eq!(shape(&format!("mask_decoder/{taken}")), [256]);
    bundle.check_architecture().unwrap();
}

#[test]
fn foreign_graphs_are_refused_with_what_is_expected() {
    type Change = fn(&mut [OnnxModel; 2]);
    let cases: [(&str, Change, &[&str]); 11] = [
        (
            "another name",
            |p| {
                let g = graph(&mut p[0]);
                value(&mut g.input, "image").name = "x".into();
                g.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == "image").for_each(|i| *i = "x".into());
            },
            &["x [1, 3, 64, 96]", "image [1, 3, H, W]"],
        ),
        (
            "dynamic height",
            |p| set_dim(&mut graph(&mut p[0]).input[0], 2, Some(DimensionValue::DimParam("height".into()))),
            &["H and W fixed", "image [1, 3, ?, 96]"],
        ),
        (
            "no multiple of 16",
            |p| set_dim(&mut graph(&mut p[0]).input[0], 3, Some(DimensionValue::DimValue(100))),
            &["100"],
        ),
        ("no embedding", |p| graph(&mut p[0]).output.retain(|o| o.name != "image_embeddings"), &["image_embeddings"]),
        (
            "another width",
            |p| set_dim(value(&mut graph(&mut p[0]).output, "image_embeddings"), 1, Some(DimensionValue::DimValue(64))),
            &["image_embeddings [1, 64, 4, 6]", "256"],
        ),
        (
            "one skip only",
            |p| graph(&mut p[0]).output.retain(|o| o.name != "high_res_s1"),
            &["high_res_s0", "high_res_s1"],
        ),
        (
            "a fixed number of points",
            |p| set_dim(value(&mut graph(&mut p[1]).input, "point_coords"), 1, Some(DimensionValue::DimValue(2))),
            &["point_coords [1, 2, 2]", "N dynamic"],
        ),
        ("no scores", |p| graph(&mut p[1]).output.retain(|o| o.name != "iou_predictions"), &["iou_predictions [B, 4]"]),
        (
            "labels that are integers",
            |p| {
                let labels = value(&mut graph(&mut p[1]).input, "point_labels");
                labels.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = 7;
            },
            &["point_labels [1, ?] of int64", "float32"],
        ),
        (
            "masks of a further input",
            |p| {
                let g = graph(&mut p[1]);
                g.input.push(ValueInfoProto { name: "temperature".into(), ..g.input[0].clone() });
                g.node.iter_mut().find(|n| n.op_type == "Softmax").unwrap().input[0] = "temperature".into();
            },
            &["temperature"],
        ),
        ("an old operator set", |p| p[0].proto_mut().opset_import[0].version = 11, &["operator set 11", "13"]),
    ];
    for (name, change, expected) in cases {
        let mut pair = shipped();
        change(&mut pair);
        let error = opened(&pair).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. } | Error::Refused { .. }), "{name}: {error:?}");
        let message = error.to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{name}: {message}");
        assert!(message.contains(ENCODER_FILE) || message.contains(DECODER_FILE), "{name}: {message}");
    }
}

#[test]
fn missing_and_damaged_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let [encoder, decoder] = shipped();
    encoder.write(&folder.path().join(ENCODER_FILE)).unwrap();
    let message = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains(DECODER_FILE) && message.contains("belong together"), "{message}");
    let bytes = decoder.to_bytes();
    std::fs::write(folder.path().join(DECODER_FILE), &bytes[..bytes.len() / 2]).unwrap();
    let message = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains(DECODER_FILE) && message.contains("damaged"), "{message}");
}

fn affine() -> Affine {
    Affine { scale: 0.01, zero: 7 }
}

#[test]
fn it_is_quantised_written_and_opened_again() {
    let bundle = opened(&shipped()).unwrap();
    let folded = bundle.folded().unwrap();
    let linear = "mask_decoder.transformer.layers.0.mlp.lin1.weight";
    // Matrices are [outputs, inputs] in a bundle, whatever the graph has.
    assert_eq!(folded.weights().get(linear).unwrap().shape(), [2048, 256]);
    let names = ["image_encoder.backbone.03.weight", "image_encoder.neck.pw1.weight", linear];
    let weights: BTreeMap<String, Option<Vec<f32>>> = names.map(|name| (name.to_owned(), None)).into();
    let activations: BTreeMap<String, Affine> =
        ["image", "image_encoder/backbone/03/Conv"].map(|name| (name.to_owned(), affine())).into();
    let table = Quantization { activations: activations.clone(), method: BTreeMap::new() };
    let int8 = folded.to_int8(&weights, table.clone()).unwrap();
    assert_eq!(int8.manifest().precision, Precision::Int8);

    // The same as quantising the written graphs by the largest magnitude of each output.
    let scales_of = |name: &str| -> Vec<f32> {
        let values = folded.weights().to_f32(name).unwrap();
        let rows = values.outer_iter();
        rows.map(|row| row.iter().fold(0.0_f32, |most, w| most.max(w.abs())) / 127.0).collect()
    };
    let [encoder, decoder] = shipped();
    let of_encoder = names[..2].iter().map(|name| ((*name).to_owned(), scales_of(name))).collect();
    let of_decoder = BTreeMap::from([(linear.to_owned(), scales_of(linear))]);
    let expected =
        [encoder.quantized(&activations, &of_encoder).unwrap(), decoder.quantized(&activations, &of_decoder).unwrap()];
    for (found, expected) in graphs(&int8).iter().zip(&expected) {
        assert!(found.proto() == expected.proto());
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("int8");
    let written = int8.write(&path, Precision::Int8).unwrap();
    let again = Bundle::open(&path).unwrap();
    again.verify().unwrap();
    again.check_architecture().unwrap();
    assert_eq!((again.id(), again.manifest().precision), (written.id(), Precision::Int8));
    assert_eq!(again.manifest().quantization, Some(table));
    for (found, expected) in graphs(&again).iter().zip(&expected) {
        assert!(found.proto() == expected.proto());
    }
    assert!(matches!(folded.write(&path, Precision::F16), Err(Error::Refused { .. })));
    assert!(matches!(again.folded().unwrap().to_int8(&weights, Quantization::default()), Err(Error::Mismatch { .. })));
}

#[test]
fn a_tensor_that_is_set_is_in_the_graph() {
    let mut bundle = opened(&shipped()).unwrap();
    let (name, before) = ("mask_decoder.transformer.layers.0.mlp.lin1.weight", bundle.id());
    let mut values = bundle.weights().to_f32(name).unwrap();
    values[[3, 5]] = 42.0;
    bundle.set(name, &values).unwrap();
    assert_ne!(bundle.id(), before);
    let mut decoder = bundle.mask_decoder_onnx(SHAPE).unwrap();
    let constant = graph(&mut decoder).initializer.iter().find(|t| t.name == name).unwrap().clone();
    assert_eq!(constant.dims, [256, 2048]);
    let at = 4 * (5 * 2048 + 3);
    assert_eq!(constant.raw_data[at..at + 4], 42.0_f32.to_le_bytes());
}

#[test]
fn constants_of_several_layers_are_copied() {
    let [mut encoder, decoder] = shipped();
    let [kept, shared] = ["image_encoder.neck.lateral5.bias", "image_encoder.neck.context.bias"];
    let g = graph(&mut encoder);
    g.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == shared).for_each(|i| *i = kept.into());
    let bundle = opened(&[encoder, decoder]).unwrap();
    let copy = format!("{kept}/copy1");
    assert_eq!(bundle.weights().to_f32(&copy).unwrap(), bundle.weights().to_f32(kept).unwrap());
    assert!(!bundle.weights().contains(shared));
    let found = graphs(&bundle)[0].clone();
    let nodes = &found.proto().graph.as_ref().unwrap().node;
    assert_eq!(nodes.iter().filter(|n| n.input.contains(&copy)).count(), 1);
}

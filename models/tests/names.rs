//! What a value is called does not depend on the input size, and parameters keep their names.

use std::collections::BTreeMap;

use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::arch::{InputSize, sam_vit, tiny_vit};
use cutout_models::onnx::{Dim, OnnxModel};
use cutout_models::{Architecture, Bundle};

mod graph_support;

use graph_support::{graph, sam_vit_shapes, tiny_vit_shapes};

/// Operator and outputs of each node, and `constant` for each constant, by name.
fn described(model: &OnnxModel) -> BTreeMap<&str, (&str, Vec<&str>)> {
    let graph = graph(model);
    let nodes = graph.node.iter().map(|n| (n.name.as_str(), n.op_type.as_str(), &n.output[..]));
    let constants = graph.initializer.iter().map(|t| (t.name.as_str(), "constant", &[][..]));
    let all: Vec<_> = nodes.chain(constants).collect();
    let by_name: BTreeMap<_, _> =
        all.iter().map(|(name, op, outputs)| (*name, (*op, outputs.iter().map(String::as_str).collect()))).collect();
    assert_eq!(by_name.len(), all.len(), "a name is given twice");
    by_name
}

/// Those of `b` are those of `a`, but for what incomplete windows need.
fn assert_same(a: &OnnxModel, b: &OnnxModel) {
    let regular = |model| {
        let mut nodes = described(model);
        nodes.retain(|name, _| !name.contains("/pad/") && !name.contains("/crop/"));
        nodes
    };
    assert_eq!(regular(a), regular(b));
}

#[test]
fn encoders_have_the_same_names_at_every_size() {
    let tiny_vit = tiny_vit_shapes().stand_in();
    let at = |h, w| tiny_vit::image_encoder(&tiny_vit, InputSize::new(h, w)).unwrap();
    let square = at(1024, 1024);
    // All windows are complete at 448x448; at 448x640 those of some stages are not.
    for other in [at(576, 1024), at(448, 448), at(448, 640)] {
        assert_same(&square, &other);
    }
    assert!(described(&at(448, 448)).len() < described(&square).len(), "no windows were incomplete");

    let sam = sam_vit_shapes().stand_in();
    let at = |h, w| sam_vit::image_encoder(&sam, InputSize::new(h, w)).unwrap();
    assert_same(&at(320, 320), &at(192, 320));
    assert_same(&at(320, 320), &at(224, 224));

    let shipped = Bundle::shipped().unwrap();
    assert_eq!(shipped.architecture(), Architecture::CutoutS);
    let at = |h, w| shipped.image_encoder_onnx(InputSize::new(h, w)).unwrap();
    assert_eq!(described(&at(512, 512)), described(&at(288, 512)));
}

#[test]
fn decoders_have_the_same_names_at_every_size_and_number_of_points() {
    let shipped = Bundle::shipped().unwrap();
    let of = |points, embedding| {
        shipped.mask_decoder_onnx(DecoderShape { prompts: Dim::Fixed(1), points, embedding }).unwrap()
    };
    let square = of(Dim::Fixed(2), (32, 32));
    assert_eq!(described(&square), described(&of(Dim::Fixed(7), (18, 32))));
    assert_eq!(described(&square), described(&of(Dim::Symbol("points"), (32, 18))));
}

#[test]
fn constants_that_are_parameters_bear_their_names() {
    let shipped = Bundle::shipped().unwrap();
    let shape = DecoderShape { prompts: Dim::Fixed(1), points: Dim::Fixed(1), embedding: (2, 2) };
    for model in [shipped.image_encoder_onnx(InputSize::square(64)).unwrap(), shipped.mask_decoder_onnx(shape).unwrap()]
    {
        let graph = graph(&model);
        let constants: BTreeMap<_, _> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
        // Layer and batch norms, convolutions and linear maps all keep theirs. Products with what is computed from
        // parameters (positions, the table of labels) do not.
        let weights = graph.node.iter().flat_map(|node| match node.op_type.as_str() {
            "Conv" | "LayerNormalization" => node.input[1..].to_vec(),
            _ => Vec::new(),
        });
        for weight in weights {
            assert!(shipped.weights().contains(&weight), "{weight} is no parameter");
        }
        for (name, constant) in constants.iter().filter(|(name, _)| !name.contains('/')) {
            let stored = shipped.weights().get(name).unwrap_or_else(|| panic!("{name} is no parameter"));
            let elements: i64 = constant.dims.iter().product();
            // The bias of a transposed convolution serves all four quarters of a cell.
            let quarters = ["output_upscaling.0.bias", "output_upscaling.3.bias"].iter().any(|n| name.ends_with(n));
            let times = if quarters { 4 } else { 1 };
            assert_eq!(elements as usize, times * stored.shape().iter().product::<usize>(), "{name}");
        }
    }
}

#[test]
fn values_are_called_by_where_they_are() {
    let shipped = Bundle::shipped().unwrap();
    let model = shipped.image_encoder_onnx(InputSize::square(64)).unwrap();
    let conv = graph(&model).node.iter().find(|n| n.name == "image_encoder/backbone/03/Conv").unwrap();
    assert_eq!(conv.output, ["image_encoder/backbone/03/Conv"]);
    assert_eq!(conv.input[1..], ["image_encoder.backbone.03.weight", "image_encoder.backbone.03.bias"]);

    let tiny_vit = tiny_vit::image_encoder(&tiny_vit_shapes().stand_in(), InputSize::square(64)).unwrap();
    let conv = graph(&tiny_vit).node.iter().find(|n| n.name == "image_encoder/patch_embed/0/Conv").unwrap();
    let path = "image_encoder.patch_embed.seq.0.c";
    assert_eq!(conv.input[1..], [format!("{path}.weight"), format!("{path}.bias")]);
}

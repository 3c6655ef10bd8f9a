//! A folded bundle is the same model: its tensors are the constants of the graphs, one for one.

use cutout_models::arch::InputSize;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::checkpoint::StateDict;
use cutout_models::onnx::{Dim, OnnxModel};
use cutout_models::registry::{MOBILE_SAM, SAM_VIT_B};
use cutout_models::{Bundle, Error, Manifest, ModelSpec, Precision, standin};
use ndarray::ArrayD;

mod graph_support;

use graph_support::{Shapes, constant, decoder_shapes, graph, sam_vit_shapes, tiny_vit_shapes};

/// A narrow model of that architecture, with the full mask decoder.
fn bundle(spec: &ModelSpec, encoder: &Shapes) -> Bundle {
    let decoder = decoder_shapes();
    let encoder = encoder.0.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
    let all = encoder.chain(decoder.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())));
    let manifest = Manifest { input_size: InputSize::square(320), ..Manifest::of(spec) };
    Bundle::from_parts(manifest, &standin::state_dict(all, 7)).unwrap()
}

fn bundles() -> [Bundle; 3] {
    [Bundle::shipped().unwrap(), bundle(&MOBILE_SAM, &tiny_vit_shapes()), bundle(&SAM_VIT_B, &sam_vit_shapes())]
}

fn graphs(bundle: &Bundle, (h, w): (usize, usize)) -> [OnnxModel; 2] {
    let shape = DecoderShape { prompts: Dim::Symbol("prompts"), points: Dim::Fixed(3), embedding: (h / 16, w / 16) };
    [bundle.image_encoder_onnx(InputSize::new(h, w)).unwrap(), bundle.mask_decoder_onnx(shape).unwrap()]
}

fn assert_same(a: &Bundle, b: &Bundle) {
    for size in [(320, 320), (160, 288)] {
        for (a, b) in graphs(a, size).iter().zip(&graphs(b, size)) {
            // Whole messages: nodes, names and the bits of constants.
            assert!(a.proto() == b.proto(), "other graphs at {size:?}");
        }
    }
}

#[test]
fn a_folded_bundle_builds_the_same_graphs() {
    for plain in bundles() {
        let folded = plain.folded().unwrap();
        assert!(folded.weights().is_folded() && !plain.weights().is_folded());
        assert!(!folded.weights().names().any(|name| name.contains(".bn.")), "{}", plain.name());
        assert_same(&plain, &folded);
        assert_ne!(plain.id(), folded.id());
        assert_eq!(folded.folded().unwrap().id(), folded.id());
        folded.check_architecture().unwrap();
    }
}

#[test]
fn folded_weights_survive_their_file() {
    let folder = tempfile::tempdir().unwrap();
    for plain in bundles() {
        let path = folder.path().join(plain.name());
        plain.folded().unwrap().write(&path, Precision::F32).unwrap();
        let opened = Bundle::open(&path).unwrap();
        opened.verify().unwrap();
        assert!(opened.weights().is_folded());
        assert_same(&plain, &opened);
    }
}

#[test]
fn tensors_are_constants_one_for_one() {
    for plain in bundles() {
        let mut folded = plain.folded().unwrap();
        let names: Vec<String> = folded.weights().names().map(str::to_owned).collect();
        let [encoder, decoder] = graphs(&folded, (320, 320));
        let mut constants = 0;
        for name in names {
            let Some(before) =
                [&encoder, &decoder].iter().find_map(|m| graph(m).initializer.iter().find(|t| t.name == name))
            else {
                continue;
            };
            constants += 1;
            // Every element of the tensor is an element of the constant: a matrix lies the other way round.
            let values = folded.weights().to_f32(&name).unwrap();
            let found = graph_support::floats(before);
            let same = values.iter().eq(&found);
            let transposed = values.view().reversed_axes().iter().eq(&found);
            assert!(same || transposed && values.ndim() == 2, "{name}");
        }
        assert!(constants > 80, "{}: {constants}", plain.name());

        let name = "mask_decoder.transformer.layers.1.mlp.lin2.bias";
        folded.set(name, &ArrayD::from_elem(vec![256], 0.5)).unwrap();
        let [encoder_after, decoder_after] = graphs(&folded, (320, 320));
        assert!(encoder.proto() == encoder_after.proto());
        assert_eq!(graph_support::floats(constant(graph(&decoder_after), name)), [0.5; 256]);
        assert_ne!(folded.id(), plain.folded().unwrap().id());
    }
}

#[test]
fn only_what_is_there_may_be_set() {
    let plain = Bundle::shipped().unwrap();
    let name = "image_encoder.backbone.03.bias";
    let values: ArrayD<f32> = plain.weights().to_f32(name).unwrap();
    assert!(matches!(plain.clone().set(name, &values), Err(Error::Mismatch { .. })));
    let mut folded = plain.folded().unwrap();
    folded.set(name, &values).unwrap();
    for (name, values) in [(name, ArrayD::zeros(vec![3])), ("image_encoder.backbone.99.bias", values)] {
        let message = folded.set(name, &values).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_folded_bundle_needs_its_biases() {
    let folded = bundle(&MOBILE_SAM, &tiny_vit_shapes()).folded().unwrap();
    let missing = "image_encoder.patch_embed.seq.0.c.bias";
    let mut weights = StateDict::new();
    for name in folded.weights().names().filter(|name| *name != missing) {
        weights.insert(name, &folded.weights().to_f32(name).unwrap());
    }
    weights.insert_metadata("folded", "1");
    let holed = Bundle::from_parts(folded.manifest().clone(), &weights).unwrap();
    assert_eq!(holed.check_architecture().unwrap_err().to_string(), format!("tensor '{missing}' is missing"));
}

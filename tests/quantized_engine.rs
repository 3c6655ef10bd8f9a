//! A quantised graph runs in integers, gives the same bytes at every SIMD level and with any number of threads, and means what ONNX says
//! that it means.

use std::collections::BTreeMap;

use cutout_models::arch::InputSize;
use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::ValueInfoProto;
use cutout_models::registry::MOBILE_SAM;
use cutout_models::{Bundle, Manifest};
use cutout_quantize::points::Points;
use cutout_quantize::ranges;
use cutout_runtime::SimdLevel;
use cutout_runtime::engine::{Inputs, LevelImage, Network, Operators, Precision, Tensor, Threads};
use ndarray::ArrayViewD;

#[path = "../models/tests/graph_support/mod.rs"]
mod graph_support;

use graph_support::tiny_vit_shapes;

/// A picture with edges and slopes.
fn levels(InputSize { height, width }: InputSize) -> Vec<u8> {
    let level = |i: usize| {
        let (plane, y, x) = (i / (height * width), i / width % height, i % width);
        let (dx, dy) = (x as f32 - width as f32 / 2.0, y as f32 - height as f32 / 3.0);
        let inside = dx * dx + dy * dy < (height as f32 / 4.0).powi(2);
        let base = if inside { 190 } else { 60 + 80 * x / width };
        (base + 13 * plane + (x * 7 + y * 11) % 17) as u8
    };
    (0..3 * height * width).map(level).collect()
}

fn normalised(bundle: &Bundle, input: InputSize) -> Tensor {
    let (plane, n) = (input.height * input.width, bundle.normalization());
    let number = |(i, level): (usize, u8)| (f32::from(level) - n.mean[i / plane]) / n.std[i / plane];
    let values = levels(input).into_iter().enumerate().map(number).collect();
    Tensor::new([1, 3, input.height, input.width], values).unwrap()
}

fn load(model: OnnxModel, bundle: &Bundle, operators: Operators, threads: usize) -> Network {
    let inputs = Inputs { levels: Some(("image", bundle.normalization())), ..Inputs::default() };
    let threads = Threads::new(threads).unwrap();
    Network::load("image encoder", model, inputs, operators, Precision::F32, &threads).unwrap()
}

/// The encoder of a bundle, with every point and every weight in bytes; ranges are those of the picture itself.
fn quantized(bundle: &Bundle, input: InputSize) -> OnnxModel {
    let bundle = bundle.folded().unwrap();
    let model = bundle.image_encoder_onnx(input).unwrap();
    let points = Points::of(&model).unwrap();
    let mut observed = model.clone();
    let outputs = &mut observed.proto_mut().graph.as_mut().unwrap().output;
    *outputs = points.points[1..].iter().map(|p| ValueInfoProto { name: p.value.clone(), r#type: None }).collect();
    let image = normalised(&bundle, input);
    let values = load(observed, &bundle, Operators::default(), 2).run(&[("image", &image)]).unwrap();
    let mut activations = BTreeMap::from([("image".to_owned(), ranges::of_image(bundle.normalization()))]);
    for (point, tensor) in points.points[1..].iter().zip(&values) {
        let (low, high) = tensor.values().iter().fold((0.0f32, 0.0f32), |(l, h), v| (l.min(*v), h.max(*v)));
        activations.insert(point.value.clone(), ranges::affine(low.into(), high.into()));
    }
    let scales: BTreeMap<String, Vec<f32>> = points
        .layers
        .iter()
        .map(|l| {
            let weights = bundle.weights().to_f32(&l.weight).unwrap();
            let scale = |w: ArrayViewD<'_, f32>| w.iter().fold(1e-6f32, |most, v| most.max(v.abs())) / 127.0;
            (l.weight.clone(), weights.outer_iter().map(scale).collect())
        })
        .collect();
    model.quantized(&activations, &scales).unwrap()
}

fn bits(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    tensors.iter().map(|t| t.values().iter().map(|v| v.to_bits()).collect()).collect()
}

/// The root of the mean square of a difference, by that of the reference.
fn distance(reference: &Tensor, other: &Tensor) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let differences = &mut reference.values().iter().zip(other.values()).map(|(a, b)| a - b);
    (square(differences) / square(&mut reference.values().iter().copied())).sqrt()
}

fn agree(bundle: &Bundle, input: InputSize) {
    let model = quantized(bundle, input);
    let image = normalised(bundle, input);
    let exact = load(bundle.image_encoder_onnx(input).unwrap(), bundle, Operators::default(), 2);
    let exact = exact.run(&[("image", &image)]).unwrap();
    // tract computes what the pairs of QuantizeLinear and DequantizeLinear say, in f32.
    let theirs = load(model.clone(), bundle, Operators::Tract, 2).run(&[("image", &image)]).unwrap();
    let ours = load(model.clone(), bundle, Operators::default(), 2).run(&[("image", &image)]).unwrap();
    for ((exact, theirs), ours) in exact.iter().zip(&theirs).zip(&ours) {
        let (lost, lost_by_onnx, apart) = (distance(exact, ours), distance(exact, theirs), distance(theirs, ours));
        // Each is as far from the exact answer as the other: both round every value to one of 256.
        assert!(lost < 0.25, "{lost} is lost, {lost_by_onnx} by what ONNX says");
        assert!(lost < 1.25 * lost_by_onnx + 0.01, "{lost} is lost, {lost_by_onnx} by what ONNX says");
        assert!(apart < 1.5 * lost_by_onnx + 0.01, "{apart} apart where {lost_by_onnx} is lost");
    }
    let on_levels = LevelImage { levels: &levels(input), height: input.height, width: input.width };
    for level in SimdLevel::available() {
        for threads in [1, 2, 3] {
            let network = load(model.clone(), bundle, Operators::Own(level), threads);
            assert_eq!(network.precision().unwrap(), Precision::Int8);
            let what = format!("{level}, {threads} threads");
            assert!(bits(&network.run(&[("image", &image)]).unwrap()) == bits(&ours), "{what}: other bytes");
            assert!(network.takes_levels(), "{what}: it takes no levels");
            let from_levels = network.run_on_levels(on_levels).unwrap();
            assert!(bits(&from_levels) == bits(&ours), "{what}: other bytes from levels");
        }
    }
    for layer in load(model, bundle, Operators::default(), 2).profile_on_levels(on_levels, 1).unwrap() {
        assert_eq!(layer.precision, Precision::Int8, "{} ({}) ran in {}", layer.name, layer.operator, layer.precision);
        assert!(!layer.shape.is_empty(), "{} ({}) has no shape", layer.name, layer.operator);
    }
}

#[test]
fn the_shipped_encoder_runs_in_integers() {
    for input in [InputSize::new(96, 128), InputSize::new(160, 64)] {
        agree(&Bundle::shipped().unwrap(), input);
    }
}

#[test]
fn a_narrow_encoder_of_mobile_sam_runs_in_integers() {
    // The decoder plays no part; that of the shipped model will do.
    let mut weights = tiny_vit_shapes().stand_in();
    let shipped = Bundle::shipped().unwrap();
    for name in shipped.weights().names().filter(|name| !name.starts_with("image_encoder.")) {
        weights.insert(name, &shipped.weights().to_f32(name).unwrap());
    }
    let bundle = Bundle::from_parts(Manifest::of(&MOBILE_SAM), &weights).unwrap();
    // Windows that the map fills, and windows that reach beyond it.
    for input in [InputSize::new(448, 448), InputSize::new(96, 160)] {
        agree(&bundle, input);
    }
}

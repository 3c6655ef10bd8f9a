//! The image encoder graphs are well-formed, follow from the shapes of the tensors, carry the weights where the
//! architecture wants them, and are refused with a reason where they cannot be built.

use std::collections::HashSet;

use cutout_models::arch::{InputSize, cutout_s, sam_vit, tiny_vit};
use cutout_models::checkpoint::StateDict;
use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::NodeProto;
use cutout_models::{Error, Result};

mod graph_support;

use graph_support::{
    Shapes, VIT_CHANNELS, VIT_HEAD, VIT_SIDE, constant, constants_of, cutout_s_shapes, dims, floats, graph, ints,
    nodes, sam_vit_shapes, target, tiny_vit_shapes,
};

type Build = fn(&StateDict, InputSize) -> Result<OnnxModel>;

struct Architecture {
    name: &'static str,
    shapes: fn() -> Shapes,
    build: Build,
    multiple: usize,
}

const TINY_VIT: Architecture = Architecture {
    name: "tiny_vit",
    shapes: tiny_vit_shapes,
    build: tiny_vit::image_encoder,
    multiple: tiny_vit::SIZE_MULTIPLE,
};
const SAM_VIT: Architecture = Architecture {
    name: "sam_vit",
    shapes: sam_vit_shapes,
    build: sam_vit::image_encoder,
    multiple: sam_vit::SIZE_MULTIPLE,
};
const CUTOUT_S: Architecture = Architecture {
    name: "cutout_s",
    shapes: cutout_s_shapes,
    build: cutout_s::image_encoder,
    multiple: cutout_s::SIZE_MULTIPLE,
};
const ARCHITECTURES: [Architecture; 3] = [TINY_VIT, SAM_VIT, CUTOUT_S];

fn refusal(build: Build, weights: &StateDict, size: InputSize) -> String {
    match build(weights, size) {
        Err(Error::Mismatch { what }) => what,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("built at {size}"),
    }
}

#[test]
fn outputs_follow_from_the_input_size() {
    for Architecture { name, shapes, build, .. } in ARCHITECTURES {
        let weights = shapes().stand_in();
        for (h, w) in [(320, 320), (192, 320), (448, 64), (32, 32)] {
            let model = build(&weights, InputSize::new(h, w)).unwrap();
            let graph = graph(&model);
            let (h, w) = (h as i64, w as i64);
            assert_eq!(graph.input.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["image"]);
            assert_eq!(dims(&graph.input[0]), [1, 3, h, w], "{name}");
            let outputs: Vec<_> = graph.output.iter().map(|o| (o.name.as_str(), dims(o))).collect();
            let embeddings = ("image_embeddings", vec![1, 256, h / 16, w / 16]);
            if name == "cutout_s" {
                let s0 = ("high_res_s0", vec![1, 32, h / 4, w / 4]);
                assert_eq!(outputs, [embeddings, s0, ("high_res_s1", vec![1, 64, h / 8, w / 8])]);
            } else {
                assert_eq!(outputs, [embeddings]);
            }
        }
    }
}

#[test]
fn every_value_is_made_once_before_its_use() {
    for Architecture { name, shapes, build, .. } in ARCHITECTURES {
        let model = build(&shapes().stand_in(), InputSize::new(192, 320)).unwrap();
        let graph = graph(&model);
        let mut known = HashSet::new();
        for value in graph.input.iter().map(|i| &i.name).chain(graph.initializer.iter().map(|t| &t.name)) {
            assert!(known.insert(value.as_str()), "{name}: {value} exists twice");
        }
        let mut used = HashSet::new();
        for node in &graph.node {
            for input in &node.input {
                assert!(known.contains(input.as_str()), "{name}: {} reads {input} too early", node.name);
                used.insert(input.as_str());
            }
            for output in &node.output {
                assert!(known.insert(output), "{name}: {output} exists twice");
            }
        }
        used.extend(graph.output.iter().map(|o| o.name.as_str()));
        let idle: Vec<_> = known.difference(&used).collect();
        assert!(idle.is_empty(), "{name}: nothing reads {idle:?}");
    }
}

#[test]
fn sizes_that_do_not_divide_are_refused() {
    for Architecture { name, shapes, build, multiple } in ARCHITECTURES {
        let weights = shapes().stand_in();
        for (h, w) in [(0, 320), (320, multiple / 2), (321, 320), (320, 320 + multiple / 2), (1 << 40, 320)] {
            let size = InputSize::new(h, w);
            let message = refusal(build, &weights, size);
            assert!(message.contains(&size.to_string()), "{name}: {message}");
            assert!(message.contains(&format!("multiples of {multiple}")), "{name}: {message}");
        }
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let unused = |name: &str| name.ends_with("num_batches_tracked");
    for Architecture { name: architecture, shapes, build, .. } in ARCHITECTURES {
        let all = shapes();
        let keep = all.0.keys().filter(|n| !unused(n)).step_by(if architecture == "sam_vit" { 2 } else { 7 });
        for name in keep {
            let mut fewer = shapes();
            fewer.0.remove(name);
            let message = refusal(build, &fewer.zeros(), InputSize::square(64));
            assert_eq!(message, format!("tensor '{name}' is missing"), "{architecture}");
        }
    }
}

#[test]
fn a_tensor_of_another_shape_is_named() {
    let cases: [(Architecture, &str, &[usize]); 6] = [
        (TINY_VIT, "layers.2.blocks.5.attn.qkv.weight", &[16, 48]),
        (TINY_VIT, "layers.0.blocks.1.conv2.bn.running_var", &[31]),
        (TINY_VIT, "patch_embed.seq.0.c.weight", &[0, 3, 3, 3]),
        (SAM_VIT, "blocks.1.attn.rel_pos_w", &[27, VIT_HEAD]),
        (SAM_VIT, "pos_embed", &[1, VIT_SIDE, VIT_SIDE + 1, VIT_CHANNELS]),
        (CUTOUT_S, "backbone.50.bias", &[320, 1]),
    ];
    for (architecture, name, shape) in cases {
        let mut changed = (architecture.shapes)();
        changed.add(name, shape);
        let message = refusal(architecture.build, &changed.stand_in(), InputSize::square(64));
        assert!(message.contains(&format!("'image_encoder.{name}' has shape {shape:?}")), "{message}");
    }
}

#[test]
fn tables_that_fit_no_window_are_refused() {
    for biases in [[2, 48], [5, 49], [2, 33 * 33]] {
        let mut shapes = tiny_vit_shapes();
        shapes.add("layers.1.blocks.0.attn.attention_biases", &biases);
        let message = refusal(tiny_vit::image_encoder, &shapes.stand_in(), InputSize::square(64));
        assert!(message.contains("fit no square window"), "{message}");
    }
    for (entries, head) in [(29, VIT_HEAD), (27, 7)] {
        let mut shapes = sam_vit_shapes();
        shapes.add("blocks.0.attn.rel_pos_h", &[entries, head]);
        shapes.add("blocks.0.attn.rel_pos_w", &[entries, head]);
        refusal(sam_vit::image_encoder, &shapes.stand_in(), InputSize::square(64));
    }
}

#[test]
fn batch_norms_are_folded_into_the_convolutions() {
    let weights = tiny_vit_shapes().stand_in();
    let model = tiny_vit::image_encoder(&weights, InputSize::square(64)).unwrap();
    let graph = graph(&model);
    assert_eq!(nodes(graph, "BatchNormalization", "").count(), 0);
    let conv = nodes(graph, "Conv", "image_encoder/patch_embed").next().unwrap();
    let (folded, bias) = (floats(constant(graph, &conv.input[1])), floats(constant(graph, &conv.input[2])));

    let get = |name: &str| {
        let values = weights.to_f32(&format!("image_encoder.patch_embed.seq.0.{name}")).unwrap();
        values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()
    };
    let [raw, gamma, beta] = ["c.weight", "bn.weight", "bn.bias"].map(get);
    let [mean, variance] = ["bn.running_mean", "bn.running_var"].map(get);
    let taps = raw.len() / gamma.len();
    for channel in 0..gamma.len() {
        // The convolution of an all-ones patch, normalised afterwards, against the folded convolution of it.
        let plain: f64 = raw[channel * taps..][..taps].iter().sum();
        let expected = (plain - mean[channel]) / (variance[channel] + 1e-5).sqrt() * gamma[channel] + beta[channel];
        let found: f64 = folded[channel * taps..][..taps].iter().map(|&v| f64::from(v)).sum();
        assert!((found + f64::from(bias[channel]) - expected).abs() < 1e-5, "channel {channel}");
        let response = -mean[channel] / (variance[channel] + 1e-5).sqrt() * gamma[channel] + beta[channel];
        assert!((f64::from(bias[channel]) - response).abs() < 1e-6, "channel {channel} of a black patch");
    }
}

#[test]
fn tiny_vit_pads_its_grid_to_whole_windows() {
    // 448x640: stage 1 has 56x80 cells, a multiple of 7 in height only; stage 2 has 28x40 cells and windows of 14.
    let model = tiny_vit::image_encoder(&tiny_vit_shapes().stand_in(), InputSize::new(448, 640)).unwrap();
    let graph = graph(&model);
    let windows = |scope: &str| -> Vec<i64> {
        target(graph, nodes(graph, "Reshape", scope).find(|n| target(graph, n).len() == 5).unwrap())
    };
    assert_eq!(windows("image_encoder/layers.1/blocks.0/attn/"), [8, 7, 12, 7, 12]);
    assert_eq!(windows("image_encoder/layers.2/blocks.5/attn/"), [2, 14, 3, 14, 16]);
    assert_eq!(windows("image_encoder/layers.3/blocks.1/attn/"), [4, 7, 6, 7, 24]);
    // 448x448 makes every stage a multiple of its window: nothing to pad.
    let even = tiny_vit::image_encoder(&tiny_vit_shapes().stand_in(), InputSize::square(448)).unwrap();
    assert_eq!(nodes(graph_support::graph(&even), "Pad", "").count(), 0);
}

#[test]
fn tiny_vit_attention_biases_depend_on_distance() {
    let weights = tiny_vit_shapes().stand_in();
    let model = tiny_vit::image_encoder(&weights, InputSize::square(64)).unwrap();
    let scope = "image_encoder/layers.1/blocks.1/attn";
    let table = floats(constants_of(graph(&model), scope, &[2, 49, 49]).next().unwrap());
    let biases = weights.to_f32("image_encoder.layers.1.blocks.1.attn.attention_biases").unwrap();
    let at =
        |head: usize, (y, x): (usize, usize), (v, u): (usize, usize)| table[(head * 49 + y * 7 + x) * 49 + v * 7 + u];
    // Numbers of the distances (|dy|, |dx|) = (0, 0), (0, 1), (0, 6), (1, 0), (6, 6) in order of appearance.
    for head in 0..2 {
        assert_eq!(at(head, (3, 4), (3, 4)), biases[[head, 0]]);
        assert_eq!(at(head, (5, 2), (5, 1)), biases[[head, 1]]);
        assert_eq!(at(head, (2, 6), (2, 0)), biases[[head, 6]]);
        assert_eq!(at(head, (4, 4), (3, 4)), biases[[head, 7]]);
        assert_eq!(at(head, (0, 6), (6, 0)), biases[[head, 48]]);
    }
}

#[test]
fn the_attention_scale_is_in_the_keys() {
    let (c, dim) = (VIT_CHANNELS, VIT_HEAD);
    let weights = sam_vit_shapes().stand_in();
    let model = sam_vit::image_encoder(&weights, InputSize::square(64)).unwrap();
    let folded = constant(graph(&model), "image_encoder.blocks.0.attn.qkv.weight");
    assert_eq!(folded.dims, [c as i64, 3 * c as i64]);
    let folded = floats(folded);
    let raw = weights.to_f32("image_encoder.blocks.0.attn.qkv.weight").unwrap();
    for row in 0..3 * c {
        let scale = if row / c == 1 { (dim as f32).powf(-0.5) } else { 1.0 };
        for column in 0..c {
            assert!((folded[column * 3 * c + row] - scale * raw[[row, column]]).abs() < 1e-7, "{row}, {column}");
        }
    }
    // TinyViT: 4 heads of 4 channels in stage 2, each with its query, key and value together.
    let weights = tiny_vit_shapes().stand_in();
    let model = tiny_vit::image_encoder(&weights, InputSize::square(64)).unwrap();
    let folded = floats(constant(graph(&model), "image_encoder.layers.2.blocks.0.attn.qkv.bias"));
    let raw = weights.to_f32("image_encoder.layers.2.blocks.0.attn.qkv.bias").unwrap();
    for row in 0..48 {
        let scale = if (4..8).contains(&(row % 12)) { 0.5 } else { 1.0 };
        assert_eq!(folded[row], scale * raw[[row]], "{row}");
    }
}

#[test]
fn sam_positions_are_those_of_the_padded_square() {
    let weights = sam_vit_shapes().stand_in();
    let model = sam_vit::image_encoder(&weights, InputSize::new(192, 320)).unwrap();
    let graph = graph(&model);
    let (rows, columns, c, d) = (12, VIT_SIDE, VIT_CHANNELS, VIT_HEAD);

    let shape = [(rows * columns) as i64, c as i64];
    let absolute = constants_of(graph, "image_encoder/patch_embed", &shape).last().unwrap();
    let learned = weights.to_f32("image_encoder.pos_embed").unwrap();
    assert_eq!(floats(absolute), learned.iter().copied().take(rows * columns * c).collect::<Vec<_>>());

    // Only the second block is global: in the others windows of 14 use their 27 entries, whatever the grid.
    for (block, heights, widths) in [(0, 14, 14), (1, rows, columns), (2, 14, 14)] {
        let scope = format!("image_encoder/blocks.{block}/attn");
        for (axis, n) in [("h", heights), ("w", widths)] {
            let shape = [n as i64, d as i64, n as i64];
            let mut found = constants_of(graph, &scope, &shape).map(floats);
            let table = weights.to_f32(&format!("image_encoder.blocks.{block}.attn.rel_pos_{axis}")).unwrap();
            let middle = table.shape()[0] / 2;
            let at = |q: usize, k: usize, i: usize| table[[middle + q - k, i]];
            let expected: Vec<f32> = (0..n)
                .flat_map(|q| (0..d).flat_map(move |i| (0..n).map(move |k| (q, i, k))))
                .map(|(q, i, k)| at(q, k, i))
                .collect();
            assert!(found.any(|values| values == expected), "block {block}, axis {axis}");
        }
    }
}

#[test]
fn cutout_s_is_mobilenet_v2_at_stride_16() {
    let model = cutout_s::image_encoder(&cutout_s_shapes().stand_in(), InputSize::new(64, 96)).unwrap();
    let graph = graph(&model);
    let backbone: Vec<_> = nodes(graph, "Conv", "image_encoder/backbone/").collect();
    assert_eq!(backbone.len(), 51);
    let stride2 = |n: &&&NodeProto| ints(n, "strides") == [2, 2];
    let dilated = |n: &&&NodeProto| ints(n, "dilations") == [2, 2];
    let number = |n: &&NodeProto| n.name.split('/').nth(2).unwrap().to_owned();
    assert_eq!(backbone.iter().filter(stride2).map(number).collect::<Vec<_>>(), ["00", "04", "10", "19"]);
    assert_eq!(backbone.iter().filter(dilated).map(number).collect::<Vec<_>>(), ["43", "46", "49"]);
    // Padding keeps the resolution at stride 1: dilation times half the kernel.
    for conv in &backbone {
        let padding = ints(conv, "dilations")[0] * (ints(conv, "kernel_shape")[0] / 2);
        assert_eq!(ints(conv, "pads"), [padding; 4], "{}", conv.name);
    }
    // ReLU6 behind all but the 17 projections.
    assert_eq!(nodes(graph, "Clip", "image_encoder/backbone/").count(), 51 - 17);
    // Ten residual sums: repeats within a stage.
    assert_eq!(nodes(graph, "Add", "image_encoder/backbone/").count(), 10);
}

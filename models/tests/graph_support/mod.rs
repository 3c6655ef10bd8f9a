//! Parameter shapes of the networks, and reading what a graph holds.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;

use cutout_models::checkpoint::StateDict;
use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::{DimensionValue, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use cutout_models::standin;
use ndarray::ArrayD;

const SEED: u64 = 11;

/// Names and shapes of a network's parameters, below `image_encoder`.
#[derive(Default)]
pub(crate) struct Shapes(pub(crate) BTreeMap<String, Vec<usize>>);

impl Shapes {
    pub(crate) fn add(&mut self, name: impl std::fmt::Display, shape: &[usize]) {
        self.0.insert(format!("image_encoder.{name}"), shape.to_vec());
    }

    fn affine(&mut self, name: impl std::fmt::Display, channels: usize) {
        self.add(format!("{name}.weight"), &[channels]);
        self.add(format!("{name}.bias"), &[channels]);
    }

    /// A layer with a bias.
    fn layer(&mut self, name: impl std::fmt::Display, shape: &[usize]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    fn conv_bn(&mut self, name: impl std::fmt::Display, shape: &[usize]) {
        self.add(format!("{name}.c.weight"), shape);
        self.affine(format!("{name}.bn"), shape[0]);
        self.add(format!("{name}.bn.running_mean"), &shape[..1]);
        self.add(format!("{name}.bn.running_var"), &shape[..1]);
        self.add(format!("{name}.bn.num_batches_tracked"), &[]);
    }

    fn neck(&mut self, channels: usize) {
        self.add("neck.0.weight", &[256, channels, 1, 1]);
        self.affine("neck.1", 256);
        self.add("neck.2.weight", &[256, 256, 3, 3]);
        self.affine("neck.3", 256);
    }

    pub(crate) fn zeros(&self) -> StateDict {
        let mut out = StateDict::new();
        for (name, shape) in &self.0 {
            out.insert(name.as_str(), &ArrayD::zeros(shape.as_slice()));
        }
        out
    }

    pub(crate) fn stand_in(&self) -> StateDict {
        standin::state_dict(self.0.iter().map(|(n, s)| (n.as_str(), s.as_slice())), SEED)
    }
}

/// A TinyViT with the depths and windows of MobileSAM's, but narrow.
pub(crate) fn tiny_vit_shapes() -> Shapes {
    let (dims, depths, heads, windows) = ([8, 12, 16, 24], [2, 2, 6, 2], [0, 2, 4, 3], [0, 7, 14, 7]);
    let mut s = Shapes::default();
    s.conv_bn("patch_embed.seq.0", &[dims[0] / 2, 3, 3, 3]);
    s.conv_bn("patch_embed.seq.2", &[dims[0], dims[0] / 2, 3, 3]);
    for stage in 0..4 {
        let c = dims[stage];
        for i in 0..depths[stage] {
            let block = format!("layers.{stage}.blocks.{i}");
            if stage == 0 {
                s.conv_bn(format!("{block}.conv1"), &[4 * c, c, 1, 1]);
                s.conv_bn(format!("{block}.conv2"), &[4 * c, 1, 3, 3]);
                s.conv_bn(format!("{block}.conv3"), &[c, 4 * c, 1, 1]);
                continue;
            }
            s.add(format!("{block}.attn.attention_biases"), &[heads[stage], windows[stage] * windows[stage]]);
            s.affine(format!("{block}.attn.norm"), c);
            s.layer(format!("{block}.attn.qkv"), &[3 * c, c]);
            s.layer(format!("{block}.attn.proj"), &[c, c]);
            s.affine(format!("{block}.mlp.norm"), c);
            s.layer(format!("{block}.mlp.fc1"), &[4 * c, c]);
            s.layer(format!("{block}.mlp.fc2"), &[c, 4 * c]);
            s.conv_bn(format!("{block}.local_conv"), &[c, 1, 3, 3]);
        }
        if stage < 3 {
            let out = dims[stage + 1];
            s.conv_bn(format!("layers.{stage}.downsample.conv1"), &[out, c, 1, 1]);
            s.conv_bn(format!("layers.{stage}.downsample.conv2"), &[out, 1, 3, 3]);
            s.conv_bn(format!("layers.{stage}.downsample.conv3"), &[out, out, 1, 1]);
        }
    }
    s.neck(dims[3]);
    s
}

pub(crate) const VIT_SIDE: usize = 20;
pub(crate) const VIT_CHANNELS: usize = 24;
pub(crate) const VIT_HEAD: usize = 8;

/// A narrow ViT of Segment Anything for 320x320 inputs; its second block attends globally.
pub(crate) fn sam_vit_shapes() -> Shapes {
    let mut s = Shapes::default();
    s.add("pos_embed", &[1, VIT_SIDE, VIT_SIDE, VIT_CHANNELS]);
    s.layer("patch_embed.proj", &[VIT_CHANNELS, 3, 16, 16]);
    for (i, entries) in [27, 2 * VIT_SIDE - 1, 27].into_iter().enumerate() {
        s.affine(format!("blocks.{i}.norm1"), VIT_CHANNELS);
        s.add(format!("blocks.{i}.attn.rel_pos_h"), &[entries, VIT_HEAD]);
        s.add(format!("blocks.{i}.attn.rel_pos_w"), &[entries, VIT_HEAD]);
        s.layer(format!("blocks.{i}.attn.qkv"), &[3 * VIT_CHANNELS, VIT_CHANNELS]);
        s.layer(format!("blocks.{i}.attn.proj"), &[VIT_CHANNELS, VIT_CHANNELS]);
        s.affine(format!("blocks.{i}.norm2"), VIT_CHANNELS);
        s.layer(format!("blocks.{i}.mlp.lin1"), &[4 * VIT_CHANNELS, VIT_CHANNELS]);
        s.layer(format!("blocks.{i}.mlp.lin2"), &[VIT_CHANNELS, 4 * VIT_CHANNELS]);
    }
    s.neck(VIT_CHANNELS);
    s
}

/// The encoder of `cutout-s`, in full.
pub(crate) fn cutout_s_shapes() -> Shapes {
    let mut s = Shapes::default();
    let (mut index, mut channels) = (1, 32);
    let mut conv = |s: &mut Shapes, shape: &[usize]| {
        s.layer(format!("backbone.{index:02}"), shape);
        index += 1;
    };
    s.layer("backbone.00", &[32, 3, 3, 3]);
    for (expansion, out, repeats) in
        [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    {
        for _ in 0..repeats {
            let hidden = channels * expansion;
            if expansion > 1 {
                conv(&mut s, &[hidden, channels, 1, 1]);
            }
            conv(&mut s, &[hidden, 1, 3, 3]);
            conv(&mut s, &[out, hidden, 1, 1]);
            channels = out;
        }
    }
    s.layer("neck.lateral5", &[256, 320, 1, 1]);
    s.layer("neck.lateral4", &[256, 96, 1, 1]);
    s.layer("neck.lateral3", &[256, 32, 3, 3]);
    s.layer("neck.context", &[256, 320, 1, 1]);
    s.affine("neck.norm1", 256);
    s.layer("neck.dw", &[256, 1, 5, 5]);
    s.layer("neck.pw1", &[512, 256, 1, 1]);
    s.layer("neck.pw2", &[256, 512, 1, 1]);
    s.affine("neck.norm2", 256);
    s.layer("skip_s0", &[32, 24, 1, 1]);
    s.layer("skip_s1", &[64, 32, 1, 1]);
    s
}

/// Names and shapes of all parameters of the official prompt encoder and mask decoder.
pub(crate) fn decoder_shapes() -> Vec<(String, Vec<usize>)> {
    let mut all: Vec<(String, Vec<usize>)> = Vec::new();
    let mut module = |name: String, weight: &[usize], bias: usize| {
        all.push((format!("{name}.weight"), weight.to_vec()));
        if bias > 0 {
            all.push((format!("{name}.bias"), vec![bias]));
        }
    };
    for i in 0..4 {
        module(format!("prompt_encoder.point_embeddings.{i}"), &[1, 256], 0);
    }
    for name in ["not_a_point_embed", "no_mask_embed"] {
        module(format!("prompt_encoder.{name}"), &[1, 256], 0);
    }
    let down = "prompt_encoder.mask_downscaling";
    module(format!("{down}.0"), &[4, 1, 2, 2], 4);
    module(format!("{down}.1"), &[4], 4);
    module(format!("{down}.3"), &[16, 4, 2, 2], 16);
    module(format!("{down}.4"), &[16], 16);
    module(format!("{down}.6"), &[256, 16, 1, 1], 256);

    let transformer = "mask_decoder.transformer";
    let mut attentions = vec![(format!("{transformer}.final_attn_token_to_image"), 128)];
    for layer in (0..2).map(|i| format!("{transformer}.layers.{i}")) {
        attentions.push((format!("{layer}.self_attn"), 256));
        attentions.push((format!("{layer}.cross_attn_token_to_image"), 128));
        attentions.push((format!("{layer}.cross_attn_image_to_token"), 128));
        module(format!("{layer}.mlp.lin1"), &[2048, 256], 2048);
        module(format!("{layer}.mlp.lin2"), &[256, 2048], 256);
        for norm in 1..=4 {
            module(format!("{layer}.norm{norm}"), &[256], 256);
        }
    }
    for (attention, width) in attentions {
        for projection in ["q_proj", "k_proj", "v_proj"] {
            module(format!("{attention}.{projection}"), &[width, 256], width);
        }
        module(format!("{attention}.out_proj"), &[256, width], 256);
    }
    module(format!("{transformer}.norm_final_attn"), &[256], 256);

    module("mask_decoder.iou_token".into(), &[1, 256], 0);
    module("mask_decoder.mask_tokens".into(), &[4, 256], 0);
    module("mask_decoder.output_upscaling.0".into(), &[256, 64, 2, 2], 64);
    module("mask_decoder.output_upscaling.1".into(), &[64], 64);
    module("mask_decoder.output_upscaling.3".into(), &[64, 32, 2, 2], 32);
    let mut heads = vec![("mask_decoder.iou_prediction_head".to_owned(), 4)];
    heads.extend((0..4).map(|i| (format!("mask_decoder.output_hypernetworks_mlps.{i}"), 32)));
    for (head, outputs) in heads {
        module(format!("{head}.layers.0"), &[256, 256], 256);
        module(format!("{head}.layers.1"), &[256, 256], 256);
        module(format!("{head}.layers.2"), &[outputs, 256], outputs);
    }
    all.push(("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix".into(), vec![2, 128]));
    all
}

pub(crate) fn graph(model: &OnnxModel) -> &GraphProto {
    model.proto().graph.as_ref().expect("a graph")
}

pub(crate) fn dims(value: &ValueInfoProto) -> Vec<i64> {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).expect("a tensor");
    let shape = tensor.shape.as_ref().expect("a shape");
    let fixed = |value: &Option<DimensionValue>| match value {
        Some(DimensionValue::DimValue(n)) => *n,
        other => panic!("{other:?} is not fixed"),
    };
    shape.dim.iter().map(|d| fixed(&d.value)).collect()
}

pub(crate) fn nodes<'a>(graph: &'a GraphProto, op: &'a str, scope: &'a str) -> impl Iterator<Item = &'a NodeProto> {
    graph.node.iter().filter(move |n| n.op_type == op && n.name.starts_with(scope))
}

pub(crate) fn constant<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
    graph.initializer.iter().find(|t| t.name == name).expect("a constant")
}

pub(crate) fn floats(tensor: &TensorProto) -> Vec<f32> {
    assert_eq!(tensor.data_type, TensorProto::FLOAT);
    tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The constants of a given shape below `scope`.
pub(crate) fn constants_of<'a>(
    graph: &'a GraphProto,
    scope: &'a str,
    shape: &'a [i64],
) -> impl Iterator<Item = &'a TensorProto> {
    graph.initializer.iter().filter(move |t| t.name.starts_with(scope) && t.dims == shape)
}

pub(crate) fn ints(node: &NodeProto, attribute: &str) -> Vec<i64> {
    node.attribute.iter().find(|a| a.name == attribute).map(|a| a.ints.clone()).unwrap_or_default()
}

/// The target shape of a `Reshape`.
pub(crate) fn target(graph: &GraphProto, reshape: &NodeProto) -> Vec<i64> {
    let shape = constant(graph, &reshape.input[1]);
    shape.raw_data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
}

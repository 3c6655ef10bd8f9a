//! The image encoder of MobileSAM: TinyViT with the neck of Segment Anything.
//!
//! Sources: "TinyViT: Fast Pretraining Distillation for Small Vision Transformers" (Wu et al. 2022),
//! "Faster Segment Anything" (Zhang et al. 2023) and the latter's `mobile_sam/modeling/tiny_vit_sam.py`.
//! Depths, widths, heads and window sizes follow from the shapes of the tensors, so the 5M, 11M and
//! 21M variants all build. The classifier (`norm_head`, `head`) plays no part.

use ndarray::{ArrayD, IxDyn};

use crate::checkpoint::StateDict;
use crate::error::{Error, Result};
use crate::onnx::{ConvSpec, GraphBuilder, OnnxModel, Value};

use super::attention::{QkvOrder, SelfAttention};
use super::layers::{EMBEDDING_CHANNELS, TORCH_EPSILON, conv_bn, layer_norm, linear, neck};
use super::windows::Windows;
use super::{Grid, InputSize, Params};

/// Height and width of the input must be multiples of this many model pixels.
pub const SIZE_MULTIPLE: usize = 16;

const STAGES: usize = 4;

/// Side of the largest windows of a published variant, in tokens.
const MAX_WINDOW: usize = 32;

/// The graph of the image encoder for inputs of `input` model pixels.
///
/// Input `image`: float32 `[1, 3, H, W]`, normalised RGB, zero-padded. Output `image_embeddings`:
/// float32 `[1, 256, H/16, W/16]`. At 1024x1024 this is the official network; at other sizes it is
/// the same network on another number of windows, since nothing in it depends on absolute position.
///
/// # Errors
/// `Mismatch` if a side of `input` is no multiple of [`SIZE_MULTIPLE`], or a tensor is missing or of
/// another shape than the architecture needs.
pub fn image_encoder(weights: &StateDict, input: InputSize) -> Result<OnnxModel> {
    let out = input.multiple_of(SIZE_MULTIPLE)?;
    let p = Params::root(weights).sub("image_encoder");
    let mut g = GraphBuilder::new("image_encoder");
    let image = g.input("image", &[1.into(), 3.into(), input.height.into(), input.width.into()]);
    let embedding = g.scoped("image_encoder", |g| encode(g, &p, &image, input.into()))?;
    let shape = [1, EMBEDDING_CHANNELS, out.height, out.width].map(Into::into);
    g.output("image_embeddings", &embedding, &shape);
    Ok(g.finish())
}

fn encode(g: &mut GraphBuilder, p: &Params<'_>, image: &Value, input: Grid) -> Result<Value> {
    let (x, mut channels) = g.scoped("patch_embed", |g| patch_embed(g, &p.sub("patch_embed.seq"), image))?;
    let mut grid = input.halved().halved();
    let first = p.sub("layers.0");
    let mut x = g.scoped("layers.0", |g| conv_layer(g, &first, x, channels))?;
    (x, channels, grid) = merge(g, 0, &first, &x, channels, grid)?;
    for stage in 1..STAGES {
        let layer = p.sub(format!("layers.{stage}"));
        let mut tokens = grid.tokens(g, &x, channels);
        for i in 0..layer.list_len("blocks").max(1) {
            let block = layer.sub(format!("blocks.{i}"));
            let scope = format!("layers.{stage}/blocks.{i}");
            tokens = g.scoped(scope, |g| transformer_block(g, &block, tokens, channels, grid))?;
        }
        if stage + 1 == STAGES {
            return g.scoped("neck", |g| neck(g, &p.sub("neck"), &tokens, channels, grid));
        }
        x = grid.nchw(g, &tokens, channels);
        (x, channels, grid) = merge(g, stage, &layer, &x, channels, grid)?;
    }
    Ok(x)
}

/// Two 3x3 convolutions of stride 2. Returns the features and their channel count.
fn patch_embed(g: &mut GraphBuilder, p: &Params<'_>, image: &Value) -> Result<(Value, usize)> {
    let [half, ..] = p.dims::<4>("0.c.weight")?;
    let [channels, ..] = p.dims::<4>("2.c.weight")?;
    let stride2 = ConvSpec { stride: 2, padding: 1, ..ConvSpec::default() };
    let x = conv_bn(g, p, "0", image, [half, 3, 3, 3], stride2)?;
    let x = g.gelu(&x);
    let x = conv_bn(g, p, "2", &x, [channels, half, 3, 3], stride2)?;
    Ok((x, channels))
}

/// The first stage: inverted residuals whose last activation comes after the sum.
fn conv_layer(g: &mut GraphBuilder, p: &Params<'_>, mut x: Value, channels: usize) -> Result<Value> {
    for i in 0..p.list_len("blocks").max(1) {
        let block = p.sub(format!("blocks.{i}"));
        x = g.scoped(format!("blocks.{i}"), |g| -> Result<Value> {
            let [hidden, ..] = block.dims::<4>("conv1.c.weight")?;
            let y = conv_bn(g, &block, "conv1", &x, [hidden, channels, 1, 1], ConvSpec::default())?;
            let y = g.gelu(&y);
            let y = conv_bn(g, &block, "conv2", &y, [hidden, 1, 3, 3], depthwise(hidden, 1))?;
            let y = g.gelu(&y);
            let y = conv_bn(g, &block, "conv3", &y, [channels, hidden, 1, 1], ConvSpec::default())?;
            let sum = g.add(&x, &y);
            Ok(g.gelu(&sum))
        })?;
    }
    Ok(x)
}

/// `PatchMerging` at the end of stage `stage`. Returns the features, their channel count and their grid.
///
/// The official code keeps the resolution where the output is 320, 448 or 576 channels wide, which in
/// each variant is the step to the last stage.
fn merge(
    g: &mut GraphBuilder,
    stage: usize,
    layer: &Params<'_>,
    x: &Value,
    channels: usize,
    grid: Grid,
) -> Result<(Value, usize, Grid)> {
    let p = layer.sub("downsample");
    let [out, ..] = p.dims::<4>("conv1.c.weight")?;
    let (stride, grid) = if stage + 2 == STAGES { (1, grid) } else { (2, grid.halved()) };
    let x = g.scoped(format!("layers.{stage}/downsample"), |g| -> Result<Value> {
        let x = conv_bn(g, &p, "conv1", x, [out, channels, 1, 1], ConvSpec::default())?;
        let x = g.gelu(&x);
        let x = conv_bn(g, &p, "conv2", &x, [out, 1, 3, 3], depthwise(out, stride))?;
        let x = g.gelu(&x);
        conv_bn(g, &p, "conv3", &x, [out, out, 1, 1], ConvSpec::default())
    })?;
    Ok((x, out, grid))
}

/// `TinyViTBlock` on tokens: windowed attention, a depthwise convolution, a multi-layer perceptron.
fn transformer_block(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    tokens: Value,
    channels: usize,
    grid: Grid,
) -> Result<Value> {
    let y = g.scoped("attn", |g| attention(g, &p.sub("attn"), &tokens, channels, grid))?;
    let tokens = g.add(&tokens, &y);
    let x = grid.nchw(g, &tokens, channels);
    let x = conv_bn(g, p, "local_conv", &x, [channels, 1, 3, 3], depthwise(channels, 1))?;
    let tokens = grid.tokens(g, &x, channels);
    let y = g.scoped("mlp", |g| mlp(g, &p.sub("mlp"), &tokens, channels))?;
    Ok(g.add(&tokens, &y))
}

/// Attention within windows. The fill of incomplete windows is normalised and attended to like any token.
fn attention(g: &mut GraphBuilder, p: &Params<'_>, tokens: &Value, channels: usize, grid: Grid) -> Result<Value> {
    let [heads, offsets] = p.dims::<2>("attention_biases")?;
    let side = offsets.isqrt();
    if side * side != offsets || side > MAX_WINDOW || !channels.is_multiple_of(heads) {
        return Err(Error::mismatch(format!(
            "attention biases of shape [{heads}, {offsets}] fit no square window of {channels} channels"
        )));
    }
    let windows = Windows::new(grid, side, channels);
    let bias = bias_table(&p.get("attention_biases", &[heads, offsets])?, side);
    let x = windows.partition(g, tokens);
    let x = g.scoped("norm", |g| layer_norm(g, &p.sub("norm"), &x, channels, TORCH_EPSILON))?;
    let attention = SelfAttention {
        groups: windows.count(),
        length: side * side,
        heads,
        head_dim: channels / heads,
        order: QkvOrder::Heads,
    };
    let x = attention.build(g, p, &x, |g, _, scores| {
        let bias = g.constant(&bias.view());
        Ok(g.add(&scores, &bias))
    })?;
    Ok(windows.reverse(g, &x))
}

/// Biases (heads, side * side) by distance to biases (heads, tokens, tokens) by pair of tokens.
///
/// The official code numbers the distances (|dy|, |dx|) in order of first appearance while it walks
/// over all pairs; its first walk, from the top left token, meets all of them row by row.
fn bias_table(biases: &ArrayD<f32>, side: usize) -> ArrayD<f32> {
    let tokens = side * side;
    ArrayD::from_shape_fn(IxDyn(&[biases.shape()[0], tokens, tokens]), |at| {
        let (dy, dx) = ((at[1] / side).abs_diff(at[2] / side), (at[1] % side).abs_diff(at[2] % side));
        biases[[at[0], dy * side + dx]]
    })
}

fn mlp(g: &mut GraphBuilder, p: &Params<'_>, tokens: &Value, channels: usize) -> Result<Value> {
    let [hidden, _] = p.dims::<2>("fc1.weight")?;
    let x = g.scoped("norm", |g| layer_norm(g, &p.sub("norm"), tokens, channels, TORCH_EPSILON))?;
    let x = g.scoped("fc1", |g| linear(g, &p.sub("fc1"), &x, channels, hidden))?;
    let x = g.gelu(&x);
    g.scoped("fc2", |g| linear(g, &p.sub("fc2"), &x, hidden, channels))
}

/// A 3x3 convolution of each channel by itself.
fn depthwise(channels: usize, stride: usize) -> ConvSpec {
    ConvSpec { stride, padding: 1, dilation: 1, groups: channels }
}

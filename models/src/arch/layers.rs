//! Layers that several image encoders share, with the parameter names of `torch.nn`.

use ndarray::{ArrayD, Axis};

use crate::error::{Error, Result};
use crate::onnx::{ConvSpec, GraphBuilder, Parameter, Value};

use super::{Grid, Params};

/// `epsilon` of PyTorch's `BatchNorm2d` and `LayerNorm`.
pub(super) const TORCH_EPSILON: f32 = 1e-5;
/// `epsilon` of Segment Anything's `LayerNorm2d` and of the layer norms of its ViT.
pub(super) const SAM_EPSILON: f32 = 1e-6;
/// Channels of every image embedding.
pub(super) const EMBEDDING_CHANNELS: usize = 256;

/// `torch.nn.Linear(inputs, outputs)` on a value whose last dimension is `inputs`.
pub(super) fn linear(g: &mut GraphBuilder, p: &Params<'_>, x: &Value, inputs: usize, outputs: usize) -> Result<Value> {
    let weight = p.parameter("weight", &[outputs, inputs])?;
    let bias = p.parameter("bias", &[outputs])?;
    Ok(g.linear(x, &weight, Some(&bias)))
}

/// `torch.nn.LayerNorm(channels)`.
pub(super) fn layer_norm(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    x: &Value,
    channels: usize,
    epsilon: f32,
) -> Result<Value> {
    let gamma = p.parameter("weight", &[channels])?;
    let beta = p.parameter("bias", &[channels])?;
    Ok(g.layer_norm(x, &gamma, &beta, epsilon))
}

/// Segment Anything's `LayerNorm2d(channels)` on an NCHW value.
pub(super) fn layer_norm_2d(g: &mut GraphBuilder, p: &Params<'_>, x: &Value, channels: usize) -> Result<Value> {
    let gamma = p.parameter("weight", &[channels])?;
    let beta = p.parameter("bias", &[channels])?;
    Ok(g.layer_norm_2d(x, &gamma, &beta, SAM_EPSILON))
}

/// `torch.nn.Conv2d` with a bias; `shape` is (out, in / groups, kernel height, kernel width).
pub(super) fn conv(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    x: &Value,
    shape: [usize; 4],
    spec: ConvSpec,
) -> Result<Value> {
    let weight = p.parameter("weight", &shape)?;
    let bias = p.parameter("bias", &shape[..1])?;
    Ok(g.conv(x, &weight, Some(&bias), spec))
}

/// TinyViT's `Conv2d_BN` called `name`: convolution `c` without bias and batch norm `bn`, folded into one convolution.
pub(super) fn conv_bn(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    name: &str,
    x: &Value,
    shape: [usize; 4],
    spec: ConvSpec,
) -> Result<Value> {
    let (convolution, norm) = (p.sub(name).sub("c"), p.sub(name).sub("bn"));
    let mut weight = convolution.parameter("weight", &shape)?;
    let bias = if p.is_folded() {
        convolution.parameter("bias", &shape[..1])?
    } else {
        Parameter { name: convolution.path("bias"), values: fold_batch_norm(&mut weight.values, &norm)? }
    };
    Ok(g.scoped(name, |g| g.conv(x, &weight, Some(&bias), spec)))
}

/// Multiplies `weight` (out first) by the scale of the inference-time batch norm behind it and returns the bias.
fn fold_batch_norm(weight: &mut ArrayD<f32>, bn: &Params<'_>) -> Result<ArrayD<f32>> {
    let channels = [weight.shape()[0]];
    let gamma = bn.get("weight", &channels)?;
    let mean = bn.get("running_mean", &channels)?;
    let variance = bn.get("running_var", &channels)?;
    let mut bias = bn.get("bias", &channels)?;
    let statistics = gamma.iter().zip(&mean).zip(&variance);
    for ((mut row, b), ((&gamma, &mean), &variance)) in weight.axis_iter_mut(Axis(0)).zip(&mut bias).zip(statistics) {
        let scale = f64::from(gamma) / (f64::from(variance) + f64::from(TORCH_EPSILON)).sqrt();
        row.mapv_inplace(|w| (f64::from(w) * scale) as f32);
        *b = (f64::from(*b) - f64::from(mean) * scale) as f32;
    }
    Ok(bias)
}

/// The neck of Segment Anything's image encoders: tokens `[cells, channels]` to `[1, 256, height, width]`.
///
/// The first convolution is 1x1 and so acts on tokens as a linear layer.
pub(super) fn neck(g: &mut GraphBuilder, p: &Params<'_>, tokens: &Value, channels: usize, grid: Grid) -> Result<Value> {
    let wide = EMBEDDING_CHANNELS;
    let project = p.folded("0.weight", &[wide, channels, 1, 1], &[wide, channels], |kernel| {
        kernel.into_shape_with_order(vec![wide, channels]).map_err(|e| Error::mismatch(e.to_string()))
    })?;
    let x = g.scoped("0", |g| g.linear(tokens, &project, None));
    let x = g.scoped("1", |g| layer_norm(g, &p.sub("1"), &x, wide, SAM_EPSILON))?;
    let x = grid.nchw(g, &x, wide);
    let mix = p.parameter("2.weight", &[wide, wide, 3, 3])?;
    let x = g.scoped("2", |g| g.conv(&x, &mix, None, ConvSpec { padding: 1, ..ConvSpec::default() }));
    g.scoped("3", |g| layer_norm_2d(g, &p.sub("3"), &x, wide))
}

//! The image encoder of Cutout's own model: MobileNetV2 at output stride 16, a neck, and two
//! high-resolution skips.
//!
//! Sources: "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (Sandler et al. 2018); the neck
//! and the skips are defined by `train/model.py`, which trains these tensors under these names.

use crate::checkpoint::StateDict;
use crate::error::Result;
use crate::onnx::{ConvSpec, GraphBuilder, OnnxModel, Value};

use super::layers::{EMBEDDING_CHANNELS, conv, layer_norm_2d};
use super::{InputSize, Params};

/// Height and width of the input must be multiples of this many model pixels.
pub const SIZE_MULTIPLE: usize = 32;

const STEM: usize = 32;
const S0_CHANNELS: usize = 32;
const S1_CHANNELS: usize = 64;

/// An inverted residual: 1x1 expansion, 3x3 depthwise convolution, 1x1 projection.
struct Residual {
    expansion: usize,
    channels: usize,
    stride: usize,
    dilation: usize,
}

const fn residual(expansion: usize, channels: usize, stride: usize, dilation: usize) -> Residual {
    Residual { expansion, channels, stride, dilation }
}

/// Table 2 of the paper with the last stride of 2 exchanged for dilation.
const RESIDUALS: [Residual; 17] = [
    residual(1, 16, 1, 1),
    residual(6, 24, 2, 1),
    residual(6, 24, 1, 1),
    residual(6, 32, 2, 1),
    residual(6, 32, 1, 1),
    residual(6, 32, 1, 1),
    residual(6, 64, 2, 1),
    residual(6, 64, 1, 1),
    residual(6, 64, 1, 1),
    residual(6, 64, 1, 1),
    residual(6, 96, 1, 1),
    residual(6, 96, 1, 1),
    residual(6, 96, 1, 1),
    residual(6, 160, 1, 1),
    residual(6, 160, 1, 2),
    residual(6, 160, 1, 2),
    residual(6, 320, 1, 2),
];

/// Outputs of the backbone: the last features of 24, 32, 96 and 320 channels.
struct Taps {
    stride4: Value,
    stride8: Value,
    stride16: Value,
    deep: Value,
}

/// The graph of the image encoder for inputs of `input` model pixels.
///
/// Input `image`: float32 `[1, 3, H, W]`, normalised RGB, zero-padded. Outputs, float32:
/// `image_embeddings` `[1, 256, H/16, W/16]`, and for the mask decoder's upscaling `high_res_s0`
/// `[1, 32, H/4, W/4]` and `high_res_s1` `[1, 64, H/8, W/8]`.
///
/// # Errors
/// `Mismatch` if a side of `input` is no multiple of [`SIZE_MULTIPLE`], or a tensor is missing or of
/// another shape than the architecture needs.
pub fn image_encoder(weights: &StateDict, input: InputSize) -> Result<OnnxModel> {
    input.multiple_of(SIZE_MULTIPLE)?;
    let p = Params::root(weights).sub("image_encoder");
    let mut g = GraphBuilder::new("image_encoder");
    let image = g.input("image", &[1.into(), 3.into(), input.height.into(), input.width.into()]);
    let outputs = g.scoped("image_encoder", |g| encode(g, &p, &image))?;
    let names = ["image_embeddings", "high_res_s0", "high_res_s1"];
    let forms = [(EMBEDDING_CHANNELS, 16), (S0_CHANNELS, 4), (S1_CHANNELS, 8)];
    for ((name, value), (channels, stride)) in names.iter().zip(&outputs).zip(forms) {
        let shape = [1, channels, input.height / stride, input.width / stride].map(Into::into);
        g.output(name, value, &shape);
    }
    Ok(g.finish())
}

fn encode(g: &mut GraphBuilder, p: &Params<'_>, image: &Value) -> Result<[Value; 3]> {
    let taps = g.scoped("backbone", |g| backbone(g, &p.sub("backbone"), image))?;
    let embedding = g.scoped("neck", |g| neck(g, &p.sub("neck"), &taps))?;
    let pointwise = ConvSpec::default();
    let s0 = g.scoped("skip_s0", |g| conv(g, &p.sub("skip_s0"), &taps.stride4, [S0_CHANNELS, 24, 1, 1], pointwise))?;
    let s1 = g.scoped("skip_s1", |g| conv(g, &p.sub("skip_s1"), &taps.stride8, [S1_CHANNELS, 32, 1, 1], pointwise))?;
    Ok([embedding, s0, s1])
}

/// The convolutions of a [`Params`] list `00`, `01`, ..., taken in order.
struct Convolutions<'p, 'a> {
    params: &'p Params<'a>,
    next: usize,
}

impl Convolutions<'_, '_> {
    fn conv(&mut self, g: &mut GraphBuilder, x: &Value, shape: [usize; 4], spec: ConvSpec) -> Result<Value> {
        let name = format!("{:02}", self.next);
        self.next += 1;
        g.scoped(name.as_str(), |g| conv(g, &self.params.sub(&name), x, shape, spec))
    }

    fn conv_relu6(&mut self, g: &mut GraphBuilder, x: &Value, shape: [usize; 4], spec: ConvSpec) -> Result<Value> {
        let y = self.conv(g, x, shape, spec)?;
        Ok(g.clip(&y, 0.0, 6.0))
    }
}

fn backbone(g: &mut GraphBuilder, p: &Params<'_>, image: &Value) -> Result<Taps> {
    let mut list = Convolutions { params: p, next: 0 };
    let stem = ConvSpec { stride: 2, padding: 1, ..ConvSpec::default() };
    let mut x = list.conv_relu6(g, image, [STEM, 3, 3, 3], stem)?;
    let mut channels = STEM;
    let mut last = Vec::with_capacity(RESIDUALS.len());
    for r in &RESIDUALS {
        let hidden = channels * r.expansion;
        let mut y = x.clone();
        if r.expansion > 1 {
            y = list.conv_relu6(g, &y, [hidden, channels, 1, 1], ConvSpec::default())?;
        }
        let spread = ConvSpec { stride: r.stride, padding: r.dilation, dilation: r.dilation, groups: hidden };
        y = list.conv_relu6(g, &y, [hidden, 1, 3, 3], spread)?;
        y = list.conv(g, &y, [r.channels, hidden, 1, 1], ConvSpec::default())?;
        x = if r.stride == 1 && channels == r.channels { g.add(&x, &y) } else { y };
        channels = r.channels;
        last.push(x.clone());
    }
    Ok(Taps { stride4: last[2].clone(), stride8: last[5].clone(), stride16: last[12].clone(), deep: x })
}

/// Adds three levels and a global summary, and mixes the sum.
fn neck(g: &mut GraphBuilder, p: &Params<'_>, taps: &Taps) -> Result<Value> {
    let wide = EMBEDDING_CHANNELS;
    let pointwise = ConvSpec::default();
    let half = ConvSpec { stride: 2, padding: 1, ..pointwise };
    let layer = |g: &mut GraphBuilder, name: &str, x: &Value, shape: [usize; 4], spec: ConvSpec| {
        g.scoped(name, |g| conv(g, &p.sub(name), x, shape, spec))
    };
    let lateral5 = layer(g, "lateral5", &taps.deep, [wide, 320, 1, 1], pointwise)?;
    let lateral4 = layer(g, "lateral4", &taps.stride16, [wide, 96, 1, 1], pointwise)?;
    let lateral3 = layer(g, "lateral3", &taps.stride8, [wide, 32, 3, 3], half)?;
    let x = g.add(&lateral5, &lateral4);
    let x = g.add(&x, &lateral3);
    let mean = g.node("GlobalAveragePool", &[&taps.deep], &[]);
    let context = layer(g, "context", &mean, [wide, 320, 1, 1], pointwise)?;
    let context = g.relu(&context);
    let x = g.add(&x, &context);
    let x = g.scoped("norm1", |g| layer_norm_2d(g, &p.sub("norm1"), &x, wide))?;
    let spread = ConvSpec { padding: 2, groups: wide, ..pointwise };
    let y = layer(g, "dw", &x, [wide, 1, 5, 5], spread)?;
    let y = layer(g, "pw1", &y, [2 * wide, wide, 1, 1], pointwise)?;
    let y = g.relu(&y);
    let y = layer(g, "pw2", &y, [wide, 2 * wide, 1, 1], pointwise)?;
    let x = g.add(&x, &y);
    g.scoped("norm2", |g| layer_norm_2d(g, &p.sub("norm2"), &x, wide))
}

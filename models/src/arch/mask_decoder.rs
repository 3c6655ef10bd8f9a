//! The mask decoder with its prompt encoder, as one graph: one run answers a batch of prompts on
//! one image embedding (`PromptEncoder` and `MaskDecoder` of the official Segment Anything code).

use ndarray::Array;

use super::Params;
use super::layers::{SAM_EPSILON, layer_norm};
use super::prompt_encoder::{add_mask, embed_points, grid_positional_encoding};
use super::two_way_transformer::{WIDTH, linear, two_way_transformer};
use crate::checkpoint::StateDict;
use crate::error::{Error, Result};
use crate::onnx::{Attr, Dim, GraphBuilder, OnnxModel, Value};

/// Masks per prompt: the single answer, then the three of the ambiguity-aware answer.
const MASKS: usize = 4;

/// Channels after the first and after the second doubling of the resolution.
const UPSCALED: [usize; 2] = [WIDTH / 4, WIDTH / 8];

/// The dimensions that a decoder graph is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderShape {
    /// Prompts per run.
    pub prompts: Dim,
    /// Points per prompt, box corners and padding included. `Fixed(0)` gives a decoder of mask
    /// prompts only.
    pub points: Dim,
    /// Rows and columns of the image embedding; a cell is 16 x 16 model pixels.
    pub embedding: (usize, usize),
}

/// Emits the decoder as ONNX, for parameters under the official names `prompt_encoder.*` and
/// `mask_decoder.*`.
///
/// With B prompts of N points and an embedding of h x w cells, the inputs are, all float32:
///
/// | input | shape | is |
/// |---|---|---|
/// | `image_embeddings` | 1, 256, h, w | the image encoder's output |
/// | `high_res_s0` | 1, 32, 4 h, 4 w | its skip connection at stride 4 |
/// | `high_res_s1` | 1, 64, 2 h, 2 w | its skip connection at stride 8 |
/// | `point_coords` | B, N, 2 | x, y in model pixels of the padded 16 h x 16 w input |
/// | `point_labels` | B, N | 1 foreground, 0 background, 2 and 3 corners of a box, -1 padding |
/// | `mask_input` | B, 1, 4 h, 4 w | logits of an earlier answer; must be finite |
/// | `has_mask_input` | 1 | 1 if `mask_input` counts, else 0 |
///
/// The outputs are `low_res_masks` (B, 4, 4 h, 4 w), logits of token 0 and of tokens 1 to 3, and
/// `iou_predictions` (B, 4) in the same order.
///
/// Beyond the official export: all four tokens are given, box corners and points may mix in any
/// order, and the two skip inputs exist if the weights have `image_encoder.skip_s0.weight`. These
/// are added to the upscaled embedding as in SAM 2 (Ravi et al., 2024).
///
/// Every parameter is applied as a matrix product or a layer normalisation of channel-last tokens:
/// convolutions of kernel 2 and stride 2, transposed or not, are linear maps of 2 x 2 patches.
///
/// # Errors
/// `Mismatch` if a parameter is missing or of another shape, or if the shape has no prompts or no
/// cells.
pub fn mask_decoder(weights: &StateDict, shape: DecoderShape) -> Result<OnnxModel> {
    let (h, w) = shape.embedding;
    if h == 0 || w == 0 || shape.prompts == Dim::Fixed(0) {
        return Err(Error::mismatch(format!("a mask decoder needs prompts and cells, not {shape:?}")));
    }
    let fixed = Dim::Fixed;
    let (b, n) = (shape.prompts, shape.points);
    let mut graph = GraphBuilder::new("mask_decoder");
    let g = &mut graph;
    let embedding = g.input("image_embeddings", &[fixed(1), fixed(WIDTH), fixed(h), fixed(w)]);
    let skips = weights.contains("image_encoder.skip_s0.weight").then(|| {
        let s0 = g.input("high_res_s0", &[fixed(1), fixed(UPSCALED[1]), fixed(4 * h), fixed(4 * w)]);
        let s1 = g.input("high_res_s1", &[fixed(1), fixed(UPSCALED[0]), fixed(2 * h), fixed(2 * w)]);
        [s0, s1]
    });
    let coords = g.input("point_coords", &[b, n, fixed(2)]);
    let labels = g.input("point_labels", &[b, n]);
    let mask = g.input("mask_input", &[b, fixed(1), fixed(4 * h), fixed(4 * w)]);
    let has_mask = g.input("has_mask_input", &[fixed(1)]);

    let prompt = Params::root(weights).sub("prompt_encoder");
    let decoder = Params::root(weights).sub("mask_decoder");
    let grid = shape.embedding;
    let (image, image_pe, points) = g.scoped("prompt_encoder", |g| -> Result<_> {
        // In this order, because the engine carries a transposition past all but a reshape, and the
        // whole transformer would run channel-first.
        let image = g.transpose(&embedding, &[0, 2, 3, 1]);
        let image = g.reshape(&image, &[1, (h * w) as i64, WIDTH as i64]);
        let image = add_mask(g, &prompt, &mask, &has_mask, &image, grid)?;
        let image_pe = g.constant(&grid_positional_encoding(&prompt, grid)?.view());
        let points = match n {
            Dim::Fixed(0) => None,
            _ => Some(embed_points(g, &prompt, &coords, &labels, grid)?),
        };
        Ok((image, image_pe, points))
    })?;
    let (masks, iou) = g.scoped("mask_decoder", |g| -> Result<_> {
        let mut tokens = output_tokens(g, &decoder, b, &mask)?;
        if let Some(points) = &points {
            tokens = g.concat(&[&tokens, points], 1);
        }
        let transformer = decoder.sub("transformer");
        let out = g.scoped("transformer", |g| two_way_transformer(g, &transformer, &tokens, &image, &image_pe))?;
        let upscaled = g.scoped("output_upscaling", |g| {
            upscale(g, &decoder.sub("output_upscaling"), &out.image, skips.as_ref(), grid)
        })?;
        let masks = g.scoped("output_hypernetworks_mlps", |g| {
            read_out(g, &decoder.sub("output_hypernetworks_mlps"), &out.tokens, &upscaled, grid)
        })?;
        let iou_token = g.slice(&out.tokens, 1, 0, 1);
        let iou = mlp(g, &decoder, "iou_prediction_head", &iou_token, MASKS)?;
        Ok((masks, g.reshape(&iou, &[0, MASKS as i64])))
    })?;
    g.output("low_res_masks", &masks, &[b, fixed(MASKS), fixed(4 * h), fixed(4 * w)]);
    g.output("iou_predictions", &iou, &[b, fixed(MASKS)]);
    Ok(graph.finish())
}

/// The learned tokens that come out as predicted IoU and masks, (prompts, 5, 256).
///
/// A symbolic number of prompts is read off `mask`, the one input that every prompt has.
fn output_tokens(g: &mut GraphBuilder, p: &Params<'_>, prompts: Dim, mask: &Value) -> Result<Value> {
    let iou = p.get("iou_token.weight", &[1, WIDTH])?;
    let masks = p.get("mask_tokens.weight", &[MASKS, WIDTH])?;
    let repeated = |n: usize| {
        Array::from_shape_fn(vec![n, 1 + MASKS, WIDTH], |i| match i[1] {
            0 => iou[[0, i[2]]],
            token => masks[[token - 1, i[2]]],
        })
    };
    Ok(g.scoped("mask_tokens", |g| match prompts {
        Dim::Fixed(n) => g.constant(&repeated(n).view()),
        Dim::Symbol(_) => {
            let tokens = g.constant(&repeated(1).view());
            let count = g.node("Shape", &[mask], &[("start", Attr::Int(0)), ("end", Attr::Int(1))]);
            let rest = g.ints(&[(1 + MASKS) as i64, WIDTH as i64]);
            let target = g.concat(&[&count, &rest], 0);
            g.node("Expand", &[&tokens, &target], &[])
        }
    }))
}

/// Two doublings of the resolution: (prompts, h w, 256) to (prompts, 16 h w, 32).
///
/// The rows of the result go by cell, then by quarter of the cell, then by quarter of that.
fn upscale(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    image: &Value,
    skips: Option<&[Value; 2]>,
    (h, w): (usize, usize),
) -> Result<Value> {
    let [wide, narrow] = UPSCALED;
    let (cells, h, w) = (h * w, h as i64, w as i64);
    let mut x = double(g, p, "0", image, cells, [WIDTH, wide])?;
    if let Some([_, s1]) = skips {
        let quarters = g.transpose(s1, &[0, 2, 3, 1]);
        let quarters = g.reshape(&quarters, &[1, h, 2, w, 2, wide as i64]);
        let quarters = g.transpose(&quarters, &[0, 1, 3, 2, 4, 5]);
        let quarters = g.reshape(&quarters, &[1, 4 * h * w, wide as i64]);
        x = g.add(&x, &quarters);
    }
    x = g.scoped("1", |g| layer_norm(g, &p.sub("1"), &x, wide, SAM_EPSILON))?;
    x = g.scoped("2", |g| g.gelu(&x));
    x = double(g, p, "3", &x, 4 * cells, [wide, narrow])?;
    if let Some([s0, _]) = skips {
        let quarters = g.transpose(s0, &[0, 2, 3, 1]);
        let quarters = g.reshape(&quarters, &[1, h, 2, 2, w, 2, 2, narrow as i64]);
        let quarters = g.transpose(&quarters, &[0, 1, 4, 2, 5, 3, 6, 7]);
        let quarters = g.reshape(&quarters, &[1, 16 * h * w, narrow as i64]);
        x = g.add(&x, &quarters);
    }
    Ok(g.scoped("4", |g| g.gelu(&x)))
}

/// A transposed convolution of kernel 2 and stride 2 on rows of cells: each row gives four, in the
/// order of the cell's quarters.
fn double(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    name: &str,
    x: &Value,
    rows: usize,
    [inputs, outputs]: [usize; 2],
) -> Result<Value> {
    let p = p.sub(name);
    let wide = 4 * outputs;
    let weight = p.folded("weight", &[inputs, outputs, 2, 2], &[wide, inputs], |kernel| {
        Ok(Array::from_shape_fn(vec![wide, inputs], |i| {
            let (quarter, out) = (i[0] / outputs, i[0] % outputs);
            kernel[[i[1], out, quarter / 2, quarter % 2]]
        }))
    })?;
    let bias =
        p.folded("bias", &[outputs], &[wide], |bias| Ok(Array::from_shape_fn(vec![wide], |i| bias[i[0] % outputs])))?;
    Ok(g.scoped(name, |g| {
        let y = g.linear(x, &weight, Some(&bias));
        g.reshape(&y, &[0, 4 * rows as i64, outputs as i64])
    }))
}

/// The masks: each mask token's hypernetwork gives the weights of the upscaled channels.
fn read_out(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    tokens: &Value,
    upscaled: &Value,
    (h, w): (usize, usize),
) -> Result<Value> {
    let mut rows = Vec::with_capacity(MASKS);
    for i in 0..MASKS {
        let token = g.slice(tokens, 1, 1 + i as i64, 2 + i as i64);
        rows.push(mlp(g, p, &i.to_string(), &token, UPSCALED[1])?);
    }
    let rows: Vec<&Value> = rows.iter().collect();
    let hyper = g.concat(&rows, 1);
    let channels = g.transpose(upscaled, &[0, 2, 1]);
    let masks = g.matmul(&hyper, &channels);
    let (count, h, w) = (MASKS as i64, h as i64, w as i64);
    let masks = g.reshape(&masks, &[0, count, h, w, 2, 2, 2, 2]);
    let masks = g.transpose(&masks, &[0, 1, 2, 4, 6, 3, 5, 7]);
    Ok(g.reshape(&masks, &[0, count, 4 * h, 4 * w]))
}

/// The official three-layer `MLP`, 256 channels wide inside.
fn mlp(g: &mut GraphBuilder, p: &Params<'_>, name: &str, x: &Value, outputs: usize) -> Result<Value> {
    let p = p.sub(name);
    g.scoped(name, |g| {
        let mut x = x.clone();
        for (layer, width) in [WIDTH, WIDTH, outputs].into_iter().enumerate() {
            x = linear(g, &p, &format!("layers.{layer}"), &x, [WIDTH, width])?;
            if layer < 2 {
                x = g.relu(&x);
            }
        }
        Ok(x)
    })
}

//! The two-way transformer of the mask decoder: prompt tokens and image tokens attend to each other
//! (Kirillov et al., "Segment Anything", 2023, appendix A; `TwoWayTransformer` of the official code).
//!
//! Tokens are row-major, (prompts, tokens, channels); the image's tokens are the cells of the
//! embedding's grid, row by row.

use super::Params;
use super::layers::{self, EMBEDDING_CHANNELS, TORCH_EPSILON};
use crate::error::Result;
use crate::onnx::{GraphBuilder, Value};

/// Channels of a token and of the image embedding.
pub(super) const WIDTH: usize = EMBEDDING_CHANNELS;

const DEPTH: usize = 2;
const HEADS: usize = 8;
const CROSS_WIDTH: usize = WIDTH / 2;
const MLP_WIDTH: usize = 2048;

/// The two sides of the transformer after it has run.
pub(super) struct TwoWayOutput {
    /// (prompts, tokens, 256).
    pub(super) tokens: Value,
    /// (prompts, cells, 256).
    pub(super) image: Value,
}

/// Appends the transformer.
///
/// `tokens` (prompts, tokens, 256) serve as their own positional encoding; `image` is
/// (prompts, cells, 256) and `image_pe` (1, cells, 256).
pub(super) fn two_way_transformer(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    tokens: &Value,
    image: &Value,
    image_pe: &Value,
) -> Result<TwoWayOutput> {
    let mut state = TwoWayOutput { tokens: tokens.clone(), image: image.clone() };
    for i in 0..DEPTH {
        let layer = p.sub(format!("layers.{i}"));
        state = g.scoped(format!("layers.{i}"), |g| block(g, &layer, state, tokens, image_pe, i == 0))?;
    }
    let q = g.add(&state.tokens, tokens);
    let k = g.add(&state.image, image_pe);
    let attended = attention(g, p, "final_attn_token_to_image", CROSS_WIDTH, [&q, &k, &state.image])?;
    let summed = g.add(&state.tokens, &attended);
    let tokens = norm(g, p, "norm_final_attn", &summed)?;
    Ok(TwoWayOutput { tokens, image: state.image })
}

/// One layer: tokens to themselves, tokens to image, MLP on the tokens, image to tokens.
///
/// In the first layer the tokens are still equal to their positional encoding, so it is not added
/// again and the self-attention has no residual.
fn block(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    state: TwoWayOutput,
    token_pe: &Value,
    image_pe: &Value,
    first: bool,
) -> Result<TwoWayOutput> {
    let TwoWayOutput { tokens, image } = state;
    let attended = if first {
        attention(g, p, "self_attn", WIDTH, [&tokens, &tokens, &tokens])?
    } else {
        let q = g.add(&tokens, token_pe);
        let attended = attention(g, p, "self_attn", WIDTH, [&q, &q, &tokens])?;
        g.add(&tokens, &attended)
    };
    let tokens = norm(g, p, "norm1", &attended)?;

    let q = g.add(&tokens, token_pe);
    let k = g.add(&image, image_pe);
    let attended = attention(g, p, "cross_attn_token_to_image", CROSS_WIDTH, [&q, &k, &image])?;
    let summed = g.add(&tokens, &attended);
    let tokens = norm(g, p, "norm2", &summed)?;

    let expanded = g.scoped("mlp", |g| -> Result<Value> {
        let mlp = p.sub("mlp");
        let hidden = linear(g, &mlp, "lin1", &tokens, [WIDTH, MLP_WIDTH])?;
        let hidden = g.relu(&hidden);
        linear(g, &mlp, "lin2", &hidden, [MLP_WIDTH, WIDTH])
    })?;
    let summed = g.add(&tokens, &expanded);
    let tokens = norm(g, p, "norm3", &summed)?;

    let q = g.add(&tokens, token_pe);
    let attended = attention(g, p, "cross_attn_image_to_token", CROSS_WIDTH, [&k, &q, &tokens])?;
    let summed = g.add(&image, &attended);
    let image = norm(g, p, "norm4", &summed)?;
    Ok(TwoWayOutput { tokens, image })
}

/// Multi-head attention with projections to and from `width` channels.
///
/// The factor 1 / sqrt(channels per head) is folded into the query projection.
fn attention(g: &mut GraphBuilder, p: &Params<'_>, name: &str, width: usize, [q, k, v]: [&Value; 3]) -> Result<Value> {
    let p = p.sub(name);
    let per_head = width / HEADS;
    let scale = (per_head as f32).sqrt().recip();
    let split = [0, 0, HEADS as i64, per_head as i64];
    g.scoped(name, |g| {
        let q = g.scoped("q_proj", |g| -> Result<Value> {
            let q_proj = p.sub("q_proj");
            let parameter = |name, shape: &[usize]| q_proj.folded(name, shape, shape, |rows| Ok(rows * scale));
            let weight = parameter("weight", &[width, WIDTH])?;
            let bias = parameter("bias", &[width])?;
            Ok(g.linear(q, &weight, Some(&bias)))
        })?;
        let k = linear(g, &p, "k_proj", k, [WIDTH, width])?;
        let v = linear(g, &p, "v_proj", v, [WIDTH, width])?;
        let [q, k, v] = [q, k, v].map(|x| g.reshape(&x, &split));
        let q = g.transpose(&q, &[0, 2, 1, 3]);
        let k = g.transpose(&k, &[0, 2, 3, 1]);
        let v = g.transpose(&v, &[0, 2, 1, 3]);
        let scores = g.matmul(&q, &k);
        let weights = g.softmax(&scores);
        let mixed = g.matmul(&weights, &v);
        let mixed = g.transpose(&mixed, &[0, 2, 1, 3]);
        let mixed = g.reshape(&mixed, &[0, 0, width as i64]);
        linear(g, &p, "out_proj", &mixed, [width, WIDTH])
    })
}

fn norm(g: &mut GraphBuilder, p: &Params<'_>, name: &str, x: &Value) -> Result<Value> {
    g.scoped(name, |g| layers::layer_norm(g, &p.sub(name), x, WIDTH, TORCH_EPSILON))
}

/// The `torch.nn.Linear` called `name`, with `[inputs, outputs]` channels.
pub(super) fn linear(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    name: &str,
    x: &Value,
    [inputs, outputs]: [usize; 2],
) -> Result<Value> {
    g.scoped(name, |g| layers::linear(g, &p.sub(name), x, inputs, outputs))
}

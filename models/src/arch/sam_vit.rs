//! The image encoder of Segment Anything: a plain ViT with windowed and global attention.
//!
//! Sources: "Segment Anything" (Kirillov et al. 2023), "Exploring Plain Vision Transformer Backbones
//! for Object Detection" (Li et al. 2022), and `segment_anything/modeling/image_encoder.py`. Width,
//! depth, heads and the blocks with global attention follow from the shapes of the tensors, so ViT-B,
//! ViT-L and ViT-H all build.

use crate::checkpoint::StateDict;
use crate::error::{Error, Result};
use crate::onnx::{ConvSpec, GraphBuilder, OnnxModel, Value};

use super::attention::{QkvOrder, SelfAttention};
use super::layers::{EMBEDDING_CHANNELS, SAM_EPSILON, conv, layer_norm, linear, neck};
use super::windows::Windows;
use super::{Grid, InputSize, Params, positions};

/// Height and width of the input must be multiples of this many model pixels: the side of a patch.
pub const SIZE_MULTIPLE: usize = 16;

const WINDOW: usize = 14;

/// The graph of the image encoder for inputs of `input` model pixels.
///
/// Input `image`: float32 `[1, 3, H, W]`, normalised RGB, zero-padded. Output `image_embeddings`:
/// float32 `[1, 256, H/16, W/16]`.
///
/// At 1024x1024 this is the official network, which knows no other size. Elsewhere the learned
/// positions are those of the square input with the longer side of `input`, cropped to `input`, where
/// a square of another size than 1024 resamples them: absolute ones bicubically, relative ones linearly.
///
/// # Errors
/// `Mismatch` if a side of `input` is no multiple of [`SIZE_MULTIPLE`], or a tensor is missing or of
/// another shape than the architecture needs.
pub fn image_encoder(weights: &StateDict, input: InputSize) -> Result<OnnxModel> {
    let out = input.multiple_of(SIZE_MULTIPLE)?;
    let p = Params::root(weights).sub("image_encoder");
    let mut g = GraphBuilder::new("image_encoder");
    let image = g.input("image", &[1.into(), 3.into(), input.height.into(), input.width.into()]);
    let embedding = g.scoped("image_encoder", |g| encode(g, &p, &image, out.into()))?;
    let shape = [1, EMBEDDING_CHANNELS, out.height, out.width].map(Into::into);
    g.output("image_embeddings", &embedding, &shape);
    Ok(g.finish())
}

fn encode(g: &mut GraphBuilder, p: &Params<'_>, image: &Value, grid: Grid) -> Result<Value> {
    let [_, side, _, channels] = p.dims::<4>("pos_embed")?;
    let table = p.get("pos_embed", &[1, side, side, channels])?;
    let mut x = g.scoped("patch_embed", |g| -> Result<Value> {
        let patches = ConvSpec { stride: SIZE_MULTIPLE, ..ConvSpec::default() };
        let shape = [channels, 3, SIZE_MULTIPLE, SIZE_MULTIPLE];
        let x = conv(g, &p.sub("patch_embed.proj"), image, shape, patches)?;
        let tokens = grid.tokens(g, &x, channels);
        let position = g.constant(&positions::absolute(&table, grid).view());
        Ok(g.add(&tokens, &position))
    })?;
    for i in 0..p.list_len("blocks").max(1) {
        let block = Block { params: p.sub(format!("blocks.{i}")), grid, channels, native_side: side };
        x = g.scoped(format!("blocks.{i}"), |g| block.build(g, &x))?;
    }
    g.scoped("neck", |g| neck(g, &p.sub("neck"), &x, channels, grid))
}

/// One transformer block on the tokens of `grid`.
struct Block<'a> {
    params: Params<'a>,
    grid: Grid,
    channels: usize,
    /// Side of the square grid that global attention was trained on.
    native_side: usize,
}

impl Block<'_> {
    fn build(&self, g: &mut GraphBuilder, tokens: &Value) -> Result<Value> {
        let (p, channels) = (&self.params, self.channels);
        let x = g.scoped("norm1", |g| layer_norm(g, &p.sub("norm1"), tokens, channels, SAM_EPSILON))?;
        let x = g.scoped("attn", |g| self.attention(g, &x))?;
        let tokens = g.add(tokens, &x);
        let [hidden, _] = p.dims::<2>("mlp.lin1.weight")?;
        let x = g.scoped("norm2", |g| layer_norm(g, &p.sub("norm2"), &tokens, channels, SAM_EPSILON))?;
        let x = g.scoped("mlp", |g| -> Result<Value> {
            let x = g.scoped("lin1", |g| linear(g, &p.sub("mlp.lin1"), &x, channels, hidden))?;
            let x = g.gelu(&x);
            g.scoped("lin2", |g| linear(g, &p.sub("mlp.lin2"), &x, hidden, channels))
        })?;
        Ok(g.add(&tokens, &x))
    }

    /// Attention over all tokens or within windows, whichever the table of relative positions is made for.
    fn attention(&self, g: &mut GraphBuilder, tokens: &Value) -> Result<Value> {
        let p = self.params.sub("attn");
        let [entries, head_dim] = p.dims::<2>("rel_pos_h")?;
        if !self.channels.is_multiple_of(head_dim) {
            return Err(Error::mismatch(format!("{} channels do not divide into heads of {head_dim}", self.channels)));
        }
        let attention = SelfAttention {
            groups: 1,
            length: self.grid.cells(),
            heads: self.channels / head_dim,
            head_dim,
            order: QkvOrder::Parts,
        };
        if entries == 2 * WINDOW - 1 {
            let windows = Windows::new(self.grid, WINDOW, self.channels);
            let attention = SelfAttention { groups: windows.count(), length: WINDOW * WINDOW, ..attention };
            let area = Grid { height: WINDOW, width: WINDOW };
            let x = windows.partition(g, tokens);
            let x = self.attend(g, attention, &p, &x, area, entries)?;
            Ok(windows.reverse(g, &x))
        } else if entries == 2 * self.native_side - 1 {
            self.attend(g, attention, &p, tokens, self.grid, entries)
        } else {
            Err(Error::mismatch(format!(
                "{entries} relative positions fit neither windows of {WINDOW} tokens nor the grid of {}",
                self.native_side
            )))
        }
    }

    /// Attention within each group of tokens, a group being a grid of `area`, with decomposed relative positions.
    fn attend(
        &self,
        g: &mut GraphBuilder,
        attention: SelfAttention,
        p: &Params<'_>,
        tokens: &Value,
        area: Grid,
        entries: usize,
    ) -> Result<Value> {
        let SelfAttention { groups, heads, head_dim, length, .. } = attention;
        let table_h = p.get("rel_pos_h", &[entries, head_dim])?;
        let table_w = p.get("rel_pos_w", &[entries, head_dim])?;
        let long = area.height.max(area.width);
        attention.build(g, p, tokens, |g, queries, scores| {
            let [n, h, w, d] = [groups * heads, area.height, area.width, head_dim].map(|n| n as i64);
            let queries = g.reshape(queries, &[n, h, w, d]);
            let by_row = g.constant(&positions::relative(&table_h, area.height, long).view());
            let by_row = g.matmul(&queries, &by_row);
            let by_row = g.reshape(&by_row, &[n, h, w, h, 1]);
            let columns = g.transpose(&queries, &[0, 2, 1, 3]);
            let by_column = g.constant(&positions::relative(&table_w, area.width, long).view());
            let by_column = g.matmul(&columns, &by_column);
            let by_column = g.transpose(&by_column, &[0, 2, 1, 3]);
            let by_column = g.reshape(&by_column, &[n, h, w, 1, w]);
            let scores = g.reshape(&scores, &[n, h, w, h, w]);
            let scores = g.add(&scores, &by_row);
            let scores = g.add(&scores, &by_column);
            Ok(g.reshape(&scores, &[groups as i64, heads as i64, length as i64, length as i64]))
        })
    }
}

//! Attention between tokens and an image, together with the projections of the image.
//!
//! Where tokens are few, it takes less to bring them into the space of the image than to project every cell of the image: with
//! `k = x Wk`, scores `q k^T` are `(q Wk^T) x^T`, and `softmax(..) (x Wv)` is `(softmax(..) x) Wv`. (So do DeepSeek-AI, "DeepSeek-V2",
//! 2024, section 2.1, who call the weights absorbed.)

use cutout_kernels::Shared;
use cutout_kernels::linear::Weights;

use super::super::graph::{Node, ValueId};
use super::super::operations::{FewKeys, FewQueries};
use super::super::view::View;
use super::{Lowering, Place, Result};

/// Tokens times heads, at most: rows of a tile, of which a block's scores stay in the cache.
const MOST: usize = 128;
/// Cells of an image, at least.
const CELLS: usize = 128;

/// `x W + b`, divided into heads: `W` is `[inputs, heads * width]`.
struct Projection<'g> {
    input: ValueId,
    weights: ValueId,
    inputs: usize,
    bias: &'g Shared<f32>,
}

impl<'g> Lowering<'g> {
    /// The projection that a value `[1, heads, tokens, width]` comes from, whose dimensions have been given in the order `perm`.
    fn projection(&self, value: ValueId, perm: &[i64]) -> Option<Projection<'g>> {
        let graph = self.graph;
        let (_, turned) = graph.maker(value, "Transpose")?;
        let (_, split) = graph.maker(turned.inputs[0], "Reshape")?;
        let (_, sum) = graph.maker(split.inputs[0], "Add")?;
        let (_, product) = graph.maker(sum.inputs[0], "MatMul")?;
        let (weights, bias) = (&graph.values[product.inputs[1]], graph.values[sum.inputs[1]].floats()?);
        let &[inputs, outputs] = weights.shape.as_slice() else { return None };
        let input = product.inputs[0];
        let &[1, tokens, heads, width] = self.shape(split.outputs[0]) else { return None };
        let fits = turned.ints("perm") == Some(perm)
            && weights.is_known()
            && heads * width == outputs
            && bias.len() == outputs
            && self.shape(input) == [1, tokens, inputs];
        fits.then_some(Projection { input, weights: product.inputs[1], inputs, bias })
    }

    /// Keeps the numbers of weights: another program of the graph may need them in another way.
    fn keep(&self, weights: impl IntoIterator<Item = ValueId>) {
        weights.into_iter().for_each(|id| self.store.keep(&self.graph.values[id].name));
    }

    /// A part of a matrix for each head, as linear maps of `size.1` numbers to `size.0`: `strides` lead from output to output, from
    /// input to input, and from head to head. `side` tells maps of one matrix apart.
    fn head_maps(
        &self,
        (matrix, side): (ValueId, &str),
        heads: usize,
        (outputs, inputs): (usize, usize),
        strides: [usize; 3],
    ) -> Result<Vec<Weights>> {
        let name = &self.graph.values[matrix].name;
        let map = |head: usize| {
            self.store.linear(&format!("{name} {side} of head {head}"), [outputs, inputs], |storage| {
                let mut weights = Weights::scratch(self.level, storage);
                weights.pack_into(
                    &self.numbers(matrix)?[head * strides[2]..],
                    (strides[0], strides[1]),
                    outputs,
                    inputs,
                );
                Ok(weights)
            })
        };
        (0..heads).map(map).collect()
    }

    /// `softmax(q k^T) v` of few queries, with the projections that made `k` and `v`, if that takes less than to project.
    pub(super) fn few_queries(&mut self, [q, k, v]: [ValueId; 3], mix: &'g Node) -> Result<Option<()>> {
        let (&[1, heads, tokens, width], &[.., cells]) = (self.shape(q), self.shape(k)) else { return Ok(None) };
        if self.shape(k) != [1, heads, width, cells] || self.shape(v) != [1, heads, cells, width] || tokens == cells {
            return Ok(None);
        }
        let (Some(keys), Some(values)) = (self.projection(k, &[0, 2, 3, 1]), self.projection(v, &[0, 2, 1, 3])) else {
            return Ok(None);
        };
        let (queries, wide) = (heads * tokens, heads * width);
        self.keep([keys.weights, values.weights]);
        let (key_place, value_place) = (self.place(k)?, self.place(v)?);
        let projected = self.is_early(key_place.buffer) && self.is_early(value_place.buffer);
        let inputs = keys.inputs + values.inputs;
        let less = queries * inputs < wide * inputs + 2 * tokens * wide;
        if projected || !less || queries > MOST || cells < CELLS.max(4 * queries) {
            return Ok(None);
        }
        // Queries are multiplied by the transposed weights of the keys.
        let key_maps = self.head_maps((keys.weights, "transposed"), heads, (keys.inputs, width), [wide, 1, width])?;
        let value_maps = self.head_maps((values.weights, "part"), heads, (width, values.inputs), [1, wide, width])?;
        let q = self.heads(q, false)?;
        let (key_buffer, keys) = self.rows(keys.input)?;
        let (value_buffer, value_rows) = self.rows(values.input)?;
        let operation = FewQueries {
            level: self.level,
            q: q.view,
            keys,
            values: value_rows,
            key_maps,
            value_maps,
            value_bias: values.bias.clone(),
        };
        let view = View::contiguous(&[1, tokens, heads, width]).permuted(&[0, 2, 1, 3]);
        let buffer = self.emit(&mix.name, operation, vec![q.buffer, key_buffer, value_buffer], view.len());
        self.set(mix.outputs[0], Place { buffer, view });
        Ok(Some(()))
    }

    /// `softmax(q k^T) v` of few keys, with the projection that made `q`, if that is not at hand already, and the one behind.
    pub(super) fn few_keys(&mut self, [q, k, v]: [ValueId; 3], mix: &'g Node) -> Result<Option<()>> {
        let graph = self.graph;
        let (&[1, heads, cells, width], &[.., tokens]) = (self.shape(q), self.shape(k)) else { return Ok(None) };
        // Where there are as many of both, as among tokens, neither way is ever shorter.
        if self.shape(k) != [1, heads, width, tokens] || self.shape(v) != [1, heads, tokens, width] || tokens == cells {
            return Ok(None);
        }
        let (keys, wide) = (heads * tokens, heads * width);
        let behind = self.next(mix.outputs[0], &["Transpose"]).and_then(|(at, turn)| {
            let (at2, join) = self.next(turn.outputs[0], &["Reshape"])?;
            let (at3, product) = self.next(join.outputs[0], &["MatMul"])?;
            let (at4, sum) = self.next(product.outputs[0], &["Add"])?;
            let weights = &graph.values[product.inputs[1]];
            let bias = graph.values[self.other(sum, product.outputs[0])].floats()?;
            let &[inputs, outputs] = weights.shape.as_slice() else { return None };
            let fits = turn.ints("perm") == Some(&[0, 2, 1, 3])
                && product.inputs[0] == join.outputs[0]
                && self.shape(join.outputs[0]) == [1, cells, inputs]
                && inputs == wide
                && bias.len() == outputs;
            (fits && weights.is_known()).then_some((
                [at, at2, at3, at4],
                product.inputs[1],
                outputs,
                bias,
                sum.outputs[0],
            ))
        });
        let Some((members, weights, outputs, bias, value)) = behind else { return Ok(None) };
        let place = self.place(q)?;
        let projection = self.projection(q, &[0, 2, 1, 3]);
        self.keep([weights].into_iter().chain(projection.as_ref().map(|p| p.weights)));
        let asked = projection.filter(|_| !self.is_early(place.buffer));
        if asked.is_none() && !self.is_early(place.buffer) {
            return Ok(None);
        }
        let inputs = asked.as_ref().map_or(wide, |a| a.inputs);
        let projecting = asked.as_ref().map_or(0, |a| a.inputs * wide);
        let less = keys * (inputs + outputs) < projecting + wide * outputs + 2 * tokens * wide;
        if !less || keys == 0 || keys > MOST || cells < CELLS {
            return Ok(None);
        }
        let (query_maps, query_bias, input) = match &asked {
            Some(a) => {
                let size = (a.inputs, width);
                let maps = self.head_maps((a.weights, "transposed"), heads, size, [wide, 1, width])?;
                (maps, Some(a.bias.clone()), self.rows(a.input)?)
            }
            None => {
                let Place { buffer, view } = self.heads(q, false)?;
                let joined = view.permuted(&[0, 2, 1, 3]).reshaped(&[cells, wide]).and_then(|v| v.rows());
                match joined {
                    Some(rows) => (Vec::new(), None, (buffer, rows)),
                    None => return Ok(None),
                }
            }
        };
        let out_maps = self.head_maps((weights, "part"), heads, (outputs, width), [1, outputs, width * outputs])?;
        members.iter().for_each(|&m| self.done[m] = true);
        let (residual, value) = self.residual(value, false)?;
        let (k, v) = (self.heads(k, true)?, self.heads(v, false)?);
        let mut buffers = vec![input.0, k.buffer, v.buffer];
        buffers.extend(residual.as_ref().map(|(buffer, _)| *buffer));
        let operation = FewKeys {
            level: self.level,
            queries: input.1,
            k: k.view,
            v: v.view,
            query_maps,
            query_bias,
            out_maps,
            out_bias: bias.clone(),
            residual: residual.map(|(_, rows)| rows),
        };
        self.give(mix, value, operation, buffers);
        Ok(Some(()))
    }
}

//! Products of two values, and attention.

use cutout_kernels::linear::Weights;

use super::super::graph::{Node, ValueId};
use super::super::operation::Buffer;
use super::super::operations::{Attention, Bias, Product};
use super::super::view::View;
use super::{Lowering, Place, Result};

impl<'g> Lowering<'g> {
    /// `MatMul` of two values: the start of an attention, or a product for itself.
    pub(super) fn product_of_two(&mut self, node: &'g Node) -> Result<()> {
        match self.attention(node)? {
            Some(()) => Ok(()),
            None => self.plain_product(node),
        }
    }

    /// `softmax(q k^T + bias) v`, if that is what a product begins.
    fn attention(&mut self, scores: &'g Node) -> Result<Option<()>> {
        let mut members = Vec::new();
        let Some((bias, value)) = self.bias(scores, &mut members)? else { return Ok(None) };
        let Some((at, softmax)) = self.next(value, &["Softmax"]) else { return Ok(None) };
        self.over_last(softmax)?;
        members.push(at);
        let Some((at, mix)) = self.next(softmax.outputs[0], &["MatMul"]) else { return Ok(None) };
        members.push(at);
        if mix.inputs[0] != softmax.outputs[0]
            || [scores.inputs[0], scores.inputs[1], mix.inputs[1]].iter().any(|&id| self.shape(id).len() != 4)
            || !self.is_there(mix.inputs[1])
        {
            return Ok(None);
        }
        let operands = [scores.inputs[0], scores.inputs[1], mix.inputs[1]];
        if self.attention_of_bytes(operands, mix, &bias)? {
            members.iter().for_each(|&m| self.done[m] = true);
            return Ok(Some(()));
        }
        if matches!(bias, Bias::None)
            && (self.few_queries(operands, mix)?.is_some() || self.few_keys(operands, mix)?.is_some())
        {
            members.iter().for_each(|&m| self.done[m] = true);
            return Ok(Some(()));
        }
        let (q, k, v) = (
            self.heads(scores.inputs[0], false)?,
            self.heads(scores.inputs[1], true)?,
            self.heads(mix.inputs[1], false)?,
        );
        if q.view.shape[..2] != k.view.shape[..2] || q.view.shape[..2] != v.view.shape[..2] {
            return Ok(None);
        }
        members.iter().for_each(|&m| self.done[m] = true);
        let &[batch, heads, length, _] = q.view.shape.as_slice() else { return Ok(None) };
        let width = v.view.shape[3];
        let view = View::contiguous(&[batch, length, heads, width]).permuted(&[0, 2, 1, 3]);
        let inputs = vec![q.buffer, k.buffer, v.buffer];
        let operation = Attention { level: self.level, q: q.view, k: k.view, v: v.view, bias };
        let buffer = self.emit(&mix.name, operation, inputs, view.len());
        self.set(mix.outputs[0], Place { buffer, view });
        Ok(Some(()))
    }

    /// What is added to the scores of an attention, and the sum.
    fn bias(&self, scores: &'g Node, members: &mut Vec<usize>) -> Result<Option<(Bias, ValueId)>> {
        let value = scores.outputs[0];
        if let Some((at, add)) = self.next(value, &["Add"]) {
            let other = self.other(add, value);
            let (Some(table), &[_, heads, length, keys]) = (self.graph.values[other].floats(), self.shape(value))
            else {
                return Ok(None);
            };
            let ([1, h, t, k] | [h, t, k]) = self.shape(other) else { return Ok(None) };
            members.push(at);
            let fits = [*h, *t, *k] == [heads, length, keys];
            return Ok(fits.then(|| (Bias::Table(table.clone()), add.outputs[0])));
        }
        let Some((at, reshape)) = self.next(value, &["Reshape"]) else { return Ok(Some((Bias::None, value))) };
        members.push(at);
        let Some(found) = self.decomposed(scores, reshape.outputs[0], members) else { return Ok(None) };
        let (tables, sum) = found;
        let [rows, columns] = tables;
        Ok(Some((Bias::Decomposed { rows: self.maps(rows)?, columns: self.maps(columns)? }, sum)))
    }

    /// Decomposed relative positions, as `arch/sam_vit.rs` writes them: to scores `[n, h, w, h, w]` come the products of the queries with
    /// a table for their row, `[n, h, w, h, 1]`, and with one for their column, `[n, h, w, 1, w]`. Gives the tables, and the sum.
    fn decomposed(&self, scores: &Node, mut sum: ValueId, members: &mut Vec<usize>) -> Option<([ValueId; 2], ValueId)> {
        let graph = self.graph;
        let &[n, h, w, h2, w2] = self.shape(sum) else { return None };
        let mut tables = Vec::with_capacity(2);
        for wanted in [[n, h, w, h2, 1], [n, h, w, 1, w2]] {
            let (at, add) = self.next(sum, &["Add"])?;
            let other = self.other(add, sum);
            let (reshape_at, reshape) = graph.maker(other, "Reshape")?;
            members.extend([at, reshape_at]);
            // A query's row is the second dimension, by which a product has its table already; its column has to be brought there.
            let mut swap = |value: ValueId| {
                let (at, node) = graph.maker(value, "Transpose")?;
                members.push(at);
                (node.ints("perm") == Some(&[0, 2, 1, 3])).then(|| node.inputs[0])
            };
            let by_column = !tables.is_empty();
            let product = if by_column { swap(reshape.inputs[0])? } else { reshape.inputs[0] };
            let (product_at, product) = graph.maker(product, "MatMul")?;
            let asked = if by_column { swap(product.inputs[0])? } else { product.inputs[0] };
            let (asked_at, asked) = graph.maker(asked, "Reshape")?;
            members.extend([product_at, asked_at]);
            let (table, side) = (&graph.values[product.inputs[1]], if by_column { w } else { h });
            if !table.is_known() {
                return None;
            }
            let &[count, width, entries] = table.shape.as_slice() else { return None };
            let fits =
                self.shape(other) == wanted && [count, entries] == [side; 2] && asked.inputs[0] == scores.inputs[0];
            if !fits || self.shape(asked.outputs[0]) != [n, h, w, width] {
                return None;
            }
            tables.push(product.inputs[1]);
            sum = add.outputs[0];
        }
        let (at, back) = self.next(sum, &["Reshape"])?;
        members.push(at);
        let fits = [h, w] == [h2, w2] && self.shape(back.outputs[0]) == self.shape(scores.outputs[0]);
        fits.then_some((tables.try_into().ok()?, back.outputs[0]))
    }

    /// A table `[count, width, entries]` as `count` linear maps.
    fn maps(&self, table: ValueId) -> Result<Vec<Weights>> {
        let known = &self.graph.values[table];
        let &[count, width, entries] = known.shape.as_slice() else { return Err("a table has no maps".into()) };
        let map = |i: usize| {
            self.store.linear(&format!("{} {i}", known.name), [entries, width], |storage| {
                let mut weights = Weights::scratch(self.level, storage);
                weights.pack_into(&self.numbers(table)?[i * width * entries..], (1, entries), entries, width);
                Ok(weights)
            })
        };
        (0..count).map(map).collect()
    }

    /// A value `[batch, heads, tokens, width]` whose last dimension lies side by side; `turned`: its last two dimensions are given in
    /// the other order.
    pub(super) fn heads(&mut self, value: ValueId, turned: bool) -> Result<Place> {
        let order = order_of_heads(turned);
        let place = self.place(value)?;
        let view = place.view.permuted(&order);
        if view.strides[3] == 1 {
            return Ok(Place { buffer: place.buffer, view });
        }
        let dense = View::contiguous(&view.shape);
        let place = self.lay(value, dense.permuted(&order), &order)?;
        Ok(Place { buffer: place.buffer, view: dense })
    }

    /// A product of two matrices. The side with more rows passes row by row, the other is packed at each run; where that is the right
    /// one, the result lies transposed.
    fn plain_product(&mut self, node: &'g Node) -> Result<()> {
        let (left, right, out) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let shape = self.shape(out);
        let [lead @ .., m, n] = shape else { return Err("it has no rows".into()) };
        if lead.iter().product::<usize>() != 1
            || self.shape(left).iter().rev().skip(2).chain(self.shape(right).iter().rev().skip(2)).any(|&d| d != 1)
        {
            return Err("batches of products are not covered".into());
        }
        let matrix = |view: View| View {
            shape: view.shape[view.shape.len() - 2..].to_vec(),
            strides: view.strides[view.strides.len() - 2..].to_vec(),
            offset: view.offset,
        };
        let (a, b) = (self.place(left)?, self.place(right)?);
        let (a_view, b_view) = (matrix(a.view), matrix(b.view).permuted(&[1, 0]));
        let ((rows, rows_of), (packed, packed_of), transposed) = if n > m {
            ((b_view, b.buffer), (a_view, a.buffer), true)
        } else {
            ((a_view, a.buffer), (b_view, b.buffer), false)
        };
        let rows = rows.rows().ok_or("its rows do not lie side by side")?;
        let inputs: Vec<Buffer> = vec![rows_of, packed_of];
        let buffer = self.emit(&node.name, Product::new(self.level, rows, packed), inputs, m * n);
        let mut view = View::contiguous(shape);
        if transposed {
            let rank = shape.len();
            (view.strides[rank - 2], view.strides[rank - 1]) = (1, *m);
        }
        self.set(out, Place { buffer, view });
        Ok(())
    }
}

/// The order of dimensions that makes a value `[batch, heads, tokens, width]` of one whose last two are in the other order, or the other
/// way round.
pub(super) fn order_of_heads(turned: bool) -> [usize; 4] {
    if turned { [0, 1, 3, 2] } else { [0, 1, 2, 3] }
}

//! Products of two values, and attention.

use super::super::graph::{Node, ValueId};
use super::super::operation::Buffer;
use super::super::operations::{Attention, Product};
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
        let graph = self.graph;
        let mut value = scores.outputs[0];
        let mut members = Vec::new();
        let mut bias = None;
        if let Some((at, add)) = self.next(value, &["Add"]) {
            let other = self.other(add, value);
            let &[_, heads, length, keys] = self.shape(value) else { return Ok(None) };
            match (graph.values[other].floats(), self.shape(other)) {
                (Some(table), [1, h, t, k] | [h, t, k]) if [*h, *t, *k] == [heads, length, keys] => {
                    bias = Some(table.clone())
                }
                _ => return Ok(None),
            }
            members.push(at);
            value = add.outputs[0];
        }
        let Some((at, softmax)) = self.next(value, &["Softmax"]) else { return Ok(None) };
        self.over_last(softmax)?;
        members.push(at);
        let Some((at, mix)) = self.next(softmax.outputs[0], &["MatMul"]) else { return Ok(None) };
        members.push(at);
        if mix.inputs[0] != softmax.outputs[0]
            || self.shape(scores.inputs[0]).len() != 4
            || self.places[mix.inputs[1]].is_none()
        {
            return Ok(None);
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

    /// A value `[batch, heads, tokens, width]` whose last dimension lies side by side; `turned`: its last two dimensions are given in
    /// the other order.
    fn heads(&mut self, value: ValueId, turned: bool) -> Result<Place> {
        let turn = |view: &View| if turned { view.permuted(&[0, 1, 3, 2]) } else { view.clone() };
        let place = self.place(value)?;
        let view = turn(&place.view);
        if view.strides[3] == 1 {
            return Ok(Place { buffer: place.buffer, view });
        }
        let dense = View::contiguous(&view.shape);
        let wanted = turn(&dense);
        let order = if turned { [0, 1, 3, 2] } else { [0, 1, 2, 3] };
        let place = self.lay(value, wanted, &order)?;
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

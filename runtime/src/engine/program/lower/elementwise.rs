//! Operators that treat every element alike, and those that only move elements.

use cutout_kernels::Aligned;
use cutout_models::onnx::proto::TensorProto;

use super::super::graph::{Node, ValueId};
use super::super::nest::Nest;
use super::super::operation::Buffer;
use super::super::operations::{Binary, BinaryOp, Concat, Pad, Select, Target, Unary, UnaryOp};
use super::super::shapes;
use super::super::view::View;
use super::{Lowering, Place, Result};

impl<'g> Lowering<'g> {
    pub(super) fn elementwise(&mut self, i: usize, node: &'g Node) -> Result<()> {
        let number = |at: usize| node.inputs.get(at).and_then(|&id| self.graph.values[id].scalar());
        match node.op.as_str() {
            "Add" => self.binary(node, BinaryOp::Add),
            "Sub" => self.binary(node, BinaryOp::Sub),
            "Mul" => self.binary(node, BinaryOp::Mul),
            "Div" => {
                let x = node.inputs[0];
                if let Some((nodes, end)) = self.gelu(x).filter(|(nodes, _)| nodes[0] == i) {
                    nodes.iter().for_each(|&n| self.done[n] = true);
                    return self.unary(node, x, end, UnaryOp::Gelu);
                }
                self.binary(node, BinaryOp::Div)
            }
            "Equal" => self.binary(node, BinaryOp::Equal),
            "Relu" => self.unary(node, node.inputs[0], node.outputs[0], UnaryOp::Clip(0.0, f32::INFINITY)),
            "Clip" => {
                let (low, high) =
                    (number(1).ok_or("its bounds are not constant")?, number(2).ok_or("its bounds are not constant")?);
                self.unary(node, node.inputs[0], node.outputs[0], UnaryOp::Clip(low, high))
            }
            "Sin" => self.unary(node, node.inputs[0], node.outputs[0], UnaryOp::Sin),
            "Cos" => self.unary(node, node.inputs[0], node.outputs[0], UnaryOp::Cos),
            // Truth values are kept as 0 and 1.
            "Cast" if node.int("to") == Some(i64::from(TensorProto::FLOAT)) => {
                let place = self.place(node.inputs[0])?;
                self.set(node.outputs[0], place);
                Ok(())
            }
            "Where" => self.select(node),
            "Concat" => self.concat(node),
            "Pad" => self.pad(node),
            _ => Err("there is no such operator here".into()),
        }
    }

    fn binary(&mut self, node: &Node, op: BinaryOp) -> Result<()> {
        let (a, b, out) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let (mut left, mut right) = (self.place(a)?, self.place(b)?);
        let shape = self.shape(out);
        // What adds nothing costs nothing: a mask that is not given.
        match op {
            BinaryOp::Mul if self.is_all(&left, 0.0) || self.is_all(&right, 0.0) => {
                self.zeros(out);
                return Ok(());
            }
            BinaryOp::Mul if self.is_all(&right, 1.0) && self.shape(a) == shape => {
                self.set(out, left);
                return Ok(());
            }
            BinaryOp::Add if self.is_all(&right, 0.0) && self.shape(a) == shape => {
                self.set(out, left);
                return Ok(());
            }
            BinaryOp::Add if self.is_all(&left, 0.0) && self.shape(b) == shape => {
                self.set(out, right);
                return Ok(());
            }
            _ => {}
        }
        // All but images come out row-major: planes are transposed first, which is faster than to gather them.
        if shape.len() != 4 && left.view.planes().is_some() {
            left = self.contiguous(a)?;
        }
        if shape.len() != 4 && right.view.planes().is_some() {
            right = self.contiguous(b)?;
        }
        let model = if self.shape(a) == shape && !matches!(left.buffer, Buffer::Constant(_)) { &left } else { &right };
        let (order, view) = dense_like(&model.view, shape);
        let strides = [&left, &right].map(|p| pick(&p.view.broadcast(shape), &order));
        let nest = Nest::new(&pick(shape, &order), [&strides[0], &strides[1]], [left.view.offset, right.view.offset]);
        let buffer = self.emit(&node.name, Binary { op, nest }, vec![left.buffer, right.buffer], view.len());
        self.set(out, Place { buffer, view });
        Ok(())
    }

    /// Makes a value a constant of zeros.
    pub(super) fn zeros(&mut self, value: ValueId) {
        let view = View::contiguous(self.shape(value));
        let buffer = self.constant(Aligned::zeros(view.len()).into());
        self.set(value, Place { buffer, view });
    }

    /// Whether a value is a constant that has this number everywhere.
    pub(super) fn is_all(&self, place: &Place, number: f32) -> bool {
        match place.buffer {
            Buffer::Constant(i) => self.out.constants[i].iter().all(|&v| v == number),
            _ => false,
        }
    }

    fn unary(&mut self, node: &Node, input: ValueId, output: ValueId, op: UnaryOp) -> Result<()> {
        let place = self.place(input)?;
        let (order, view) = dense_like(&place.view, self.shape(output));
        let strides = pick(&place.view.strides, &order);
        let nest = Nest::new(&pick(&place.view.shape, &order), [&strides], [place.view.offset]);
        let buffer = self.emit(&node.name, Unary { op, level: self.level, nest }, vec![place.buffer], view.len());
        self.set(output, Place { buffer, view });
        Ok(())
    }

    fn select(&mut self, node: &Node) -> Result<()> {
        let out = node.outputs[0];
        let shape = self.shape(out);
        let places = [self.place(node.inputs[0])?, self.place(node.inputs[1])?, self.place(node.inputs[2])?];
        let [a, b, c] = [0, 1, 2].map(|i| places[i].view.broadcast(shape));
        let nest = Nest::new(shape, [&a, &b, &c], [0, 1, 2].map(|i| places[i].view.offset));
        let inputs = places.iter().map(|p| p.buffer).collect();
        self.give(node, out, Select { nest }, inputs);
        Ok(())
    }

    fn concat(&mut self, node: &Node) -> Result<()> {
        let out = node.outputs[0];
        let shape = self.shape(out);
        let axis = node.int("axis").and_then(|a| shapes::axis(a, shape.len())).ok_or("its axis is unknown")?;
        let mut parts = Vec::with_capacity(node.inputs.len());
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &id in &node.inputs {
            let place = self.contiguous(id)?;
            let run = place.view.shape[axis..].iter().product();
            parts.push((place.view.offset, run));
            inputs.push(place.buffer);
        }
        self.give(node, out, Concat { parts }, inputs);
        Ok(())
    }

    fn pad(&mut self, node: &Node) -> Result<()> {
        let out = node.outputs[0];
        let pads = self.graph.values[node.inputs[1]].ints().ok_or("its pads are not constant")?;
        let place = self.place(node.inputs[0])?;
        let rank = place.view.shape.len();
        if node.inputs.len() > 2 || place.view.strides.last() != Some(&1) || pads.iter().any(|&p| p < 0) {
            return Err("only zeros are padded here, around elements that lie side by side".into());
        }
        let target = View::contiguous(self.shape(out));
        let start = (0..rank).map(|i| pads[i] as usize * target.strides[i]).sum();
        let operation = Pad { source: place.view, strides: target.strides, start, target: Target::Numbers };
        self.give(node, out, operation, vec![place.buffer]);
        Ok(())
    }
}

/// A dense layout for a result of `shape`: the order of its dimensions, outermost first, and the view. An image keeps the order that it
/// has in `like`; all else is row-major, for the products that come next.
pub(super) fn dense_like(like: &View, shape: &[usize]) -> (Vec<usize>, View) {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    if like.shape == shape && shape.len() == 4 {
        order.sort_by_key(|&i| (std::cmp::Reverse(if shape[i] == 1 { usize::MAX } else { like.strides[i] }), i));
    }
    let dense = View::contiguous(&pick(shape, &order));
    let mut strides = vec![0; shape.len()];
    order.iter().zip(&dense.strides).for_each(|(&i, &s)| strides[i] = s);
    (order, View { shape: shape.to_vec(), strides, offset: 0 })
}

pub(super) fn pick(from: &[usize], order: &[usize]) -> Vec<usize> {
    order.iter().map(|&i| from[i]).collect()
}

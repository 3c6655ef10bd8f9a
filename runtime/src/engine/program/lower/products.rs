//! Convolutions and matrix products with constant weights, and what follows them.

use std::sync::Arc;

use cutout_kernels::activation::Activation;
use cutout_kernels::depthwise;
use cutout_kernels::linear::{Storage, Weights};

use super::super::graph::{Node, ValueId};
use super::super::operation::Buffer;
use super::super::operations::{Convolution, Depthwise, Linear};
use super::super::shapes::Window;
use super::super::view::{Rows, View};
use super::{Lowering, Place, Result, Tail};

impl<'g> Lowering<'g> {
    /// `Conv`: pointwise, depthwise or dense.
    pub(super) fn convolution(&mut self, node: &'g Node) -> Result<()> {
        let (input, weight) = (node.inputs[0], node.inputs[1]);
        let window = Window::of(node).ok_or("its window differs between the directions")?;
        let group = node.int("group").unwrap_or(1).max(1) as usize;
        let (&[1, channels, height, width], &[n, per_group, kernel, kernel_width]) =
            (self.shape(input), self.shape(weight))
        else {
            return Err("it is no two-dimensional convolution of a batch of one".into());
        };
        if kernel != kernel_width {
            return Err("its kernel is not square".into());
        }
        let weights = Arc::clone(self.graph.values[weight].floats().ok_or("its weights are not constant")?);
        let name = &self.graph.values[weight].name;
        let bias = match node.inputs.get(2) {
            Some(&id) => Some(Arc::clone(self.graph.values[id].floats().ok_or("its bias is not constant")?)),
            None => None,
        };
        let (buffer, rows) = self.pixels(input)?;
        let level = self.level;
        let value = node.outputs[0];
        let shape = depthwise::Shape {
            height,
            width,
            stride: window.stride,
            dilation: window.dilation,
            padding: window.padding,
        };
        if group == channels && n == channels && per_group == 1 && channels > 1 {
            if rows.stride != channels || rows.offset != 0 {
                return Err("its input has gaps".into());
            }
            let bias = bias.unwrap_or_else(|| Arc::new(vec![0.0; n]));
            let packed =
                self.packed.depthwise(name, || depthwise::Weights::pack(level, &weights, &bias, channels, kernel));
            let (activation, value) = self.activation(value);
            let outputs = self.shape(value);
            let view = View::channels_last([1, n, outputs[2], outputs[3]]);
            let macs = (view.len() * kernel * kernel) as u64;
            let operation = Depthwise { weights: packed, shape, activation, macs };
            let buffer = self.emit(&node.name, operation, vec![buffer], view.len());
            self.set(value, Place { buffer, view });
            return Ok(());
        }
        if group != 1 {
            return Err("its groups are neither one nor as many as channels".into());
        }
        let Tail { activation, residual, value } = self.tail(value, true)?;
        let outputs = self.shape(value);
        let view = View::channels_last([1, n, outputs[2], outputs[3]]);
        let length = view.len();
        let mut inputs = vec![buffer];
        inputs.extend(residual.as_ref().map(|(b, _)| *b));
        let residual = residual.map(|(_, rows)| rows);
        let buffer = if kernel == 1 && window.stride == 1 && window.padding == 0 {
            let weights = self.packed.linear(name, || Weights::pack(level, &weights, n, channels, Storage::F32));
            self.emit(&node.name, Linear { weights, bias, activation, residual, input: rows }, inputs, length)
        } else {
            if rows.stride != channels || rows.offset != 0 {
                return Err("its input has gaps".into());
            }
            let weights = self.packed.linear(name, || {
                let taps = kernel * kernel;
                let at = |i: usize| {
                    weights[(i / (taps * channels)) * taps * channels + (i % channels) * taps + (i / channels) % taps]
                };
                let by_tap: Vec<f32> = (0..weights.len()).map(at).collect();
                Weights::pack(level, &by_tap, n, taps * channels, Storage::F32)
            });
            let operation =
                Convolution { weights, bias, activation, residual, shape, channels, kernel, width: outputs[3] };
            self.emit(&node.name, operation, inputs, length)
        };
        self.set(value, Place { buffer, view });
        Ok(())
    }

    /// `MatMul`: a linear map of rows if its right side is a constant, else a product of two values.
    pub(super) fn product(&mut self, node: &'g Node) -> Result<()> {
        let (left, right) = (node.inputs[0], node.inputs[1]);
        let constant = &self.graph.values[right];
        let (Some(weights), &[k, n]) = (constant.floats(), constant.shape.as_slice()) else {
            return self.product_of_two(node);
        };
        let level = self.level;
        let weights = self.packed.linear(&constant.name, || {
            let rows: Vec<f32> = (0..n * k).map(|i| weights[i % k * n + i / k]).collect();
            Weights::pack(level, &rows, n, k, Storage::F32)
        });
        let (buffer, rows) = self.rows(left)?;
        let mut value = node.outputs[0];
        let mut bias = None;
        if let Some((reader, add)) = self.next(value, &["Add"]) {
            let other = self.other(add, value);
            let known = &self.graph.values[other];
            if let Some(vector) = known.floats().filter(|v| v.len() == n && known.shape.last() == Some(&n)) {
                bias = Some(Arc::clone(vector));
                self.done[reader] = true;
                value = add.outputs[0];
            }
        }
        let Tail { activation, residual, value } = self.tail(value, false)?;
        let mut inputs = vec![buffer];
        inputs.extend(residual.as_ref().map(|(b, _)| *b));
        let operation = Linear { weights, bias, activation, residual: residual.map(|(_, rows)| rows), input: rows };
        self.give(node, value, operation, inputs);
        Ok(())
    }

    /// The operand of a two-sided node that is not `value`.
    pub(super) fn other(&self, node: &Node, value: ValueId) -> ValueId {
        if node.inputs[0] == value { node.inputs[1] } else { node.inputs[0] }
    }

    /// The activation behind a value, and the value after it.
    fn activation(&mut self, value: ValueId) -> (Activation, ValueId) {
        if let Some((reader, node)) = self.next(value, &["Relu", "Clip"]) {
            let bound = |i: usize| node.inputs.get(i).and_then(|&id| self.graph.values[id].scalar());
            let found = match node.op.as_str() {
                "Relu" => Some(Activation::Relu),
                _ if (bound(1), bound(2)) == (Some(0.0), Some(6.0)) => Some(Activation::Relu6),
                _ => None,
            };
            if let Some(activation) = found {
                self.done[reader] = true;
                return (activation, node.outputs[0]);
            }
        }
        match self.gelu(value) {
            Some((nodes, end)) => {
                nodes.iter().for_each(|&n| self.done[n] = true);
                (Activation::Gelu, end)
            }
            None => (Activation::None, value),
        }
    }

    /// The nodes of an exact GELU of a value, as `GraphBuilder::gelu` writes it, and its result.
    pub(super) fn gelu(&self, value: ValueId) -> Option<([usize; 5], ValueId)> {
        let graph = self.graph;
        let number = |node: &Node, i: usize| node.inputs.get(i).and_then(|&id| graph.values[id].scalar());
        let &[first, last] = graph.values[value].readers.as_slice() else { return None };
        let div = &graph.nodes[first];
        let is_div = div.op == "Div" && number(div, 1).is_some_and(|v| (v - std::f32::consts::SQRT_2).abs() < 1e-6);
        let (erf_at, erf) = is_div.then(|| self.next(div.outputs[0], &["Erf"])).flatten()?;
        let (add_at, add) = self.next(erf.outputs[0], &["Add"])?;
        let (mul_at, mul) = self.next(add.outputs[0], &["Mul"])?;
        let (half_at, half) = self.next(mul.outputs[0], &["Mul"])?;
        let fits = number(add, 1) == Some(1.0)
            && mul_at == last
            && mul.inputs.contains(&value)
            && number(half, 1) == Some(0.5);
        (fits && !graph.outputs.contains(&value)).then(|| ([first, erf_at, add_at, mul_at, half_at], half.outputs[0]))
    }

    /// What follows a product: an activation, then the sum with a value that is already there. `image`: its channels lie last.
    fn tail(&mut self, value: ValueId, image: bool) -> Result<Tail> {
        let (activation, value) = self.activation(value);
        let mut tail = Tail { activation, residual: None, value };
        let Some((reader, add)) = self.next(value, &["Add"]) else { return Ok(tail) };
        let other = self.other(add, value);
        if other == value || self.shape(other) != self.shape(value) || self.places[other].is_none() {
            return Ok(tail);
        }
        let place = self.place(other)?;
        let rows: Option<Rows> = if image { place.view.pixels() } else { place.view.rows() };
        if let Some(rows) = rows {
            self.done[reader] = true;
            tail.residual = Some((place.buffer, rows));
            tail.value = add.outputs[0];
        }
        Ok(tail)
    }

    /// Inputs of a step that reads two values, in order.
    pub(super) fn pair(a: &Place, b: &Place) -> Vec<Buffer> {
        vec![a.buffer, b.buffer]
    }
}

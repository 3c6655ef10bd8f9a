//! Convolutions and matrix products with constant weights, and what follows them.

use std::sync::Arc;

use cutout_kernels::convolution::Stem;
use cutout_kernels::depthwise::{self, MAX_KERNEL, Shape};
use cutout_kernels::linear::Weights;
use cutout_kernels::{Activation, Shared};
use cutout_models::Normalization;

use super::super::graph::{Node, ValueId};
use super::super::operation::Buffer;
use super::super::operations::{Convolution, Depthwise, FloatStages, InvertedResidual, Linear, RowMap, Source};
use super::super::shapes::Window;
use super::super::store::Constant;
use super::super::view::{Rows, View};
use super::{Lowering, Place, Result};

/// Planes of an image, as opposed to channels of a map.
const MOST_PLANES: usize = 4;

/// A `Conv` node, read.
pub(super) struct Conv {
    pub(super) weight: ValueId,
    pub(super) bias: Option<Shared<f32>>,
    bias_value: Option<ValueId>,
    pub(super) shape: Shape,
    pub(super) channels: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Pointwise,
    Depthwise,
    Dense,
}

impl<'g> Lowering<'g> {
    pub(super) fn conv(&self, node: &Node) -> Result<Conv> {
        let (input, weight) = (node.inputs[0], node.inputs[1]);
        let Window { stride, padding, dilation } =
            Window::of(node).ok_or("its window differs between the directions")?;
        if node.has("auto_pad") {
            return Err("its padding is not given".into());
        }
        let group = node.int("group").unwrap_or(1).max(1) as usize;
        let (&[1, channels, height, width], &[outputs, per_group, kernel, kernel_width]) =
            (self.shape(input), self.shape(weight))
        else {
            return Err("it is no two-dimensional convolution of a batch of one".into());
        };
        if kernel != kernel_width {
            return Err("its kernel is not square".into());
        }
        if !self.graph.values[weight].is_known() {
            return Err("its weights are not constant".into());
        }
        let bias = match node.inputs.get(2) {
            Some(&id) => Some(self.graph.values[id].floats().cloned().ok_or("its bias is not constant")?),
            None => None,
        };
        if bias.as_ref().is_some_and(|b| b.len() != outputs) {
            return Err("its bias is of another width".into());
        }
        let kind = match group {
            1 if per_group != channels => return Err("its weights are of another depth".into()),
            1 if kernel == 1 && stride == 1 && padding == 0 => Kind::Pointwise,
            1 => Kind::Dense,
            _ if kernel > MAX_KERNEL => return Err("its kernel is very large".into()),
            _ if group == channels && outputs == channels && per_group == 1 => Kind::Depthwise,
            _ => return Err("its groups are neither one nor as many as channels".into()),
        };
        let shape = Shape { height, width, stride, dilation, padding };
        Ok(Conv { weight, bias, bias_value: node.inputs.get(2).copied(), shape, channels, outputs, kernel, kind })
    }

    /// `Conv`: pointwise, depthwise or dense, alone or with those behind it.
    pub(super) fn convolution(&mut self, node: &'g Node) -> Result<()> {
        let conv = self.conv(node)?;
        let value = node.outputs[0];
        if conv.kind == Kind::Depthwise {
            let (buffer, rows) = self.pixels(node.inputs[0])?;
            self.whole(rows, conv.channels)?;
            let (activation, value) = self.activation(value);
            let (packed, view) = (self.pack_depthwise(&conv)?, self.image(value));
            let macs = (view.len() * conv.kernel * conv.kernel) as u64;
            let operation = Depthwise { weights: packed, shape: conv.shape, activation, macs };
            let buffer = self.emit(&node.name, operation, vec![buffer], view.len());
            self.set(value, Place { buffer, view });
            return Ok(());
        }
        let (activation, after) = self.activation(value);
        if let Some((at, spread)) = self.next(after, &["Conv"]) {
            let spread = self.conv(spread).ok().filter(|c| c.kind == Kind::Depthwise).map(|c| (c, spread));
            if let Some((spread, spread_node)) = spread {
                let (spread_activation, after) = self.activation(spread_node.outputs[0]);
                self.done[at] = true;
                let project = self.next(after, &["Conv"]).and_then(|(at, node)| {
                    Some((at, node, self.conv(node).ok().filter(|c| c.kind == Kind::Pointwise)?))
                });
                let (buffer, expand) = self.row_map(node, &conv, activation, spread.shape.width)?;
                let packed = (self.pack_depthwise(&spread)?, spread.shape, spread_activation);
                return match project {
                    Some((at, node, project)) => {
                        self.done[at] = true;
                        self.inverted_residual((buffer, expand), packed, node, &project)
                    }
                    None => self.spread(node, (buffer, expand), packed, spread_node, after),
                };
            }
        }
        let few = conv.kind == Kind::Dense && conv.channels <= MOST_PLANES;
        let (residual, value) = if few { (None, after) } else { self.residual(after, true)? };
        let view = self.image(value);
        let (buffer, map) = self.row_map(node, &conv, activation, view.shape[3])?;
        let mut inputs = vec![buffer];
        inputs.extend(residual.as_ref().map(|(b, _)| *b));
        let residual = residual.map(|(_, rows)| rows);
        let height = view.shape[2];
        let buffer = match map {
            RowMap { source: Source::Pixels(weights, input), bias, activation, .. } => {
                self.emit(&node.name, Linear { weights, bias, activation, residual, input }, inputs, view.len())
            }
            map => self.emit(&node.name, Convolution { map, residual, height }, inputs, view.len()),
        };
        self.set(value, Place { buffer, view });
        Ok(())
    }

    fn inverted_residual(
        &mut self,
        (buffer, expand): (Buffer, RowMap),
        spread: (Arc<depthwise::Weights>, Shape, Activation),
        node: &'g Node,
        project: &Conv,
    ) -> Result<()> {
        let (activation, value) = self.activation(node.outputs[0]);
        let (residual, value) = self.residual(value, true)?;
        let view = self.image(value);
        let (width, channels) = (view.shape[3], project.channels);
        let rows = Rows { count: view.shape[2] * width, width: channels, stride: channels, offset: 0 };
        let source = Source::Pixels(self.pack_linear(project)?, rows);
        let project = RowMap { source, bias: project.bias.clone(), activation, width };
        let mut inputs = vec![buffer];
        inputs.extend(residual.as_ref().map(|(b, _)| *b));
        let ((depthwise, shape, activation), residual) = (spread, residual.map(|(_, rows)| rows));
        let stages = FloatStages { expand, depthwise, activation, project, residual, height: shape.height };
        let operation = InvertedResidual::new(stages, shape);
        let buffer = self.emit(&node.name, operation, inputs, view.len());
        self.set(value, Place { buffer, view });
        Ok(())
    }

    /// A convolution and the depthwise one behind it, one after the other.
    fn spread(
        &mut self,
        node: &Node,
        (buffer, map): (Buffer, RowMap),
        (weights, shape, activation): (Arc<depthwise::Weights>, Shape, Activation),
        spread: &Node,
        value: ValueId,
    ) -> Result<()> {
        let length = shape.height * map.row();
        let wide =
            self.emit(&node.name, Convolution { map, residual: None, height: shape.height }, vec![buffer], length);
        let view = self.image(value);
        let macs = (view.len() * weights.kernel() * weights.kernel()) as u64;
        let buffer = self.emit(&spread.name, Depthwise { weights, shape, activation, macs }, vec![wide], view.len());
        self.set(value, Place { buffer, view });
        Ok(())
    }

    /// A pointwise or dense convolution of a node's input, as rows of `width` pixels. Only that of planes takes no residual.
    fn row_map(&mut self, node: &Node, conv: &Conv, activation: Activation, width: usize) -> Result<(Buffer, RowMap)> {
        let Conv { shape, channels, kernel, .. } = *conv;
        let none = vec![0.0; conv.outputs];
        let bias = conv.bias.as_deref().unwrap_or(&none);
        let of_planes = conv.kind == Kind::Dense && channels <= MOST_PLANES && shape.stride < kernel;
        if let Some((_, buffer, Normalization { mean, std })) = self.levels.filter(|(id, ..)| *id == node.inputs[0]) {
            if !of_planes || channels != mean.len() {
                return Err("it does not read levels".into());
            }
            let stem = Stem::pack_for_levels(self.level, &self.numbers(conv.weight)?, bias, (&mean, &std), kernel);
            let source = Source::Planes(Arc::new(stem), shape);
            return Ok((buffer, RowMap { source, bias: None, activation, width }));
        }
        let place = self.place(node.inputs[0])?;
        let whole = place.view.is_contiguous() && place.view.offset == 0;
        let (buffer, source) = if of_planes && whole {
            let stem = Stem::pack(self.level, &self.numbers(conv.weight)?, bias, channels, kernel);
            (place.buffer, Source::Planes(Arc::new(stem), shape))
        } else {
            let (buffer, rows) = self.pixels(node.inputs[0])?;
            let weights = self.pack_linear(conv)?;
            if conv.kind == Kind::Pointwise {
                (buffer, Source::Pixels(weights, rows))
            } else {
                self.whole(rows, channels)?;
                (buffer, Source::Windows { weights, shape, channels, kernel })
            }
        };
        Ok((buffer, RowMap { source, bias: conv.bias.clone(), activation, width }))
    }

    /// The channel-last layout of an image's value.
    pub(super) fn image(&self, value: ValueId) -> View {
        let shape = self.shape(value);
        View::channels_last([shape[0], shape[1], shape[2], shape[3]])
    }

    /// Refuses pixels with gaps between them.
    pub(super) fn whole(&self, rows: Rows, channels: usize) -> Result<()> {
        if rows.stride == channels && rows.offset == 0 { Ok(()) } else { Err("its input has gaps".into()) }
    }

    /// The numbers of a constant, in their own order.
    pub(super) fn numbers(&self, value: ValueId) -> Result<Shared<f32>> {
        let value = &self.graph.values[value];
        let numbers = match (&value.constant, &value.scale) {
            (Some(Constant::F32(numbers)), _) => Some(numbers.clone()),
            (Some(Constant::I8(integers)), Some(scale)) => Some(scale.numbers(&value.shape, integers)),
            _ => None,
        };
        numbers.ok_or_else(|| format!("the numbers of {} are not at hand", value.name))
    }

    fn pack_depthwise(&self, conv: &Conv) -> Result<Arc<depthwise::Weights>> {
        // The bias is packed with the weights.
        let [weight, bias] = [Some(conv.weight), conv.bias_value]
            .map(|value| value.map_or("", |id| self.graph.values[id].name.as_str()));
        self.store.depthwise(weight, bias, [conv.channels, conv.kernel], || {
            let none = vec![0.0; conv.channels];
            let bias = conv.bias.as_deref().unwrap_or(&none);
            Ok(depthwise::Weights::pack(self.level, &self.numbers(conv.weight)?, bias, conv.channels, conv.kernel))
        })
    }

    /// Weights of a pointwise or dense convolution, in the order of patches.
    fn pack_linear(&self, conv: &Conv) -> Result<Weights> {
        let &Conv { channels, outputs, kernel, .. } = conv;
        let taps = kernel * kernel;
        self.store.linear(&self.graph.values[conv.weight].name, [outputs, taps * channels], |storage| {
            let weights = self.numbers(conv.weight)?;
            let at =
                |i: usize| weights[i / (taps * channels) * taps * channels + i % channels * taps + i / channels % taps];
            let by_tap: Vec<f32> = (0..weights.len()).map(at).collect();
            Ok(Weights::pack(self.level, &by_tap, outputs, taps * channels, storage))
        })
    }

    /// `MatMul`: a linear map of rows if its right side is a constant, else a product of two values.
    pub(super) fn product(&mut self, node: &'g Node) -> Result<()> {
        let (left, right) = (node.inputs[0], node.inputs[1]);
        let constant = &self.graph.values[right];
        let (true, &[k, n]) = (constant.is_known(), constant.shape.as_slice()) else {
            return self.product_of_two(node);
        };
        let weights = self.store.linear(&constant.name, [n, k], |storage| {
            let mut weights = Weights::scratch(self.level, storage);
            weights.pack_into(&self.numbers(right)?, (1, n), n, k);
            Ok(weights)
        })?;
        let place = self.place(left)?;
        if self.is_all(&place, 0.0) {
            self.zeros(node.outputs[0]);
            return Ok(());
        }
        let (buffer, rows) = self.rows(left)?;
        let mut value = node.outputs[0];
        let mut bias = None;
        if let Some((reader, add)) = self.next(value, &["Add"]) {
            let other = self.other(add, value);
            let known = &self.graph.values[other];
            if let Some(vector) = known.floats().filter(|v| v.len() == n && known.shape.last() == Some(&n)) {
                bias = Some(vector.clone());
                self.done[reader] = true;
                value = add.outputs[0];
            }
        }
        let (activation, value) = self.activation(value);
        let (residual, value) = self.residual(value, false)?;
        let (residual, value) = match residual {
            None => self.reshaped_residual(value, n)?,
            some => (some, value),
        };
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

    /// The activation that a node is, if it is one that clamps.
    pub(super) fn clamp(&self, node: &Node) -> Option<Activation> {
        let bound = |i: usize| node.inputs.get(i).and_then(|&id| self.graph.values[id].scalar());
        match node.op.as_str() {
            "Relu" => Some(Activation::Relu),
            "Clip" if (bound(1), bound(2)) == (Some(0.0), Some(6.0)) => Some(Activation::Relu6),
            _ => None,
        }
    }

    /// The activation behind a value, and the value after it.
    fn activation(&mut self, value: ValueId) -> (Activation, ValueId) {
        if let Some((reader, node)) = self.next(value, &["Relu", "Clip"])
            && let Some(activation) = self.clamp(node)
        {
            self.done[reader] = true;
            return (activation, node.outputs[0]);
        }
        match self.gelu(value).filter(|_| !self.graph.outputs.contains(&value)) {
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
            && number(half, 1) == Some(0.5)
            // Scalars may have dimensions.
            && self.shape(half.outputs[0]) == self.shape(value);
        fits.then(|| ([first, erf_at, add_at, mul_at, half_at], half.outputs[0]))
    }

    /// The sum of a value with one that is already there, if that is all that becomes of it. `image`: its channels lie last.
    pub(super) fn residual(&mut self, value: ValueId, image: bool) -> Result<(Option<(Buffer, Rows)>, ValueId)> {
        let Some((reader, add)) = self.next(value, &["Add"]) else { return Ok((None, value)) };
        let other = self.other(add, value);
        if other == value || self.shape(other) != self.shape(value) || !self.is_there(other) {
            return Ok((None, value));
        }
        let place = self.place(other)?;
        Ok(match if image { place.view.pixels() } else { place.view.rows() } {
            Some(rows) => {
                self.done[reader] = true;
                (Some((place.buffer, rows)), add.outputs[0])
            }
            None => (None, value),
        })
    }

    /// As [`residual`](Self::residual) of rows of `n` numbers, where a reshape comes before the sum.
    fn reshaped_residual(&mut self, value: ValueId, n: usize) -> Result<(Option<(Buffer, Rows)>, ValueId)> {
        let found = self.next(value, &["Reshape"]).and_then(|(at, reshape)| {
            let value = reshape.outputs[0];
            let (reader, add) = self.next(value, &["Add"])?;
            let other = self.other(add, value);
            (other != value && self.shape(other) == self.shape(value)).then_some(([at, reader], other, add.outputs[0]))
        });
        let Some((members, other, sum)) = found else { return Ok((None, value)) };
        if !self.view_ahead(other)? || !self.place(other)?.view.is_contiguous() {
            return Ok((None, value));
        }
        let Place { buffer, view } = self.place(other)?;
        members.iter().for_each(|&m| self.done[m] = true);
        let rows = Rows { count: view.len() / n, width: n, stride: n, offset: view.offset };
        Ok((Some((buffer, rows)), sum))
    }

    /// Lowers a value now that is no more than a view of one that is there; whether it is there then.
    fn view_ahead(&mut self, value: ValueId) -> Result<bool> {
        if self.is_there(value) {
            return Ok(true);
        }
        let Some(at) = self.graph.values[value].maker else { return Ok(false) };
        let node = &self.graph.nodes[at];
        if !matches!(node.op.as_str(), "Transpose" | "Reshape" | "Slice") || !self.view_ahead(node.inputs[0])? {
            return Ok(false);
        }
        self.done[at] = true;
        self.node(at, node)?;
        Ok(true)
    }
}

//! Convolutions and linear maps of values in bytes, with weights that are integers: products in integers.

use cutout_kernels::requantize::Table;
use cutout_kernels::{Activation, Aligned, Shared, depthwise_u8, linear_u8};
use cutout_models::Normalization;

use super::super::graph::{Node, ValueId};
use super::super::operation::{Buffer, Operation};
use super::super::operations::{
    ByteConvolution, ByteDepthwise, ByteLinear, ByteMap, ByteSource, ByteStages, Finish, Interleave, InvertedResidual,
    Levels, PIXEL, Sums, by,
};
use super::super::quantization::{Quantization, WeightScale};
use super::super::store::Constant;
use super::super::view::{Rows, View};
use super::bytes::{Bytes, activation_table, is_multiplier};
use super::products::{Conv, Kind};
use super::{Lowering, Place, Result};

/// What follows sums, and becomes part of their step.
struct Chain {
    /// Nodes that are part of it.
    members: Vec<usize>,
    /// The value at its end.
    value: ValueId,
    /// What the sums become, and what the value is held as: the same, but where a table is between them. Nothing where they become
    /// numbers.
    held: Option<[Quantization; 2]>,
    low: u8,
    high: u8,
    table: Option<Box<Table>>,
    residual: Option<ValueId>,
}

impl Chain {
    fn numbers(value: ValueId) -> Self {
        Chain { members: Vec::new(), value, held: None, low: 0, high: 255, table: None, residual: None }
    }
}

impl<'g> Lowering<'g> {
    /// `Conv` of bytes and integers, alone or with those behind it. False if it is none.
    pub(super) fn integer_convolution(&mut self, node: &'g Node) -> Result<bool> {
        let conv = self.conv(node)?;
        let Some((input, rows)) = self.convolved(node.inputs[0], &conv) else { return Ok(false) };
        if conv.kind == Kind::Depthwise {
            let chain = self.ended(Chain::numbers(node.outputs[0]));
            if chain.held.is_none() || !self.takes(&conv, input.quantization, &chain) {
                return Ok(false);
            }
            let operation = self.byte_depthwise(&conv, input.quantization, &chain)?;
            self.finish(node, chain, operation, vec![input.buffer], true);
            return Ok(true);
        }
        let chain = self.chain(node.outputs[0], true);
        if !self.takes(&conv, input.quantization, &chain) {
            return Ok(false);
        }
        if self.inverted_residual_of_bytes(&chain, &conv, (&input, rows))? {
            return Ok(true);
        }
        let map = self.byte_map(&conv, rows, input.quantization, &chain, self.shape(node.outputs[0])[3])?;
        let mut inputs = vec![input.buffer];
        let residual = self.residual_rows(&chain, &mut inputs, true);
        let height = self.shape(node.outputs[0])[2];
        match conv.kind {
            Kind::Pointwise => {
                let ByteMap { weights, sums, .. } = map;
                self.finish(node, chain, ByteLinear { weights, sums, input: rows, residual }, inputs, true);
            }
            _ => self.finish(node, chain, ByteConvolution { map, residual, height }, inputs, true),
        }
        Ok(true)
    }

    /// The bytes that a convolution reads, as pixels, if its weights are integers for it.
    fn convolved(&mut self, value: ValueId, conv: &Conv) -> Option<(Bytes, Rows)> {
        self.integers_along(conv.weight, 0)?;
        let is_of_planes = self.bytes[value].as_ref().is_none_or(|bytes| bytes.view.pixels().is_none());
        if is_of_planes && conv.channels <= PIXEL && conv.kind == Kind::Dense {
            let input = self.interleaved(value)?;
            let rows = input.view.permuted(&[0, 2, 3, 1]).rows()?;
            return Some((input, rows));
        }
        let input = self.bytes[value].clone()?;
        self.byte_pixels(value, input, conv.kind != Kind::Pointwise)
    }

    /// An image of few planes as pixels of [`PIXEL`] bytes, those beyond the planes being of no weight.
    fn interleaved(&mut self, value: ValueId) -> Option<Bytes> {
        let &[1, planes, height, width] = self.shape(value) else { return None };
        let name = self.graph.values[value].name.clone();
        let (buffer, quantization, levels) = match self.levels.filter(|(id, ..)| *id == value) {
            Some((_, buffer, Normalization { mean, std })) => {
                let quantization = self.quantization(value)?;
                let plane = |(mean, std): (&f32, &f32)| {
                    std::array::from_fn(|level| quantization.byte((level as f32 - mean) / std))
                };
                (buffer, quantization, Some(mean.iter().zip(&std).map(plane).collect::<Levels>()))
            }
            None => {
                let mut bytes = self.bytes[value].clone()?;
                if !bytes.view.is_contiguous() || bytes.view.offset > 0 {
                    bytes = self.lay_bytes(value, &bytes, View::contiguous(self.shape(value)), &[0, 1, 2, 3]);
                }
                (bytes.buffer, bytes.quantization, None)
            }
        };
        if levels.as_ref().is_some_and(|levels| levels.len() != planes) {
            return None;
        }
        let view = View::channels_last([1, PIXEL, height, width]);
        let operation = Interleave { level: self.level, planes, height, width, levels, zero: quantization.zero };
        let buffer = self.emit_bytes(&name, operation, vec![buffer], view.len());
        self.note_shape(value, buffer);
        Some(Bytes { buffer, view, quantization })
    }

    /// What follows a value that sums are to become, with what is added to it.
    fn chain(&self, value: ValueId, image: bool) -> Chain {
        let mut chain = Chain::numbers(value);
        if let Some((reader, add)) = self.next(value, &["Add"]) {
            let other = self.other(add, value);
            let sum = add.outputs[0];
            let alike = other != value && self.shape(other) == self.shape(value) && !self.is_cut(value);
            let after = self.quantization(sum).is_some() || self.clamped(sum).is_some();
            let lies = self.bytes[other].as_ref().map(|b| if image { b.view.pixels() } else { b.view.rows() });
            if alike && after && lies.flatten().is_some() {
                chain = Chain { members: vec![reader], value: sum, residual: Some(other), ..chain };
            }
        }
        self.ended(chain)
    }

    /// Whether the bytes that are to hold a value are of one sign only: an activation may have been left to them, which is lost where the
    /// value does not come to be.
    fn is_cut(&self, value: ValueId) -> bool {
        self.quantization(value).is_some_and(|held| matches!(held.zero, 0 | u8::MAX))
    }

    /// A chain with what follows its last value.
    fn ended(&self, mut chain: Chain) -> Chain {
        if let Some((reader, end, activation, held)) = self.clamped(chain.value) {
            chain.members.push(reader);
            let high = if activation == Activation::Relu6 { held.byte(6.0) } else { u8::MAX };
            return Chain { value: end, held: Some([held; 2]), low: held.zero, high, ..chain };
        }
        let Some(sums) = self.quantization(chain.value) else { return chain };
        chain.held = Some([sums; 2]);
        if let Some((nodes, end)) = self.gelu(chain.value).filter(|_| !self.graph.outputs.contains(&chain.value))
            && let Some(held) = self.quantization(end)
        {
            chain.members.extend(nodes);
            chain.table = Some(activation_table(Activation::Gelu, sums, held));
            return Chain { value: end, held: Some([sums, held]), ..chain };
        }
        chain
    }

    /// The clamp behind a value, if its result is held in bytes.
    fn clamped(&self, value: ValueId) -> Option<(usize, ValueId, Activation, Quantization)> {
        let (reader, node) = self.next(value, &["Relu", "Clip"])?;
        let (activation, end) = (self.clamp(node)?, node.outputs[0]);
        Some((reader, end, activation, self.quantization(end)?))
    }

    /// Whether a convolution and what follows it stay in the range of integers.
    fn takes(&self, conv: &Conv, input: Quantization, chain: &Chain) -> bool {
        let Some(scale) = self.integers_along(conv.weight, 0) else { return false };
        let inputs = if conv.kind == Kind::Depthwise { 1 } else { conv.channels } * conv.kernel * conv.kernel;
        self.in_range(input, scale, chain, [conv.outputs, inputs], conv.bias.as_deref().unwrap_or_default())
    }

    /// Whether sums of that many inputs, with these biases, stay in the range of integers, and what they are multiplied with in that of
    /// requantisation.
    fn in_range(
        &self,
        input: Quantization,
        scale: &WeightScale,
        chain: &Chain,
        [outputs, inputs]: [usize; 2],
        bias: &[f32],
    ) -> bool {
        let unit = chain.held.map_or(1.0, |[sums, _]| sums.scale);
        let added =
            chain.residual.and_then(|id| self.bytes[id].as_ref()).map_or(0.0, |b| by(b.quantization.scale, unit));
        let fits = |j: usize| {
            let sums = f64::from(input.scale) * f64::from(scale.of(j));
            let bias = bias.get(j).map_or(0.0, |b| f64::from(*b) / sums);
            is_multiplier((sums / f64::from(unit)) as f32) && bias.abs() <= Sums::MOST_BIAS
        };
        inputs <= Sums::MOST_INPUTS && is_multiplier(added) && (0..outputs).all(fits)
    }

    /// How sums become what a chain says. Their unit is the input's scale times those of the weights.
    fn sums(&self, input: Quantization, scale: &WeightScale, chain: &Chain, column_sums: &[i32], bias: &[f32]) -> Sums {
        let units: Vec<f64> = (0..column_sums.len()).map(|j| f64::from(input.scale) * f64::from(scale.of(j))).collect();
        let bias: Aligned<i32> = (0..units.len())
            .map(|j| {
                let bias = bias.get(j).map_or(0.0, |b| f64::from(*b) / units[j]).round_ties_even();
                (bias as i32).wrapping_sub(i32::from(input.zero).wrapping_mul(column_sums[j]))
            })
            .collect();
        let unit = chain.held.map_or(1.0, |[sums, _]| f64::from(sums.scale));
        let multipliers = units.iter().map(|u| (u / unit) as f32).collect();
        let finish = match chain.held {
            None => Finish::Numbers,
            Some([sums, _]) => {
                let residual = chain.residual.and_then(|id| self.bytes[id].as_ref()).map(|b| b.quantization);
                Finish::Bytes {
                    zero: sums.zero,
                    low: chain.low,
                    high: chain.high,
                    table: chain.table.clone(),
                    residual: residual.map(|r| (r.zero, by(r.scale, sums.scale))),
                }
            }
        };
        Sums { bias: Shared::from(bias), multipliers, finish }
    }

    fn integers(&self, value: ValueId) -> Result<Shared<i8>> {
        match &self.graph.values[value].constant {
            Some(Constant::I8(integers)) => Ok(integers.clone()),
            _ => Err(format!("the integers of {} are not at hand", self.graph.values[value].name)),
        }
    }

    fn scale(&self, value: ValueId) -> Result<&'g WeightScale> {
        self.integers_along(value, 0).ok_or_else(|| "its weights are no integers".into())
    }

    /// The scales of weights that are integers, if they are those of indices of `axis`.
    fn integers_along(&self, value: ValueId, axis: usize) -> Option<&'g WeightScale> {
        let known = &self.graph.values[value];
        let taken = match known.constant.as_ref()? {
            Constant::I8(_) => true,
            Constant::Packed => self.store.has_integers(&known.name),
            Constant::F32(_) | Constant::Ints(_) => false,
        };
        known.scale.as_ref().filter(|scale| taken && (scale.scales.len() == 1 || scale.axis == axis))
    }

    fn byte_depthwise(&self, conv: &Conv, input: Quantization, chain: &Chain) -> Result<ByteDepthwise> {
        let name = &self.graph.values[conv.weight].name;
        let weights = self.store.depthwise_u8(name, [conv.channels, conv.kernel], || {
            let integers = self.integers(conv.weight)?;
            Ok(depthwise_u8::Weights::pack(self.level, &integers, conv.channels, conv.kernel))
        })?;
        let bias = conv.bias.as_deref().unwrap_or_default();
        let sums = self.sums(input, self.scale(conv.weight)?, chain, weights.sums(), bias);
        Ok(ByteDepthwise { weights, shape: conv.shape, sums, zero: input.zero })
    }

    /// A pointwise or dense convolution as rows of `width` pixels.
    fn byte_map(&self, conv: &Conv, rows: Rows, input: Quantization, chain: &Chain, width: usize) -> Result<ByteMap> {
        let &Conv { channels, outputs, kernel, shape, .. } = conv;
        let (taps, name) = (kernel * kernel, &self.graph.values[conv.weight].name);
        // An image of planes has pixels of more bytes than it has planes.
        let pixel = rows.width.max(channels);
        let weights = self.store.linear_u8(name, [outputs, taps * pixel], || {
            let integers = self.integers(conv.weight)?;
            let at = |i: usize| {
                let (j, tap, channel) = (i / (taps * pixel), i / pixel % taps, i % pixel);
                if channel < channels { integers[(j * channels + channel) * taps + tap] } else { 0 }
            };
            let by_tap: Vec<i8> = (0..outputs * taps * pixel).map(at).collect();
            Ok(linear_u8::Weights::pack(self.level, &by_tap, outputs, taps * pixel))
        })?;
        let bias = conv.bias.as_deref().unwrap_or_default();
        let sums = self.sums(input, self.scale(conv.weight)?, chain, weights.sums(), bias);
        let source = match conv.kind {
            Kind::Pointwise => ByteSource::Pixels(rows),
            _ => ByteSource::Windows { shape, channels: pixel, kernel, zero: input.zero },
        };
        Ok(ByteMap { source, weights, sums, width })
    }

    /// The rows of what is added, which become an input.
    fn residual_rows(&self, chain: &Chain, inputs: &mut Vec<Buffer>, image: bool) -> Option<Rows> {
        let bytes = self.bytes[chain.residual?].as_ref()?;
        inputs.push(bytes.buffer);
        if image { bytes.view.pixels() } else { bytes.view.rows() }
    }

    /// The step of a chain, and where its value lies.
    fn finish(
        &mut self,
        node: &Node,
        chain: Chain,
        operation: impl Operation + 'static,
        inputs: Vec<Buffer>,
        image: bool,
    ) {
        chain.members.iter().for_each(|&n| self.done[n] = true);
        let view = if image { self.image(chain.value) } else { View::contiguous(self.shape(chain.value)) };
        match chain.held {
            Some([_, quantization]) => {
                let buffer = self.emit_bytes(&node.name, operation, inputs, view.len());
                self.set_bytes(chain.value, Bytes { buffer, view, quantization });
            }
            None => {
                let buffer = self.emit(&node.name, operation, inputs, view.len());
                self.set(chain.value, Place { buffer, view });
            }
        }
    }

    /// A convolution, the depthwise one behind it and the pointwise one behind that, in one. False if that is not what it begins.
    fn inverted_residual_of_bytes(
        &mut self,
        first: &Chain,
        conv: &Conv,
        (input, rows): (&Bytes, Rows),
    ) -> Result<bool> {
        let (Some([_, wide]), None) = (first.held, first.residual) else { return Ok(false) };
        let Some((at, spread_node, spread)) = self.next_of_integers(first.value, Kind::Depthwise) else {
            return Ok(false);
        };
        let second = self.ended(Chain::numbers(spread_node.outputs[0]));
        let Some([_, narrow]) = second.held else { return Ok(false) };
        let Some((last_at, node, project)) = self.next_of_integers(second.value, Kind::Pointwise) else {
            return Ok(false);
        };
        let last = self.chain(node.outputs[0], true);
        if last.held.is_none() || !self.takes(&spread, wide, &second) || !self.takes(&project, narrow, &last) {
            return Ok(false);
        }
        for &member in first.members.iter().chain(&second.members).chain(&[at, last_at]) {
            self.done[member] = true;
        }
        let expand = self.byte_map(conv, rows, input.quantization, first, spread.shape.width)?;
        let (shape, spread) = (spread.shape, self.byte_depthwise(&spread, wide, &second)?);
        let (height, width) = shape.output(spread.weights.kernel());
        let rows = Rows { count: height * width, width: project.channels, stride: project.channels, offset: 0 };
        let project = self.byte_map(&project, rows, narrow, &last, width)?;
        let mut inputs = vec![input.buffer];
        let residual = self.residual_rows(&last, &mut inputs, true);
        let stages = ByteStages { expand, spread, project, residual };
        self.finish(node, last, InvertedResidual::new(stages, shape), inputs, true);
        Ok(true)
    }

    /// The convolution that alone reads a value, if it is of a kind, and of integers.
    fn next_of_integers(&self, value: ValueId, kind: Kind) -> Option<(usize, &'g Node, Conv)> {
        let (at, node) = self.next(value, &["Conv"])?;
        let conv =
            self.conv(node).ok().filter(|conv| conv.kind == kind && self.integers_along(conv.weight, 0).is_some())?;
        Some((at, node, conv))
    }

    /// `MatMul` of rows of bytes with a matrix of integers. False if it is none.
    pub(super) fn integer_product(&mut self, node: &'g Node) -> Result<bool> {
        let (left, right) = (node.inputs[0], node.inputs[1]);
        let (constant, bytes) = (&self.graph.values[right], self.bytes[left].clone());
        let (Some(bytes), &[k, n]) = (bytes, constant.shape.as_slice()) else { return Ok(false) };
        let Some(scale) = self.integers_along(right, 1) else { return Ok(false) };
        let (mut value, mut bias, mut members) = (node.outputs[0], Shared::default(), Vec::new());
        if let Some((reader, add)) = self.next(value, &["Add"]).filter(|_| !self.is_cut(value)) {
            let known = &self.graph.values[self.other(add, value)];
            if let Some(vector) = known.floats().filter(|v| v.len() == n && known.shape.last() == Some(&n)) {
                (value, bias) = (add.outputs[0], vector.clone());
                members.push(reader);
            }
        }
        let mut chain = self.chain(value, false);
        if !self.in_range(bytes.quantization, scale, &chain, [n, k], &bias) {
            return Ok(false);
        }
        chain.members.extend(members);
        let Some((input, rows)) = self.byte_rows(left, bytes) else { return Ok(false) };
        let weights = self.store.linear_u8(&constant.name, [n, k], || {
            let integers = self.integers(right)?;
            let turned: Vec<i8> = (0..n * k).map(|i| integers[i % k * n + i / k]).collect();
            Ok(linear_u8::Weights::pack(self.level, &turned, n, k))
        })?;
        let sums = self.sums(input.quantization, scale, &chain, weights.sums(), &bias);
        let mut inputs = vec![input.buffer];
        let residual = self.residual_rows(&chain, &mut inputs, false);
        self.finish(node, chain, ByteLinear { weights, sums, input: rows, residual }, inputs, false);
        Ok(true)
    }
}

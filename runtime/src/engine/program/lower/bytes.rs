//! Values that are held in bytes, and operators on them that are no products.

use cutout_kernels::requantize::Table;
use cutout_kernels::{Activation, SimdLevel, activation};

use super::super::graph::{Node, ValueId};
use super::super::nest::Nest;
use super::super::operation::{Buffer, Operation, words};
use super::super::operations::{
    AddBytes, CopyBytes, Dequantize, LayerNormBytes, MapBytes, MeanPoolBytes, Pad, Quantize, Target, by,
};
use super::super::quantization::Quantization;
use super::super::view::{Rows, View};
use super::elementwise::{dense_like, pick};
use super::{Lowering, Place, Result};

/// Beyond, what requantisation multiplies with might become infinite.
const MOST_MULTIPLIER: f32 = (1u128 << 64) as f32;
/// Numbers of a row, beyond which the squares of its bytes do not fit 64 bits.
const WIDEST_NORM: usize = 1 << 22;

/// Whether requantisation may multiply with a number.
pub(super) fn is_multiplier(number: f32) -> bool {
    number.abs() <= MOST_MULTIPLIER
}

/// Where a value lies in bytes, and what they stand for.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    pub(super) buffer: Buffer,
    /// In bytes.
    pub(super) view: View,
    pub(super) quantization: Quantization,
}

impl<'g> Lowering<'g> {
    /// Lowers a node whose first operand is held in bytes to an operator on bytes, if there is one: products in integers, functions of one
    /// value as a table, and so on. Else it gets numbers.
    pub(super) fn in_bytes(&mut self, i: usize, node: &'g Node) -> Result<bool> {
        match node.op.as_str() {
            "Conv" => self.integer_convolution(node),
            "MatMul" => self.integer_product(node),
            _ if node.inputs.first().is_none_or(|&id| self.bytes[id].is_none()) => Ok(false),
            "Identity" | "Transpose" | "Reshape" | "Slice" | "Split" => self.view_of_bytes(node),
            "Pad" => self.pad_bytes(node),
            "Add" => self.add_bytes(node),
            "LayerNormalization" => self.layer_norm_bytes(node),
            "GlobalAveragePool" => self.mean_pool_bytes(node),
            "Relu" | "Clip" | "Div" => self.map_bytes(i, node),
            _ => Ok(false),
        }
    }

    /// How a value is held, if in bytes.
    pub(super) fn quantization(&self, value: ValueId) -> Option<Quantization> {
        self.graph.values[value].quantization
    }

    /// As [`emit`](Self::emit), of an operator that writes `length` bytes.
    pub(super) fn emit_bytes(
        &mut self,
        name: &str,
        operation: impl Operation + 'static,
        inputs: Vec<Buffer>,
        length: usize,
    ) -> Buffer {
        self.emit(name, operation, inputs, words(length))
    }

    /// Says where a value lies in bytes. If it is to be held otherwise, its bytes are exchanged for those.
    pub(super) fn set_bytes(&mut self, value: ValueId, bytes: Bytes) {
        self.note_shape(value, bytes.buffer);
        let wanted = self.quantization(value).unwrap_or(bytes.quantization);
        if wanted == bytes.quantization {
            self.bytes[value] = Some(bytes);
            return;
        }
        let table = table(bytes.quantization, wanted, |v| v);
        let name = self.graph.values[value].name.clone();
        self.bytes[value] = Some(self.mapped(&name, &bytes, table, wanted));
    }

    /// Quantises a value that lies as `place`.
    pub(super) fn quantize(&mut self, value: ValueId, place: &Place, quantization: Quantization) {
        let name = self.graph.values[value].name.clone();
        let (nest, view) = nest_like(&place.view);
        let operation = Quantize { level: self.level, quantization, nest, length: view.len() };
        let buffer = self.emit_bytes(&name, operation, vec![place.buffer], view.len());
        self.note_shape(value, buffer);
        self.bytes[value] = Some(Bytes { buffer, view, quantization });
    }

    /// The numbers that a value's bytes stand for, which lie there from now on.
    pub(super) fn dequantize(&mut self, value: ValueId, bytes: &Bytes) -> Place {
        let name = self.graph.values[value].name.clone();
        let (nest, view) = nest_like(&bytes.view);
        let operation = Dequantize { level: self.level, quantization: bytes.quantization, nest };
        let buffer = self.emit(&name, operation, vec![bytes.buffer], view.len());
        self.note_shape(value, buffer);
        let place = Place { buffer, view };
        self.places[value] = Some(place.clone());
        place
    }

    /// Bytes that lie as the dense view `wanted`, by a copy; `order` of their dimensions makes it row-major.
    pub(super) fn lay_bytes(&mut self, value: ValueId, bytes: &Bytes, wanted: View, order: &[usize]) -> Bytes {
        let name = self.graph.values[value].name.clone();
        let view = bytes.view.permuted(order);
        let length = view.len();
        let buffer = self.emit_bytes(&name, CopyBytes { view }, vec![bytes.buffer], length);
        self.note_shape(value, buffer);
        let bytes = Bytes { buffer, view: wanted, quantization: bytes.quantization };
        self.bytes[value] = Some(bytes.clone());
        bytes
    }

    /// A value's bytes row-major without gaps, at any offset.
    pub(super) fn contiguous_bytes(&mut self, value: ValueId, bytes: Bytes) -> Bytes {
        if bytes.view.is_contiguous() {
            return bytes;
        }
        let order: Vec<usize> = (0..bytes.view.shape.len()).collect();
        let wanted = View::contiguous(&bytes.view.shape);
        self.lay_bytes(value, &bytes, wanted, &order)
    }

    /// A value's bytes as rows along its last dimension.
    pub(super) fn byte_rows(&mut self, value: ValueId, bytes: Bytes) -> Option<(Bytes, Rows)> {
        let bytes = if bytes.view.rows().is_some() { bytes } else { self.contiguous_bytes(value, bytes) };
        let rows = bytes.view.rows()?;
        Some((bytes, rows))
    }

    /// An image's bytes as rows of channels; `whole`: from the start of the buffer, without gaps.
    pub(super) fn byte_pixels(&mut self, value: ValueId, bytes: Bytes, whole: bool) -> Option<(Bytes, Rows)> {
        let fits = |rows: &Rows| !whole || (rows.stride == rows.width && rows.offset == 0);
        if let Some(rows) = bytes.view.pixels().filter(fits) {
            return Some((bytes, rows));
        }
        let &[1, c, h, w] = self.shape(value) else { return None };
        let bytes = self.lay_bytes(value, &bytes, View::channels_last([1, c, h, w]), &[0, 2, 3, 1]);
        let rows = bytes.view.pixels()?;
        Some((bytes, rows))
    }

    fn view_of_bytes(&mut self, node: &'g Node) -> Result<bool> {
        let source = node.inputs[0];
        let Some(mut bytes) = self.bytes[source].clone() else { return Ok(false) };
        let views = match node.op.as_str() {
            "Identity" => Some(vec![bytes.view.clone()]),
            _ => self.views(node, &bytes.view)?,
        };
        let views = match views {
            Some(views) => views,
            None => {
                bytes = self.contiguous_bytes(source, bytes);
                vec![View { offset: bytes.view.offset, ..View::contiguous(self.shape(node.outputs[0])) }]
            }
        };
        for (&output, view) in node.outputs.iter().zip(views) {
            self.set_bytes(output, Bytes { view, ..bytes });
        }
        Ok(true)
    }

    fn pad_bytes(&mut self, node: &'g Node) -> Result<bool> {
        let Some(bytes) = self.bytes[node.inputs[0]].clone() else { return Ok(false) };
        let out = node.outputs[0];
        let pads = self.graph.values[node.inputs[1]].ints().ok_or("its pads are not constant")?;
        if node.inputs.len() > 2 || bytes.view.shape.is_empty() || pads.iter().any(|&p| p < 0) {
            return Ok(false);
        }
        let bytes = self.contiguous_bytes(node.inputs[0], bytes);
        let view = View::contiguous(self.shape(out));
        let start = pads.iter().zip(&view.strides).map(|(&p, stride)| p as usize * stride).sum();
        let target = Target::Bytes { zero: bytes.quantization.zero, length: view.len() };
        let operation = Pad { source: bytes.view.clone(), strides: view.strides.clone(), start, target };
        let buffer = self.emit_bytes(&node.name, operation, vec![bytes.buffer], view.len());
        self.set_bytes(out, Bytes { buffer, view, ..bytes });
        Ok(true)
    }

    fn add_bytes(&mut self, node: &'g Node) -> Result<bool> {
        let (a, b, sum) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let (Some(left), Some(right), Some(out)) =
            (self.bytes[a].clone(), self.bytes[b].clone(), self.quantization(sum))
        else {
            return Ok(false);
        };
        if ![&left, &right].iter().all(|bytes| is_multiplier(by(bytes.quantization.scale, out.scale))) {
            return Ok(false);
        }
        let shape = self.shape(sum);
        let model = if self.shape(a) == shape { &left } else { &right };
        let (order, view) = dense_like(&model.view, shape);
        let strides = [&left, &right].map(|bytes| pick(&bytes.view.broadcast(shape), &order));
        let offsets = [left.view.offset, right.view.offset];
        let nest = Nest::new(&pick(shape, &order), [&strides[0], &strides[1]], offsets);
        let operands = [&left, &right].map(|bytes| bytes.quantization);
        let operation = AddBytes { level: self.level, operands, out, nest, length: view.len() };
        let buffer = self.emit_bytes(&node.name, operation, vec![left.buffer, right.buffer], view.len());
        self.set_bytes(sum, Bytes { buffer, view, quantization: out });
        Ok(true)
    }

    fn layer_norm_bytes(&mut self, node: &'g Node) -> Result<bool> {
        let (x, gamma, beta, epsilon) = self.normalisation(node)?;
        let Some(bytes) = self.bytes[x].clone() else { return Ok(false) };
        let out = self.quantization(node.outputs[0]);
        let unit = out.map_or(1.0, |out| out.scale);
        let sound = epsilon >= 0.0 && gamma.len() <= WIDEST_NORM;
        if !sound || !gamma.iter().chain(&*beta).all(|v| is_multiplier(by(*v, unit))) {
            return Ok(false);
        }
        let Some((bytes, rows)) = self.byte_rows(x, bytes) else { return Ok(false) };
        let view = View::contiguous(self.shape(x));
        let operation = LayerNormBytes::new(self.level, (rows, bytes.quantization), (&gamma, &beta), epsilon, out);
        match out {
            Some(quantization) => {
                let buffer = self.emit_bytes(&node.name, operation, vec![bytes.buffer], view.len());
                self.set_bytes(node.outputs[0], Bytes { buffer, view, quantization });
            }
            None => self.give(node, node.outputs[0], operation, vec![bytes.buffer]),
        }
        Ok(true)
    }

    fn mean_pool_bytes(&mut self, node: &'g Node) -> Result<bool> {
        let (Some(bytes), Some(out)) = (self.bytes[node.inputs[0]].clone(), self.quantization(node.outputs[0])) else {
            return Ok(false);
        };
        if !is_multiplier(by(bytes.quantization.scale, out.scale)) {
            return Ok(false);
        }
        let Some((bytes, rows)) = self.byte_pixels(node.inputs[0], bytes, false) else { return Ok(false) };
        let view = View::contiguous(self.shape(node.outputs[0]));
        let operation = MeanPoolBytes { rows, quantization: bytes.quantization, out };
        let buffer = self.emit_bytes(&node.name, operation, vec![bytes.buffer], view.len());
        self.set_bytes(node.outputs[0], Bytes { buffer, view, quantization: out });
        Ok(true)
    }

    /// A function of one value, as a table of its bytes.
    fn map_bytes(&mut self, i: usize, node: &'g Node) -> Result<bool> {
        let x = node.inputs[0];
        let Some(bytes) = self.bytes[x].clone() else { return Ok(false) };
        let (members, value, activation) = match node.op.as_str() {
            "Div" => match self.gelu(x).filter(|(nodes, _)| nodes[0] == i) {
                Some((nodes, end)) => (nodes.to_vec(), end, Activation::Gelu),
                None => return Ok(false),
            },
            _ => match self.clamp(node) {
                Some(activation) => (Vec::new(), node.outputs[0], activation),
                None => return Ok(false),
            },
        };
        let Some(out) = self.quantization(value) else { return Ok(false) };
        members.iter().for_each(|&n| self.done[n] = true);
        let mapped = self.mapped(&node.name, &bytes, activation_table(activation, bytes.quantization, out), out);
        self.set_bytes(value, mapped);
        Ok(true)
    }

    fn mapped(&mut self, name: &str, bytes: &Bytes, table: Box<Table>, quantization: Quantization) -> Bytes {
        let (nest, view) = nest_like(&bytes.view);
        let operation = MapBytes { level: self.level, table, nest, length: view.len() };
        let buffer = self.emit_bytes(name, operation, vec![bytes.buffer], view.len());
        Bytes { buffer, view, quantization }
    }
}

/// A loop over a view in a dense order like its own, and how its results lie.
fn nest_like(view: &View) -> (Nest<1>, View) {
    let (order, dense) = dense_like(view, &view.shape);
    (Nest::new(&pick(&view.shape, &order), [&pick(&view.strides, &order)], [view.offset]), dense)
}

/// A function as a table from bytes to bytes.
fn table(from: Quantization, to: Quantization, f: impl Fn(f32) -> f32) -> Box<Table> {
    Box::new(std::array::from_fn(|byte| to.byte(f(from.number(byte as u8)))))
}

/// An activation as a table, computed at the scalar level: every machine makes the same table.
pub(super) fn activation_table(activation: Activation, from: Quantization, to: Quantization) -> Box<Table> {
    table(from, to, |v| {
        let mut value = [v];
        activation::apply(SimdLevel::Scalar, activation, &mut value);
        value[0]
    })
}

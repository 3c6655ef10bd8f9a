//! What an ONNX graph says of quantisation.
//!
//! In the form that ONNX tools share (QDQ), `QuantizeLinear` and `DequantizeLinear` stand behind each value that is to be held in bytes,
//! and `DequantizeLinear` behind each constant that is stored as integers. Both are notes on how a value is held, not work to be done:
//! they are taken out of the graph, and lowering chooses integer operators where operands and results are in bytes.

use std::collections::{BTreeMap, HashMap};

use cutout_kernels::{Aligned, Shared};
use cutout_models::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use serde::{Deserialize, Serialize};

/// A value held in bytes: byte `q` stands for `(q - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantization {
    /// Above zero, and finite.
    pub(crate) scale: f32,
    /// The byte that stands for 0.
    pub(crate) zero: u8,
}

impl Quantization {
    /// Whether the scale is one.
    pub(super) fn is_sound(self) -> bool {
        is_scale(self.scale)
    }

    /// The byte that is nearest to a number, ties to even, as `QuantizeLinear`; NaN counts as 0.
    pub(super) fn byte(self, value: f32) -> u8 {
        let steps = value / self.scale;
        // A cast saturates.
        if steps.is_nan() { self.zero } else { (steps.round_ties_even() + f32::from(self.zero)) as u8 }
    }

    /// The number that a byte stands for.
    pub(super) fn number(self, byte: u8) -> f32 {
        f32::from(i16::from(byte) - i16::from(self.zero)) * self.scale
    }
}

/// Scales of a constant that is stored as integers: one for each index of `axis`, or one for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WeightScale {
    pub(crate) scales: Vec<f32>,
    pub(crate) axis: usize,
}

fn is_scale(scale: f32) -> bool {
    scale.is_finite() && scale > 0.0
}

impl WeightScale {
    /// Whether these are scales of a constant of that shape.
    pub(super) fn is_of(&self, shape: &[usize]) -> bool {
        let fits = self.scales.len() == 1 || shape.get(self.axis) == Some(&self.scales.len());
        fits && self.scales.iter().all(|scale| is_scale(*scale))
    }

    /// The scale of index `j` of the axis.
    pub(super) fn of(&self, j: usize) -> f32 {
        if let [scale] = self.scales.as_slice() { *scale } else { self.scales[j] }
    }

    /// The numbers that integers of that shape stand for.
    pub(super) fn numbers<I: Copy + Into<i32>>(&self, shape: &[usize], integers: &[I]) -> Shared<f32> {
        let (size, inner) = match shape.get(self.axis) {
            Some(size) => (*size, shape[self.axis + 1..].iter().product::<usize>()),
            None => (1, integers.len()),
        };
        let scaled = |(i, integer): (usize, &I)| {
            let integer: i32 = (*integer).into();
            (f64::from(integer) * f64::from(self.of(i / inner.max(1) % size.max(1)))) as f32
        };
        integers.iter().enumerate().map(scaled).collect::<Aligned<f32>>().into()
    }
}

/// The notes of a graph.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) quantized: BTreeMap<String, Quantization>,
    pub(super) scaled: BTreeMap<String, WeightScale>,
    /// What a note gives, and what it is a note on.
    aliases: HashMap<String, String>,
}

impl Notes {
    /// Whether a node is one.
    pub(super) fn is_note(&self, node: &NodeProto) -> bool {
        let is_op = matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear");
        is_op && node.output.first().is_some_and(|output| self.aliases.contains_key(output))
    }

    /// From what a note gives to what it is a note on.
    pub(super) fn rename(&self, name: &mut String) {
        if let Some(plain) = self.aliases.get(name) {
            plain.clone_into(name);
        }
    }
}

/// Reads the notes of a graph.
///
/// # Errors
/// Says of which node the scale or the zero point is not one of those that are known here.
pub(super) fn read(graph: &GraphProto) -> Result<Notes, String> {
    let constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut notes = Notes::default();
    // Values in bytes, each by the name of its bytes.
    let mut bytes: HashMap<&str, Quantization> = HashMap::new();
    for node in &graph.node {
        let wrong = |what: &str| format!("{} ({}): {what}", node.name, node.op_type);
        let (source, output) = match (node.input.first(), node.output.first()) {
            (Some(source), Some(output)) => (source.as_str(), output.as_str()),
            _ => continue,
        };
        let constant = |i: usize| node.input.get(i).and_then(|name| constants.get(name.as_str())).copied();
        // Of one that is not given, nothing.
        let zero = || match node.input.get(2).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(_) => constant(2).map(Some).ok_or_else(|| wrong("its zero point is not constant")),
        };
        match node.op_type.as_str() {
            "QuantizeLinear" => {
                let scale = constant(1).and_then(floats).ok_or_else(|| wrong("its scale is not constant"))?;
                let &[scale] = scale.as_slice() else { return Err(wrong("it has more than one scale")) };
                let zero =
                    zero()?.map_or(Some(0), zero_point).ok_or_else(|| wrong("its zero point is not known here"))?;
                let quantization = Quantization { scale, zero };
                if !quantization.is_sound() {
                    return Err(wrong("its scale is not above zero"));
                }
                if bytes.contains_key(source) {
                    return Err(wrong("what it reads are bytes"));
                }
                let name = notes.aliases.get(source).map_or(source, String::as_str).to_owned();
                // Where two pairs stand behind one another, the first holds.
                notes.quantized.entry(name.clone()).or_insert(quantization);
                bytes.insert(output, quantization);
                notes.aliases.insert(output.to_owned(), name);
            }
            "DequantizeLinear" => {
                let scales = constant(1).and_then(floats).ok_or_else(|| wrong("its scale is not constant"))?;
                let zero = zero()?;
                if let Some(Quantization { scale, zero: byte }) = bytes.get(source) {
                    if scales != [*scale] || zero.map_or(Some(0), zero_point) != Some(*byte) {
                        return Err(wrong("its scale or its zero point is another than its bytes have"));
                    }
                    let name = notes.aliases[source].clone();
                    notes.aliases.insert(output.to_owned(), name);
                } else if let Some(tensor) = constants.get(source) {
                    if zero.is_some_and(|zeros| zeros.raw_data.iter().any(|byte| *byte != 0)) {
                        return Err(wrong("only symmetric constants are known here"));
                    }
                    let axis = node.attribute.iter().find(|a| a.name == "axis" && a.r#type == AttributeProto::INT);
                    let axis = axis.and_then(|a| a.i).unwrap_or(1);
                    let axis = if axis < 0 { axis + tensor.dims.len() as i64 } else { axis };
                    // One scale has no axis.
                    let axis = if scales.len() == 1 { 0 } else { usize::try_from(axis).unwrap_or(usize::MAX) };
                    let scale = WeightScale { scales, axis };
                    let shape: Vec<usize> = tensor.dims.iter().map(|d| d.max(&0).unsigned_abs() as usize).collect();
                    if !scale.is_of(&shape) {
                        return Err(wrong("it needs one scale above zero, or one for each index of its constant"));
                    }
                    if notes.scaled.insert(source.to_owned(), scale.clone()).is_some_and(|other| other != scale) {
                        return Err(wrong("its constant has other scales elsewhere"));
                    }
                    notes.aliases.insert(output.to_owned(), source.to_owned());
                } else {
                    return Err(wrong("it reads neither a constant nor a value that was quantised"));
                }
            }
            _ => {}
        }
    }
    let read = graph.node.iter().filter(|n| !notes.is_note(n)).flat_map(|n| &n.input);
    let mut read = read.chain(graph.output.iter().map(|output| &output.name));
    if let Some(name) = read.find(|name| bytes.contains_key(name.as_str()) || notes.scaled.contains_key(*name)) {
        return Err(format!("{name} is read as integers, not as what they stand for"));
    }
    Ok(notes)
}

fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    let is_float = tensor.data_type == TensorProto::FLOAT;
    is_float.then(|| tensor.raw_data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// A zero point of unsigned bytes; that of signed ones is moved with them.
fn zero_point(tensor: &TensorProto) -> Option<u8> {
    match (tensor.data_type, tensor.raw_data.as_slice()) {
        (TensorProto::UINT8, &[zero]) => Some(zero),
        (TensorProto::INT8, &[zero]) => Some(zero ^ 0x80),
        _ => None,
    }
}

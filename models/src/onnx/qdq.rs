//! Quantised graphs in plain ONNX: `QuantizeLinear` and `DequantizeLinear` around what is kept in few bits.
//!
//! A value `X` with a scale becomes bytes `X/quantized`, and its readers take `X/dequantized`. A constant `W` becomes 8-bit
//! integers under its own name, with `W/scale`, and its readers take `W/dequantized`; the bias of a convolution of bytes by
//! such weights becomes 32-bit integers in the same way. An engine that knows these patterns computes with integers, any other
//! in float32 on the same numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use ndarray::ArrayD;

use super::OnnxModel;
use super::builder::{Attr, attribute};
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::checkpoint::{quantized, runs};
use crate::error::{Error, Result};
use crate::quantization::Affine;

/// The first operator set whose `DequantizeLinear` takes scales along an axis.
const LEAST_OPSET: i64 = 13;

/// Scale of the weights of a channel that has none but zeros, where all channels are so: any would do, but the bias has it too.
const IDLE_SCALE: f32 = 1.0 / 65536.0;

impl OnnxModel {
    /// Quantises values and constants of a float32 graph.
    ///
    /// `activations` are values by name; those that are not of this graph are left out, and so are those that only its outputs are
    /// made of. `weights` are constants by name, with a scale for each output channel; they must be the second input of `Conv`,
    /// `ConvTranspose`, `MatMul` or `Gemm`. Rounding is to nearest, ties to even.
    ///
    /// # Errors
    /// `Mismatch` if a constant is missing, not of float32, not such an input or of another number of channels; if the operator set is
    /// before 13; or if a name to be given is taken.
    pub fn quantized(
        mut self,
        activations: &BTreeMap<String, Affine>,
        weights: &BTreeMap<String, Vec<f32>>,
    ) -> Result<OnnxModel> {
        let standard = |domain: &str| matches!(domain, "" | "ai.onnx");
        match self.proto.opset_import.iter().find(|set| standard(&set.domain)) {
            Some(set) if set.version >= LEAST_OPSET => {}
            _ => return Err(Error::mismatch(format!("quantising needs ONNX's operator set {LEAST_OPSET} or later"))),
        }
        if let Some(graph) = self.proto.graph.take() {
            self.proto.graph = Some(Rewriting::new(graph).run(activations, weights)?);
        }
        Ok(self)
    }
}

/// A graph that is being rewritten.
struct Rewriting {
    graph: GraphProto,
    /// All names so far.
    names: HashSet<String>,
    /// What readers of a value are to take instead.
    instead: HashMap<String, String>,
    /// Nodes that read constants only.
    first: Vec<NodeProto>,
}

impl Rewriting {
    fn new(graph: GraphProto) -> Self {
        let nodes = graph.node.iter().flat_map(|node| node.output.iter().chain([&node.name]));
        let constants = graph.initializer.iter().map(|constant| &constant.name);
        let names = graph.input.iter().map(|input| &input.name).chain(nodes).chain(constants).cloned().collect();
        Rewriting { graph, names, instead: HashMap::new(), first: Vec::new() }
    }

    fn run(
        mut self,
        activations: &BTreeMap<String, Affine>,
        weights: &BTreeMap<String, Vec<f32>>,
    ) -> Result<GraphProto> {
        let outputs: HashSet<String> = self.graph.output.iter().map(|output| output.name.clone()).collect();
        let gives_output =
            |node: &NodeProto| node.op_type == "Identity" && node.output.iter().all(|o| outputs.contains(o));
        let mut scales = HashMap::new();
        for (name, channels) in weights {
            scales.insert(name.clone(), self.quantize_weights(name, channels)?);
        }
        self.quantize_biases(activations, &scales)?;

        let readers = self.graph.node.iter().filter(|node| !gives_output(node));
        let read: HashSet<String> = readers.flat_map(|node| node.input.iter().cloned()).collect();
        let quantized = |name: &str| activations.get(name).filter(|_| read.contains(name));
        let mut nodes = std::mem::take(&mut self.first);
        for name in self.graph.input.iter().map(|input| input.name.clone()).collect::<Vec<_>>() {
            if let Some(affine) = quantized(&name) {
                nodes.extend(self.quantize_value(&name, *affine)?);
            }
        }
        for mut node in std::mem::take(&mut self.graph.node) {
            if !gives_output(&node) {
                node.input.iter_mut().for_each(|input| {
                    if let Some(other) = self.instead.get(input) {
                        input.clone_from(other);
                    }
                });
            }
            let outputs = node.output.clone();
            nodes.push(node);
            for name in outputs {
                if let Some(affine) = quantized(&name) {
                    nodes.extend(self.quantize_value(&name, *affine)?);
                }
            }
        }
        self.graph.node = nodes;
        Ok(self.graph)
    }

    /// `name/what`, if it is free.
    fn fresh(&mut self, name: &str, what: &str) -> Result<String> {
        let fresh = format!("{name}/{what}");
        if self.names.insert(fresh.clone()) {
            Ok(fresh)
        } else {
            Err(Error::mismatch(format!("the name '{fresh}' is taken")))
        }
    }

    fn constant(
        &mut self,
        name: &str,
        what: &str,
        data_type: i32,
        dims: &[usize],
        raw_data: Vec<u8>,
    ) -> Result<String> {
        let name = self.fresh(name, what)?;
        let dims = dims.iter().map(|n| *n as i64).collect();
        self.graph.initializer.push(TensorProto {
            dims,
            data_type,
            name: name.clone(),
            raw_data,
            ..Default::default()
        });
        Ok(name)
    }

    fn quantize_value(&mut self, name: &str, affine: Affine) -> Result<[NodeProto; 2]> {
        let scale = self.constant(name, "scale", TensorProto::FLOAT, &[], affine.scale.to_le_bytes().to_vec())?;
        let zero = self.constant(name, "zero", TensorProto::UINT8, &[], vec![affine.zero])?;
        let (bytes, floats) = (self.fresh(name, "quantized")?, self.fresh(name, "dequantized")?);
        self.instead.insert(name.to_owned(), floats.clone());
        Ok([
            linear("QuantizeLinear", [name, &scale, &zero].map(str::to_owned).to_vec(), bytes.clone(), None),
            linear("DequantizeLinear", vec![bytes, scale, zero], floats, None),
        ])
    }

    /// Replaces the numbers of a constant by integers, which stand for multiples of `scales` along `axis`.
    fn quantize_constant(
        &mut self,
        name: &str,
        data_type: i32,
        bytes: Vec<u8>,
        scales: &[f32],
        axis: usize,
    ) -> Result<()> {
        let raw = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        let scale = self.constant(name, "scale", TensorProto::FLOAT, &[scales.len()], raw)?;
        let floats = self.fresh(name, "dequantized")?;
        if let Some(constant) = self.graph.initializer.iter_mut().find(|constant| constant.name == name) {
            (constant.data_type, constant.raw_data) = (data_type, bytes);
        }
        self.first.push(linear("DequantizeLinear", vec![name.to_owned(), scale], floats.clone(), Some(axis)));
        self.instead.insert(name.to_owned(), floats);
        Ok(())
    }

    /// The values of a float32 constant.
    fn floats(&self, name: &str) -> Result<ArrayD<f32>> {
        let found = self.graph.initializer.iter().find(|constant| constant.name == name);
        found.ok_or_else(|| Error::mismatch(format!("constant '{name}' is missing")))?.to_f32()
    }

    /// Makes a constant 8-bit integers; returns the scales of its channels.
    fn quantize_weights(&mut self, name: &str, scales: &[f32]) -> Result<Vec<f32>> {
        let bad = |what: &str| Error::mismatch(format!("constant '{name}' cannot be quantised: {what}"));
        let weights = self.floats(name)?;
        let readers = self.graph.node.iter().filter(|node| node.input.iter().any(|input| input == name));
        let mut axes = readers.map(|node| channel_axis(node, name, weights.ndim()));
        let axis = axes.next().flatten().ok_or_else(|| bad("it is the weight of no convolution or product"))?;
        if axes.any(|other| other != Some(axis)) {
            return Err(bad("its readers differ in what its output channels are"));
        }
        if scales.len() != weights.shape()[axis] || !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
            return Err(bad(&format!("it needs {} scales, finite and above zero", weights.shape()[axis])));
        }
        let runs = || runs(weights.as_slice().unwrap_or_default(), weights.shape(), axis);
        let mut idle = vec![true; scales.len()];
        runs().for_each(|(c, run)| idle[c] &= run.iter().all(|weight| *weight == 0.0));
        let busy = scales.iter().zip(&idle).filter(|(_, idle)| !**idle).map(|(scale, _)| *scale);
        let least = busy.reduce(f32::min).unwrap_or(IDLE_SCALE);
        let scales: Vec<f32> =
            scales.iter().zip(&idle).map(|(scale, idle)| if *idle { least } else { *scale }).collect();
        let mut bytes = Vec::with_capacity(weights.len());
        for (c, run) in runs() {
            bytes.extend(run.iter().map(|weight| quantized(*weight, scales[c]).cast_unsigned()));
        }
        self.quantize_constant(name, TensorProto::INT8, bytes, &scales, axis)?;
        Ok(scales)
    }

    /// Makes the biases of convolutions of bytes by 8-bit weights 32-bit integers, where the range of these suffices.
    fn quantize_biases(
        &mut self,
        activations: &BTreeMap<String, Affine>,
        weights: &HashMap<String, Vec<f32>>,
    ) -> Result<()> {
        let mut reads: HashMap<&str, usize> = HashMap::new();
        for input in self.graph.node.iter().flat_map(|node| &node.input) {
            *reads.entry(input).or_default() += 1;
        }
        let candidates = self.graph.node.iter().filter(|node| node.op_type == "Conv").filter_map(|node| {
            let [input, weight, bias] = node.input.as_slice() else { return None };
            let alone = reads.get(bias.as_str()) == Some(&1);
            Some((bias.clone(), activations.get(input)?.scale, weights.get(weight).filter(|_| alone)?))
        });
        for (bias, input, weights) in candidates.collect::<Vec<_>>() {
            let Ok(values) = self.floats(&bias) else { continue };
            let scales: Vec<f32> = weights.iter().map(|weight| input * weight).collect();
            let number = |(value, scale): (&f32, &f32)| {
                let number = (f64::from(*value) / f64::from(*scale)).round_ties_even();
                (scale.is_normal() && number.abs() <= f64::from(i32::MAX)).then_some(number as i32)
            };
            if values.len() != scales.len() {
                continue;
            }
            if let Some(numbers) = values.iter().zip(&scales).map(number).collect::<Option<Vec<i32>>>() {
                let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                self.quantize_constant(&bias, TensorProto::INT32, bytes, &scales, 0)?;
            }
        }
        Ok(())
    }
}

/// The axis of a weight's output channels, if `name` is the weight of a node, and nothing else of it.
fn channel_axis(node: &NodeProto, name: &str, rank: usize) -> Option<usize> {
    let is_weight = |(i, input): (usize, &String)| (input == name) == (i == 1);
    if !node.input.iter().enumerate().all(is_weight) {
        return None;
    }
    let is_set = |attribute: &AttributeProto| attribute.name == "transB" && attribute.i == Some(1);
    match (node.op_type.as_str(), rank) {
        ("Conv", 2..) => Some(0),
        ("ConvTranspose", 2..) | ("MatMul", 2) => Some(1),
        ("Gemm", 2) => Some(if node.attribute.iter().any(is_set) { 0 } else { 1 }),
        _ => None,
    }
}

fn linear(op: &str, input: Vec<String>, output: String, axis: Option<usize>) -> NodeProto {
    let attribute = axis.map(|axis| attribute("axis", &Attr::Int(axis as i64))).into_iter().collect();
    NodeProto { input, name: output.clone(), output: vec![output], op_type: op.into(), attribute }
}

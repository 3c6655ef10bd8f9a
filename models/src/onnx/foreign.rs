//! Graphs that other programs have written, brought to the form that the graph builders write.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::OnnxModel;
use super::builder::{Attr, attribute};
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::error::{Error, Result};

/// Operators whose second input is weights where it is constant.
const PRODUCTS: [&str; 4] = ["Conv", "ConvTranspose", "MatMul", "Gemm"];

/// The first operator set whose `Split` says how many equal parts there are.
const COUNTS_PARTS: i64 = 18;

impl OnnxModel {
    /// The version of ONNX's own operator set.
    pub fn opset(&self) -> Option<i64> {
        let own = self.proto().opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
        own.map(|set| set.version)
    }

    /// Keeps these outputs, in this order, and the nodes and constants that they need.
    ///
    /// # Errors
    /// `Mismatch` if there is no such output.
    pub fn cut(&mut self, outputs: &[&str]) -> Result<()> {
        let Some(graph) = &mut self.proto_mut().graph else { return Ok(()) };
        let mut kept = Vec::with_capacity(outputs.len());
        for name in outputs {
            let found = graph.output.iter().find(|output| output.name == *name);
            kept.push(found.cloned().ok_or_else(|| Error::mismatch(format!("there is no output '{name}'")))?);
        }
        graph.output = kept;
        let mut needed: HashSet<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
        let mut nodes = Vec::with_capacity(graph.node.len());
        for node in std::mem::take(&mut graph.node).into_iter().rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                needed.extend(node.input.iter().cloned());
                nodes.push(node);
            }
        }
        nodes.reverse();
        graph.node = nodes;
        graph.initializer.retain(|constant| needed.contains(&constant.name));
        Ok(())
    }

    /// Leaves out what only says the default: steps of 1, equal parts, zeros as padding, `auto_pad` that is not set; and gives nodes of one
    /// name names of their own.
    pub(crate) fn simplify(&mut self) {
        let opset = self.opset();
        let Some(graph) = &mut self.proto_mut().graph else { return };
        let ints: HashMap<&str, Vec<i64>> = graph.initializer.iter().filter_map(ints).collect();
        let zeros: HashSet<&str> = graph
            .initializer
            .iter()
            .filter(|t| t.data_type == TensorProto::FLOAT && t.raw_data == [0; 4])
            .map(|t| t.name.as_str())
            .collect();
        let mut names = HashSet::new();
        for node in &mut graph.node {
            while node.input.last().is_some_and(String::is_empty) {
                node.input.pop();
            }
            let extra = match (node.op_type.as_str(), node.input.len()) {
                ("Slice", 5) => ints.get(node.input[4].as_str()).is_some_and(|steps| steps.iter().all(|s| *s == 1)),
                ("Split", 2) => ints
                    .get(node.input[1].as_str())
                    .is_some_and(|parts| parts.len() == node.output.len() && parts.iter().all(|p| *p == parts[0])),
                ("Pad", 3) => zeros.contains(node.input[2].as_str()),
                _ => false,
            };
            if extra {
                node.input.pop();
                if node.op_type == "Split" && opset >= Some(COUNTS_PARTS) {
                    let count = Attr::Int(node.output.len() as i64);
                    node.attribute.push(attribute("num_outputs", &count));
                }
            }
            let unset = |a: &AttributeProto| a.name == "auto_pad" && a.s.as_deref() == Some(b"NOTSET");
            node.attribute.retain(|a| !unset(a));
            if let (false, Some(output)) = (names.insert(node.name.clone()), node.output.first()) {
                node.name.clone_from(output);
                names.insert(node.name.clone());
            }
        }
    }

    /// Puts `prefix` before the names of nodes, constants and inner values that are among `taken`.
    pub(crate) fn rename_inner(&mut self, taken: &HashSet<String>, prefix: &str) {
        let Some(graph) = &mut self.proto_mut().graph else { return };
        let outer: HashSet<String> = graph.input.iter().chain(&graph.output).map(|value| value.name.clone()).collect();
        let rename = |name: &mut String| {
            if taken.contains(name) && !outer.contains(name) {
                *name = format!("{prefix}{name}");
            }
        };
        graph.initializer.iter_mut().for_each(|constant| rename(&mut constant.name));
        for node in &mut graph.node {
            node.input.iter_mut().chain(&mut node.output).chain([&mut node.name]).for_each(rename);
        }
    }

    /// Gives each reader of a bias or of weights a constant of its own, so that one layer can be changed without another: exporters keep
    /// equal constants once.
    pub(crate) fn unshare(&mut self) {
        let Some(graph) = &mut self.proto_mut().graph else { return };
        let shared = shared_parameters(graph);
        let mut readers: HashMap<String, usize> = HashMap::new();
        let mut copies = Vec::new();
        for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
            let Some(constant) = shared.get(input) else { continue };
            let count = readers.entry(input.clone()).or_default();
            if *count > 0 {
                *input = format!("{input}/copy{count}");
                copies.push(TensorProto { name: input.clone(), ..constant.clone() });
            }
            *count += 1;
        }
        graph.initializer.extend(copies);
    }

    /// The constants that are the second factor of a `MatMul`, and matrices.
    pub(crate) fn matrices(&self) -> HashSet<String> {
        let Some(graph) = &self.proto().graph else { return HashSet::new() };
        let products = graph.node.iter().filter(|node| node.op_type == "MatMul");
        let factors: HashSet<&String> = products.filter_map(|node| node.input.get(1)).collect();
        let constants = graph.initializer.iter().filter(|t| t.dims.len() == 2 && t.data_type == TensorProto::FLOAT);
        constants.map(|t| &t.name).filter(|name| factors.contains(name)).cloned().collect()
    }
}

/// Constants of float32 that several inputs read, one of them as weights, or that are vectors.
fn shared_parameters(graph: &GraphProto) -> BTreeMap<String, TensorProto> {
    let mut readers: HashMap<&str, usize> = HashMap::new();
    let mut weights: HashSet<&str> = HashSet::new();
    let is_product = |node: &NodeProto| PRODUCTS.contains(&node.op_type.as_str());
    for node in &graph.node {
        node.input.iter().for_each(|input| *readers.entry(input).or_default() += 1);
        weights.extend(node.input.get(1).filter(|_| is_product(node)).map(String::as_str));
    }
    let is_parameter = |constant: &&TensorProto| {
        constant.data_type == TensorProto::FLOAT
            && readers.get(constant.name.as_str()).is_some_and(|count| *count > 1)
            && (weights.contains(constant.name.as_str()) || constant.dims.len() == 1)
    };
    graph.initializer.iter().filter(is_parameter).map(|t| (t.name.clone(), t.clone())).collect()
}

pub(super) fn ints(constant: &TensorProto) -> Option<(&str, Vec<i64>)> {
    let (numbers, _) = constant.raw_data.as_chunks();
    (constant.data_type == TensorProto::INT64)
        .then(|| (constant.name.as_str(), numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()))
}

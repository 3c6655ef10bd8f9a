//! [`Graph`]: an ONNX graph to walk through, from values to what makes and what reads them.

use std::collections::{HashMap, HashSet};

use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::{GraphProto, NodeProto, TensorProto};

use crate::{Error, Result};

/// Nodes that only move or repeat what they read: their output has the numbers of their first input.
const VIEWS: [&str; 9] =
    ["Identity", "Reshape", "Transpose", "Slice", "Split", "Pad", "Flatten", "Squeeze", "Unsqueeze"];

/// A graph and its connections.
pub(crate) struct Graph<'a> {
    nodes: &'a [NodeProto],
    makers: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<usize>>,
    constants: HashMap<&'a str, &'a TensorProto>,
    outputs: HashSet<&'a str>,
    /// Values that follow from the inputs.
    varying: HashSet<&'a str>,
    input: Option<&'a str>,
}

impl<'a> Graph<'a> {
    /// # Errors
    /// [`Error::Graph`] where the model has no graph.
    pub(crate) fn of(model: &'a OnnxModel) -> Result<Self> {
        let graph = proto(model)?;
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<&str, Vec<usize>>::new());
        let mut varying: HashSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
        for (number, node) in graph.node.iter().enumerate() {
            for input in node.input.iter().filter(|i| !i.is_empty()) {
                readers.entry(input).or_default().push(number);
            }
            let varies = node.input.iter().any(|i| varying.contains(i.as_str()));
            for output in &node.output {
                makers.insert(output.as_str(), number);
                if varies {
                    varying.insert(output);
                }
            }
        }
        Ok(Graph {
            nodes: &graph.node,
            makers,
            readers,
            constants: graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect(),
            outputs: graph.output.iter().map(|o| o.name.as_str()).collect(),
            varying,
            input: graph.input.first().map(|i| i.name.as_str()),
        })
    }

    pub(crate) fn nodes(&self) -> &'a [NodeProto] {
        self.nodes
    }

    /// The first input.
    pub(crate) fn input(&self) -> Option<&'a str> {
        self.input
    }

    /// The node that gives a value; none gives an input or a constant.
    pub(crate) fn maker(&self, value: &str) -> Option<&'a NodeProto> {
        self.makers.get(value).map(|&n| &self.nodes[n])
    }

    /// The nodes that read a value.
    pub(crate) fn readers(&self, value: &str) -> impl Iterator<Item = &'a NodeProto> {
        self.readers.get(value).into_iter().flatten().map(|&n| &self.nodes[n])
    }

    /// The node that reads a value, if it is the only one and the value is no output.
    pub(crate) fn only_reader(&self, value: &str) -> Option<&'a NodeProto> {
        let mut readers = self.readers(value);
        let first = readers.next()?;
        (readers.next().is_none() && !self.is_output(value)).then_some(first)
    }

    /// A constant by its name.
    pub(crate) fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        self.constants.get(value).copied()
    }

    pub(crate) fn is_output(&self, value: &str) -> bool {
        self.outputs.contains(value)
    }

    /// Whether a value depends on the inputs.
    pub(crate) fn varies(&self, value: &str) -> bool {
        self.varying.contains(value)
    }

    /// The value whose numbers `value` has: what is before reshapes, transpositions and other views.
    pub(crate) fn root(&self, mut value: &'a str) -> &'a str {
        while let Some(node) = self.maker(value).filter(|n| is_view(n)) {
            value = &node.input[0];
        }
        value
    }

    /// The nodes that read a value or a view of it, and whether one of these is an output.
    pub(crate) fn readers_through_views(&self, value: &str) -> (Vec<&'a NodeProto>, bool) {
        let (mut found, mut output) = (Vec::new(), self.is_output(value));
        for node in self.readers(value) {
            if is_view(node) {
                for next in &node.output {
                    let (more, is_output) = self.readers_through_views(next);
                    found.extend(more);
                    output |= is_output;
                }
            } else {
                found.push(node);
            }
        }
        (found, output)
    }
}

/// Whether a node is a view of its first input.
pub(crate) fn is_view(node: &NodeProto) -> bool {
    VIEWS.contains(&node.op_type.as_str())
}

/// The integers of an attribute.
pub(crate) fn ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.ints.as_slice())
}

/// The integer of an attribute.
pub(crate) fn int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name).and_then(|a| a.i)
}

fn proto(model: &OnnxModel) -> Result<&GraphProto> {
    model.proto().graph.as_ref().ok_or_else(|| Error::graph("the model has no graph"))
}

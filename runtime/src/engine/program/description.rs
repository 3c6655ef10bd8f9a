//! [`Description`]: a graph without its constants, as it is kept and stored.

use std::collections::{BTreeMap, HashSet};

use cutout_models::onnx::proto::{AttributeProto, DimensionValue, GraphProto, NodeProto, ValueInfoProto};
use serde::{Deserialize, Serialize};

/// The nodes of a graph, its inputs and its outputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) inputs: Vec<Input>,
    pub(super) nodes: Vec<NodeDescription>,
    pub(super) outputs: Vec<String>,
}

/// An input, and its shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) shape: Vec<Dimension>,
}

/// A size, or the symbol of one that comes with the values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dimension {
    Size(usize),
    Symbol(String),
}

/// A node; its values are named.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodeDescription {
    pub(super) op: String,
    pub(super) name: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) attributes: BTreeMap<String, Attribute>,
}

/// What an attribute says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Float(f32),
    Text(String),
}

impl Description {
    /// Reads the graph of an ONNX model.
    ///
    /// # Errors
    /// Names the input or the attribute that is not known here.
    pub(crate) fn of(graph: &GraphProto) -> Result<Self, String> {
        Ok(Description {
            inputs: graph.input.iter().map(input).collect::<Result<_, _>>()?,
            nodes: graph.node.iter().map(node).collect::<Result<_, _>>()?,
            outputs: graph.output.iter().map(|output| output.name.clone()).collect(),
        })
    }

    /// The values that nodes read otherwise than as the weights of a convolution or of a product.
    pub(crate) fn read_plainly(&self) -> HashSet<&str> {
        let plain = |node: &NodeDescription, at: usize| at != 1 || !matches!(node.op.as_str(), "Conv" | "MatMul");
        let read = |node| inputs(node).filter(move |(at, _)| plain(node, *at)).map(|(_, name)| name);
        self.nodes.iter().flat_map(read).chain(self.outputs.iter().map(String::as_str)).collect()
    }
}

fn inputs(node: &NodeDescription) -> impl Iterator<Item = (usize, &str)> {
    node.inputs.iter().map(String::as_str).enumerate()
}

fn input(declared: &ValueInfoProto) -> Result<Input, String> {
    let tensor = declared.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dims = tensor.and_then(|t| t.shape.as_ref()).into_iter().flat_map(|s| &s.dim);
    let dimension = |value: &Option<DimensionValue>| match value {
        Some(DimensionValue::DimValue(n)) => usize::try_from(*n).ok().map(Dimension::Size),
        Some(DimensionValue::DimParam(name)) => Some(Dimension::Symbol(name.clone())),
        None => None,
    };
    let shape = dims.map(|d| dimension(&d.value)).collect::<Option<_>>();
    let shape = shape.ok_or_else(|| format!("the shape of input {} is unknown", declared.name))?;
    Ok(Input { name: declared.name.clone(), shape })
}

fn node(proto: &NodeProto) -> Result<NodeDescription, String> {
    let attribute = |a: &AttributeProto| {
        let value = match a.r#type {
            AttributeProto::INT => a.i.map(Attribute::Int),
            AttributeProto::INTS => Some(Attribute::Ints(a.ints.clone())),
            AttributeProto::FLOAT => a.f.map(Attribute::Float),
            AttributeProto::STRING => a.s.clone().and_then(|s| String::from_utf8(s).ok()).map(Attribute::Text),
            _ => None,
        };
        let value = value.ok_or_else(|| format!("attribute {} of {} is of an unknown type", a.name, proto.name))?;
        Ok((a.name.clone(), value))
    };
    Ok(NodeDescription {
        op: proto.op_type.clone(),
        name: proto.name.clone(),
        inputs: proto.input.clone(),
        outputs: proto.output.clone(),
        attributes: proto.attribute.iter().map(attribute).collect::<Result<_, String>>()?,
    })
}

//! [`Description`]: a graph without its constants, as it is kept and stored.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cutout_models::onnx::proto::{AttributeProto, DimensionValue, GraphProto, NodeProto, ValueInfoProto};
use serde::{Deserialize, Serialize};

use super::super::InF32;
use super::quantization::{self, Quantization, WeightScale};
use super::store::Constant;

/// The nodes of a graph, its inputs and its outputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) inputs: Vec<Input>,
    pub(super) nodes: Vec<NodeDescription>,
    pub(super) outputs: Vec<String>,
    /// Values that are held as bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) quantized: BTreeMap<String, Quantization>,
    /// Constants that are stored as integers, with their scales.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) scaled: BTreeMap<String, WeightScale>,
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
    /// Reads the graph of an ONNX model. Pairs of `QuantizeLinear` and `DequantizeLinear` become notes on the values that they stand
    /// behind, see [`quantization`].
    ///
    /// # Errors
    /// Names the input, the attribute or the quantisation that is not known here.
    pub(crate) fn of(graph: &GraphProto) -> Result<Self, String> {
        let notes = quantization::read(graph)?;
        let plain = graph.node.iter().filter(|n| !notes.is_note(n));
        let mut nodes = plain.map(node).collect::<Result<Vec<_>, _>>()?;
        for name in nodes.iter_mut().flat_map(|n| &mut n.inputs) {
            notes.rename(name);
        }
        let mut outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
        outputs.iter_mut().for_each(|name| notes.rename(name));
        let inputs = graph.input.iter().map(input).collect::<Result<_, _>>()?;
        Ok(Description { inputs, nodes, outputs, quantized: notes.quantized, scaled: notes.scaled })
    }

    /// The weights of nodes whose products stay in f32.
    pub(crate) fn kept_in_f32(&self, in_f32: InF32<'_>) -> BTreeSet<String> {
        let kept = |node: &&NodeDescription| match in_f32 {
            InF32::None => false,
            InF32::Nodes(names) => names.contains(&node.name),
            InF32::All => true,
        };
        self.nodes.iter().filter(kept).filter_map(|node| node.inputs.get(1).cloned()).collect()
    }

    /// Checks what is said of values in bytes and of constants in integers, of which `constants` has the shapes.
    ///
    /// # Errors
    /// Names what has a scale that is none, or another number of scales than it needs.
    pub(crate) fn check_scales(&self, constants: &BTreeMap<String, (Vec<usize>, Constant)>) -> Result<(), String> {
        let held = self.quantized.iter().filter(|(_, quantization)| !quantization.is_sound()).map(|(name, _)| name);
        let of_shape =
            |name: &String, scale: &WeightScale| constants.get(name).is_none_or(|(shape, _)| scale.is_of(shape));
        let scaled = self.scaled.iter().filter(|(name, scale)| !of_shape(name, scale)).map(|(name, _)| name);
        match held.chain(scaled).next() {
            Some(name) => Err(format!("the scales of {name} cannot be what they say")),
            None => Ok(()),
        }
    }

    /// The values that anything reads.
    pub(crate) fn read(&self) -> HashSet<&str> {
        self.nodes.iter().flat_map(|n| &n.inputs).chain(&self.outputs).map(String::as_str).collect()
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

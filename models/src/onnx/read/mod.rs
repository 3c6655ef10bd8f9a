//! Reads ONNX files that other programs have written.

mod tensors;
mod wire;

use std::collections::HashSet;
use std::path::Path;

use prost::Message;

use self::tensors::Beside;
use super::OnnxModel;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::checkpoint::Storage;
use crate::error::{Error, Result};

impl OnnxModel {
    /// Reads an `.onnx` file, and the file of weights beside it if it has one.
    ///
    /// What is read is as the graph builders write it: elements of constants are in `raw_data`, `Constant` nodes are constants of
    /// the graph, and constants are not inputs too. Texts for people, and shapes of inner values, are left out; whatever else
    /// would be lost is refused, such as subgraphs, functions, sparse tensors and operators of other domains.
    ///
    /// # Errors
    /// `Io` if a file cannot be read; `Malformed` if it is damaged or no ONNX model; `Refused`, naming what is not read. The message
    /// names the path.
    pub fn read(path: &Path) -> Result<Self> {
        let file = Storage::open(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        file.bytes().and_then(|bytes| decode(bytes, Some(folder))).map_err(|e| e.in_file(path))
    }

    /// Reads the bytes of an `.onnx` file, as [`read`](Self::read); weights in another file are refused.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        decode(bytes, None)
    }
}

fn decode(bytes: &[u8], folder: Option<&Path>) -> Result<OnnxModel> {
    wire::check(bytes)?;
    let mut model = ModelProto::decode(bytes).map_err(|_| wire::damaged())?;
    if !model.opset_import.iter().any(|set| matches!(set.domain.as_str(), "" | "ai.onnx")) {
        return Err(wire::damaged());
    }
    let graph = model.graph.as_mut().ok_or_else(wire::damaged)?;
    normalize(graph, &mut Beside::new(folder))?;
    check_names(graph)?;
    Ok(OnnxModel::new(model))
}

fn normalize(graph: &mut GraphProto, beside: &mut Beside<'_>) -> Result<()> {
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        if node.op_type == "Constant" {
            graph.initializer.push(constant(node)?);
            continue;
        }
        for attribute in &mut node.attribute {
            if let Some(tensor) = &mut attribute.t {
                beside.settle(tensor)?;
            }
        }
        if let (true, Some(output)) = (node.name.is_empty(), node.output.first()) {
            node.name.clone_from(output);
        }
        nodes.push(node);
    }
    graph.node = nodes;
    graph.initializer.iter_mut().try_for_each(|tensor| beside.settle(tensor))?;
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    // Files of old versions list constants as inputs.
    graph.input.retain(|input| !constants.contains(input.name.as_str()));
    Ok(())
}

/// The constant that a `Constant` node gives.
fn constant(node: NodeProto) -> Result<TensorProto> {
    let ([output], [attribute]) = (node.output.as_slice(), node.attribute.as_slice()) else {
        return Err(Error::malformed(format!("node {:?} is no constant", node.name)));
    };
    let AttributeProto { name, f, i, ints, floats, t, .. } = attribute;
    let mut tensor = match (name.as_str(), t) {
        ("value", Some(tensor)) => tensor.clone(),
        ("value_float", _) => {
            TensorProto { data_type: TensorProto::FLOAT, float_data: f.iter().copied().collect(), ..Default::default() }
        }
        ("value_int", _) => {
            TensorProto { data_type: TensorProto::INT64, int64_data: i.iter().copied().collect(), ..Default::default() }
        }
        ("value_floats", _) => TensorProto {
            dims: vec![floats.len() as i64],
            data_type: TensorProto::FLOAT,
            float_data: floats.clone(),
            ..Default::default()
        },
        ("value_ints", _) => TensorProto {
            dims: vec![ints.len() as i64],
            data_type: TensorProto::INT64,
            int64_data: ints.clone(),
            ..Default::default()
        },
        _ => return Err(Error::refused(format!("the ONNX file has a constant that is given by {name:?}"))),
    };
    tensor.name.clone_from(output);
    Ok(tensor)
}

/// Checks that every value is made once, before its use.
fn check_names(graph: &GraphProto) -> Result<()> {
    let bad =
        |what: &str, name: &str| Err(Error::malformed(format!("the ONNX file is damaged: value {name:?} {what}")));
    let mut known = HashSet::new();
    let given = graph.input.iter().map(|input| &input.name).chain(graph.initializer.iter().map(|t| &t.name));
    for name in given {
        if name.is_empty() || !known.insert(name.as_str()) {
            return bad("is given twice, or has no name", name);
        }
    }
    for node in &graph.node {
        if let Some(name) = node.input.iter().find(|name| !name.is_empty() && !known.contains(name.as_str())) {
            return bad("is read before it is made", name);
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !known.insert(name.as_str()) {
                return bad("is made twice", name);
            }
        }
    }
    match graph.output.iter().find(|output| !known.contains(output.name.as_str())) {
        Some(output) => bad("is an output and never made", &output.name),
        None => Ok(()),
    }
}

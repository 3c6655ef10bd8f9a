//! ONNX files: the schema, a graph builder, quantised graphs, reading and writing.

mod builder;
mod external;
mod fold;
mod foreign;
mod names;
pub mod proto;
mod qdq;
mod read;
mod tensor;

pub(crate) use builder::value_info;
pub use builder::{Attr, ConvSpec, Dim, GraphBuilder, OPSET, Parameter, Value};
use prost::Message;
use std::path::Path;

use crate::error::{Error, Result};

/// A finished ONNX model.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    proto: proto::ModelProto,
}

impl OnnxModel {
    pub(crate) fn new(proto: proto::ModelProto) -> Self {
        OnnxModel { proto }
    }

    /// Adds a key-value pair to the model's metadata, or replaces the one of that key.
    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.proto.metadata_props.retain(|pair| pair.key != key);
        self.proto.metadata_props.push(proto::StringStringEntryProto { key: key.into(), value: value.into() });
        self
    }

    /// The protobuf message.
    pub fn proto(&self) -> &proto::ModelProto {
        &self.proto
    }

    /// The protobuf message, to be changed.
    pub fn proto_mut(&mut self) -> &mut proto::ModelProto {
        &mut self.proto
    }

    /// Names of the graph's inputs, in order.
    pub fn input_names(&self) -> impl Iterator<Item = &str> {
        self.proto.graph.iter().flat_map(|g| &g.input).map(|i| i.name.as_str())
    }

    /// Names of the graph's outputs, in order.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        self.proto.graph.iter().flat_map(|g| &g.output).map(|o| o.name.as_str())
    }

    /// The bytes of a self-contained `.onnx` file. Readers take no more than 2 GB of them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// Writes the model to `path`.
    ///
    /// Weights above 1.5 GB go to `<stem>.onnx.data` beside it, since a protobuf message stops at 2 GB.
    ///
    /// # Errors
    /// `Io` if a file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if external::weight_bytes(&self.proto) > external::THRESHOLD {
            return external::write(&self.proto, path);
        }
        std::fs::write(path, self.to_bytes()).map_err(|e| Error::io(path, e))
    }
}

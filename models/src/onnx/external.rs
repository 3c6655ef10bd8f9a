//! Models whose weights lie in a file of their own, because a protobuf message stops at 2 GB.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use prost::Message;

use super::proto::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};
use crate::error::{Error, Result};

/// Weights of more bytes than this go to a file of their own.
pub(super) const THRESHOLD: usize = 1_500_000_000;

/// Smaller constants stay in the model file: readers want shapes and axes before they load weights.
const INLINE: usize = 1024;

/// Tensors start at multiples of this many bytes, so that a reader can map them.
const ALIGNMENT: u64 = 4096;

/// Bytes of all constants.
pub(super) fn weight_bytes(model: &ModelProto) -> usize {
    model.graph.iter().flat_map(|g| &g.initializer).map(|t| t.raw_data.len()).sum()
}

/// Writes `<stem>.onnx.data` beside `path`, and at `path` the model that refers to it.
pub(super) fn write(model: &ModelProto, path: &Path) -> Result<()> {
    let location = path.file_stem().and_then(|s| s.to_str()).map(|stem| format!("{stem}.onnx.data"));
    let location =
        location.ok_or_else(|| Error::io(path, io::Error::new(io::ErrorKind::InvalidInput, "no UTF-8 file name")))?;
    let data = path.with_file_name(&location);
    let graph = match &model.graph {
        Some(graph) => Some(move_weights(graph, &location, &data).map_err(|e| Error::io(&data, e))?),
        None => None,
    };
    let ModelProto { ir_version, producer_name, producer_version, graph: _, opset_import, metadata_props } = model;
    let slim = ModelProto {
        ir_version: *ir_version,
        producer_name: producer_name.clone(),
        producer_version: producer_version.clone(),
        graph,
        opset_import: opset_import.clone(),
        metadata_props: metadata_props.clone(),
    };
    std::fs::write(path, slim.encode_to_vec()).map_err(|e| Error::io(path, e))
}

/// Writes the large constants of `graph` to the file `data`; returns the graph with references to them.
fn move_weights(graph: &GraphProto, location: &str, data: &Path) -> io::Result<GraphProto> {
    let mut file = BufWriter::new(File::create(data)?);
    let mut at = 0u64;
    let mut initializer = Vec::with_capacity(graph.initializer.len());
    for tensor in &graph.initializer {
        if tensor.raw_data.len() <= INLINE {
            initializer.push(tensor.clone());
            continue;
        }
        let offset = at.next_multiple_of(ALIGNMENT);
        io::copy(&mut io::Read::take(io::repeat(0), offset - at), &mut file)?;
        file.write_all(&tensor.raw_data)?;
        let length = tensor.raw_data.len() as u64;
        at = offset + length;
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
        initializer.push(TensorProto {
            dims: tensor.dims.clone(),
            data_type: tensor.data_type,
            name: tensor.name.clone(),
            external_data: vec![
                entry("location", location.into()),
                entry("offset", offset.to_string()),
                entry("length", length.to_string()),
            ],
            data_location: Some(TensorProto::EXTERNAL),
            ..Default::default()
        });
    }
    file.flush()?;
    Ok(GraphProto {
        node: graph.node.clone(),
        name: graph.name.clone(),
        initializer,
        input: graph.input.clone(),
        output: graph.output.clone(),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;
    use prost::Message;

    use super::{ALIGNMENT, write};
    use crate::onnx::proto::{ModelProto, TensorProto};
    use crate::onnx::{Dim, GraphBuilder};

    #[test]
    fn large_constants_move_out_and_small_ones_stay() {
        let ramp = |n: usize, first: usize| ArrayD::from_shape_fn(vec![n], |at| (first + at[0]) as f32);
        let mut g = GraphBuilder::new("sum");
        let x = g.input("x", &[Dim::Fixed(300)]);
        let mut sum = x;
        for first in [0, 7] {
            let c = g.constant(&ramp(300, first).view());
            sum = g.add(&sum, &c);
        }
        let y = g.reshape(&sum, &[300, 1]);
        g.output("y", &y, &[300.into(), 1.into()]);
        let model = g.finish().with_metadata("key", "value");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.onnx");
        write(model.proto(), &path).unwrap();
        let data = std::fs::read(folder.path().join("big.onnx.data")).unwrap();
        let mut read = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();

        let mut moved = 0;
        for tensor in &mut read.graph.as_mut().unwrap().initializer {
            if tensor.data_location != Some(TensorProto::EXTERNAL) {
                assert_eq!(tensor.data_type, TensorProto::INT64);
                continue;
            }
            assert!(tensor.raw_data.is_empty());
            let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).unwrap().value.clone();
            assert_eq!(entry("location"), "big.onnx.data");
            let (offset, length): (usize, usize) = (entry("offset").parse().unwrap(), entry("length").parse().unwrap());
            assert_eq!(offset as u64 % ALIGNMENT, 0);
            tensor.raw_data = data[offset..offset + length].to_vec();
            (tensor.external_data, tensor.data_location) = (Vec::new(), None);
            moved += 1;
        }
        assert_eq!(moved, 2);
        assert!(read == *model.proto());
    }
}

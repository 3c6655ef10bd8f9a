//! [`OnnxPair`]: a model that is two ONNX files, an image encoder and a mask decoder.

mod contract;

use std::collections::HashSet;
use std::path::Path;

use crate::arch::InputSize;
use crate::arch::mask_decoder::DecoderShape;
use crate::checkpoint::{Dtype, StateDict, TensorData};
use crate::digest::Sha256Stream;
use crate::error::{Error, Result};
use crate::onnx::OnnxModel;
use crate::onnx::proto::{NodeProto, TensorProto};

pub(crate) use contract::{STRIDE, input_size};

/// Name of the image encoder in a folder.
pub const ENCODER_FILE: &str = "image_encoder.onnx";
/// Name of the mask decoder in a folder.
pub const DECODER_FILE: &str = "mask_decoder.onnx";

/// What is put before names of the mask decoder that the image encoder has too.
const DECODER_PREFIX: &str = "mask_decoder/";

/// The graphs of a model without the numbers of their constants, which are the model's tensors under the constants' names; those that
/// are the second factor of a `MatMul` are `[outputs, inputs]` there.
///
/// Names are unique across both graphs, but for `image_embeddings` and what else one gives and the other reads.
#[derive(Clone, Debug)]
pub(crate) struct OnnxPair {
    encoder: OnnxModel,
    decoder: OnnxModel,
    size: InputSize,
    matrices: HashSet<String>,
    is_quantized: bool,
}

impl OnnxPair {
    /// Reads both files of a folder; see [`of`](Self::of).
    ///
    /// # Errors
    /// As [`OnnxModel::read`] and [`of`](Self::of).
    pub(crate) fn read(folder: &Path) -> Result<(Self, StateDict)> {
        let [encoder, decoder] = [ENCODER_FILE, DECODER_FILE].map(|name| folder.join(name));
        for (path, other) in [(&encoder, &decoder), (&decoder, &encoder)] {
            if !path.is_file() && other.is_file() {
                let what = format!("{} is missing: {ENCODER_FILE} and {DECODER_FILE} belong together", path.display());
                return Err(Error::malformed(what));
            }
        }
        let models = (OnnxModel::read(&encoder)?, OnnxModel::read(&decoder)?);
        OnnxPair::of(models.0, models.1).map_err(|e| e.in_file(folder))
    }

    /// Takes two graphs that have Segment Anything's inputs and outputs, and their constants. What these outputs do not need is left out.
    ///
    /// # Errors
    /// `Mismatch` if an input or output is missing or of another form, which the message says; `Refused` for operator sets before 13.
    pub(crate) fn of(mut encoder: OnnxModel, mut decoder: OnnxModel) -> Result<(Self, StateDict)> {
        [&mut encoder, &mut decoder].into_iter().for_each(|model| {
            model.simplify();
            model.fold();
        });
        let size = contract::encoder(&mut encoder).map_err(|e| e.in_file(Path::new(ENCODER_FILE)))?;
        let has_skips = encoder.output_names().count() > 1;
        contract::decoder(&mut decoder, size, has_skips).map_err(|e| e.in_file(Path::new(DECODER_FILE)))?;
        [&mut encoder, &mut decoder].into_iter().for_each(OnnxModel::unshare);
        encoder.rename_inner(&names(&decoder, false), "image_encoder/");
        decoder.rename_inner(&names(&encoder, true), DECODER_PREFIX);

        let matrices = encoder.matrices().into_iter().chain(decoder.matrices()).collect();
        let mut pair = OnnxPair { encoder, decoder, size, matrices, is_quantized: false };
        let mut nodes = pair.encoder_nodes().iter().chain(pair.decoder_nodes());
        pair.is_quantized = nodes.any(|node| node.op_type == "DequantizeLinear");
        let mut weights = StateDict::new();
        for graph in [&mut pair.encoder, &mut pair.decoder].into_iter().filter_map(|m| m.proto_mut().graph.as_mut()) {
            for constant in &mut graph.initializer {
                if let Some(tensor) = tensor(constant, pair.matrices.contains(&constant.name))? {
                    weights.insert_stored(constant.name.clone(), tensor)?;
                    constant.raw_data = Vec::new();
                }
            }
        }
        weights.mark_folded();
        Ok((pair, weights))
    }

    /// The nodes of the image encoder.
    pub(crate) fn encoder_nodes(&self) -> &[NodeProto] {
        self.encoder.proto().graph.as_ref().map_or(&[], |graph| &graph.node)
    }

    /// The nodes of the mask decoder.
    pub(crate) fn decoder_nodes(&self) -> &[NodeProto] {
        self.decoder.proto().graph.as_ref().map_or(&[], |graph| &graph.node)
    }

    /// The one input size that the image encoder takes.
    pub(crate) fn size(&self) -> InputSize {
        self.size
    }

    /// Whether a graph has constants that are stored as integers.
    pub(crate) fn is_quantized(&self) -> bool {
        self.is_quantized
    }

    /// The image encoder, with its constants from `weights`.
    ///
    /// # Errors
    /// `Mismatch` if `input` is another size than its own, or a tensor is missing.
    pub(crate) fn image_encoder(&self, weights: &StateDict, input: InputSize) -> Result<OnnxModel> {
        if input != self.size {
            return Err(Error::mismatch(format!(
                "the ONNX image encoder takes images of {} (height x width) only, not of {input}: export it again at that size, \
                 with `cutout models export MODEL --size {input}` or with the program that wrote it",
                self.size
            )));
        }
        self.filled(&self.encoder, weights)
    }

    /// The mask decoder, with its constants from `weights`.
    ///
    /// # Errors
    /// `Mismatch` if `shape` is not one that it can take, or a tensor is missing.
    pub(crate) fn mask_decoder(&self, weights: &StateDict, shape: DecoderShape) -> Result<OnnxModel> {
        let mut model = self.decoder.clone();
        contract::bind(&mut model, self.size, shape)?;
        self.filled(&model, weights)
    }

    /// Both graphs with their constants, as they are stored.
    ///
    /// # Errors
    /// `Mismatch` if a tensor is missing.
    pub(crate) fn both(&self, weights: &StateDict) -> Result<[OnnxModel; 2]> {
        Ok([self.filled(&self.encoder, weights)?, self.filled(&self.decoder, weights)?])
    }

    fn filled(&self, model: &OnnxModel, weights: &StateDict) -> Result<OnnxModel> {
        let mut model = model.clone();
        let constants = model.proto_mut().graph.iter_mut().flat_map(|graph| &mut graph.initializer);
        for constant in constants.filter(|constant| constant.raw_data.is_empty()) {
            let name = constant.name.as_str();
            let Some(tensor) = weights.get(name) else {
                return Err(Error::mismatch(format!("tensor '{name}' is missing")));
            };
            constant.raw_data = match self.matrices.contains(name) {
                true => TensorProto::of_f32(String::new(), &tensor.to_f32()?.view().reversed_axes()).raw_data,
                false => tensor.row_major_bytes()?.into_owned(),
            };
        }
        Ok(model)
    }

    /// SHA-256 of both graphs with their constants.
    ///
    /// # Errors
    /// As [`both`](Self::both).
    pub(crate) fn digest(&self, weights: &StateDict) -> Result<String> {
        let mut digest = Sha256Stream::new();
        for mut model in self.both(weights)? {
            // What a file says of itself does not change what it computes.
            model.proto_mut().metadata_props.clear();
            digest.update(&model.to_bytes());
        }
        Ok(digest.finish())
    }
}

/// The tensor that a constant becomes, if it is one: floats and bytes of at least one dimension.
fn tensor(constant: &mut TensorProto, is_matrix: bool) -> Result<Option<TensorData>> {
    if constant.dims.is_empty() || constant.raw_data.is_empty() {
        return Ok(None);
    }
    let dtype = match constant.data_type {
        TensorProto::FLOAT => Dtype::F32,
        TensorProto::INT8 => Dtype::I8,
        _ => return Ok(None),
    };
    let mut shape = constant.shape()?;
    let mut bytes = std::mem::take(&mut constant.raw_data);
    if is_matrix {
        constant.raw_data = bytes;
        bytes = TensorProto::of_f32(String::new(), &constant.to_f32()?.view().reversed_axes()).raw_data;
        shape.reverse();
    }
    Ok(Some(TensorData::of_bytes(dtype, shape, bytes)))
}

/// The names of a graph: of its inputs and outputs, and if `inner`, of all else too.
fn names(model: &OnnxModel, inner: bool) -> HashSet<String> {
    let Some(graph) = &model.proto().graph else { return HashSet::new() };
    let outer = graph.input.iter().chain(&graph.output).map(|value| value.name.clone());
    let nodes = graph.node.iter().flat_map(|node| node.output.iter().chain([&node.name]));
    let constants = graph.initializer.iter().map(|constant| &constant.name);
    outer.chain(nodes.chain(constants).filter(|_| inner).cloned()).collect()
}

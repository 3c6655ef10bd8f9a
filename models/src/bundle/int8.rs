//! From folded weights to 8-bit ones.

use std::collections::{BTreeMap, BTreeSet};

use super::Bundle;
use crate::checkpoint::{StateDict, TensorData};
use crate::error::{Error, Result};
use crate::onnx::OnnxModel;
use crate::quantization::Quantization;
use crate::spec::Precision;

/// Dimensions of what stays in single precision: biases, norms.
const VECTOR: usize = 1;

impl Bundle {
    /// A quantised bundle of a folded one: the tensors that `weights` names become 8-bit numbers, with a scale for each output channel
    /// (see [`TensorData::int8`]): the first axis, since the weights of folded bundles are `[outputs, ...]`. Other tensors of two or
    /// more dimensions become half precision, vectors stay as they are. What the result answers is what it answers when it is written
    /// and opened again.
    ///
    /// # Errors
    /// `Mismatch` if the bundle is not folded or is quantised already, a tensor is missing, a value is not finite or beyond the range
    /// of its precision, scales are not finite and above zero, or `quantization` names values that neither graph has.
    pub fn to_int8(&self, weights: &BTreeMap<String, Option<Vec<f32>>>, quantization: Quantization) -> Result<Bundle> {
        if !self.weights.is_folded() || self.manifest.precision == Precision::Int8 {
            return Err(Error::mismatch("only a folded bundle that is not quantised can be"));
        }
        if let Some(name) = weights.keys().find(|name| !self.weights.contains(name)) {
            return Err(Error::mismatch(format!("tensor '{name}' is missing")));
        }
        if let Some(pair) = &self.onnx {
            return self.onnx_to_int8(pair, weights, quantization);
        }
        let mut stored = StateDict::new();
        for name in self.weights.names() {
            let values = self.weights.to_f32(name)?;
            let tensor = match weights.get(name) {
                Some(scales) => TensorData::int8(&values, 0, scales.as_deref()),
                None if values.ndim() > VECTOR => TensorData::from_f32_as_f16(&values),
                None => Ok(TensorData::from_f32(&values)),
            };
            stored.insert_stored(name.into(), tensor.map_err(|e| e.about_tensor(name))?)?;
        }
        stored.mark_folded();
        let mut manifest = self.manifest.clone();
        (manifest.precision, manifest.quantization) = (Precision::Int8, Some(quantization));
        // They were measured in floats.
        manifest.metrics.clear();
        manifest.check()?;
        let bundle = Bundle::from_parts(manifest, &stored)?;
        bundle.check_architecture()?;
        Ok(bundle)
    }

    /// Quantises a graph of this bundle's weights, if these are quantised.
    pub(super) fn quantize(&self, model: OnnxModel) -> Result<OnnxModel> {
        if self.manifest.precision != Precision::Int8 {
            return Ok(model);
        }
        let constants = model.proto().graph.iter().flat_map(|graph| &graph.initializer);
        let scales = constants.filter_map(|constant| {
            let scales = self.weights.get(&constant.name)?.scales()?;
            Some((constant.name.clone(), scales.values().to_vec()))
        });
        let weights = scales.collect();
        let none = BTreeMap::new();
        model.quantized(self.manifest.quantization.as_ref().map_or(&none, |q| &q.activations), &weights)
    }

    /// Refuses a table of activations that names values which none of the graphs has.
    pub(super) fn check_activations(&self, graphs: &[OnnxModel]) -> Result<()> {
        let Some(quantization) = &self.manifest.quantization else { return Ok(()) };
        let graphs = graphs.iter().flat_map(|model| &model.proto().graph);
        let values = graphs.flat_map(|graph| {
            let inputs = graph.input.iter().map(|input| input.name.as_str());
            inputs.chain(graph.node.iter().flat_map(|node| &node.output).map(String::as_str))
        });
        let known: BTreeSet<&str> = values.collect();
        let names = quantization.activations.keys().map(String::as_str);
        let unknown: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
        match unknown.as_slice() {
            [] => Ok(()),
            [first, rest @ ..] => Err(Error::mismatch(format!(
                "the scale of '{first}' (and {} more) is of a value that the network does not have",
                rest.len()
            ))),
        }
    }
}

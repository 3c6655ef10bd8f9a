//! From the tensors of a checkpoint to the constants of the graphs.

use std::collections::{BTreeMap, HashSet};

use ndarray::ArrayD;

use super::{Bundle, Origin};
use crate::checkpoint::StateDict;
use crate::error::{Error, Result};
use crate::onnx::OnnxModel;

impl Bundle {
    /// The same model with folded weights: its tensors are the constants that are called by a parameter, in the graphs of both
    /// networks, with the matrices of `MatMul` as `[outputs, inputs]`; batch norms are gone, and what graphs make other constants of
    /// (positions, embeddings) is as it was. It builds the same graphs, bit for bit.
    ///
    /// # Errors
    /// `Mismatch` if a tensor is missing or of another shape; `Refused` by a compiled model.
    pub fn folded(&self) -> Result<Bundle> {
        self.plain()?;
        if self.weights.is_folded() {
            return Ok(self.clone());
        }
        let mut constants = BTreeMap::new();
        for graph in self.graphs()? {
            take_constants(&graph, &self.weights, &mut constants)?;
        }
        let mut weights = StateDict::new();
        for name in self.weights.names().filter(|name| !is_folded_norm(&self.weights, name)) {
            if let Some(tensor) = self.weights.get(name).filter(|_| !constants.contains_key(name)) {
                weights.insert_stored(name.into(), tensor.clone())?;
            }
        }
        constants.iter().for_each(|(name, values)| weights.insert(name.as_str(), values));
        weights.mark_folded();
        Bundle::from_parts(self.manifest.clone(), &weights)
    }

    /// Replaces a tensor of a folded bundle, and so the graphs' constant of that name.
    ///
    /// # Errors
    /// `Mismatch` if the bundle is not folded, or has no float tensor of that name and shape.
    pub fn set(&mut self, name: &str, values: &ArrayD<f32>) -> Result<()> {
        if !self.weights.is_folded() {
            return Err(Error::mismatch("only the tensors of a folded bundle may be replaced"));
        }
        match self.weights.get(name) {
            Some(known) if known.shape() == values.shape() && known.dtype().is_float() => {}
            Some(known) => {
                let what = format!("{known:?} cannot be replaced by floats of shape {:?}", values.shape());
                return Err(Error::mismatch(what).about_tensor(name));
            }
            None => return Err(Error::mismatch(format!("tensor '{name}' is missing"))),
        }
        self.weights.insert(name, values);
        self.manifest.files.clear();
        (self.origin, self.digest) = (Origin::Memory, Default::default());
        Ok(())
    }
}

/// Whether a tensor belongs to a batch norm behind a convolution, which takes it in.
fn is_folded_norm(weights: &StateDict, name: &str) -> bool {
    let layer = name.rsplit_once('.').and_then(|(module, _)| module.strip_suffix(".bn"));
    layer.is_some_and(|layer| weights.contains(&format!("{layer}.c.weight")))
}

/// Adds the constants of a graph that are called by a parameter of `weights`, or by the bias that a convolution gets from its norm.
fn take_constants(model: &OnnxModel, weights: &StateDict, out: &mut BTreeMap<String, ArrayD<f32>>) -> Result<()> {
    let Some(graph) = &model.proto().graph else { return Ok(()) };
    let products = graph.node.iter().filter(|node| node.op_type == "MatMul");
    let matrices: HashSet<&str> = products.filter_map(|node| node.input.get(1)).map(String::as_str).collect();
    for constant in &graph.initializer {
        let name = constant.name.as_str();
        let convolution = name.strip_suffix(".c.bias").map(|layer| format!("{layer}.c.weight"));
        if !weights.contains(name) && !convolution.is_some_and(|weight| weights.contains(&weight)) {
            continue;
        }
        let values = constant.to_f32()?;
        let values = if matrices.contains(name) { values.reversed_axes() } else { values };
        out.insert(name.into(), values);
    }
    Ok(())
}

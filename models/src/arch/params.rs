//! Access to the parameters of one module of a network.

use ndarray::ArrayD;

use crate::checkpoint::StateDict;
use crate::error::{Error, Result};
use crate::onnx::Parameter;

/// The parameters below a dotted prefix of a state dict, as a module of the official code sees them.
#[derive(Clone)]
pub struct Params<'a> {
    weights: &'a StateDict,
    prefix: String,
}

impl<'a> Params<'a> {
    /// All parameters.
    pub fn root(weights: &'a StateDict) -> Self {
        Params { weights, prefix: String::new() }
    }

    /// The parameters of the submodule `name`.
    pub fn sub(&self, name: impl std::fmt::Display) -> Params<'a> {
        Params { weights: self.weights, prefix: self.path(&name.to_string()) }
    }

    /// The name of parameter `name` in the state dict.
    pub fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// Whether the module has a parameter `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.weights.contains(&self.path(name))
    }

    /// The shape of parameter `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.weights.get(&self.path(name)).map(|t| t.shape())
    }

    /// The shape of parameter `name`, which must have `N` dimensions, none of them zero.
    ///
    /// # Errors
    /// `Mismatch` if it is missing or of another rank, or a dimension is zero.
    pub fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let path = self.path(name);
        let shape = self.shape(name).ok_or_else(|| Error::mismatch(format!("tensor '{path}' is missing")))?;
        <[usize; N]>::try_from(shape).ok().filter(|dims| !dims.contains(&0)).ok_or_else(|| {
            Error::mismatch(format!(
                "tensor '{path}' has shape {shape:?}, the architecture needs {N} dimensions above zero"
            ))
        })
    }

    /// Length of the module list `name`: one more than the highest index below it, 0 if there is none.
    pub fn list_len(&self, name: &str) -> usize {
        let start = format!("{}.", self.path(name));
        let indices = self.weights.names().filter_map(|n| n.strip_prefix(&start)?.split('.').next()?.parse().ok());
        indices.max().map_or(0, |last: usize| last.saturating_add(1))
    }

    /// Parameter `name` as float32, whatever its shape.
    ///
    /// # Errors
    /// `Mismatch` if it is missing.
    pub fn any(&self, name: &str) -> Result<ArrayD<f32>> {
        self.weights.to_f32(&self.path(name))
    }

    /// Parameter `name` as float32, of exactly the given shape.
    ///
    /// # Errors
    /// `Mismatch` if it is missing or of another shape.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<ArrayD<f32>> {
        let values = self.any(name)?;
        if values.shape() != shape {
            return Err(Error::mismatch(format!(
                "tensor '{}' has shape {:?}, the architecture needs {shape:?}",
                self.path(name),
                values.shape()
            )));
        }
        Ok(values)
    }

    /// [`get`](Self::get), with the name.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn parameter(&self, name: &str, shape: &[usize]) -> Result<Parameter> {
        Ok(Parameter { name: self.path(name), values: self.get(name, shape)? })
    }

    /// Whether batch norms, the scale of attention and the forms of kernels are in the parameters already, see
    /// [`StateDict::is_folded`].
    pub fn is_folded(&self) -> bool {
        self.weights.is_folded()
    }

    /// Parameter `name` as the graph holds it: made by `fold` from the checkpoint's, of `shape`; a folded state dict
    /// has the result itself, of shape `folded`.
    ///
    /// # Errors
    /// As [`get`](Self::get), and those of `fold`.
    pub fn folded(
        &self,
        name: &str,
        shape: &[usize],
        folded: &[usize],
        fold: impl FnOnce(ArrayD<f32>) -> Result<ArrayD<f32>>,
    ) -> Result<Parameter> {
        if self.is_folded() {
            return self.parameter(name, folded);
        }
        Ok(Parameter { name: self.path(name), values: fold(self.get(name, shape)?)? })
    }
}

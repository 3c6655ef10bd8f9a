//! What stands in the place of tract in a build that leaves it out: nothing is ever run.

use cutout_models::onnx::OnnxModel;

use super::{Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};

/// There is none.
pub(super) enum TractPlan {}

impl TractPlan {
    /// # Errors
    /// `Engine`, always: the graph needs another build.
    pub(super) fn load(name: &str, _: &OnnxModel) -> Result<Self> {
        let what = format!("the {name} needs tract, which this build leaves out: build with the feature `tract`");
        Err(Error::new(ErrorKind::Engine, what))
    }

    pub(super) fn run(&self, _: &str, _: &Threads, _: &[(&str, &Tensor)]) -> Result<Vec<Tensor>> {
        match *self {}
    }
}

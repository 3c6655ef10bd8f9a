//! [`Network`]: one graph, imported, optimised and ready to run.

use std::sync::Arc;

use cutout_models::onnx::OnnxModel;
use tract_linalg::multithread::Executor;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::knobs::KnobScope;
use tract_onnx::tract_core::runtime::RunOptions;

use super::{Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};

/// A graph that has been optimised for this machine. Cheap to clone, safe to share.
#[derive(Clone)]
pub struct Network {
    plan: Arc<TypedRunnableModel>,
    name: Arc<str>,
    inputs: Arc<[String]>,
}

impl Network {
    /// Imports and optimises an ONNX graph whose dimensions are all known or symbols.
    ///
    /// # Errors
    /// `Engine` if tract cannot import or optimise the graph.
    pub fn load(name: &str, onnx: &OnnxModel, threads: &Threads) -> Result<Self> {
        let fail = |e: TractError| Error::new(ErrorKind::Engine, format!("cannot prepare the {name}: {e:#}"));
        // The direct convolution of tract 0.23 is several times slower than its im2col path on the
        // wide first layers of an image encoder.
        let scope = KnobScope::new([("TRACT_DISABLE_DIRECT_SPATIAL", "1")]).map_err(fail)?;
        let plan = scope.enter(|| prepare(onnx, threads)).map_err(fail)?;
        Ok(Network { plan, name: name.into(), inputs: onnx.input_names().map(str::to_owned).collect() })
    }

    /// Runs the graph on named `inputs`, in any order; inputs that the graph does not declare are ignored.
    ///
    /// # Errors
    /// `Engine` if an input is missing, does not fit the graph, or an operator fails.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>> {
        let fail = |e: TractError| Error::new(ErrorKind::Engine, format!("the {} failed: {e:#}", self.name));
        let mut ordered: TVec<TValue> = tvec!();
        for wanted in self.inputs.iter() {
            let (_, tensor) = inputs
                .iter()
                .find(|(name, _)| name == wanted)
                .ok_or_else(|| Error::new(ErrorKind::Engine, format!("the {} needs an input '{wanted}'", self.name)))?;
            let value = tract_onnx::prelude::Tensor::from_shape(tensor.shape(), tensor.values()).map_err(fail)?;
            ordered.push(value.into_tvalue());
        }
        let inputs = ordered;
        let outputs = self.plan.run(inputs).map_err(fail)?;
        outputs
            .iter()
            .map(|t| {
                let plain = t.try_as_plain_ram().map_err(fail)?;
                Tensor::new(t.shape(), plain.as_slice::<f32>().map_err(fail)?.to_vec())
            })
            .collect()
    }

    /// Number of operators after optimisation.
    pub fn operator_count(&self) -> usize {
        self.plan.model().nodes().len()
    }
}

fn prepare(onnx: &OnnxModel, threads: &Threads) -> TractResult<Arc<TypedRunnableModel>> {
    let bytes = onnx.to_bytes();
    let model = tract_onnx::onnx().model_for_read(&mut bytes.as_slice())?;
    drop(bytes);
    let options = RunOptions { executor: Some(Executor::MultiThread(threads.pool())), ..Default::default() };
    model.into_optimized()?.into_runnable_with_options(&options)
}

//! A graph as tract runs it: the reference for our own operators, and what runs graphs that these do not cover.

use std::sync::Arc;

use cutout_models::onnx::OnnxModel;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::knobs::KnobScope;

use super::{Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};

/// A graph that tract has optimised for this machine.
pub(super) struct TractPlan {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<String>,
}

impl TractPlan {
    /// Imports and optimises an ONNX graph whose dimensions are all known or symbols.
    ///
    /// # Errors
    /// `Engine` if tract cannot import or optimise the graph.
    pub(super) fn load(name: &str, onnx: &OnnxModel) -> Result<Self> {
        let fail = |e: TractError| Error::new(ErrorKind::Engine, format!("cannot prepare the {name}: {e:#}"));
        // The direct convolution of tract 0.23 is several times slower than its im2col path on the
        // wide first layers of an image encoder.
        let scope = KnobScope::new([("TRACT_DISABLE_DIRECT_SPATIAL", "1")]).map_err(fail)?;
        let plan = scope.enter(|| prepare(onnx)).map_err(fail)?;
        Ok(TractPlan { plan, inputs: onnx.input_names().map(str::to_owned).collect() })
    }

    /// Runs the graph on named inputs.
    ///
    /// # Errors
    /// `Engine` if an input is missing, does not fit the graph, or an operator fails.
    pub(super) fn run(&self, name: &str, threads: &Threads, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>> {
        let fail = |e: TractError| Error::new(ErrorKind::Engine, format!("the {name} failed: {e:#}"));
        let mut ordered: TVec<TValue> = tvec!();
        for wanted in &self.inputs {
            let (_, tensor) = inputs
                .iter()
                .find(|(name, _)| name == wanted)
                .ok_or_else(|| Error::new(ErrorKind::Engine, format!("the {name} needs an input '{wanted}'")))?;
            let value = tract_onnx::prelude::Tensor::from_shape(tensor.shape(), tensor.values()).map_err(fail)?;
            ordered.push(value.into_tvalue());
        }
        // A worker that waits for others takes up further work meanwhile. If that is another run of a network, it finds
        // tract's scratch space of this thread still in use, and tract panics.
        let executor = match rayon::current_thread_index() {
            Some(_) => Executor::SingleThread,
            None => Executor::MultiThread(threads.pool()),
        };
        let outputs = multithread_tract_scope(executor, || self.plan.run(ordered)).map_err(fail)?;
        outputs
            .iter()
            .map(|t| {
                let plain = t.try_as_plain_ram().map_err(fail)?;
                Tensor::new(t.shape(), plain.as_slice::<f32>().map_err(fail)?.to_vec())
            })
            .collect()
    }
}

fn prepare(onnx: &OnnxModel) -> TractResult<Arc<TypedRunnableModel>> {
    let bytes = onnx.to_bytes();
    let model = tract_onnx::onnx().model_for_read(&mut bytes.as_slice())?;
    drop(bytes);
    model.into_optimized()?.into_runnable()
}

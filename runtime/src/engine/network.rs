//! [`Network`]: one graph, imported, optimised and ready to run.

use std::sync::Arc;

use cutout_models::onnx::OnnxModel;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::knobs::KnobScope;

use super::{Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};

/// A graph that has been optimised for this machine. Cheap to clone, safe to share.
#[derive(Clone)]
pub struct Network {
    plan: Arc<TypedRunnableModel>,
    name: Arc<str>,
    inputs: Arc<[String]>,
    threads: Threads,
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
        let plan = scope.enter(|| prepare(onnx)).map_err(fail)?;
        let inputs = onnx.input_names().map(str::to_owned).collect();
        Ok(Network { plan, name: name.into(), inputs, threads: threads.clone() })
    }

    /// Runs the graph on named `inputs`, in any order; inputs that the graph does not declare are ignored. Uses the
    /// model's threads, or only the calling one if that is a worker of a rayon pool itself.
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
        // A worker that waits for others takes up further work meanwhile. If that is another run of a network, it finds
        // tract's scratch space of this thread still in use, and tract panics.
        let executor = match rayon::current_thread_index() {
            Some(_) => Executor::SingleThread,
            None => Executor::MultiThread(self.threads.pool()),
        };
        let outputs = multithread_tract_scope(executor, || self.plan.run(inputs)).map_err(fail)?;
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

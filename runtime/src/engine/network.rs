//! [`Network`]: one graph, ready to run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cutout_kernels::SimdLevel;
use cutout_kernels::convolution::Planes;
use cutout_models::Normalization;
use cutout_models::arch::InputSize;
use cutout_models::compiled::{CompiledModel, CompiledWriter};
use cutout_models::onnx::OnnxModel;

use super::own::{Own, Prepared};
use super::program::Dimension;
use super::tract::TractPlan;
use super::{Layer, LevelImage, Precision, Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};

/// What runs a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operators {
    /// Our own operators at a SIMD level; graphs that they do not cover are run by tract.
    Own(SimdLevel),
    /// tract alone.
    Tract,
}

impl Default for Operators {
    fn default() -> Self {
        Operators::Own(SimdLevel::best())
    }
}

impl FromStr for Operators {
    type Err = String;

    /// `auto`, the name of a SIMD level that this processor has, or `tract` if it is part of this build.
    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "auto" => Ok(Operators::default()),
            "tract" if cfg!(feature = "tract") => Ok(Operators::Tract),
            "tract" => Err("tract is not part of this build: build with the feature `tract`".to_owned()),
            level => level.parse().map(Operators::Own).map_err(|e| format!("{e}, besides auto and tract")),
        }
    }
}

impl fmt::Display for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operators::Own(level) => level.fmt(f),
            Operators::Tract => f.write_str("tract"),
        }
    }
}

/// Which inputs of a graph are special.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// Those that stay the same over many runs: what depends on nothing else is computed once, see [`Prepared`].
    pub early: &'a [&'a str],
    /// Those of one element that takes few values: the graph is specialised for each.
    pub fixed: &'a [&'a str],
    /// An image that may come as levels, and how the graph takes it: what takes it normalises it on the way. See
    /// [`run_on_levels`](Network::run_on_levels).
    pub levels: Option<(&'a str, Normalization)>,
    /// What stays in f32 where arithmetic is in f16.
    pub in_f32: InF32<'a>,
}

/// Nodes whose products stay in f32 where arithmetic is in f16, because their numbers may leave its range or nobody looked.
#[derive(Clone, Copy, Debug, Default)]
pub enum InF32<'a> {
    /// None.
    #[default]
    None,
    /// Those of these names.
    Nodes(&'a [String]),
    /// All.
    All,
}

/// A graph that has been made ready for this machine. Cheap to clone, safe to share.
#[derive(Clone)]
pub struct Network {
    name: Arc<str>,
    threads: Threads,
    engine: Arc<Engine>,
}

enum Engine {
    Own(Box<Own>),
    Tract(TractPlan),
}

impl Network {
    /// Makes an ONNX graph ready whose dimensions are all known or symbols. `precision` is that of our own operators; tract computes in
    /// f32.
    ///
    /// # Errors
    /// `Engine` if our own operators do not cover it and tract cannot import or optimise it, or is not part of this build.
    pub fn load(
        name: &str,
        mut onnx: OnnxModel,
        inputs: Inputs<'_>,
        operators: Operators,
        precision: Precision,
        threads: &Threads,
    ) -> Result<Self> {
        let engine = match operators {
            // What is constant is computed on the model's own threads.
            Operators::Own(level) => match threads.install(|| Own::new(&mut onnx, inputs, level, precision)) {
                Ok(own) => Engine::Own(Box::new(own)),
                Err(why) => Engine::Tract(
                    TractPlan::load(name, &onnx)
                        .map_err(|e| e.with_source(format!("our own operators do not cover it: {why}")))?,
                ),
            },
            Operators::Tract => Engine::Tract(TractPlan::load(name, &onnx)?),
        };
        Ok(Network { name: name.into(), threads: threads.clone(), engine: Arc::new(engine) })
    }

    /// The network of that name, for an input size, of a compiled model.
    ///
    /// # Errors
    /// `ModelMismatch` if the model was made for another SIMD level, in another precision or for other input sizes, or is damaged.
    pub fn open(
        name: &str,
        model: &Arc<CompiledModel>,
        input: InputSize,
        inputs: Inputs<'_>,
        (operators, precision): (Operators, Precision),
        threads: &Threads,
    ) -> Result<Self> {
        let level = super::level_of(model, operators, precision)?;
        let own = threads.install(|| Own::open(model, name, input, inputs, (level, precision)))?;
        Ok(Network { name: name.into(), threads: threads.clone(), engine: Arc::new(Engine::Own(Box::new(own))) })
    }

    /// Adds the network, for an input size, to a compiled model, for [`open`](Self::open).
    ///
    /// # Errors
    /// `Engine` if tract runs it, `Io` if the file cannot be written.
    pub fn write(&self, input: InputSize, file: &mut CompiledWriter) -> Result<()> {
        match &*self.engine {
            Engine::Own(own) => {
                self.threads.install(|| own.pack_all())?;
                own.write(&self.name, input, file)
            }
            Engine::Tract(_) => {
                let what =
                    format!("the {} is not covered by our own operators: only tract can run it, uncompiled", self.name);
                Err(Error::new(ErrorKind::Engine, what))
            }
        }
    }

    /// Runs the graph on named `inputs`, in any order; inputs that the graph does not declare are ignored. Uses the
    /// model's threads, or the current pool if the calling thread is a worker of a rayon pool itself.
    ///
    /// # Errors
    /// `Engine` if an input is missing, does not fit the graph, or an operator fails.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>> {
        self.only(self.run_batch(&Prepared::default(), &[inputs])?)
    }

    /// As [`run`](Self::run) for each of the inputs of a batch. What depends on early inputs only, which all have in common, is
    /// taken from `prepared`, or computed and left there; runs of the same shapes read small layers' weights once for some of them.
    ///
    /// # Errors
    /// As `run`.
    pub fn run_batch(&self, prepared: &Prepared, batch: &[&[(&str, &Tensor)]]) -> Result<Vec<Vec<Tensor>>> {
        match &*self.engine {
            Engine::Tract(plan) => batch.iter().map(|inputs| plan.run(&self.name, &self.threads, inputs)).collect(),
            Engine::Own(own) => self.compute(|| own.run(prepared, batch, self.threads.workspace())),
        }
    }

    /// Does the work of a run where [`run`](Self::run) says, and names the network in its errors.
    fn compute<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let result = if rayon::current_thread_index().is_some() { work() } else { self.threads.install(work) };
        result.map_err(|e| Error::new(e.kind(), format!("the {}: {e}", self.name)))
    }

    /// The outputs of a batch of one.
    fn only(&self, mut outputs: Vec<Vec<Tensor>>) -> Result<Vec<Tensor>> {
        outputs.pop().ok_or_else(|| Error::new(ErrorKind::Engine, format!("the {} gave no outputs", self.name)))
    }

    /// Whether [`run_on_levels`](Self::run_on_levels) may be called.
    pub fn takes_levels(&self) -> bool {
        matches!(&*self.engine, Engine::Own(own) if own.levels.is_some())
    }

    /// As [`run`](Self::run) of a graph whose only input is an image that may come as levels.
    ///
    /// # Errors
    /// `Engine` if the graph does not take levels, or the image is not of its size.
    pub fn run_on_levels(&self, image: LevelImage<'_>) -> Result<Vec<Tensor>> {
        let (own, planes) = self.levels(image)?;
        let (key, workspace) = (own.likely_on_levels(), self.threads.workspace());
        self.only(self.compute(|| own.run_batch(&Prepared::default(), &[&[]], &key, Some(planes), workspace))?)
    }

    /// As [`profile`](Self::profile), on levels.
    ///
    /// # Errors
    /// As [`run_on_levels`](Self::run_on_levels).
    pub fn profile_on_levels(&self, image: LevelImage<'_>, rounds: usize) -> Result<Vec<Layer>> {
        let (own, planes) = self.levels(image)?;
        self.threads.install(|| {
            own.program(&own.likely_on_levels())?.profile(&[], Some(planes), rounds, self.threads.workspace())
        })
    }

    fn levels<'i>(&self, LevelImage { levels, height, width }: LevelImage<'i>) -> Result<(&Own, Planes<'i>)> {
        let wrong = |what: &str| Error::new(ErrorKind::Engine, format!("the {}: {what}", self.name));
        let Engine::Own(own) = &*self.engine else { return Err(wrong("tract takes no levels")) };
        let input = own.levels.as_ref().and_then(|(name, _)| own.graph.inputs.iter().find(|i| i.name == *name));
        let shape = input.map(|input| input.shape.as_slice());
        let Some([_, Dimension::Size(planes), Dimension::Size(rows), Dimension::Size(columns)]) = shape else {
            return Err(wrong("its input takes no levels"));
        };
        if levels.len() != planes * rows * columns || height > *rows || width > *columns {
            return Err(wrong(&format!("an image of {width}x{height} in {} levels does not fit", levels.len())));
        }
        Ok((own, Planes::Levels { levels, height, width }))
    }

    /// Whether tract runs the graph.
    pub fn is_tract(&self) -> bool {
        matches!(*self.engine, Engine::Tract(_))
    }

    /// The precision in which most of the multiply-accumulates of a run are done on an image of levels, or on likely inputs.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn precision(&self) -> Result<Precision> {
        match &*self.engine {
            Engine::Own(own) => self.threads.install(|| own.precision()),
            Engine::Tract(_) => Ok(Precision::F32),
        }
    }

    /// The steps in which our own operators run the graph on `inputs`, each with the median of its times over `rounds` runs; none
    /// where tract runs it.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn profile(&self, inputs: &[(&str, &Tensor)], rounds: usize) -> Result<Vec<Layer>> {
        match &*self.engine {
            Engine::Tract(_) => Ok(Vec::new()),
            Engine::Own(own) => {
                let key = own.key(inputs)?;
                self.threads.install(|| own.program(&key)?.profile(inputs, None, rounds, self.threads.workspace()))
            }
        }
    }
}

//! [`Network`]: one graph, ready to run.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use cutout_kernels::SimdLevel;
use cutout_models::arch::InputSize;
use cutout_models::compiled::{CompiledModel, CompiledWriter};
use cutout_models::onnx::OnnxModel;

use super::program::{Description, Dimension, Kept, Program, Store};
use super::tract::TractPlan;
use super::workspace::Workspace;
use super::{Layer, Precision, Tensor, Threads};
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

/// A graph as programs of our own operators, one for each set of symbolic dimensions and fixed inputs that came.
pub(super) struct Own {
    pub(super) graph: Description,
    pub(super) store: Store,
    level: SimdLevel,
    early: Vec<String>,
    fixed: Vec<String>,
    programs: Mutex<Vec<(Key, Arc<Program>)>>,
}

/// Symbolic dimensions, and the bits of the fixed inputs.
#[derive(Clone, Debug, Default, PartialEq)]
struct Key {
    symbols: Vec<(String, usize)>,
    fixed: Vec<u32>,
}

/// What a [`Network`] computed of the inputs that stay: a cache, filled at the first run.
#[derive(Clone, Default)]
pub struct Prepared(Arc<Mutex<Vec<KeptFor>>>);

/// Kept values, and the bits of the fixed inputs that they were computed with.
type KeptFor = (Vec<u32>, Arc<Kept>);

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}

/// What is cached does not tell values apart.
impl PartialEq for Prepared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
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
        let mut outputs = self.run_batch(&Prepared::default(), &[inputs])?;
        outputs.pop().ok_or_else(|| Error::new(ErrorKind::Engine, format!("the {} gave no outputs", self.name)))
    }

    /// As [`run`](Self::run) for each of the inputs of a batch. What depends on early inputs only, which all have in common, is
    /// taken from `prepared`, or computed and left there; runs of the same shapes read small layers' weights once for some of them.
    ///
    /// # Errors
    /// As `run`.
    pub fn run_batch(&self, prepared: &Prepared, batch: &[&[(&str, &Tensor)]]) -> Result<Vec<Vec<Tensor>>> {
        match &*self.engine {
            Engine::Tract(plan) => batch.iter().map(|inputs| plan.run(&self.name, &self.threads, inputs)).collect(),
            Engine::Own(own) => {
                let run = || own.run(prepared, batch, self.threads.workspace());
                let result = if rayon::current_thread_index().is_some() { run() } else { self.threads.install(run) };
                result.map_err(|e| Error::new(e.kind(), format!("the {}: {e}", self.name)))
            }
        }
    }

    /// Whether tract runs the graph.
    pub fn is_tract(&self) -> bool {
        matches!(*self.engine, Engine::Tract(_))
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
                self.threads.install(|| own.program(&key)?.profile(inputs, rounds, self.threads.workspace()))
            }
        }
    }
}

impl Own {
    /// Programs kept at once: prompts of that many different numbers of points.
    const KEPT: usize = 16;

    /// Takes the constants out of `onnx`; where the graph is not covered, they are there again.
    fn new(
        onnx: &mut OnnxModel,
        inputs: Inputs<'_>,
        level: SimdLevel,
        precision: Precision,
    ) -> std::result::Result<Self, String> {
        let graph = Description::of(onnx.proto().graph.as_ref().ok_or("there is no graph")?)?;
        let (store, taken) = Store::take(onnx, precision.storage())?;
        let own = Own::of(graph, store, inputs, level);
        if own.is_err() {
            taken.give_back(onnx);
        }
        own
    }

    /// A graph and its constants, of which those that are packed are let go. The first program shows whether it is covered.
    pub(super) fn of(
        graph: Description,
        store: Store,
        inputs: Inputs<'_>,
        level: SimdLevel,
    ) -> std::result::Result<Self, String> {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        let (early, fixed) = (owned(inputs.early), owned(inputs.fixed));
        let own = Own { graph, store, level, early, fixed, programs: Mutex::default() };
        own.program(&own.likely(0.0)).map_err(|e| e.to_string())?;
        own.store.forget_packed(&own.graph.read_plainly());
        Ok(own)
    }

    /// Packs what any program reads packed.
    fn pack_all(&self) -> Result<()> {
        for fixed in [0.0, 1.0] {
            self.program(&self.likely(fixed))?;
        }
        self.store.forget_packed(&self.graph.read_plainly());
        Ok(())
    }

    /// A key that is likely to come: symbols stand for two, a box or a point and its padding, and fixed inputs have a value.
    fn likely(&self, fixed: f32) -> Key {
        let symbols = self.graph.inputs.iter().flat_map(|input| &input.shape).filter_map(|dimension| match dimension {
            Dimension::Symbol(name) => Some((name.clone(), 2)),
            Dimension::Size(_) => None,
        });
        let mut key = Key { symbols: symbols.collect(), fixed: vec![fixed.to_bits(); self.fixed.len()] };
        key.symbols.dedup();
        key
    }

    fn run(
        &self,
        prepared: &Prepared,
        batch: &[&[(&str, &Tensor)]],
        workspace: &Workspace,
    ) -> Result<Vec<Vec<Tensor>>> {
        let keys = batch.iter().map(|inputs| self.key(inputs)).collect::<Result<Vec<_>>>()?;
        let mut outputs = Vec::with_capacity(batch.len());
        for keys in keys.chunk_by(|a, b| a == b) {
            let batch = &batch[outputs.len()..][..keys.len()];
            let program = self.program(&keys[0])?;
            let values = Self::kept(&program, prepared, &keys[0], batch[0], workspace)?;
            outputs.extend(program.run(&values, batch, workspace)?);
        }
        Ok(outputs)
    }

    /// What the early steps make of the early inputs, computed if it is not at hand.
    fn kept(
        program: &Program,
        prepared: &Prepared,
        key: &Key,
        inputs: &[(&str, &Tensor)],
        workspace: &Workspace,
    ) -> Result<Arc<Kept>> {
        // Nothing is computed under a lock: a worker that waits inside may take up a run that wants the same lock.
        let lock = || prepared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().iter().find(|(fixed, _)| *fixed == key.fixed).map(|(_, kept)| Arc::clone(kept));
        if let Some(values) = known {
            return Ok(values);
        }
        let values = Arc::new(program.prepare(inputs, workspace)?);
        let mut kept = lock();
        // Another thread may have been faster.
        if let Some((_, values)) = kept.iter().find(|(fixed, _)| *fixed == key.fixed) {
            return Ok(Arc::clone(values));
        }
        kept.push((key.fixed.clone(), Arc::clone(&values)));
        Ok(values)
    }

    fn key(&self, inputs: &[(&str, &Tensor)]) -> Result<Key> {
        let mut key = Key::default();
        for input in &self.graph.inputs {
            let Some((_, tensor)) = inputs.iter().find(|(name, _)| *name == input.name) else { continue };
            if self.fixed.contains(&input.name) {
                key.fixed.extend(tensor.values().iter().map(|v| v.to_bits()));
            }
            for (dimension, &size) in input.shape.iter().zip(tensor.shape()) {
                let Dimension::Symbol(name) = dimension else { continue };
                match key.symbols.iter().find(|(symbol, _)| symbol == name) {
                    None => key.symbols.push((name.clone(), size)),
                    Some((_, other)) if *other == size => {}
                    Some((_, other)) => {
                        return Err(Error::new(ErrorKind::Engine, format!("'{name}' is both {other} and {size}")));
                    }
                }
            }
        }
        Ok(key)
    }

    /// The program for a key, built if it is not at hand.
    fn program(&self, key: &Key) -> Result<Arc<Program>> {
        let lock = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut programs = lock();
            if let Some(at) = programs.iter().position(|(k, _)| k == key) {
                programs[..=at].rotate_right(1);
                return Ok(Arc::clone(&programs[0].1));
            }
        }
        let symbols: Vec<(&str, usize)> = key.symbols.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        let values: Vec<[f32; 1]> = key.fixed.iter().map(|&bits| [f32::from_bits(bits)]).collect();
        let fixed: Vec<(&str, &[f32])> =
            self.fixed.iter().map(String::as_str).zip(values.iter().map(|v| v.as_slice())).collect();
        let early: Vec<&str> = self.early.iter().map(String::as_str).collect();
        let program = Program::build(&self.graph, &self.store, self.level, &symbols, &fixed, &early)
            .map_err(|why| Error::new(ErrorKind::Engine, why))?;
        let program = Arc::new(program);
        let mut programs = lock();
        programs.retain(|(k, _)| k != key);
        programs.truncate(Self::KEPT - 1);
        programs.insert(0, (key.clone(), Arc::clone(&program)));
        Ok(program)
    }
}

//! [`Own`]: a graph that our own operators run.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cutout_kernels::SimdLevel;
use cutout_kernels::convolution::Planes;
use cutout_kernels::linear::Storage;
use cutout_models::Normalization;
use cutout_models::onnx::OnnxModel;

use super::program::{Description, Dimension, Kept, Program, Store};
use super::workspace::Workspace;
use super::{Inputs, Precision, Tensor};
use crate::error::{Error, ErrorKind, Result};

/// A graph as programs of our own operators, one for each set of symbolic dimensions and fixed inputs that came.
pub(super) struct Own {
    pub(super) graph: Description,
    pub(super) store: Store,
    level: SimdLevel,
    early: Vec<String>,
    fixed: Vec<String>,
    pub(super) levels: Option<(String, Normalization)>,
    programs: Mutex<Vec<(Key, Arc<Program>)>>,
}

/// Symbolic dimensions, and the bits of the fixed inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Key {
    symbols: Vec<(String, usize)>,
    fixed: Vec<u32>,
    /// Whether the image comes as levels.
    levels: bool,
}

/// What a [`Network`](super::Network) computed of the inputs that stay: a cache, filled at the first run.
#[derive(Clone, Default)]
pub struct Prepared(Arc<Mutex<Vec<KeptFor>>>);

/// Kept values, and what they were computed with: level and storage, by which networks of one model differ, and the bits of the fixed
/// inputs.
type KeptFor = ((SimdLevel, Storage, Vec<u32>), Arc<Kept>);

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

impl Own {
    /// Programs kept at once: prompts of that many different numbers of points.
    const KEPT: usize = 16;

    /// Takes the constants out of `onnx`; where the graph is not covered, they are there again.
    pub(super) fn new(
        onnx: &mut OnnxModel,
        inputs: Inputs<'_>,
        level: SimdLevel,
        precision: Precision,
    ) -> std::result::Result<Self, String> {
        let graph = Description::of(onnx.proto().graph.as_ref().ok_or("there is no graph")?)?;
        let in_f32 = match precision {
            Precision::F16Arithmetic => graph.kept_in_f32(inputs.in_f32),
            Precision::F32 | Precision::F16 | Precision::Int8 => BTreeSet::new(),
        };
        let (store, taken) = Store::take(onnx, &graph, precision.storage(), in_f32)?;
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
        graph.check_scales(&store.constants())?;
        store.take_no_lowest(&graph.scaled);
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        let (early, fixed) = (owned(inputs.early), owned(inputs.fixed));
        let levels = inputs.levels.map(|(name, normalization)| (name.to_owned(), normalization));
        let mut own = Own { graph, store, level, early, fixed, levels, programs: Mutex::default() };
        if own.levels.is_none() || own.program(&own.likely_on_levels()).is_err() {
            own.levels = None;
            own.program(&own.likely(0.0)).map_err(|e| e.to_string())?;
        }
        own.store.forget_packed(&own.graph.read_plainly());
        Ok(own)
    }

    /// Packs what any program reads packed.
    pub(super) fn pack_all(&self) -> Result<()> {
        if self.levels.is_some() {
            self.program(&self.likely_on_levels())?;
        } else {
            for fixed in [0.0, 1.0] {
                self.program(&self.likely(fixed))?;
            }
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
        let mut key = Key { symbols: symbols.collect(), fixed: vec![fixed.to_bits(); self.fixed.len()], levels: false };
        key.symbols.dedup();
        key
    }

    /// The key for an image of levels.
    pub(super) fn likely_on_levels(&self) -> Key {
        Key { levels: true, ..self.likely(0.0) }
    }

    /// The precision of most multiply-accumulates.
    pub(super) fn precision(&self) -> Result<Precision> {
        let key = if self.levels.is_some() { self.likely_on_levels() } else { self.likely(0.0) };
        Ok(self.program(&key)?.precision())
    }

    pub(super) fn run(
        &self,
        prepared: &Prepared,
        batch: &[&[(&str, &Tensor)]],
        workspace: &Workspace,
    ) -> Result<Vec<Vec<Tensor>>> {
        let keys = batch.iter().map(|inputs| self.key(inputs)).collect::<Result<Vec<_>>>()?;
        let mut outputs = Vec::with_capacity(batch.len());
        for keys in keys.chunk_by(|a, b| a == b) {
            let batch = &batch[outputs.len()..][..keys.len()];
            outputs.extend(self.run_batch(prepared, batch, &keys[0], None, workspace)?);
        }
        Ok(outputs)
    }

    /// Runs of one key; none is an empty batch.
    pub(super) fn run_batch(
        &self,
        prepared: &Prepared,
        batch: &[&[(&str, &Tensor)]],
        key: &Key,
        image: Option<Planes<'_>>,
        workspace: &Workspace,
    ) -> Result<Vec<Vec<Tensor>>> {
        let program = self.program(key)?;
        let values = self.kept(&program, prepared, key, batch[0], workspace)?;
        program.run(&values, batch, image, workspace)
    }

    /// What the early steps make of the early inputs, computed if it is not at hand.
    fn kept(
        &self,
        program: &Program,
        prepared: &Prepared,
        key: &Key,
        inputs: &[(&str, &Tensor)],
        workspace: &Workspace,
    ) -> Result<Arc<Kept>> {
        // Nothing is computed under a lock: a worker that waits inside may take up a run that wants the same lock.
        let lock = || prepared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made_with = (self.level, self.store.storage(), key.fixed.clone());
        let known = lock().iter().find(|(with, _)| *with == made_with).map(|(_, kept)| Arc::clone(kept));
        if let Some(values) = known {
            return Ok(values);
        }
        let values = Arc::new(program.prepare(inputs, workspace)?);
        let mut kept = lock();
        // Another thread may have been faster.
        if let Some((_, values)) = kept.iter().find(|(with, _)| *with == made_with) {
            return Ok(Arc::clone(values));
        }
        kept.push((made_with, Arc::clone(&values)));
        Ok(values)
    }

    pub(super) fn key(&self, inputs: &[(&str, &Tensor)]) -> Result<Key> {
        let mut key = Key::default();
        for input in &self.graph.inputs {
            let Some((_, tensor)) = inputs.iter().find(|(name, _)| *name == input.name) else { continue };
            if self.fixed.contains(&input.name) {
                if tensor.values().len() != 1 {
                    let what = format!("input '{}' has one value, not {}", input.name, tensor.values().len());
                    return Err(Error::new(ErrorKind::Engine, what));
                }
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
    pub(super) fn program(&self, key: &Key) -> Result<Arc<Program>> {
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
        let levels = self.levels.as_ref().filter(|_| key.levels).map(|(name, normalization)| (&**name, *normalization));
        let program = Program::build(&self.graph, &self.store, self.level, &symbols, &fixed, &early, levels)
            .map_err(|why| Error::new(ErrorKind::Engine, why))?;
        let program = Arc::new(program);
        let mut programs = lock();
        programs.retain(|(k, _)| k != key);
        programs.truncate(Self::KEPT - 1);
        programs.insert(0, (key.clone(), Arc::clone(&program)));
        Ok(program)
    }
}

//! [`Program`]: a graph as a list of our own operators.
//!
//! An ONNX graph whose operators are all known here is lowered once: activations, biases and residuals go into the products before
//! them, attention becomes one operator, and transpositions, slices and reshapes become views. What is left runs step by step on
//! buffers that are planned in advance and kept from run to run. Graphs with other operators stay with tract.

mod description;
mod graph;
mod lower;
mod nest;
mod operation;
mod operations;
mod plan;
mod quantization;
mod shapes;
mod store;
mod view;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cutout_kernels::convolution::Planes;
use cutout_kernels::{Aligned, Shared, SimdLevel};
use cutout_models::Normalization;

pub(super) use description::{Description, Dimension};
pub(super) use store::{Constant, Packs, Store};

use super::workspace::Workspace;
use super::{Layer, Precision, Tensor};
use crate::error::{Error, ErrorKind, Result};
use graph::Graph;
use lower::{Lowered, lower};
use nest::Nest;
use operation::{Buffer, Step, Values};
use plan::Plan;
use view::View;

/// A graph with all its shapes, as steps. Safe to share: each run takes an arena of its own from a workspace.
pub(super) struct Program {
    inputs: Vec<(String, Vec<usize>)>,
    /// The input that is an image of levels.
    image: Option<usize>,
    constants: Vec<Shared<f32>>,
    early: Plan,
    late: Plan,
    outputs: Vec<(Buffer, View)>,
    /// By slot, for people to read.
    shapes: Vec<Vec<usize>>,
    level: SimdLevel,
    spare: Arc<Spare>,
}

/// What the early steps of a [`Program`] left for the others. Its memory goes back to the program for the next.
#[derive(Debug)]
pub(crate) struct Kept {
    values: Vec<Aligned<f32>>,
    spare: Arc<Spare>,
}

/// Memory of [`Kept`] that nobody holds any more: memory that is fresh takes about as long as to fill it.
#[derive(Debug, Default)]
struct Spare(Mutex<Vec<Vec<Aligned<f32>>>>);

impl Spare {
    /// Sets that are held at once: a camera needs one.
    const MOST: usize = 2;

    fn sets(&self) -> MutexGuard<'_, Vec<Vec<Aligned<f32>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut sets = self.spare.sets();
        if sets.len() < Spare::MOST {
            sets.push(std::mem::take(&mut self.values));
        }
    }
}

impl Program {
    /// Lowers a graph. `symbols` are its symbolic dimensions, `fixed` inputs whose values are known now, and `early` inputs that stay
    /// the same over many runs: steps that read nothing else are run by [`prepare`](Self::prepare). `levels` is an input that comes as
    /// levels, which the graph takes normalised.
    ///
    /// # Errors
    /// Says what of the graph is unknown here.
    pub(super) fn build(
        description: &Description,
        store: &Store,
        level: SimdLevel,
        symbols: &[(&str, usize)],
        fixed: &[(&str, &[f32])],
        early: &[&str],
        levels: Option<(&str, Normalization)>,
    ) -> std::result::Result<Self, String> {
        let graph = Graph::read(description, store, symbols, fixed)?;
        let image = levels.and_then(|(name, _)| graph.inputs.iter().position(|&id| graph.values[id].name == name));
        let is_early: Vec<bool> =
            graph.inputs.iter().map(|&id| early.contains(&graph.values[id].name.as_str())).collect();
        let Lowered { steps, lengths, shapes, mut constants, mut outputs } =
            lower(&graph, level, store, &is_early, image.zip(levels.map(|(_, normalization)| normalization)))?;
        let (early, late) = plan::split(steps, &lengths, &mut outputs, |input| is_early[input]);
        // What went into other constants is not kept.
        let read = early.steps.iter().chain(&late.steps).flat_map(|s| &s.inputs).chain(outputs.iter().map(|(b, _)| b));
        let read: HashSet<Buffer> = read.copied().collect();
        for (i, constant) in constants.iter_mut().enumerate() {
            if !read.contains(&Buffer::Constant(i)) {
                *constant = Shared::default();
            }
        }
        let inputs =
            graph.inputs.iter().map(|&id| (graph.values[id].name.clone(), graph.values[id].shape.clone())).collect();
        Ok(Program { inputs, image, constants, early, late, outputs, shapes, level, spare: Arc::default() })
    }

    /// Runs the steps that read early inputs only.
    ///
    /// # Errors
    /// `Engine` if an input is missing or of another shape.
    pub(super) fn prepare(&self, inputs: &[(&str, &Tensor)], workspace: &Workspace) -> Result<Kept> {
        let inputs = [self.ordered(inputs, false)?];
        Ok(workspace.with(self.early.arena(1), |arena| {
            self.early.run(&inputs, &self.constants, &[], None, arena, || {});
            let spare = self.spare.sets().pop();
            Kept { values: self.early.keep(arena, spare.unwrap_or_default()), spare: Arc::clone(&self.spare) }
        }))
    }

    /// Runs the other steps on each of the inputs and gives the outputs, in the graph's order.
    ///
    /// # Errors
    /// `Engine` if an input is missing or of another shape, or `kept` comes from another program.
    pub(super) fn run(
        &self,
        kept: &Kept,
        batch: &[&[(&str, &Tensor)]],
        image: Option<Planes<'_>>,
        workspace: &Workspace,
    ) -> Result<Vec<Vec<Tensor>>> {
        let image = self.image.zip(image);
        if !self.early.made(&kept.values) {
            return Err(Error::new(ErrorKind::Engine, "the prepared values are those of another network"));
        }
        let mut results = Vec::with_capacity(batch.len());
        for batch in batch.chunks(self.late.batch()) {
            let inputs = batch.iter().map(|inputs| self.ordered(inputs, true)).collect::<Result<Vec<_>>>()?;
            workspace.with(self.late.arena(inputs.len()), |arena| {
                self.late.run(&inputs, &self.constants, &kept.values, image, arena, || {});
                for (run, inputs) in inputs.iter().enumerate() {
                    let known = Values { inputs, constants: &self.constants, kept: &kept.values, image };
                    let output = |(buffer, view): &(Buffer, View)| {
                        let mut values = vec![0.0; view.len()];
                        copy(known.read(*buffer, |slot| self.late.slot(slot, run, arena)), view, &mut values);
                        Tensor::new(view.shape.clone(), values)
                    };
                    results.push(self.outputs.iter().map(output).collect::<Result<Vec<_>>>()?);
                }
                Ok::<(), Error>(())
            })?;
        }
        Ok(results)
    }

    /// The inputs in the graph's order. Those that no late step reads may be missing, or with `all` false, those that no early step reads.
    fn ordered<'t>(&self, given: &[(&str, &'t Tensor)], all: bool) -> Result<Vec<&'t [f32]>> {
        let mut out = Vec::with_capacity(self.inputs.len());
        for (index, (wanted, shape)) in self.inputs.iter().enumerate() {
            if self.image == Some(index) {
                out.push(&[][..]);
                continue;
            }
            match given.iter().find(|(name, _)| name == wanted) {
                Some((_, tensor)) if tensor.shape() == shape => out.push(tensor.values()),
                Some((_, tensor)) => {
                    let what = format!("input '{wanted}' must be {shape:?}, not {:?}", tensor.shape());
                    return Err(Error::new(ErrorKind::Engine, what));
                }
                None if if all { self.late.reads(index) } else { self.early.reads(index) } => {
                    return Err(Error::new(ErrorKind::Engine, format!("input '{wanted}' is missing")));
                }
                None => out.push(&[]),
            }
        }
        Ok(out)
    }

    /// The precision of most multiply-accumulates.
    pub(super) fn precision(&self) -> Precision {
        let mut macs: Vec<(Precision, u64)> = Vec::new();
        for step in self.early.steps.iter().chain(&self.late.steps) {
            let (precision, more) = (step.operation.precision(), step.operation.macs());
            match macs.iter_mut().find(|(known, _)| *known == precision) {
                Some((_, macs)) => *macs += more,
                None => macs.push((precision, more)),
            }
        }
        macs.into_iter().max_by_key(|(_, macs)| *macs).map_or(Precision::F32, |(precision, _)| precision)
    }

    /// Every step, in order, with the median of its times over `rounds` runs on `inputs`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn profile(
        &self,
        inputs: &[(&str, &Tensor)],
        image: Option<Planes<'_>>,
        rounds: usize,
        workspace: &Workspace,
    ) -> Result<Vec<Layer>> {
        let image = self.image.zip(image);
        self.ordered(inputs, false)?;
        let inputs = [self.ordered(inputs, true)?];
        let steps = || self.early.steps.iter().chain(&self.late.steps);
        let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(rounds); steps().count()];
        let mut kept = Vec::new();
        for _ in 0..rounds {
            let (mut number, start) = (0, Cell::new(Instant::now()));
            let mut note = || {
                times[number].push(start.get().elapsed());
                number += 1;
                start.set(Instant::now());
            };
            workspace.with(self.early.arena(1).max(self.late.arena(1)), |arena| {
                self.early.run(&inputs, &self.constants, &[], image, arena, &mut note);
                kept = self.early.keep(arena, std::mem::take(&mut kept));
                // What is kept was copied, which is no step's.
                start.set(Instant::now());
                self.late.run(&inputs, &self.constants, &kept, image, arena, &mut note);
            });
        }
        let layer = |(step, times): (&Step, &mut Vec<Duration>)| {
            times.sort_unstable();
            let time = times.get(times.len() / 2).copied().unwrap_or_default();
            let (macs, precision) = (step.operation.macs(), step.operation.precision());
            Layer {
                name: step.name.clone(),
                operator: step.operation.kind(),
                shape: self.shapes[step.output].clone(),
                precision,
                kernel: if macs > 0 { precision.instruction(self.level) } else { "" },
                macs,
                time,
            }
        };
        Ok(steps().zip(&mut times).map(layer).collect())
    }
}

/// Copies a view of a buffer to `out`, row-major.
fn copy<E: Copy + Send + Sync>(source: &[E], view: &View, out: &mut [E]) {
    Nest::new(&view.shape, [&view.strides], [view.offset])
        .run(out, |[from], [step], out| nest::gather(source, from, step, out));
}

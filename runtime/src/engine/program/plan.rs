//! [`Plan`]: a list of steps with as few buffers as their lifetimes allow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cutout_kernels::Aligned;

use super::operation::{Buffer, Joint, Step, read};
use super::view::View;

/// Steps in order; slots are numbers of physical buffers.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Elements of each physical buffer.
    capacities: Vec<usize>,
    /// Whether a physical buffer holds values while joint steps run, or after all steps: each run of a batch has its own.
    own: Vec<bool>,
    /// Elements of each step's inputs that are slots, and of its output: a buffer may be larger than what lies in it.
    lengths: Vec<(Vec<usize>, usize)>,
    /// Physical buffers that outlive the plan, in order, with their elements.
    kept: Vec<(usize, usize)>,
}

/// The buffers of a batch of runs. Kept from batch to batch.
#[derive(Default)]
pub(super) struct Arena {
    /// Those that are free whenever a joint step runs; empty in place of the others.
    common: Vec<Aligned<f32>>,
    /// Those that each run has to itself; empty in place of the others.
    runs: Vec<Vec<Aligned<f32>>>,
    scratch: Aligned<f32>,
}

impl Arena {
    /// The buffers of a run, as its steps left them.
    pub(super) fn run(&self, run: usize) -> &[Aligned<f32>] {
        &self.runs[run]
    }

    /// Lends a run the common buffers, or takes them back.
    fn lend(&mut self, run: usize, own: &[bool]) {
        let slots = self.common.iter_mut().zip(&mut self.runs[run]).zip(own);
        slots.filter(|(_, own)| !**own).for_each(|((common, slot), _)| std::mem::swap(common, slot));
    }
}

/// Drops steps whose results nobody reads, and divides the rest into those that read nothing but constants and inputs that are
/// `early`, and the others.
pub(super) fn split(
    steps: Vec<Step>,
    lengths: &[usize],
    mut outputs: Vec<(Buffer, View)>,
    is_early: impl Fn(usize) -> bool,
) -> (Plan, Plan, Vec<(Buffer, View)>) {
    let mut wanted: HashSet<usize> = outputs.iter().filter_map(|(b, _)| slot(*b)).collect();
    for step in steps.iter().rev() {
        if wanted.contains(&step.output) {
            wanted.extend(step.inputs.iter().filter_map(|b| slot(*b)));
        }
    }
    let mut ready: HashSet<usize> = HashSet::new();
    let (mut early, mut late): (Vec<Step>, Vec<Step>) = (Vec::new(), Vec::new());
    for step in steps.into_iter().filter(|s| wanted.contains(&s.output)) {
        let now = step.inputs.iter().all(|b| match b {
            Buffer::Input(i) => is_early(*i),
            Buffer::Slot(s) => ready.contains(s),
            Buffer::Constant(_) | Buffer::Kept(_) => true,
        });
        if now && step.inputs.iter().any(|b| !matches!(b, Buffer::Constant(_))) {
            ready.insert(step.output);
            early.push(step);
        } else {
            late.push(step);
        }
    }
    // What passes from the early steps to the others, in the order of its making.
    let passed: HashSet<usize> = late
        .iter()
        .flat_map(|s| &s.inputs)
        .chain(outputs.iter().map(|(b, _)| b))
        .filter_map(|b| slot(*b))
        .filter(|s| ready.contains(s))
        .collect();
    let passed: Vec<usize> = early.iter().map(|s| s.output).filter(|s| passed.contains(s)).collect();
    let kept: HashMap<usize, usize> = passed.iter().enumerate().map(|(i, s)| (*s, i)).collect();
    let rename = |b: &mut Buffer| {
        if let Some(i) = slot(*b).and_then(|s| kept.get(&s)) {
            *b = Buffer::Kept(*i);
        }
    };
    late.iter_mut().flat_map(|s| &mut s.inputs).for_each(rename);
    outputs.iter_mut().for_each(|(b, _)| rename(b));
    let early = Plan::new(early, lengths, &passed).0;
    let last: Vec<usize> = outputs.iter().filter_map(|(b, _)| slot(*b)).collect();
    let (late, places) = Plan::new(late, lengths, &last);
    for (buffer, _) in &mut outputs {
        if let Buffer::Slot(s) = buffer {
            *s = places[s];
        }
    }
    (early, late, outputs)
}

fn slot(buffer: Buffer) -> Option<usize> {
    match buffer {
        Buffer::Slot(s) => Some(s),
        _ => None,
    }
}

impl Plan {
    /// Most bytes that the runs of a batch may have to themselves.
    const BATCH_BYTES: usize = 16 << 20;
    /// Runs beyond which a joint step gains little.
    const BATCH_RUNS: usize = 8;

    /// Gives every slot a physical buffer: a free one of its kind that fits best, else the largest free one, enlarged. Those in `last`
    /// are never given away. Also returns each slot's buffer.
    fn new(mut steps: Vec<Step>, lengths: &[usize], last: &[usize]) -> (Self, HashMap<usize, usize>) {
        let mut last_use: HashMap<usize, usize> = HashMap::new();
        for (i, step) in steps.iter().enumerate() {
            last_use.insert(step.output, i);
            last_use.extend(step.inputs.iter().filter_map(|b| slot(*b)).map(|s| (s, i)));
        }
        let joint: Vec<usize> = (0..steps.len()).filter(|i| steps[*i].operation.joint().is_some()).collect();
        let mut capacities: Vec<usize> = Vec::new();
        let mut own: Vec<bool> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut outputs = Vec::with_capacity(steps.len());
        for (i, step) in steps.iter_mut().enumerate() {
            let need = lengths[step.output];
            let next_joint = joint.get(joint.partition_point(|at| *at < i));
            let stays = last.contains(&step.output) || next_joint.is_some_and(|at| *at <= last_use[&step.output]);
            let free_alike = || free.iter().enumerate().filter(|(_, b)| own[**b] == stays);
            let best = free_alike().filter(|(_, b)| capacities[**b] >= need).min_by_key(|(_, b)| capacities[**b]);
            let pick = best.or_else(|| free_alike().max_by_key(|(_, b)| capacities[**b])).map(|(at, _)| at);
            let place = match pick {
                Some(at) => free.swap_remove(at),
                None => {
                    capacities.push(0);
                    own.push(stays);
                    capacities.len() - 1
                }
            };
            capacities[place] = capacities[place].max(need);
            places.insert(step.output, place);
            let read = step.inputs.iter().map(|b| slot(*b).map_or(usize::MAX, |s| lengths[s])).collect();
            outputs.push((read, need));
            let mut inputs: Vec<usize> = step.inputs.iter().filter_map(|b| slot(*b)).collect();
            inputs.push(step.output);
            inputs.sort_unstable();
            inputs.dedup();
            free.extend(inputs.iter().filter(|s| last_use[s] == i && !last.contains(s)).map(|s| places[s]));
            for buffer in &mut step.inputs {
                if let Buffer::Slot(s) = buffer {
                    *s = places[s];
                }
            }
            step.output = place;
        }
        let kept = last.iter().map(|s| (places[s], lengths[*s])).collect();
        (Plan { steps, capacities, own, lengths: outputs, kept }, places)
    }

    /// How many runs make a batch.
    pub(super) fn batch(&self) -> usize {
        let own = self.capacities.iter().zip(&self.own).filter(|(_, own)| **own);
        let bytes = own.map(|(n, _)| n * size_of::<f32>()).sum::<usize>();
        (Self::BATCH_BYTES / bytes.max(1)).clamp(1, Self::BATCH_RUNS)
    }

    /// Buffers, of which `wanted` are needed, and no memory behind the others.
    fn buffers(&self, wanted: impl Fn(bool) -> bool) -> Vec<Aligned<f32>> {
        let length = |(&n, &own): (&usize, &bool)| if wanted(own) { n } else { 0 };
        self.capacities.iter().zip(&self.own).map(length).map(Aligned::zeros).collect()
    }

    /// Runs the steps on the inputs of each run, and calls `done` after each step that is not joint.
    ///
    /// Steps that are joint run once for all; those between them run after each other for one run, as long as its values are in
    /// the cache.
    pub(super) fn run(
        &self,
        inputs: &[Vec<&[f32]>],
        constants: &[Arc<Vec<f32>>],
        kept: &[Aligned<f32>],
        arena: &mut Arena,
        mut done: impl FnMut(),
    ) {
        if arena.common.is_empty() {
            arena.common = self.buffers(|own| !own);
        }
        while arena.runs.len() < inputs.len() {
            arena.runs.push(self.buffers(|own| own));
        }
        let mut start = 0;
        while start < self.steps.len() {
            let joint = |at: &usize| if inputs.len() > 1 { self.steps[*at].operation.joint() } else { None };
            let end = (start..self.steps.len()).find(|at| joint(at).is_some()).unwrap_or(self.steps.len());
            for (run, inputs) in inputs.iter().enumerate() {
                arena.lend(run, &self.own);
                for at in start..end {
                    self.step(at, inputs, constants, kept, &mut arena.runs[run]);
                    done();
                }
                arena.lend(run, &self.own);
            }
            if let Some(operation) = (end < self.steps.len()).then_some(end).as_ref().and_then(joint) {
                self.step_jointly(end, operation, inputs, constants, kept, arena);
            }
            start = end + 1;
        }
    }

    fn step(
        &self,
        at: usize,
        inputs: &[&[f32]],
        constants: &[Arc<Vec<f32>>],
        kept: &[Aligned<f32>],
        slots: &mut [Aligned<f32>],
    ) {
        let (step, length) = (&self.steps[at], self.lengths[at].1);
        // A prompt may have no points: there is nothing to compute for them.
        if length > 0 {
            let mut out = std::mem::take(&mut slots[step.output]);
            step.operation.run(&self.sources(at, inputs, constants, kept, slots), &mut out[..length]);
            slots[step.output] = out;
        }
    }

    fn step_jointly(
        &self,
        at: usize,
        operation: &dyn Joint,
        inputs: &[Vec<&[f32]>],
        constants: &[Arc<Vec<f32>>],
        kept: &[Aligned<f32>],
        arena: &mut Arena,
    ) {
        let (output, length) = (self.steps[at].output, self.lengths[at].1);
        let runs = &mut arena.runs[..inputs.len()];
        if length > 0 {
            let mut outs: Vec<Aligned<f32>> = runs.iter_mut().map(|slots| std::mem::take(&mut slots[output])).collect();
            let sources = inputs.iter().zip(&*runs);
            let sources: Vec<_> = sources.map(|(i, slots)| self.sources(at, i, constants, kept, slots)).collect();
            let mut parts: Vec<&mut [f32]> = outs.iter_mut().map(|out| &mut out[..length]).collect();
            operation.run_all(&sources, &mut parts, &mut arena.scratch);
            runs.iter_mut().zip(outs).for_each(|(slots, out)| slots[output] = out);
        }
    }

    /// What a step reads.
    fn sources<'a>(
        &self,
        at: usize,
        inputs: &[&'a [f32]],
        constants: &'a [Arc<Vec<f32>>],
        kept: &'a [Aligned<f32>],
        slots: &'a [Aligned<f32>],
    ) -> Vec<&'a [f32]> {
        let source = |(buffer, length): (&Buffer, &usize)| {
            let values = read(*buffer, inputs, constants, kept, slots);
            &values[..values.len().min(*length)]
        };
        self.steps[at].inputs.iter().zip(&self.lengths[at].0).map(source).collect()
    }

    /// The buffers of a single run that outlive the plan.
    pub(super) fn keep(&self, mut arena: Arena) -> Vec<Aligned<f32>> {
        let mut slots = arena.runs.pop().unwrap_or_default();
        let take = |(place, length): &(usize, usize)| {
            let mut values = std::mem::take(&mut slots[*place]);
            values.resize(*length);
            values
        };
        self.kept.iter().map(take).collect()
    }

    /// Whether these buffers are like those that this plan keeps.
    pub(super) fn made(&self, kept: &[Aligned<f32>]) -> bool {
        self.kept.len() == kept.len() && self.kept.iter().zip(kept).all(|((_, n), k)| *n == k.len())
    }

    /// Whether a step reads an input.
    pub(super) fn reads(&self, input: usize) -> bool {
        self.steps.iter().any(|s| s.inputs.contains(&Buffer::Input(input)))
    }
}

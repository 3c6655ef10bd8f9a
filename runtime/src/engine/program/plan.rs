//! [`Plan`]: a list of steps with as few buffers as their lifetimes allow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cutout_kernels::Aligned;

use super::operation::{Buffer, Step, read};
use super::view::View;

/// Steps in order; slots are numbers of physical buffers.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Elements of each physical buffer.
    capacities: Vec<usize>,
    /// Elements of each step's inputs that are slots, and of its output: a buffer may be larger than what lies in it.
    lengths: Vec<(Vec<usize>, usize)>,
    /// Physical buffers that outlive the plan, in order, with their elements.
    kept: Vec<(usize, usize)>,
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
    /// Gives every slot a physical buffer: a free one that fits best, else the largest free one, enlarged. Those in `last` are never
    /// given away. Also returns each slot's buffer.
    fn new(mut steps: Vec<Step>, lengths: &[usize], last: &[usize]) -> (Self, HashMap<usize, usize>) {
        let mut last_use: HashMap<usize, usize> = HashMap::new();
        for (i, step) in steps.iter().enumerate() {
            last_use.insert(step.output, i);
            last_use.extend(step.inputs.iter().filter_map(|b| slot(*b)).map(|s| (s, i)));
        }
        let mut capacities: Vec<usize> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut outputs = Vec::with_capacity(steps.len());
        for (i, step) in steps.iter_mut().enumerate() {
            let need = lengths[step.output];
            let fits = |&(_, &b): &(usize, &usize)| capacities[b] >= need;
            let best = free.iter().enumerate().filter(fits).min_by_key(|(_, b)| capacities[**b]);
            let pick = best.or_else(|| free.iter().enumerate().max_by_key(|(_, b)| capacities[**b])).map(|(at, _)| at);
            let place = match pick {
                Some(at) => free.swap_remove(at),
                None => {
                    capacities.push(0);
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
        (Plan { steps, capacities, lengths: outputs, kept }, places)
    }

    /// Fresh buffers.
    pub(super) fn slots(&self) -> Vec<Aligned<f32>> {
        self.capacities.iter().map(|&n| Aligned::zeros(n)).collect()
    }

    /// Runs the steps, and calls `done` after each.
    pub(super) fn run(
        &self,
        inputs: &[&[f32]],
        constants: &[Arc<Vec<f32>>],
        kept: &[Aligned<f32>],
        slots: &mut [Aligned<f32>],
        mut done: impl FnMut(),
    ) {
        for (step, (read_lengths, length)) in self.steps.iter().zip(&self.lengths) {
            // A prompt may have no points: there is nothing to compute for them.
            if *length > 0 {
                let mut out = std::mem::take(&mut slots[step.output]);
                let source = |(buffer, length): (&Buffer, &usize)| {
                    let values = read(*buffer, inputs, constants, kept, slots);
                    &values[..values.len().min(*length)]
                };
                let sources: Vec<&[f32]> = step.inputs.iter().zip(read_lengths).map(source).collect();
                step.operation.run(&sources, &mut out[..*length]);
                slots[step.output] = out;
            }
            done();
        }
    }

    /// The buffers that outlive the plan.
    pub(super) fn keep(&self, mut slots: Vec<Aligned<f32>>) -> Vec<Aligned<f32>> {
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

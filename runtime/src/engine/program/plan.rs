//! [`Plan`]: a list of steps whose values share as little memory as their lifetimes allow.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use cutout_kernels::convolution::Planes;
use cutout_kernels::{Aligned, Shared};

use super::operation::{Buffer, Joint, Step, Values};
use super::view::View;

/// Elements of a cache line.
const LINE: usize = 16;

/// Steps in order, and where in an arena their slots lie. The arena begins with what the runs of a batch have in common, then each has a
/// part to itself.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// By slot; nothing for those that are not written here.
    places: Vec<Place>,
    /// Elements of the common part, and of that of each run.
    common: usize,
    own: usize,
    /// Slots that outlive the plan, in order.
    kept: Vec<usize>,
}

/// Where a slot's values lie, in the part that it belongs to.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Each run has its own: they live while joint steps run, or after all steps.
    own: bool,
    range: Range<usize>,
}

/// Drops steps whose results nobody reads, and divides the rest into those that read nothing but constants and inputs that are
/// `early`, and the others.
pub(super) fn split(
    steps: Vec<Step>,
    lengths: &[usize],
    outputs: &mut [(Buffer, View)],
    is_early: impl Fn(usize) -> bool,
) -> (Plan, Plan) {
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
    let last = outputs.iter().filter_map(|(b, _)| slot(*b)).collect();
    (Plan::new(early, lengths, passed), Plan::new(late, lengths, last))
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

    /// Gives every slot its place, the longest first, each the first gap that fits among those of its part that are alive at the same
    /// time. Those in `kept` stay alive.
    fn new(steps: Vec<Step>, lengths: &[usize], kept: Vec<usize>) -> Self {
        let mut lives: HashMap<usize, Range<usize>> = HashMap::new();
        for (i, step) in steps.iter().enumerate() {
            lives.insert(step.output, i..i + 1);
            for slot in step.inputs.iter().filter_map(|b| slot(*b)) {
                lives.entry(slot).and_modify(|life| life.end = i + 1);
            }
        }
        for slot in &kept {
            lives.entry(*slot).and_modify(|life| life.end = steps.len());
        }
        let mut order: Vec<usize> = lives.keys().copied().filter(|s| lengths[*s] > 0).collect();
        order.sort_unstable_by_key(|s| (usize::MAX - lengths[*s], lives[s].start, *s));
        let joint: Vec<usize> = (0..steps.len()).filter(|i| steps[*i].operation.joint().is_some()).collect();
        let mut places = vec![Place::default(); lengths.len()];
        // Those that have their place, in the order of their places: in the common part, and in each run's.
        let mut placed: [Vec<usize>; 2] = Default::default();
        for slot in order {
            let (life, length) = (&lives[&slot], lengths[slot].next_multiple_of(LINE));
            let own = kept.contains(&slot) || joint.iter().any(|step| life.contains(step));
            let placed = &mut placed[usize::from(own)];
            let mut start = 0;
            for other in &*placed {
                let (place, other) = (&places[*other].range, &lives[other]);
                if other.start < life.end && life.start < other.end {
                    if start + length <= place.start {
                        break;
                    }
                    start = start.max(place.end.next_multiple_of(LINE));
                }
            }
            places[slot] = Place { own, range: start..start + lengths[slot] };
            placed.insert(placed.partition_point(|other| places[*other].range.start <= start), slot);
        }
        let [common, own] = [false, true].map(|own| {
            let end = places.iter().filter(|place| place.own == own).map(|place| place.range.end).max();
            end.unwrap_or(0).next_multiple_of(LINE)
        });
        Plan { steps, places, common, own, kept }
    }

    /// How many runs make a batch.
    pub(super) fn batch(&self) -> usize {
        (Self::BATCH_BYTES / (self.own * size_of::<f32>()).max(1)).clamp(1, Self::BATCH_RUNS)
    }

    /// Elements of the arena that [`run`](Self::run) needs for a batch of that many.
    pub(super) fn arena(&self, runs: usize) -> usize {
        let joint = self.steps.iter().filter(|_| runs > 1).filter_map(|step| step.operation.joint());
        self.common + runs * self.own + joint.map(|operation| operation.scratch(runs)).max().unwrap_or(0)
    }

    /// Runs the steps on the inputs of each run, and calls `done` after each step that is not joint.
    ///
    /// Steps that are joint run once for all; those between them run after each other for one run, as long as its values are in
    /// the cache.
    pub(super) fn run(
        &self,
        inputs: &[Vec<&[f32]>],
        constants: &[Shared<f32>],
        kept: &[Aligned<f32>],
        image: Option<(usize, Planes<'_>)>,
        arena: &mut [f32],
        mut done: impl FnMut(),
    ) {
        let (common, rest) = arena.split_at_mut(self.common);
        let (own, scratch) = rest.split_at_mut(inputs.len() * self.own);
        let values: Vec<Values<'_>> = inputs.iter().map(|inputs| Values { inputs, constants, kept, image }).collect();
        let joint = |step: &Step| inputs.len() > 1 && step.operation.joint().is_some();
        let mut steps = self.steps.as_slice();
        while !steps.is_empty() {
            let (alone, rest) = steps.split_at(steps.iter().position(joint).unwrap_or(steps.len()));
            for (run, values) in values.iter().enumerate() {
                for step in alone {
                    self.step(step, values, common, &mut own[run * self.own..][..self.own]);
                    done();
                }
            }
            steps = rest;
            if let Some((step, rest)) = rest.split_first() {
                if let Some(operation) = step.operation.joint() {
                    self.step_jointly(step, operation, &values, own, scratch);
                }
                steps = rest;
            }
        }
    }

    fn step(&self, step: &Step, values: &Values<'_>, common: &mut [f32], own: &mut [f32]) {
        let place = &self.places[step.output];
        // A prompt may have no points: there is nothing to compute for them.
        if place.range.is_empty() {
            return;
        }
        let (mine, others) = if place.own { (own, &*common) } else { (common, &*own) };
        let (below, rest) = mine.split_at_mut(place.range.start);
        let (out, above) = rest.split_at_mut(place.range.len());
        let slots = |slot: usize| {
            let Place { own, range } = &self.places[slot];
            match range.clone() {
                range if range.is_empty() => &[],
                range if *own != place.own => &others[range],
                range if range.end <= place.range.start => &below[range],
                range => &above[range.start - place.range.end..range.end - place.range.end],
            }
        };
        let sources: Vec<&[f32]> = step.inputs.iter().map(|b| values.read(*b, slots)).collect();
        match values.image {
            Some((input, image)) if step.inputs.first() == Some(&Buffer::Input(input)) => {
                step.operation.run_on_levels(image, &sources, out);
            }
            _ => step.operation.run(&sources, out),
        }
    }

    fn step_jointly(
        &self,
        step: &Step,
        operation: &dyn Joint,
        values: &[Values<'_>],
        own: &mut [f32],
        scratch: &mut [f32],
    ) {
        let place = &self.places[step.output].range;
        if place.is_empty() {
            return;
        }
        let mut sources: Vec<Vec<&[f32]>> = Vec::with_capacity(values.len());
        for (values, own) in values.iter().zip(own.chunks_exact(self.own)) {
            sources.push(step.inputs.iter().map(|b| values.read(*b, |slot| self.in_own(slot, own))).collect());
        }
        let results = operation.run_all(&sources, scratch);
        for (own, result) in own.chunks_exact_mut(self.own).zip(results.chunks_exact(place.len())) {
            own[place.clone()].copy_from_slice(result);
        }
    }

    fn in_own<'a>(&self, slot: usize, own: &'a [f32]) -> &'a [f32] {
        &own[self.places[slot].range.clone()]
    }

    /// A slot's values in a run, which lie in the arena after all steps.
    pub(super) fn slot<'a>(&self, slot: usize, run: usize, arena: &'a [f32]) -> &'a [f32] {
        self.in_own(slot, &arena[self.common + run * self.own..])
    }

    /// Copies of the slots of a single run that outlive the plan, in memory that is at hand.
    pub(super) fn keep(&self, arena: &[f32], mut memory: Vec<Aligned<f32>>) -> Vec<Aligned<f32>> {
        memory.resize_with(self.kept.len(), Aligned::default);
        for (slot, kept) in self.kept.iter().zip(&mut memory) {
            let values = self.slot(*slot, 0, arena);
            kept.resize(values.len()).copy_from_slice(values);
        }
        memory
    }

    /// Whether these buffers are like those that this plan keeps.
    pub(super) fn made(&self, kept: &[Aligned<f32>]) -> bool {
        self.kept.len() == kept.len()
            && self.kept.iter().zip(kept).all(|(slot, k)| self.places[*slot].range.len() == k.len())
    }

    /// Whether a step reads an input.
    pub(super) fn reads(&self, input: usize) -> bool {
        self.steps.iter().any(|s| s.inputs.contains(&Buffer::Input(input)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::Operation;
    use super::*;

    /// Writes one more than the sum of the first numbers of its inputs everywhere, after a look at all of them.
    struct Count;

    impl Operation for Count {
        fn kind(&self) -> &'static str {
            "count"
        }

        fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
            assert!(
                inputs.iter().all(|i| i.iter().all(|v| *v == i[0])),
                "a value was written over while it was needed"
            );
            out.fill(1.0 + inputs.iter().filter_map(|i| i.first()).sum::<f32>());
        }
    }

    fn step(inputs: &[Buffer], output: usize) -> Step {
        Step { name: output.to_string(), operation: Box::new(Count), inputs: inputs.to_vec(), output }
    }

    #[test]
    fn values_lie_apart_while_they_live_and_share_memory_after() {
        use Buffer::{Input, Slot};
        let lengths = [40, 33, 64, 1, 48, 0, 16];
        let steps = vec![
            step(&[Input(0)], 0),
            step(&[Slot(0)], 1),
            step(&[Slot(1)], 2),
            step(&[Slot(0), Slot(2)], 3),
            step(&[Slot(3)], 4),
            step(&[Slot(4)], 5),
            step(&[Slot(4), Slot(3), Slot(5)], 6),
        ];
        let mut outputs = [(Slot(6), View::contiguous(&[16])), (Slot(2), View::contiguous(&[64]))];
        let (early, late) = split(steps, &lengths, &mut outputs, |_| false);
        assert!(early.steps.is_empty() && early.arena(1) == 0);
        assert!(late.places.iter().all(|place| place.range.start % LINE == 0));
        // 0 and 1 lie side by side once; 4 finds room where 0 was, 3 where 1 was. 2 and 6 are read after all steps.
        assert_eq!((late.common, late.own), (48 + 48, 64 + 16), "{:?}", late.places);
        let mut arena = vec![f32::NAN; late.arena(1)];
        late.run(&[vec![&[1.0]]], &[], &[], None, &mut arena, || {});
        assert!(late.slot(2, 0, &arena).iter().all(|v| *v == 4.0));
        // 3 is 1 + 2 + 4, 4 one more.
        assert_eq!(late.slot(6, 0, &arena), [1.0 + 8.0 + 7.0; 16]);
    }
}

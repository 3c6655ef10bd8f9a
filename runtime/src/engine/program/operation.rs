//! [`Step`]: one operator on its buffers.

use std::sync::Arc;

use cutout_kernels::Aligned;

use super::super::Precision;

/// Where a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Buffer {
    /// An input of the program.
    Input(usize),
    /// A constant.
    Constant(usize),
    /// What an earlier step wrote.
    Slot(usize),
    /// What a step of [`prepare`](super::Program::prepare) wrote.
    Kept(usize),
}

/// An operator with its weights and shapes.
pub(super) trait Operation: Send + Sync {
    /// What it is called in a table of layers.
    fn kind(&self) -> &'static str;

    /// Multiply-accumulates of one run.
    fn macs(&self) -> u64 {
        0
    }

    /// What its weights are kept and multiplied in.
    fn precision(&self) -> Precision {
        Precision::F32
    }

    /// Computes all of `out` from the inputs, in the order in which lowering named them.
    fn run(&self, inputs: &[&[f32]], out: &mut [f32]);

    /// This operator, if a few runs cost much less as one.
    fn joint(&self) -> Option<&dyn Joint> {
        None
    }
}

/// An operator that reads more weights than values.
pub(super) trait Joint {
    /// As [`run`](Operation::run) for each of the inputs and outputs, with the same bits.
    fn run_all(&self, inputs: &[Vec<&[f32]>], outs: &mut [&mut [f32]], scratch: &mut Aligned<f32>);
}

/// An operator, where it reads, and the slot that it writes.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) operation: Box<dyn Operation>,
    pub(super) inputs: Vec<Buffer>,
    pub(super) output: usize,
}

/// The values of a buffer.
pub(super) fn read<'a>(
    buffer: Buffer,
    inputs: &[&'a [f32]],
    constants: &'a [Arc<Vec<f32>>],
    kept: &'a [Aligned<f32>],
    slots: &'a [Aligned<f32>],
) -> &'a [f32] {
    match buffer {
        Buffer::Input(i) => inputs[i],
        Buffer::Constant(i) => &constants[i],
        Buffer::Slot(i) => &slots[i],
        Buffer::Kept(i) => &kept[i],
    }
}

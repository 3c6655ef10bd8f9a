//! [`Step`]: one operator on its buffers.

use cutout_kernels::convolution::Planes;
use cutout_kernels::{Aligned, Shared};

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

/// Words of four bytes that hold that many bytes: slots of values in bytes are counted in words, as those of f32 numbers are.
pub(super) fn words(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<f32>())
}

/// The bytes of a slot that holds bytes.
pub(super) fn bytes(words: &[f32]) -> &[u8] {
    bytemuck::cast_slice(words)
}

/// The first `length` bytes of a slot that holds bytes.
pub(super) fn bytes_mut(words: &mut [f32], length: usize) -> &mut [u8] {
    &mut bytemuck::cast_slice_mut(words)[..length]
}

/// An operator with its weights and shapes. What it reads and writes are f32 numbers, or bytes, four in the place of a number: lowering
/// knows which.
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

    /// As [`run`](Self::run), where the first input is an image of levels; `inputs` have nothing in its place. Lowering gives such an
    /// input to operators alone that read it.
    fn run_on_levels(&self, _: Planes<'_>, inputs: &[&[f32]], out: &mut [f32]) {
        self.run(inputs, out);
    }

    /// This operator, if a few runs cost much less as one.
    fn joint(&self) -> Option<&dyn Joint> {
        None
    }
}

/// An operator that reads more weights than values.
pub(super) trait Joint {
    /// Elements of scratch for that many runs.
    fn scratch(&self, runs: usize) -> usize;

    /// What [`run`](Operation::run) writes for each of the inputs, with the same bits: one after the other, at the end of the scratch.
    fn run_all<'s>(&self, inputs: &[Vec<&[f32]>], scratch: &'s mut [f32]) -> &'s [f32];
}

/// An operator, where it reads, and the slot that it writes.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) operation: Box<dyn Operation>,
    pub(super) inputs: Vec<Buffer>,
    pub(super) output: usize,
}

/// The values that a program's steps read besides each other's.
pub(super) struct Values<'a> {
    pub(super) inputs: &'a [&'a [f32]],
    pub(super) constants: &'a [Shared<f32>],
    pub(super) kept: &'a [Aligned<f32>],
    /// The input that is an image of levels, and the image.
    pub(super) image: Option<(usize, Planes<'a>)>,
}

impl<'a> Values<'a> {
    /// The values of a buffer; `slots` gives those of a slot.
    pub(super) fn read<'b>(&self, buffer: Buffer, slots: impl Fn(usize) -> &'b [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match buffer {
            Buffer::Input(i) => self.inputs[i],
            Buffer::Constant(i) => &self.constants[i],
            Buffer::Slot(i) => slots(i),
            Buffer::Kept(i) => &self.kept[i],
        }
    }
}

//! [`Weights`]: packed once, read in order.

use std::ops::Range;

use super::tile::Kernel;
use crate::lanes::Lanes;
use crate::{Aligned, Bytes, Shared, SimdLevel};

/// Weights of a linear map of bytes, packed for one [`SimdLevel`]. Clones share the memory.
///
/// First come the sums of each output's weights. Then outputs are cut into as few panels as the level's tile is wide enough for, of
/// equally many registers, give or take one. Inputs are cut into groups, as many as an instruction sums up. A panel holds, for each group in turn,
/// the group's weights of each output. What is missing of the last group and of the last panel is zero.
#[derive(Clone, Debug)]
pub struct Weights {
    level: SimdLevel,
    outputs: usize,
    inputs: usize,
    /// Sums, and four weights in each.
    words: Shared<i32>,
}

impl Weights {
    /// Packs `weight`, row-major of `n` outputs by `k` inputs, each in -127..=127.
    pub fn pack(level: SimdLevel, weight: &[i8], n: usize, k: usize) -> Weights {
        assert_eq!(weight.len(), n * k, "weights of {n} outputs and {k} inputs");
        assert!(weight.iter().all(|&w| w != i8::MIN), "weights are from -127 to 127");
        let shape = Shape::of(level);
        let mut words =
            Aligned::zeros(shape.words(n, k).unwrap_or_else(|| unreachable!("as many as there are weights")));
        let (sums, panels) = words.split_at_mut(sums_len(n));
        let panels: &mut [i8] = bytemuck::cast_slice_mut(panels);
        let padded = k.next_multiple_of(shape.group);
        for columns in (0..shape.panels(n)).map(|index| shape.columns(n, index)) {
            let width = columns.len().next_multiple_of(shape.lanes);
            let panel = &mut panels[columns.start * padded..][..width * padded];
            for (j, row) in columns.clone().zip(weight[columns.start * k..].chunks_exact(k.max(1))) {
                sums[j] = row.iter().map(|&w| i32::from(w)).fold(0, i32::wrapping_add);
                for (i, group) in row.chunks(shape.group).enumerate() {
                    panel[(i * width + j - columns.start) * shape.group..][..group.len()].copy_from_slice(group);
                }
            }
        }
        Weights { level, outputs: n, inputs: k, words: words.into() }
    }

    /// Weights that were packed earlier for this level, used where they lie. `None` if `range` of `bytes` is not of their size, or does
    /// not start at a multiple of 4; those that start at a cache line are read fastest.
    pub fn from_bytes(level: SimdLevel, (n, k): (usize, usize), bytes: Bytes, range: Range<usize>) -> Option<Weights> {
        let len = Shape::of(level).words(n, k)?;
        let words = Shared::from_bytes(bytes, range).filter(|words| words.len() == len)?;
        Some(Weights { level, outputs: n, inputs: k, words })
    }

    /// The packed weights, as [`from_bytes`](Self::from_bytes) takes them.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// The level that they are packed for, and which computes.
    pub fn level(&self) -> SimdLevel {
        self.level
    }

    /// Bytes in a row that is mapped: `k`.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers in a row that comes out: `n`.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The sum of each output's weights.
    pub fn sums(&self) -> &[i32] {
        &self.words[..self.outputs]
    }

    /// The number of panels.
    pub(super) fn panels(&self) -> usize {
        Shape::of(self.level).panels(self.outputs)
    }

    /// The outputs of panel `index`.
    pub(super) fn columns(&self, index: usize) -> Range<usize> {
        Shape::of(self.level).columns(self.outputs, index)
    }

    /// Panel `index`: whole registers for each group of inputs.
    pub(super) fn panel(&self, index: usize) -> &[i8] {
        let (shape, columns) = (Shape::of(self.level), self.columns(index));
        let padded = self.inputs.next_multiple_of(shape.group);
        let panels: &[i8] = bytemuck::cast_slice(&self.words[sums_len(self.outputs)..]);
        &panels[columns.start * padded..][..columns.len().next_multiple_of(shape.lanes) * padded]
    }
}

/// Numbers that the sums of `n` outputs take: whole cache lines.
fn sums_len(n: usize) -> usize {
    n.next_multiple_of(16)
}

/// How weights are packed.
#[derive(Clone, Copy)]
struct Shape {
    /// Outputs in a register of sums.
    lanes: usize,
    /// Such registers across a panel, at most.
    vectors: usize,
    /// Inputs in a group.
    group: usize,
}

impl Shape {
    fn of(level: SimdLevel) -> Shape {
        match level {
            SimdLevel::Scalar => Shape { lanes: 1, vectors: 1, group: 1 },
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2(token) => Shape::of_kernel(token),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512(token) => Shape::of_kernel(token),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::Neon(token) => Shape::of_kernel(token),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonDot(token) => Shape::of_kernel(token),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonI8mm(token) => Shape::of_kernel(token),
        }
    }

    fn of_kernel<S: Kernel>(_: S) -> Shape {
        Shape { lanes: S::Lanes::LANES, vectors: S::VECTORS, group: S::GROUP }
    }

    /// Panels of `n` outputs.
    fn panels(self, n: usize) -> usize {
        n.div_ceil(self.lanes * self.vectors)
    }

    /// The outputs of panel `index`: panels are as wide as each other, give or take a register.
    fn columns(self, n: usize, index: usize) -> Range<usize> {
        let (registers, panels) = (n.div_ceil(self.lanes), self.panels(n));
        let start = |index: usize| n.min(registers * index / panels * self.lanes);
        start(index)..start(index + 1)
    }

    /// The size of [`Weights::words`].
    fn words(self, n: usize, k: usize) -> Option<usize> {
        let weights = n.checked_next_multiple_of(self.lanes)?.checked_mul(k.checked_next_multiple_of(self.group)?)?;
        n.checked_next_multiple_of(16)?.checked_add(weights.div_ceil(size_of::<i32>()))
    }
}

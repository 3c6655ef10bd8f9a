//! [`Weights`]: packed once, read in order.

use std::ops::Range;

use half::f16;

#[cfg(target_arch = "aarch64")]
use super::neon_fp16;
use super::tile::{Element, Kernel};
use crate::{Bytes, Shared, SimdLevel};

/// How packed weights are stored, and for which arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    /// As they are.
    #[default]
    F32,
    /// Rounded to f16: half the memory traffic. Arithmetic is f32.
    F16,
    /// Rounded to f16, and multiplied in f16 at levels that can, see [`Weights::arithmetic`]; as `F16` at the others.
    F16Arithmetic,
}

/// In what a level multiplies and adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// In f32.
    F32,
    /// In f16, with sums of blocks in f32.
    F16,
}

/// Weights of a linear map, packed for one [`SimdLevel`]. Clones share the memory.
///
/// Outputs are cut into panels, each as wide as the level's tile; the last is as many whole registers wide as it
/// needs, filled up with zeros. A panel holds, for each input in turn, the weights of its outputs.
#[derive(Clone, Debug)]
pub struct Weights {
    level: SimdLevel,
    storage: Storage,
    outputs: usize,
    inputs: usize,
    panels: Panels,
}

#[derive(Clone, Debug)]
enum Panels {
    F32(Shared<f32>),
    F16(Shared<f16>),
}

impl Weights {
    /// Packs `weight`, row-major of `n` outputs by `k` inputs.
    pub fn pack(level: SimdLevel, weight: &[f32], n: usize, k: usize, storage: Storage) -> Weights {
        assert_eq!(weight.len(), n * k, "weights of {n} outputs and {k} inputs");
        let mut weights = Weights::scratch(level, storage);
        weights.pack_into(weight, (k, 1), n, k);
        weights
    }

    /// Weights of nothing, to be filled by [`pack_into`](Self::pack_into) again and again.
    pub fn scratch(level: SimdLevel, storage: Storage) -> Weights {
        let panels = match storage {
            Storage::F32 => Panels::F32(Shared::default()),
            Storage::F16 | Storage::F16Arithmetic => Panels::F16(Shared::default()),
        };
        Weights { level, storage, outputs: 0, inputs: 0, panels }
    }

    /// Replaces these weights by a matrix whose number for output `j` and input `p` is
    /// `matrix[j * strides.0 + p * strides.1]`: strides `(k, 1)` are a row-major `(n, k)` matrix, `(1, n)` a `(k, n)` one.
    ///
    /// Keeps its memory: allocates only where it must grow, or where a clone holds the old weights. Of two activations,
    /// the one with fewer numbers is the one to pack; the other is read in place.
    pub fn pack_into(&mut self, matrix: &[f32], strides: (usize, usize), n: usize, k: usize) {
        if n > 0 && k > 0 {
            assert!((n - 1) * strides.0 + (k - 1) * strides.1 < matrix.len(), "matrix of {n} x {k} in {strides:?}");
        }
        (self.outputs, self.inputs) = (n, k);
        let shape = self.shape();
        match &mut self.panels {
            Panels::F32(data) => fill(data, shape, matrix, strides, n, k),
            Panels::F16(data) => fill(data, shape, matrix, strides, n, k),
        }
    }

    /// Numbers in a row that is mapped: `k`.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers in a row that comes out: `n`.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The level that they are packed for, and which computes.
    pub fn level(&self) -> SimdLevel {
        self.level
    }

    /// What was asked for when they were packed.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// In what the level multiplies them. [`F16Arithmetic`](Storage::F16Arithmetic) gives f16 at the levels that have
    /// FEAT_FP16, and at the scalar one, which is their specification.
    pub fn arithmetic(&self) -> Arithmetic {
        match (self.storage, self.level) {
            (Storage::F32 | Storage::F16, _) => Arithmetic::F32,
            (Storage::F16Arithmetic, SimdLevel::Scalar) => Arithmetic::F16,
            #[cfg(target_arch = "x86_64")]
            (Storage::F16Arithmetic, SimdLevel::Avx2(_) | SimdLevel::Avx512(_)) => Arithmetic::F32,
            #[cfg(target_arch = "aarch64")]
            (Storage::F16Arithmetic, SimdLevel::Neon(_)) => Arithmetic::F32,
            #[cfg(target_arch = "aarch64")]
            (Storage::F16Arithmetic, SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_)) => Arithmetic::F16,
        }
    }

    fn shape(&self) -> Shape {
        match self.arithmetic() {
            Arithmetic::F32 => Shape::of(self.level),
            Arithmetic::F16 => Shape::for_f16(self.level),
        }
    }

    /// Bytes of packed weights.
    pub fn bytes(&self) -> usize {
        self.as_bytes().len()
    }

    /// The packed weights, as [`from_bytes`](Self::from_bytes) takes them.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.panels {
            Panels::F32(data) => bytemuck::cast_slice(data),
            Panels::F16(data) => bytemuck::cast_slice(data),
        }
    }

    /// Weights that were packed earlier for this level, used where they lie. `None` if `range` of `bytes` is not of their size, or does
    /// not start at a number; those that start at a cache line are read fastest.
    pub fn from_bytes(
        level: SimdLevel,
        (n, k): (usize, usize),
        storage: Storage,
        bytes: Bytes,
        range: Range<usize>,
    ) -> Option<Weights> {
        let mut weights = Weights::scratch(level, storage);
        let numbers = n.checked_next_multiple_of(weights.shape().lanes)?.checked_mul(k)?;
        (weights.outputs, weights.inputs) = (n, k);
        weights.panels = match weights.panels {
            Panels::F32(_) => Panels::F32(Shared::from_bytes(bytes, range).filter(|data| data.len() == numbers)?),
            Panels::F16(_) => Panels::F16(Shared::from_bytes(bytes, range).filter(|data| data.len() == numbers)?),
        };
        Some(weights)
    }

    /// The number of panels.
    pub(super) fn panels(&self) -> usize {
        self.outputs.div_ceil(self.shape().width())
    }

    /// The outputs of panel `index`.
    pub(super) fn columns(&self, index: usize) -> Range<usize> {
        let width = self.shape().width();
        index * width..self.outputs.min((index + 1) * width)
    }

    /// All panels, where they are stored so.
    pub(super) fn as_f32(&self) -> Option<&[f32]> {
        if let Panels::F32(data) = &self.panels { Some(data) } else { None }
    }

    /// All panels, where they are stored so.
    pub(super) fn as_f16(&self) -> Option<&[f16]> {
        if let Panels::F16(data) = &self.panels { Some(data) } else { None }
    }
}

/// The width of panels.
#[derive(Clone, Copy)]
struct Shape {
    lanes: usize,
    vectors: usize,
}

impl Shape {
    fn of(level: SimdLevel) -> Shape {
        match level {
            SimdLevel::Scalar => Shape { lanes: 1, vectors: 1 },
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2(token) => Shape::of_kernel(token),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512(token) => Shape::of_kernel(token),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::Neon(token) => Shape::of_kernel(token),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonDot(token) => Shape::of_kernel(token.neon()),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonI8mm(token) => Shape::of_kernel(token.neon()),
        }
    }

    /// Of a level that multiplies in f16.
    fn for_f16(level: SimdLevel) -> Shape {
        match level {
            SimdLevel::Scalar => Shape::of(level),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2(_) | SimdLevel::Avx512(_) => Shape::of(level),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::Neon(_) => Shape::of(level),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => {
                Shape { lanes: neon_fp16::LANES, vectors: neon_fp16::VECTORS }
            }
        }
    }

    fn of_kernel<S: Kernel>(_: S) -> Shape {
        Shape { lanes: S::LANES, vectors: S::VECTORS }
    }

    fn width(self) -> usize {
        self.lanes * self.vectors
    }
}

fn fill<E: Element>(
    data: &mut Shared<E>,
    shape: Shape,
    matrix: &[f32],
    (output_stride, input_stride): (usize, usize),
    n: usize,
    k: usize,
) {
    let mut rest = data.renew().resize(n.next_multiple_of(shape.lanes) * k);
    for first in (0..n).step_by(shape.width()) {
        let columns = shape.width().min(n - first);
        let width = columns.next_multiple_of(shape.lanes);
        let (panel, others) = rest.split_at_mut(width * k);
        rest = others;
        if columns < width {
            panel.fill(E::default());
        }
        let source = &matrix[first * output_stride..];
        if output_stride == 1 {
            for (p, packed) in panel.chunks_exact_mut(width).enumerate() {
                let row = &source[p * input_stride..][..columns];
                packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = E::of(value));
            }
        } else {
            for j in 0..columns {
                let row = &source[j * output_stride..];
                for (p, packed) in panel.chunks_exact_mut(width).enumerate() {
                    packed[j] = E::of(row[p * input_stride]);
                }
            }
        }
    }
}

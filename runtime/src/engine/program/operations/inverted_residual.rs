//! Expansion, depthwise convolution and projection in one (Sandler et al., 2018): the wide map between them never leaves the cache.

use std::sync::{Arc, Mutex, PoisonError};

use cutout_kernels::convolution::Planes;
use cutout_kernels::depthwise::{MAX_KERNEL, Shape, Weights, depthwise_row};
use cutout_kernels::{Activation, Aligned};
use rayon::prelude::*;

use super::super::super::Precision;
use super::super::operation::Operation;
use super::super::view::Rows;
use super::RowMap;

/// Bytes of the wide map that are in use at once, on each thread.
const BUDGET: usize = 320 << 10;
/// Rows of output that are computed together even beyond the budget: products of fewer use their weights too little.
const LEAST_ROWS: usize = 4;

/// The three convolutions, of numbers or of bytes.
pub(in super::super) trait Stages: Send + Sync + 'static {
    /// What maps are made of.
    type Element: Copy + Default + Send + Sync;
    /// What the expansion reads.
    type Image<'a>: Copy + Send + Sync;

    /// Elements of a row of the wide map, of the depthwise convolution, and of the output.
    fn rows(&self) -> [usize; 3];
    /// The side of the depthwise convolution's kernel.
    fn kernel(&self) -> usize;
    /// Computes the rows of the wide map from `first` on that `out` has room for.
    fn expand(
        &self,
        image: Self::Image<'_>,
        first: usize,
        patches: &mut Aligned<Self::Element>,
        out: &mut [Self::Element],
    );
    /// Computes a row of the depthwise convolution from the rows that its windows see.
    fn spread(&self, seen: &[Option<&[Self::Element]>], shape: &Shape, out: &mut [Self::Element]);
    /// Computes the rows of output from `y` on that `out` has room for, of as many rows of the depthwise convolution.
    fn project(
        &self,
        spread: &[Self::Element],
        y: usize,
        inputs: &[&[f32]],
        patches: &mut Aligned<Self::Element>,
        out: &mut [Self::Element],
    );
    /// Multiply-accumulates for that many rows of output.
    fn macs(&self, height: usize) -> u64;
    /// What the weights are kept and multiplied in.
    fn precision(&self) -> Precision;
    /// What the expansion reads, of a step's inputs, of which the first may come as planes.
    fn image<'a>(&self, inputs: &[&'a [f32]], planes: Planes<'a>) -> Self::Image<'a>;
    /// The first `length` elements of a slot.
    fn out<'a>(&self, out: &'a mut [f32], length: usize) -> &'a mut [Self::Element];
}

/// The stages, one band of rows at a time. Each thread goes down a band of the output, a few rows at a time, and keeps of the wide map the
/// rows that the next ones see as well. The same arithmetic as one after the other, so the same bits.
pub(in super::super) struct InvertedResidual<S: Stages> {
    stages: S,
    /// Of the depthwise convolution.
    shape: Shape,
    /// Rows of the output.
    height: usize,
    scratch: Mutex<Vec<Scratch<S::Element>>>,
}

#[derive(Default)]
struct Scratch<E> {
    /// Rows of the wide map.
    wide: Aligned<E>,
    /// Rows of the depthwise convolution.
    spread: Aligned<E>,
    patches: Aligned<E>,
}

impl<S: Stages> InvertedResidual<S> {
    pub(in super::super) fn new(stages: S, shape: Shape) -> Self {
        let height = shape.output(stages.kernel()).0;
        InvertedResidual { stages, shape, height, scratch: Mutex::default() }
    }

    /// Computes the output rows from `first` on that `out` has room for.
    fn band(
        &self,
        image: S::Image<'_>,
        inputs: &[&[f32]],
        first: usize,
        scratch: &mut Scratch<S::Element>,
        out: &mut [S::Element],
    ) {
        let Scratch { wide, spread, patches } = scratch;
        let Shape { height, stride, dilation, padding, .. } = self.shape;
        let kernel = self.stages.kernel();
        let [row, spread_row, out_row] = self.stages.rows();
        let reach = (kernel - 1) * dilation + 1;
        let affordable = (BUDGET / size_of::<S::Element>() / row).saturating_sub(reach) / stride + 1;
        let together = affordable.max(LEAST_ROWS).min(out.len() / out_row);
        wide.resize(((together - 1) * stride + reach) * row);
        spread.resize(together * spread_row);
        // Rows `held.0..held.1` of the wide map are in `wide`, from its start on.
        let mut held = (0, 0);
        for (step, out) in out.chunks_mut(together * out_row).enumerate() {
            let y = first + step * together;
            let rows = out.len() / out_row;
            let start = (y * stride).saturating_sub(padding).min(height);
            let end = ((y + rows - 1) * stride + reach).saturating_sub(padding).min(height);
            if start < held.1 {
                wide.copy_within((start - held.0) * row..(held.1 - held.0) * row, 0);
                held.0 = start;
            } else {
                held = (start, start);
            }
            if held.1 < end {
                let new = &mut wide[(held.1 - start) * row..(end - start) * row];
                self.stages.expand(image, held.1, patches, new);
                held.1 = end;
            }
            for (i, out) in spread.chunks_exact_mut(spread_row).take(rows).enumerate() {
                let seen: [_; MAX_KERNEL] = std::array::from_fn(|tap| {
                    self.shape.row(y + i, tap).filter(|_| tap < kernel).map(|at| &wide[(at - start) * row..][..row])
                });
                self.stages.spread(&seen[..kernel], &self.shape, out);
            }
            self.stages.project(spread, y, inputs, patches, out);
        }
    }
}

impl<S: Stages> Operation for InvertedResidual<S> {
    fn kind(&self) -> &'static str {
        "inverted residual"
    }

    fn macs(&self) -> u64 {
        self.stages.macs(self.height)
    }

    fn precision(&self) -> Precision {
        self.stages.precision()
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        self.run_on_levels(Planes::Floats(inputs[0]), inputs, out);
    }

    fn run_on_levels(&self, image: Planes<'_>, inputs: &[&[f32]], out: &mut [f32]) {
        let rows = self.height.div_ceil(rayon::current_num_threads());
        let (image, [.., row]) = (self.stages.image(inputs, image), self.stages.rows());
        let out = self.stages.out(out, self.height * row);
        out.par_chunks_mut(rows * row).enumerate().for_each(|(band, out)| {
            let pool = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
            let spare = pool().pop();
            let mut scratch = spare.unwrap_or_default();
            self.band(image, inputs, band * rows, &mut scratch, out);
            pool().push(scratch);
        });
    }
}

/// The stages of numbers.
pub(in super::super) struct FloatStages {
    /// The expansion, or any convolution that makes the wide map.
    pub(in super::super) expand: RowMap,
    pub(in super::super) depthwise: Arc<Weights>,
    pub(in super::super) activation: Activation,
    /// Reads a band of the depthwise convolution's rows.
    pub(in super::super) project: RowMap,
    pub(in super::super) residual: Option<Rows>,
    /// Rows of the wide map.
    pub(in super::super) height: usize,
}

impl Stages for FloatStages {
    type Element = f32;
    type Image<'a> = Planes<'a>;

    fn rows(&self) -> [usize; 3] {
        [self.expand.row(), self.project.width * self.depthwise.channels(), self.project.row()]
    }

    fn kernel(&self) -> usize {
        self.depthwise.kernel()
    }

    fn expand(&self, image: Planes<'_>, first: usize, patches: &mut Aligned<f32>, out: &mut [f32]) {
        self.expand.compute(image, first, None, patches, out);
    }

    fn spread(&self, seen: &[Option<&[f32]>], shape: &Shape, out: &mut [f32]) {
        depthwise_row(seen, shape, &self.depthwise, self.activation, out);
    }

    fn project(&self, spread: &[f32], y: usize, inputs: &[&[f32]], patches: &mut Aligned<f32>, out: &mut [f32]) {
        let residual = self.residual.map(|r| (&inputs[1][r.offset + y * self.project.width * r.stride..], r.stride));
        self.project.compute(Planes::Floats(spread), 0, residual, patches, out);
    }

    fn macs(&self, height: usize) -> u64 {
        let spread = height * self.project.width * self.depthwise.channels() * self.depthwise.kernel().pow(2);
        self.expand.macs(self.height) + spread as u64 + self.project.macs(height)
    }

    /// That of the projection: the expansion may read planes.
    fn precision(&self) -> Precision {
        self.project.precision()
    }

    fn image<'a>(&self, _: &[&'a [f32]], planes: Planes<'a>) -> Planes<'a> {
        planes
    }

    fn out<'a>(&self, out: &'a mut [f32], length: usize) -> &'a mut [f32] {
        &mut out[..length]
    }
}

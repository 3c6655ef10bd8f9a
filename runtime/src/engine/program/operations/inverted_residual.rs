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

/// The three convolutions. Each thread goes down a band of the output, a few rows at a time, and keeps of the wide map the rows that
/// the next ones see as well. The same arithmetic as one after the other, so the same bits.
pub(in super::super) struct InvertedResidual {
    /// The expansion, or any convolution that makes the wide map.
    pub(in super::super) expand: RowMap,
    pub(in super::super) depthwise: Arc<Weights>,
    pub(in super::super) shape: Shape,
    pub(in super::super) activation: Activation,
    /// Reads a band of the depthwise convolution's rows.
    pub(in super::super) project: RowMap,
    pub(in super::super) residual: Option<Rows>,
    /// Rows of the output.
    pub(in super::super) height: usize,
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Default)]
struct Scratch {
    /// Rows of the wide map.
    wide: Aligned<f32>,
    /// Rows of the depthwise convolution.
    spread: Aligned<f32>,
    patches: Aligned<f32>,
}

impl InvertedResidual {
    pub(in super::super) fn new(
        expand: RowMap,
        (depthwise, shape, activation): (Arc<Weights>, Shape, Activation),
        project: RowMap,
        residual: Option<Rows>,
    ) -> Self {
        let height = shape.output(depthwise.kernel()).0;
        InvertedResidual { expand, depthwise, shape, activation, project, residual, height, scratch: Mutex::default() }
    }

    /// Computes the output rows from `first` on that `out` has room for.
    fn band(&self, image: Planes<'_>, inputs: &[&[f32]], first: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let Scratch { wide, spread, patches } = scratch;
        let Shape { height, stride, dilation, padding, .. } = self.shape;
        let kernel = self.depthwise.kernel();
        let (row, spread_row, out_row) =
            (self.expand.row(), self.project.width * self.depthwise.channels(), self.project.row());
        let reach = (kernel - 1) * dilation + 1;
        let affordable = (BUDGET / size_of::<f32>() / row).saturating_sub(reach) / stride + 1;
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
                self.expand.compute(image, held.1, None, patches, new);
                held.1 = end;
            }
            for (i, out) in spread.chunks_exact_mut(spread_row).take(rows).enumerate() {
                let seen: [_; MAX_KERNEL] = std::array::from_fn(|tap| {
                    self.shape.row(y + i, tap).filter(|_| tap < kernel).map(|at| &wide[(at - start) * row..][..row])
                });
                depthwise_row(&seen[..kernel], &self.shape, &self.depthwise, self.activation, out);
            }
            let residual =
                self.residual.map(|r| (&inputs[1][r.offset + y * self.project.width * r.stride..], r.stride));
            self.project.compute(Planes::Floats(spread), 0, residual, patches, out);
        }
    }
}

impl Operation for InvertedResidual {
    fn kind(&self) -> &'static str {
        "inverted residual"
    }

    fn macs(&self) -> u64 {
        let spread = self.height * self.project.width * self.depthwise.channels() * self.depthwise.kernel().pow(2);
        self.expand.macs(self.shape.height) + spread as u64 + self.project.macs(self.height)
    }

    /// That of the projection: the expansion may read planes.
    fn precision(&self) -> Precision {
        self.project.precision()
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        self.run_on_levels(Planes::Floats(inputs[0]), inputs, out);
    }

    fn run_on_levels(&self, image: Planes<'_>, inputs: &[&[f32]], out: &mut [f32]) {
        let rows = self.height.div_ceil(rayon::current_num_threads());
        out.par_chunks_mut(rows * self.project.row()).enumerate().for_each(|(band, out)| {
            let pool = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
            let spare = pool().pop();
            let mut scratch = spare.unwrap_or_default();
            self.band(image, inputs, band * rows, &mut scratch, out);
            pool().push(scratch);
        });
    }
}

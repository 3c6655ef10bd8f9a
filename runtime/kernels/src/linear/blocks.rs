//! Which tile comes when: blocks of rows that stay in the cache, panel by panel, tile by tile.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr;

use super::tile::{Element, Kernel, Tile, Widen};
use super::{Epilogue, Weights};
use crate::Aligned;
use crate::grid::{Grid, holds, tiles};

/// A checked call of [`linear`](super::linear).
pub(super) struct Job<'a> {
    pub(super) a: &'a [f32],
    pub(super) a_stride: usize,
    pub(super) rows: usize,
    pub(super) weights: &'a Weights,
    pub(super) epilogue: Epilogue<'a>,
    out: *mut f32,
    out_stride: usize,
    exclusive: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer stands for an exclusive borrow of numbers, and threads write disjoint parts of it.
unsafe impl Sync for Job<'_> {}

impl<'a> Job<'a> {
    pub(super) fn new(
        a: &'a [f32],
        a_stride: usize,
        rows: usize,
        weights: &'a Weights,
        epilogue: &Epilogue<'a>,
        out: &'a mut [f32],
        out_stride: usize,
    ) -> Self {
        let (inputs, outputs) = (weights.inputs(), weights.outputs());
        let hold = |len, stride, row| holds(len, rows, stride, row);
        assert!(rows < 2 || out_stride >= outputs, "rows of {outputs} outputs overlap at a stride of {out_stride}");
        assert!(hold(a.len(), a_stride, inputs), "{rows} rows of {inputs} inputs, {a_stride} apart, in {}", a.len());
        assert!(
            hold(out.len(), out_stride, outputs),
            "{rows} rows of {outputs} outputs, {out_stride} apart, in {}",
            out.len()
        );
        if let Some(bias) = epilogue.bias {
            assert_eq!(bias.len(), outputs, "one bias for each output");
        }
        if let Some((residual, stride)) = epilogue.residual {
            assert!(
                hold(residual.len(), stride, outputs),
                "residual of {rows} rows, {stride} apart, in {}",
                residual.len()
            );
        }
        let exclusive = PhantomData;
        Job { a, a_stride, rows, weights, epilogue: *epilogue, out: out.as_mut_ptr(), out_stride, exclusive }
    }

    /// Its division among `threads` threads.
    pub(super) fn grid(&self, threads: usize) -> Grid {
        let work = self.rows * self.weights.inputs() * self.weights.outputs();
        Grid::new(self.rows, self.weights.panels(), work, threads)
    }

    /// Columns `columns` of row `row` of the output.
    ///
    /// # Safety
    /// They exist, and nothing else reads or writes them meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the job stands for an exclusive borrow, of which this is a part")]
    pub(super) unsafe fn out_row(&self, row: usize, columns: Range<usize>) -> &mut [f32] {
        // SAFETY: `new` has checked that the output holds all rows; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts_mut(self.out.add(row * self.out_stride + columns.start), columns.len()) }
    }

    /// The tile of the rows from `row` on, which exist, and `columns`, of rows of `a` that are there with their stride.
    pub(super) fn tile<E, A>(
        &self,
        row: usize,
        columns: &Range<usize>,
        (a, a_stride): (*const A, usize),
        panel: &[E],
    ) -> Tile<E, A> {
        let Epilogue { bias, activation, residual } = self.epilogue;
        let start = |(rows, stride): (&[f32], usize)| rows.as_ptr().wrapping_add(row * stride + columns.start);
        Tile {
            a,
            a_stride,
            inputs: self.weights.inputs(),
            panel: panel.as_ptr(),
            columns: columns.len(),
            bias: bias.map_or(ptr::null(), |bias| bias[columns.start..].as_ptr()),
            activation,
            residual: residual.map_or(ptr::null(), start),
            residual_stride: residual.map_or(0, |(_, stride)| stride),
            out: self.out.wrapping_add(row * self.out_stride + columns.start),
            out_stride: self.out_stride,
        }
    }
}

/// Computes the outputs of `rows` and `panels`.
pub(super) fn run<S: Kernel>(s: S, job: &Job<'_>, rows: Range<usize>, panels: Range<usize>) {
    if let Some(elements) = job.weights.as_f32() {
        run_stored(s, job, elements, rows.clone(), panels.clone());
    }
    if let Some(elements) = job.weights.as_f16() {
        run_stored(s, job, elements, rows, panels);
    }
}

fn run_stored<S: Kernel, E: Element>(s: S, job: &Job<'_>, elements: &[E], rows: Range<usize>, panels: Range<usize>) {
    let inputs = job.weights.inputs();
    let row_bytes = (inputs + job.weights.outputs()) * size_of::<f32>();
    let block = (S::BLOCK_BYTES / row_bytes.max(1) / S::ROWS).max(1) * S::ROWS;
    let mut scratch = Aligned::default();
    for start in rows.clone().step_by(block) {
        let rows = start..rows.end.min(start + block);
        for panel in panels.clone() {
            let columns = job.weights.columns(panel);
            let len = inputs * columns.len().next_multiple_of(S::LANES);
            let panel = &elements[columns.start * inputs..][..len];
            // Weights that many tiles read are widened once, not in each of them.
            if E::FAST || rows.len() <= 2 * S::ROWS {
                run_panel(s, job, panel, rows.clone(), columns);
            } else {
                let widened = scratch.resize(len);
                s.run(Widen { from: panel, to: widened });
                run_panel(s, job, widened, rows.clone(), columns);
            }
        }
    }
}

/// Computes a block of rows of one panel, in tiles whose heights differ by at most one.
fn run_panel<S: Kernel, E: Element>(s: S, job: &Job<'_>, panel: &[E], rows: Range<usize>, columns: Range<usize>) {
    let vectors = columns.len().div_ceil(S::LANES);
    assert!(panel.len() >= job.weights.inputs() * vectors * S::LANES, "panels hold whole registers");
    for rows in tiles(rows, S::ROWS) {
        let a = job.a.as_ptr().wrapping_add(rows.start * job.a_stride);
        // SAFETY: `Job::new` has checked that `a` holds these rows; the panel's length is checked above. Cells of a grid
        // are disjoint, so nothing else touches the outputs.
        unsafe {
            let tile = job.tile(rows.start, &columns, (a, job.a_stride), panel);
            tile.compute_with(s, rows.len(), |tile| s.tile::<E>(rows.len(), vectors)(s, tile));
        }
    }
}

//! A checked call, and which tile comes when.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr;

use super::tile::{Ending, Kernel, Rows, Tile, ToBytes};
use super::{Output, Weights};
use crate::Aligned;
use crate::grid::{Grid, holds, tiles};
use crate::lanes::{Lanes, Work};
use crate::requantize::{Clamp, Requantize, map_rows};

/// A checked call of one of the functions of this module.
pub(super) struct Job<'a> {
    pub(super) a: &'a [u8],
    pub(super) a_stride: usize,
    pub(super) rows: usize,
    pub(super) weights: &'a Weights,
    pub(super) bias: &'a [i32],
    out: Out<'a>,
}

/// Where rows go, and as what. Stands for an exclusive borrow.
pub(super) struct Out<'a> {
    output: Output<'a>,
    /// Bytes or numbers, as the output says.
    start: *mut u8,
    len: usize,
    stride: usize,
    exclusive: PhantomData<&'a mut [u8]>,
}

// SAFETY: the pointer stands for an exclusive borrow, and threads write disjoint parts of it.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    pub(super) fn bytes(out: &'a mut [u8], stride: usize, requantize: &Requantize<'a>) -> Self {
        let output = Output::Bytes(*requantize);
        Out { output, start: out.as_mut_ptr(), len: out.len(), stride, exclusive: PhantomData }
    }

    pub(super) fn floats(out: &'a mut [f32], stride: usize, multipliers: &'a [f32]) -> Self {
        let output = Output::Floats { multipliers };
        Out { output, start: out.as_mut_ptr().cast(), len: out.len(), stride, exclusive: PhantomData }
    }
}

impl<'a> Job<'a> {
    pub(super) fn new(
        a: &'a [u8],
        a_stride: usize,
        rows: usize,
        weights: &'a Weights,
        bias: &'a [i32],
        out: Out<'a>,
    ) -> Self {
        let (inputs, outputs) = (weights.inputs(), weights.outputs());
        let hold = |what: &str, len, stride, row| {
            assert!(holds(len, rows, stride, row), "{what}: {rows} rows of {row}, {stride} apart, in {len}");
        };
        hold("inputs", a.len(), a_stride, inputs);
        hold("outputs", out.len, out.stride, outputs);
        assert!(rows < 2 || out.stride >= outputs, "rows of {outputs} outputs overlap at a stride of {}", out.stride);
        assert_eq!(bias.len(), outputs, "one bias for each output");
        let multipliers = match out.output {
            Output::Bytes(Requantize { multipliers, residual, low, high, .. }) => {
                assert!(low <= high, "no byte is from {low} to {high}");
                if let Some(residual) = residual {
                    hold("residual", residual.values.len(), residual.stride, outputs);
                }
                multipliers
            }
            Output::Floats { multipliers } => multipliers,
        };
        assert_eq!(multipliers.len(), outputs, "one multiplier for each output");
        Job { a, a_stride, rows, weights, bias, out }
    }

    pub(super) fn output(&self) -> &Output<'a> {
        &self.out.output
    }

    /// Its division among `threads` threads.
    pub(super) fn grid(&self, threads: usize) -> Grid {
        // Four products of bytes take as long as one of f32; beside them, each output is converted.
        let work = self.rows * self.weights.outputs() * (self.weights.inputs() / 4 + 8);
        Grid::new(self.rows, self.weights.panels(), work, threads)
    }

    /// Columns `columns` of row `row` of an output of bytes.
    ///
    /// # Safety
    /// The output is of bytes and has them, and nothing else reads or writes them meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the job stands for an exclusive borrow, of which this is a part")]
    pub(super) unsafe fn bytes_row(&self, row: usize, columns: Range<usize>) -> &mut [u8] {
        // SAFETY: `new` has checked that the output holds all rows; the caller vouches for the rest.
        unsafe {
            std::slice::from_raw_parts_mut(self.out.start.add(row * self.out.stride + columns.start), columns.len())
        }
    }

    /// Columns `columns` of row `row` of an output of numbers.
    ///
    /// # Safety
    /// The output is of numbers and has them, and nothing else reads or writes them meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the job stands for an exclusive borrow, of which this is a part")]
    pub(super) unsafe fn floats_row(&self, row: usize, columns: Range<usize>) -> &mut [f32] {
        let start = self.out.start.cast::<f32>();
        // SAFETY: `new` has checked that the output holds all rows; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts_mut(start.add(row * self.out.stride + columns.start), columns.len()) }
    }

    /// The tile of the rows from `row` on, which exist, of panel `panel`, and of rows of inputs that are there with their stride.
    fn tile(&self, row: usize, panel: usize, (a, a_stride): (*const u8, usize)) -> Tile {
        let columns = self.weights.columns(panel);
        let at = |stride: usize| row * stride + columns.start;
        let (out, stride) = (self.out.start, self.out.stride);
        let (multipliers, ending) = match &self.out.output {
            Output::Bytes(requantize) => {
                let residual = requantize.residual;
                let ending = ToBytes {
                    bounds: Clamp::from(requantize),
                    residual: residual
                        .map_or(Rows(ptr::null(), 0), |r| Rows(r.values.as_ptr().wrapping_add(at(r.stride)), r.stride)),
                    residual_zero: residual.map_or(0, |r| r.zero),
                    residual_multiplier: residual.map_or(0.0, |r| r.multiplier),
                    out: Rows(out.wrapping_add(at(stride)), stride),
                };
                (requantize.multipliers, Ending::Bytes(ending))
            }
            Output::Floats { multipliers } => {
                (*multipliers, Ending::Floats(Rows(out.cast::<f32>().wrapping_add(at(stride)), stride)))
            }
        };
        Tile {
            a,
            a_stride,
            inputs: self.weights.inputs(),
            panel: self.weights.panel(panel).as_ptr(),
            columns: columns.len(),
            bias: self.bias[columns.clone()].as_ptr(),
            sums: self.weights.sums()[columns.clone()].as_ptr(),
            multipliers: multipliers[columns].as_ptr(),
            ending,
        }
    }
}

/// Computes the outputs of `rows` and `panels`.
pub(super) fn run<S: Kernel>(s: S, job: &Job<'_>, rows: Range<usize>, panels: Range<usize>) {
    /// Heights of tiles divide it.
    const STEP: usize = 24;
    if panels.is_empty() {
        return;
    }
    let inputs = job.weights.inputs();
    // Inputs that are no whole groups are copied, so that nothing is read beyond a row.
    let prepared = S::PREPARED.or((!inputs.is_multiple_of(S::GROUP)).then_some(1));
    let stride = prepared.map_or(job.a_stride, |bytes| inputs.next_multiple_of(S::GROUP) * bytes);
    let out_bytes = match job.out.output {
        Output::Bytes(_) => 1,
        Output::Floats { .. } => size_of::<f32>(),
    };
    let row_bytes = inputs + prepared.map_or(0, |_| stride) + job.weights.outputs() * out_bytes;
    let block = (S::BLOCK_BYTES / row_bytes.max(1) / STEP).max(1) * STEP;
    let mut scratch = Aligned::default();
    for start in rows.clone().step_by(block) {
        let rows = start..rows.end.min(start + block);
        let a = match prepared {
            Some(_) => {
                let to = scratch.resize(rows.len() * stride);
                s.lanes().run(Prepare { s, job, first: rows.start, stride, to });
                to.as_ptr()
            }
            None => job.a.as_ptr().wrapping_add(rows.start * stride),
        };
        for panel in panels.clone() {
            let functions = s.functions()[job.weights.columns(panel).len().div_ceil(S::Lanes::LANES) - 1];
            let mut tile = job.tile(rows.start, panel, (a, stride));
            for rows in tiles(rows.clone(), functions.len()) {
                // SAFETY: `Job::new` has checked that all operands hold these rows and columns, and prepared rows are there too.
                // Panels hold whole registers. Cells of a grid are disjoint, so nothing else touches the outputs.
                unsafe { functions[rows.len() - 1](s, &tile) };
                tile.descend(rows.len());
            }
        }
        if let Output::Bytes(Requantize { table: Some(table), .. }) = job.out.output {
            let columns = job.weights.columns(panels.start).start..job.weights.columns(panels.end - 1).end;
            let to = job.out.start.wrapping_add(start * job.out.stride + columns.start);
            // SAFETY: these rows and columns are this cell's, as above.
            unsafe { map_rows(job.weights.level(), table, to, job.out.stride, rows.len(), columns.len()) };
        }
    }
}

/// Prepares rows of inputs, from row `first` on.
struct Prepare<'a, S> {
    s: S,
    job: &'a Job<'a>,
    first: usize,
    stride: usize,
    to: &'a mut [u8],
}

impl<S: Kernel> Work for Prepare<'_, S> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Prepare { s, job, first, stride, to } = self;
        for (i, to) in to.chunks_exact_mut(stride.max(1)).enumerate() {
            s.prepare(&job.a[(first + i) * job.a_stride..][..job.weights.inputs()], to);
        }
    }
}

//! Divisions of a matrix of outputs, for threads and for tiles.

use std::ops::Range;

/// Whether `len` numbers hold `rows` rows of `row` numbers whose starts are `stride` apart.
pub(crate) fn holds(len: usize, rows: usize, stride: usize, row: usize) -> bool {
    let end = rows.checked_sub(1).map_or(Some(0), |last| last.checked_mul(stride)?.checked_add(row));
    end.is_some_and(|end| end <= len)
}

/// A division of the output into cells of whole panels.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    rows: usize,
    panels: usize,
    /// Cells down and across.
    down: usize,
    across: usize,
}

impl Grid {
    /// Multiplications in f32 that are worth a task of their own: some microseconds.
    const MIN_CELL: usize = 1 << 18;
    /// Tasks for each thread, so that a slower thread takes fewer.
    const CELLS_PER_THREAD: usize = 4;
    /// Rows below which weights are read too often for too little.
    const MIN_ROWS: usize = 32;

    /// Cells for `threads` threads, of work that takes as long as `work` multiplications in f32. One cell for one thread.
    pub(crate) fn new(rows: usize, panels: usize, work: usize, threads: usize) -> Grid {
        if threads < 2 {
            return Grid { rows, panels, down: 1, across: 1 };
        }
        let wanted = (threads * Self::CELLS_PER_THREAD).min(work / Self::MIN_CELL).max(1);
        let down = (rows / Self::MIN_ROWS).clamp(1, wanted);
        let across = wanted.div_ceil(down).clamp(1, panels.max(1));
        Grid { rows, panels, down, across }
    }

    pub(crate) fn cells(self) -> usize {
        self.down * self.across
    }

    /// The rows and the panels of a cell.
    pub(crate) fn cell(self, index: usize) -> (Range<usize>, Range<usize>) {
        let part = |len: usize, parts: usize, i: usize| len * i / parts..len * (i + 1) / parts;
        let (i, j) = (index / self.across, index % self.across);
        (part(self.rows, self.down, i), part(self.panels, self.across, j))
    }

    /// Calls `run` for each cell's rows and panels, on the threads of the current rayon pool if there are several cells.
    pub(crate) fn for_each(self, run: impl Fn(Range<usize>, Range<usize>) + Sync) {
        let run = |cell| {
            let (rows, panels) = self.cell(cell);
            run(rows, panels);
        };
        if self.cells() == 1 {
            return run(0);
        }
        use rayon::prelude::*;
        (0..self.cells()).into_par_iter().with_max_len(1).for_each(run);
    }
}

/// Parts of `rows` of at most `most` rows each, whose lengths differ by at most one.
pub(crate) fn tiles(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.len().div_ceil(most);
    let (len, longer) = (rows.len() / count.max(1), rows.len() % count.max(1));
    let start = move |i: usize| rows.start + i * len + i.min(longer);
    (0..count).map(move |i| start(i)..start(i + 1))
}

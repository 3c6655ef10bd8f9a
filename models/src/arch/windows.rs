//! [`Windows`]: the tokens of a feature map, regrouped into square windows.

use crate::onnx::{GraphBuilder, Value};

use super::grid::Grid;

/// Non-overlapping windows that cover a grid; zero tokens fill those that reach beyond its right and bottom edges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    grid: Grid,
    side: usize,
    channels: usize,
}

impl Windows {
    /// Windows of `side` x `side` cells over `grid`.
    pub(super) fn new(grid: Grid, side: usize, channels: usize) -> Self {
        Windows { grid, side, channels }
    }

    fn rows(self) -> usize {
        self.grid.height.div_ceil(self.side)
    }

    fn columns(self) -> usize {
        self.grid.width.div_ceil(self.side)
    }

    fn padded(self) -> Grid {
        Grid { height: self.rows() * self.side, width: self.columns() * self.side }
    }

    /// Number of windows.
    pub(super) fn count(self) -> usize {
        self.rows() * self.columns()
    }

    /// Regroups tokens `[cells, channels]` by window: `[count * side * side, channels]`.
    pub(super) fn partition(self, g: &mut GraphBuilder, tokens: &Value) -> Value {
        let [h, w, c] = [self.grid.height, self.grid.width, self.channels].map(|n| n as i64);
        let padded = self.padded();
        let mut x = tokens.clone();
        if padded != self.grid {
            x = g.scoped("pad", |g| {
                let nhwc = g.reshape(&x, &[1, h, w, c]);
                g.pad(&nhwc, 4, &[(1, 0, padded.height - self.grid.height), (2, 0, padded.width - self.grid.width)])
            });
        }
        g.scoped("partition", |g| self.swap(g, &x, [self.rows(), self.side, self.columns(), self.side]))
    }

    /// Undoes [`partition`](Self::partition) and drops the fill.
    pub(super) fn reverse(self, g: &mut GraphBuilder, windows: &Value) -> Value {
        let x = g.scoped("reverse", |g| self.swap(g, windows, [self.rows(), self.columns(), self.side, self.side]));
        let padded = self.padded();
        if padded == self.grid {
            return x;
        }
        let [h, w, c] = [self.grid.height, self.grid.width, self.channels].map(|n| n as i64);
        g.scoped("crop", |g| {
            let nhwc = g.reshape(&x, &[1, padded.height as i64, padded.width as i64, c]);
            let kept = g.slices(&nhwc, &[(1, 0, h), (2, 0, w)]);
            g.reshape(&kept, &[h * w, c])
        })
    }

    /// Exchanges the second and third of the four factors `dims` of the cells.
    fn swap(self, g: &mut GraphBuilder, x: &Value, dims: [usize; 4]) -> Value {
        let [a, b, c, d] = dims.map(|n| n as i64);
        let channels = self.channels as i64;
        let x = g.reshape(x, &[a, b, c, d, channels]);
        let x = g.transpose(&x, &[0, 2, 1, 3, 4]);
        g.reshape(&x, &[a * b * c * d, channels])
    }
}

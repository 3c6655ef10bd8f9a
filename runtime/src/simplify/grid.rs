//! [`Grid`]: which points are near a triangle.

use super::exact::P;
use super::rings::Corner;

/// Points by the cell of a grid that they lie in, about as many cells as points.
pub(super) struct Grid {
    origin: P,
    cells_per_pixel: f64,
    across: usize,
    down: usize,
    /// Where the points of each cell begin in `corners`, and where those of the last end.
    starts: Vec<u32>,
    corners: Vec<u32>,
}

impl Grid {
    /// A grid of some of `points`, by number.
    pub(super) fn new(points: &[P], some: impl Iterator<Item = Corner> + Clone) -> Self {
        let (mut low, mut high, mut count) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2], 0_usize);
        for corner in some.clone() {
            let p = points[corner];
            low = [low[0].min(p[0]), low[1].min(p[1])];
            high = [high[0].max(p[0]), high[1].max(p[1])];
            count += 1;
        }
        let [width, height] = if count > 0 { [high[0] - low[0], high[1] - low[1]] } else { [0.0; 2] };
        // As many cells as points, and no more across or down than that.
        let cells_per_pixel =
            (count as f64 / (width * height).max(1.0)).sqrt().min(count as f64 / width.max(height).max(1.0));
        let side = |length: f64| (length * cells_per_pixel) as usize + 1;
        let (across, down) = (side(width), side(height));
        let mut grid = Grid {
            origin: low,
            cells_per_pixel,
            across,
            down,
            starts: vec![0; across * down + 1],
            corners: vec![0; count],
        };
        for corner in some.clone() {
            let cell = grid.cell(points[corner]);
            grid.starts[cell + 1] += 1;
        }
        for cell in 0..across * down {
            grid.starts[cell + 1] += grid.starts[cell];
        }
        let mut next = grid.starts.clone();
        for corner in some {
            let place = &mut next[grid.cell(points[corner])];
            grid.corners[*place as usize] = corner as u32;
            *place += 1;
        }
        grid
    }

    /// How many points it was made of.
    pub(super) fn len(&self) -> usize {
        self.corners.len()
    }

    fn place(&self, p: P) -> [usize; 2] {
        // What lies outside is in the cells at the edge.
        let side = |i: usize, count: usize| (((p[i] - self.origin[i]) * self.cells_per_pixel) as usize).min(count - 1);
        [side(0, self.across), side(1, self.down)]
    }

    fn cell(&self, p: P) -> usize {
        let [column, row] = self.place(p);
        row * self.across + column
    }

    /// The first point in the cells that a triangle reaches that is what is looked for.
    pub(super) fn find(&self, triangle: [P; 3], mut is_it: impl FnMut(Corner) -> bool) -> Option<Corner> {
        let end = |pick: fn(f64, f64) -> f64| {
            let side = |i: usize| triangle.iter().map(|p| p[i]).reduce(pick).unwrap_or_default();
            self.place([side(0), side(1)])
        };
        let ([x0, y0], [x1, y1]) = (end(f64::min), end(f64::max));
        (y0..=y1).find_map(|row| {
            let cell = |column: usize| self.starts[row * self.across + column] as usize;
            let near = &self.corners[cell(x0)..cell(x1 + 1)];
            near.iter().map(|&corner| corner as Corner).find(|&corner| is_it(corner))
        })
    }
}

//! [`Rings`]: closed borders of which corners are taken away one by one, each measured against what it was at first.

use super::exact::{P, cross, in_triangle, turn};
use super::grid::Grid;
use crate::geometry::Point;
use crate::polygon::Contour;

/// Number of a corner among those of all rings.
pub(super) type Corner = usize;

/// One border.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    /// Its corners as they were at first: `start..end`.
    start: Corner,
    end: Corner,
    /// Corners that are left; none of a ring that was given up.
    pub(super) left: usize,
    /// Area that those enclose, negative for a hole.
    area: f64,
    /// Pixels between the border as it was and as it is.
    pub(super) error: f64,
}

/// Borders with the corners that are left.
pub(super) struct Rings {
    points: Vec<P>,
    /// The corners left before and after each; itself for one that is gone.
    around: Vec<[Corner; 2]>,
    /// Pixels between the border as it was and the straight line from each corner left to the next.
    errors: Vec<f64>,
    ring_of: Vec<u32>,
    pub(super) rings: Vec<Ring>,
    grid: Grid,
    /// Corners left in all.
    pub(super) left: usize,
}

impl Rings {
    /// Borders with all of their corners; `None` if one encloses nothing or is not finite.
    pub(super) fn new<'a>(contours: impl Iterator<Item = &'a Contour>) -> Option<Self> {
        let (mut points, mut ring_of, mut rings) = (Vec::new(), Vec::new(), Vec::new());
        let mut around: Vec<[Corner; 2]> = Vec::new();
        for contour in contours {
            let area = contour.signed_area();
            if contour.points.len() < 3 || area == 0.0 || !area.is_finite() {
                return None;
            }
            let (start, end) = (points.len(), points.len() + contour.points.len());
            points.extend(contour.points.iter().map(|p| [f64::from(p.x), f64::from(p.y)]));
            ring_of.resize(end, u32::try_from(rings.len()).ok()?);
            let step = |at| [if at == start { end - 1 } else { at - 1 }, if at + 1 == end { start } else { at + 1 }];
            around.extend((start..end).map(step));
            rings.push(Ring { start, end, left: end - start, area, error: 0.0 });
        }
        let left = points.len();
        let grid = Grid::new(&points, 0..left);
        Some(Rings { errors: vec![0.0; left], points, around, ring_of, rings, grid, left })
    }

    pub(super) fn ring(&self, corner: Corner) -> &Ring {
        &self.rings[self.ring_of[corner] as usize]
    }

    pub(super) fn is_left(&self, corner: Corner) -> bool {
        self.around[corner] != [corner; 2]
    }

    /// The corners left before and after one.
    pub(super) fn around(&self, corner: Corner) -> [Corner; 2] {
        self.around[corner]
    }

    /// The corners of a ring that are left, in order.
    pub(super) fn corners(&self, ring: usize) -> impl Iterator<Item = Corner> + '_ {
        let Ring { start, end, .. } = self.rings[ring];
        (start..end).filter(|&corner| self.is_left(corner))
    }

    /// Where those are.
    pub(super) fn points(&self, ring: usize) -> Vec<Point> {
        self.corners(ring)
            .map(|corner| self.points[corner].map(|side| side as f32))
            .map(|[x, y]| Point { x, y })
            .collect()
    }

    /// How many more pixels lie between the border as it was and as it is without this corner.
    pub(super) fn cost(&self, corner: Corner) -> f64 {
        let [before, after] = self.around[corner];
        self.span_error(before, after) - self.errors[before] - self.errors[corner]
    }

    /// Pixels between the border as it was from one corner to another, and the straight line between these.
    pub(super) fn span_error(&self, from: Corner, to: Corner) -> f64 {
        let Ring { start, end, .. } = *self.ring(from);
        let (first, second) = if from < to { (from..to + 1, 0..0) } else { (from..end, start..to + 1) };
        area_between(self.points[first].iter().chain(&self.points[second]), self.points[from], self.points[to])
    }

    /// The corner that forbids taking this one away, since borders would cross or one turn inside out.
    pub(super) fn forbids(&self, corner: Corner) -> Option<Corner> {
        let [before, after] = self.around[corner];
        let triangle @ [a, b, c] = [before, corner, after].map(|at| self.points[at]);
        let area = self.ring(corner).area;
        if a == c || area * (area - turn(a, b, c) / 2.0) <= 0.0 {
            return Some(before);
        }
        // Whatever crosses the new edge, and none of the two old ones, ends in the triangle between them.
        self.grid.find(triangle, |other| {
            let at = self.points[other];
            if [before, corner, after].contains(&other) || !self.is_left(other) || !in_triangle(at, triangle) {
                return false;
            }
            // Borders touch each other where pixels meet at a corner. They may go on doing so.
            !triangle.contains(&at) || self.around[other].iter().any(|&to| cross([at, self.points[to]], [a, c]))
        })
    }

    /// Takes a corner away.
    pub(super) fn remove(&mut self, corner: Corner) {
        let [before, after] = self.around[corner];
        let turned = turn(self.points[before], self.points[corner], self.points[after]) / 2.0;
        self.around[before][1] = after;
        self.around[after][0] = before;
        self.around[corner] = [corner; 2];
        let gone = std::mem::take(&mut self.errors[corner]);
        let ring = &mut self.rings[self.ring_of[corner] as usize];
        ring.left -= 1;
        ring.area -= turned;
        ring.error -= gone;
        self.measure(before);
        self.forget(1);
    }

    /// Puts the corner back between the two that it was taken away from, if that was the last of its ring.
    pub(super) fn restore(&mut self, corner: Corner, [before, after]: [Corner; 2]) {
        let turned = turn(self.points[before], self.points[corner], self.points[after]) / 2.0;
        self.around[before][1] = corner;
        self.around[after][0] = corner;
        self.around[corner] = [before, after];
        self.left += 1;
        let ring = &mut self.rings[self.ring_of[corner] as usize];
        ring.left += 1;
        ring.area += turned;
        self.measure(before);
        self.measure(corner);
    }

    /// Gives a ring up, and says which corners that were.
    pub(super) fn give_up(&mut self, ring: usize) -> Vec<Corner> {
        let corners: Vec<Corner> = self.corners(ring).collect();
        for &corner in &corners {
            self.around[corner] = [corner; 2];
        }
        (self.rings[ring].left, self.rings[ring].error) = (0, 0.0);
        self.forget(corners.len());
        corners
    }

    fn forget(&mut self, count: usize) {
        self.left -= count;
        if self.grid.len() > 2 * self.left {
            let left = (0..self.points.len()).filter(|&corner| self.is_left(corner));
            self.grid = Grid::new(&self.points, left);
        }
    }

    /// Measures the edge from a corner to the next anew.
    fn measure(&mut self, corner: Corner) {
        let error = self.span_error(corner, self.around[corner][1]);
        let old = std::mem::replace(&mut self.errors[corner], error);
        self.rings[self.ring_of[corner] as usize].error += error - old;
    }

    /// What the border's two edges at a corner would cost if it were another of its first corners, and how far from it that may
    /// be: the corner that is so many steps on.
    pub(super) fn moved(&self, corner: Corner, steps: isize) -> Option<(Corner, f64)> {
        let [before, after] = self.around[corner];
        let Ring { start, end, .. } = *self.ring(corner);
        let count = (end - start) as isize;
        // Distances along the border from the corner before.
        let along = |to: Corner| (to as isize - before as isize).rem_euclid(count);
        let (at, limit) = (along(corner) + steps, if before == after { count } else { along(after) });
        if at <= 0 || at >= limit {
            return None;
        }
        let to = start + (before as isize - start as isize + at).rem_euclid(count) as usize;
        Some((to, self.span_error(before, to) + self.span_error(to, after)))
    }

    /// What its two edges cost now.
    pub(super) fn held(&self, corner: Corner) -> f64 {
        self.errors[self.around[corner][0]] + self.errors[corner]
    }

    /// Puts another corner in the place of one, unless borders would cross.
    pub(super) fn replace(&mut self, corner: Corner, to: Corner, left: &[Corner]) -> bool {
        let [before, after] = self.around[corner];
        let [a, b, c, d] = [before, corner, after, to].map(|at| self.points[at]);
        let ring = self.ring(corner);
        let area = ring.area + (turn(a, d, c) - turn(a, b, c)) / 2.0;
        let edges = [[a, d], [d, c]];
        let is_free = |&other: &Corner| {
            let (at, next) = (self.points[other], self.points[self.around[other][1]]);
            // None may lie between the old edges and the new ones, and none cross these.
            let is_near =
                ![before, corner, after].contains(&other) && (in_triangle(at, [a, b, c]) || in_triangle(at, [a, d, c]));
            !is_near && ([before, corner].contains(&other) || !edges.iter().any(|&edge| cross(edge, [at, next])))
        };
        if a == d || c == d || area * ring.area <= 0.0 || cross(edges[0], edges[1]) || !left.iter().all(is_free) {
            return false;
        }
        self.around[before][1] = to;
        self.around[after][0] = to;
        self.around[to] = [before, after];
        self.around[corner] = [corner; 2];
        let gone = std::mem::take(&mut self.errors[corner]);
        let ring = &mut self.rings[self.ring_of[corner] as usize];
        (ring.area, ring.error) = (area, ring.error - gone);
        self.measure(before);
        self.measure(to);
        true
    }
}

/// The area between a line and the straight one from `a` to `c`, its ends: what lies to the left, and what lies to the right.
fn area_between<'a>(line: impl Iterator<Item = &'a P>, a: P, c: P) -> f64 {
    let (dx, dy) = (c[0] - a[0], c[1] - a[1]);
    let squared = dx * dx + dy * dy;
    // Away from the straight line, and along it; both times its length. A line that comes back to where it began has none:
    // it is measured to any direction.
    let (dx, dy, squared) = if squared > 0.0 { (dx, dy, squared) } else { (1.0, 0.0, 1.0) };
    let (mut sides, mut last) = ([0.0, 0.0], [0.0, 0.0]);
    for point in line {
        let (x, y) = (point[0] - a[0], point[1] - a[1]);
        let [away, along] = [dx * y - dy * x, dx * x + dy * y];
        let [was_away, was_along] = last;
        let step = along - was_along;
        if away * was_away >= 0.0 {
            sides[usize::from(away + was_away > 0.0)] += (away + was_away) * step;
        } else {
            let until = was_away / (was_away - away);
            sides[usize::from(was_away > 0.0)] += was_away * until * step;
            sides[usize::from(away > 0.0)] += away * (1.0 - until) * step;
        }
        last = [away, along];
    }
    (sides[0].abs() + sides[1].abs()) / (2.0 * squared)
}

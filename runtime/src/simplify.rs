//! Borders of masks with few corners, for lines that carry few bytes.

mod exact;
mod grid;
mod reduce;
mod refine;
mod rings;

use std::ops::Range;

use self::reduce::{Family, reduce};
use self::refine::refine;
use self::rings::Rings;
use crate::geometry::Point;
use crate::mask::{Mask, Run, for_each_line};
use crate::polygon::{Contour, contours, rasterize};

/// Most borders that are told, the largest, so that a mask of noise does not take long.
const MOST_BORDERS: usize = 2000;

/// A mask as polygons with few corners.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// The polygons, whose corners are corners of the mask's [`contours`]: outer borders clockwise on the screen, holes the other
    /// way round. None crosses itself or another.
    pub rings: Vec<Contour>,
    /// How like the mask they are: the IoU of what [`rasterize`] makes of them with it.
    pub iou: f32,
}

impl Contour {
    /// The same border with at most `k` corners, all of them corners of it, that is as like it as can be found: the area between
    /// the two is small. It runs the same way round and does not cross itself if this one does not.
    ///
    /// `None` if `k` is below 3, this border encloses nothing or is not finite, or it cannot be told with so few corners without
    /// crossing itself.
    ///
    /// Corners are taken away one by one, as Visvalingam and Whyatt do ("Line generalisation by repeated elimination of points",
    /// 1993), but by the area between what is left and the border as it was at first; then each is moved along that.
    pub fn with_at_most(&self, k: usize) -> Option<Contour> {
        if k < 3 {
            return None;
        }
        let mut rings = Rings::new(std::iter::once(self))?;
        if !reduce(&mut rings, &mut [], k) {
            return None;
        }
        if rings.left < self.points.len() {
            refine(&mut rings);
        }
        Some(Contour { points: rings.points(0), is_hole: self.is_hole })
    }
}

/// A mask's borders with at most `points` corners in all, spent where they make the most pixels right; borders that are not worth
/// theirs are left out, and all but the 2000 largest. `None` if the mask is empty, or no polygon can be made of so few corners.
pub fn outline(mask: &Mask, points: usize) -> Option<Outline> {
    let mut borders = contours(mask);
    // Each takes three corners or more. What lies in another is smaller than that, so that none is left without it.
    let count = (points / 3).min(MOST_BORDERS);
    if count == 0 || borders.is_empty() {
        return None;
    }
    if borders.len() > count {
        let mut order: Vec<usize> = (0..borders.len()).collect();
        let areas: Vec<f64> = borders.iter().map(|border| border.signed_area().abs()).collect();
        order.sort_unstable_by(|&a, &b| areas[b].total_cmp(&areas[a]).then(a.cmp(&b)));
        order.truncate(count);
        order.sort_unstable();
        borders = order.into_iter().map(|index| std::mem::replace(&mut borders[index], NONE)).collect();
    }
    let mut rings = Rings::new(borders.iter())?;
    let mut families = families(mask, &borders);
    if !reduce(&mut rings, &mut families, points) {
        return None;
    }
    refine(&mut rings);
    let told = |(ring, border): (usize, &Contour)| Contour { points: rings.points(ring), is_hole: border.is_hole };
    let kept: Vec<Contour> = borders.iter().enumerate().map(told).filter(|ring| !ring.points.is_empty()).collect();
    let iou = rasterize(&kept, mask.size()).and_then(|drawn| drawn.iou(mask)).ok()? as f32;
    Some(Outline { rings: kept, iou })
}

const NONE: Contour = Contour { points: Vec::new(), is_hole: false };

/// Which borders can be given up together, and what each such family costs. That of border `i` is the `i`-th.
fn families(mask: &Mask, borders: &[Contour]) -> Vec<Family> {
    let (labels, areas) = parts(mask.runs());
    let part_of: Vec<Option<u32>> = borders.iter().map(|border| label(mask.runs(), &labels, border)).collect();
    let outer = |part: Option<u32>| (0..borders.len()).find(|&i| !borders[i].is_hole && part_of[i] == part);
    let holes: Vec<Hole<'_>> = borders.iter().map(Hole::new).collect();
    let is_in =
        |inner: usize, hole: usize| borders[hole].is_hole && inner != hole && holes[hole].encloses(&borders[inner]);
    let mut families = Vec::new();
    for (index, border) in borders.iter().enumerate() {
        let part = part_of[index];
        let family = if border.is_hole {
            // Filling it makes right what lies in it.
            let inside: Vec<usize> = (0..borders.len()).filter(|&other| is_in(other, index)).collect();
            let islands = inside.iter().filter(|&&other| !borders[other].is_hole);
            let area: f64 = islands.map(|&other| part_area(&areas, part_of[other])).sum();
            let rings = std::iter::once(index).chain(inside).collect();
            Family { rings, price: -border.signed_area() - area, paid: 0.0, parent: outer(part), is_part: false }
        } else {
            let holes = (0..borders.len()).filter(|&other| borders[other].is_hole && part_of[other] == part);
            let rings = std::iter::once(index).chain(holes).collect();
            // The smallest hole that it lies in.
            let around = (0..borders.len()).filter(|&hole| is_in(index, hole));
            let parent = around.max_by(|&a, &b| borders[a].signed_area().total_cmp(&borders[b].signed_area()));
            Family { rings, price: part_area(&areas, part), paid: 0.0, parent, is_part: true }
        };
        families.push(family);
    }
    families
}

fn part_area(areas: &[u64], part: Option<u32>) -> f64 {
    part.and_then(|part| areas.get(part as usize)).map_or(0.0, |&area| area as f64)
}

/// A border that may have others in it.
struct Hole<'a> {
    border: &'a Contour,
    low: [f32; 2],
    high: [f32; 2],
}

impl<'a> Hole<'a> {
    fn new(border: &'a Contour) -> Self {
        let reach = |pick: fn(f32, f32) -> f32| {
            let side = |of: fn(&Point) -> f32| border.points.iter().map(of).reduce(pick).unwrap_or_default();
            [side(|p| p.x), side(|p| p.y)]
        };
        Hole { border, low: reach(f32::min), high: reach(f32::max) }
    }

    /// Whether it holds what begins at the first corner of another border.
    fn encloses(&self, inner: &Contour) -> bool {
        let Some(first) = inner.points.first() else { return false };
        // A pixel of the part that the border belongs to, as in `label`.
        let step = if inner.is_hole { -0.5 } else { 0.5 };
        let at @ [x, y] = [first.x + step, first.y + step];
        if (0..2).any(|i| at[i] < self.low[i] || at[i] > self.high[i]) {
            return false;
        }
        let points = &self.border.points;
        // Edges of masks are upright or level.
        let crossed =
            points.iter().zip(points.iter().cycle().skip(1)).filter(|(a, b)| (a.y > y) != (b.y > y) && a.x > x);
        crossed.count() % 2 == 1
    }
}

/// The part of the mask that a border belongs to.
fn label(runs: &[Run], labels: &[u32], border: &Contour) -> Option<u32> {
    let first = border.points.first()?;
    // An outer border begins above the first pixel; a hole's where the pixels to the left of it end.
    let (x, y) = if border.is_hole { (first.x - 1.0, first.y - 1.0) } else { (first.x, first.y) };
    let (x, y) = (x as u32, y as u32);
    let index = runs.partition_point(|run| (run.y, run.x) <= (y, x)).checked_sub(1)?;
    labels.get(index).copied()
}

/// The parts of a mask, pixels that touch at a corner belonging together: which one each run is of, and how many pixels each has.
fn parts(runs: &[Run]) -> (Vec<u32>, Vec<u64>) {
    let mut parents: Vec<u32> = (0..runs.len() as u32).collect();
    for_each_line(runs, |_, above, below| join(runs, above, below, &mut parents));
    let labels: Vec<u32> = (0..runs.len() as u32).map(|run| root(&mut parents, run)).collect();
    let mut areas = vec![0; runs.len()];
    for (run, &label) in runs.iter().zip(&labels) {
        areas[label as usize] += u64::from(run.len);
    }
    (labels, areas)
}

fn join(runs: &[Run], above: Range<usize>, below: Range<usize>, parents: &mut [u32]) {
    let (mut upper, mut lower) = (above.start, below.start);
    while upper < above.end && lower < below.end {
        let (a, b) = (runs[upper], runs[lower]);
        if a.x <= b.end() && b.x <= a.end() {
            let (a, b) = (root(parents, upper as u32), root(parents, lower as u32));
            parents[a.max(b) as usize] = a.min(b);
        }
        if a.end() <= b.end() { upper += 1 } else { lower += 1 }
    }
}

fn root(parents: &mut [u32], mut run: u32) -> u32 {
    while parents[run as usize] != run {
        let parent = parents[run as usize];
        parents[run as usize] = parents[parent as usize];
        run = parent;
    }
    run
}

#[cfg(test)]
mod tests;

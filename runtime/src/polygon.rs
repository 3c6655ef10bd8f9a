//! Masks as closed polygons along pixel edges, and polygons as masks.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Point, Size};
use crate::mask::{Mask, Run, for_each_line};

/// One closed border of a mask; the last point joins the first.
///
/// The mask is on the right hand of who walks along: an outer border runs clockwise on the screen (x right, y down), a
/// hole's anticlockwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Contour {
    /// Corners in image pixels.
    pub points: Vec<Point>,
    /// Whether this bounds a hole, rather than the mask from outside.
    pub is_hole: bool,
}

impl AsRef<[Point]> for Contour {
    fn as_ref(&self) -> &[Point] {
        &self.points
    }
}

impl Contour {
    /// Area enclosed, in pixels, negative for a hole: over all contours of a mask it sums to the mask's area.
    pub fn signed_area(&self) -> f64 {
        let next = self.points.iter().cycle().skip(1);
        let cross = |a: &Point, b: &Point| f64::from(a.x) * f64::from(b.y) - f64::from(b.x) * f64::from(a.y);
        self.points.iter().zip(next).map(|(a, b)| cross(a, b)).sum::<f64>() / 2.0
    }

    /// The same border with fewer corners, none of those left out further than `tolerance` pixels from it; `None` if
    /// fewer than three remain, the border being thinner than that. It may come to cross itself or another.
    ///
    /// Douglas and Peucker's method on the two halves between the first corner and the one furthest from it.
    pub fn simplified(&self, tolerance: f32) -> Option<Contour> {
        let points = &self.points;
        let first = points.first()?;
        let distance = |p: &Point| (p.x - first.x).hypot(p.y - first.y);
        let far = (0..points.len()).max_by(|&a, &b| distance(&points[a]).total_cmp(&distance(&points[b])))?;
        let closed: Vec<Point> = points.iter().chain([first]).copied().collect();
        let mut keep = vec![false; points.len() + 1];
        (keep[0], keep[far]) = (true, true);
        let mut open = vec![(0, far), (far, points.len())];
        while let Some((start, end)) = open.pop() {
            let furthest = (start + 1..end)
                .map(|i| (to_segment(closed[i], closed[start], closed[end]), i))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((distance, i)) = furthest
                && distance > tolerance
            {
                keep[i] = true;
                open.extend([(start, i), (i, end)]);
            }
        }
        let points: Vec<Point> = points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(p, _)| *p).collect();
        (points.len() >= 3).then_some(Contour { points, is_hole: self.is_hole })
    }
}

/// Distance from `p` to the segment from `a` to `b`.
fn to_segment(p: Point, a: Point, b: Point) -> f32 {
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let squared = dx * dx + dy * dy;
    let t = if squared > 0.0 { (((p.x - a.x) * dx + (p.y - a.y) * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
    (a.x + t * dx - p.x).hypot(a.y + t * dy - p.y)
}

/// A vertical side of a run, which is a vertical edge of the mask's border: `2 * index` is the left side of run
/// `index`, walked upwards, `2 * index + 1` the right one, walked downwards.
type Side = usize;

fn is_left(side: Side) -> bool {
    side.is_multiple_of(2)
}

/// The borders of a mask, exactly along pixel edges, with corners only where they turn. Pixels that touch at a corner
/// belong together (8-connectivity), holes do not reach through corners. The order is that of the first pixel of each
/// border, row-major; an outer border starts at the top left corner of that pixel.
pub fn contours(mask: &Mask) -> Vec<Contour> {
    let runs = mask.runs();
    let mut next = vec![0 as Side; 2 * runs.len()];
    for_each_line(runs, |_, above, below| link_line(runs, above, below, &mut next));

    let x = |side: Side| if is_left(side) { runs[side / 2].x } else { runs[side / 2].end() };
    let mut seen = vec![false; next.len()];
    let mut contours = Vec::new();
    for start in 0..next.len() {
        let mut points = Vec::new();
        let mut side = start;
        while !seen[side] {
            seen[side] = true;
            let line = runs[side / 2].y + (side % 2) as u32;
            let after = next[side];
            if x(side) != x(after) {
                points.extend([x(side), x(after)].map(|x| Point::new(x as f32, line as f32)));
            }
            side = after;
        }
        if !points.is_empty() {
            // The first side of a hole is the right side of the run before it; of anything else, a left side.
            contours.push(Contour { points, is_hole: !is_left(start) });
        }
    }
    contours
}

/// Says, for every side that is walked towards one horizontal grid line, which side is walked from there.
///
/// Along the line, the border has a horizontal edge wherever exactly one of the two rows is inside. Where a side ends
/// at the line, such an edge begins or ends; where two sides meet, the border goes straight on or, at the common corner
/// of two diagonal pixels, one edge ends and the next begins.
fn link_line(runs: &[Run], above: Range<usize>, below: Range<usize>, next: &mut [Side]) {
    let sides = |range: Range<usize>| range.flat_map(|i| [(runs[i].x, 2 * i), (runs[i].end(), 2 * i + 1)]).peekable();
    let (mut above, mut below) = (sides(above), sides(below));
    // The side at the left end of the horizontal edge that is open, and whether the mask is below that edge.
    let mut open: Option<(Side, bool)> = None;
    loop {
        let (a, b) = match (above.peek().copied(), below.peek().copied()) {
            (Some((xa, a)), Some((xb, b))) if xa == xb => (Some(a), Some(b)),
            (Some((xa, a)), Some((xb, _))) if xa < xb => (Some(a), None),
            (Some((_, a)), None) => (Some(a), None),
            (_, Some((_, b))) => (None, Some(b)),
            (None, None) => break,
        };
        // Which side ends the edge to the left, which begins one to the right, and whether the mask is below that.
        let (ends, begins) = match (a, b) {
            // Left sides are walked upwards, right ones downwards.
            (Some(a), Some(b)) if is_left(a) && is_left(b) => {
                next[b] = a;
                (None, None)
            }
            (Some(a), Some(b)) if is_left(a) == is_left(b) => {
                next[a] = b;
                (None, None)
            }
            // Joined so that the two diagonal pixels belong together.
            (Some(a), Some(b)) if is_left(a) => (Some(a), Some((b, false))),
            (Some(a), Some(b)) => (Some(b), Some((a, true))),
            (Some(a), None) if open.is_none() => (None, Some((a, !is_left(a)))),
            (None, Some(b)) if open.is_none() => (None, Some((b, is_left(b)))),
            (a, b) => (a.or(b), None),
        };
        if let (Some((left, mask_below)), Some(right)) = (open, ends) {
            // With the mask on the right hand, its upper edges go right and its lower ones left.
            let (from, to) = if mask_below { (left, right) } else { (right, left) };
            next[from] = to;
        }
        open = begins;
        a.and_then(|_| above.next());
        b.and_then(|_| below.next());
    }
}

/// The mask of the pixels whose centres the polygons enclose an odd number of times (even-odd rule), so that holes are
/// simply further polygons. The last point of each joins the first; what lies outside the image is cut off. The contours
/// of a mask give that mask again, exactly.
///
/// A centre that lies on an edge belongs to what is to the right of or below that edge.
///
/// # Errors
/// [`ErrorKind::InvalidImage`] if the size is zero or too large for an image, or a coordinate is not finite.
pub fn rasterize<R: AsRef<[Point]>>(polygons: &[R], size: Size) -> Result<Mask> {
    size.check()?;
    let mut edges = Vec::new();
    for polygon in polygons {
        let points = polygon.as_ref();
        if points.iter().any(|p| !p.x.is_finite() || !p.y.is_finite()) {
            return Err(Error::new(ErrorKind::InvalidImage, "a polygon has a corner that is not finite"));
        }
        let next = points.iter().cycle().skip(1);
        edges.extend(points.iter().zip(next).filter_map(|(a, b)| Edge::new(*a, *b, size.height)));
    }
    edges.sort_unstable_by_key(|edge| edge.first);
    let mut waiting = edges.into_iter().peekable();
    let (mut active, mut crossings, mut runs): (Vec<Edge>, Vec<f64>, Vec<Run>) = Default::default();
    let mut y = 0;
    while !active.is_empty() || waiting.peek().is_some() {
        if active.is_empty() {
            y = waiting.peek().map_or(y, |edge| edge.first);
        }
        active.extend(std::iter::from_fn(|| waiting.next_if(|edge| edge.first <= y)));
        crossings.clear();
        crossings.extend(active.iter().map(|edge| edge.crossing(y)));
        crossings.sort_unstable_by(f64::total_cmp);
        let (pairs, _) = crossings.as_chunks::<2>();
        for pair in pairs {
            let [x, end] = pair.map(|x| (x - 0.5).ceil().clamp(0.0, size.width as f64) as u32);
            match runs.last_mut() {
                Some(last) if last.y == y && last.end() == x => last.len += end - x,
                _ if x < end => runs.push(Run { y, x, len: end - x }),
                _ => {}
            }
        }
        y += 1;
        active.retain(|edge| y < edge.end);
    }
    Ok(Mask::from_sorted_runs(size, runs))
}

/// A polygon's edge from its upper end to its lower one, and the rows `first..end` whose centres it passes.
struct Edge {
    first: u32,
    end: u32,
    top: [f64; 2],
    slope: f64,
}

impl Edge {
    fn new(a: Point, b: Point, height: usize) -> Option<Self> {
        let (a, b) = if a.y <= b.y { (a, b) } else { (b, a) };
        let [x0, y0, x1, y1] = [a.x, a.y, b.x, b.y].map(f64::from);
        let row = |y: f64| (y - 0.5).ceil().clamp(0.0, height as f64) as u32;
        let (first, end) = (row(y0), row(y1));
        (first < end).then(|| Edge { first, end, top: [x0, y0], slope: (x1 - x0) / (y1 - y0) })
    }

    fn crossing(&self, y: u32) -> f64 {
        self.top[0] + (f64::from(y) + 0.5 - self.top[1]) * self.slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> Mask {
        let values: Vec<bool> = rows.iter().flat_map(|row| row.bytes().map(|byte| byte == b'#')).collect();
        Mask::from_bools(Size::new(rows[0].len(), rows.len()), &values).unwrap()
    }

    fn corners(contour: &Contour) -> Vec<(f32, f32)> {
        contour.points.iter().map(|p| (p.x, p.y)).collect()
    }

    fn noise(size: Size, mut state: u64, percent: u64) -> Mask {
        let values: Vec<bool> = (0..size.pixels())
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) % 100 < percent
            })
            .collect();
        Mask::from_bools(size, &values).unwrap()
    }

    #[test]
    fn an_outer_border_is_clockwise_and_a_hole_is_not() {
        let mask = drawn(&[".....", ".###.", ".#.#.", ".###."]);
        let [outer, hole] = &contours(&mask)[..] else { panic!("two borders") };
        assert_eq!(corners(outer), [(1.0, 1.0), (4.0, 1.0), (4.0, 4.0), (1.0, 4.0)]);
        assert_eq!(corners(hole), [(2.0, 3.0), (3.0, 3.0), (3.0, 2.0), (2.0, 2.0)]);
        assert!(!outer.is_hole && hole.is_hole);
        assert_eq!((outer.signed_area(), hole.signed_area()), (9.0, -1.0));
    }

    #[test]
    fn diagonal_pixels_belong_together_and_diagonal_holes_do_not() {
        assert_eq!(contours(&drawn(&["#.", ".#"])).len(), 1);
        assert_eq!(contours(&drawn(&[".#", "#."])).len(), 1);
        let two_holes = contours(&drawn(&["####", "#.##", "##.#", "####"]));
        assert_eq!(two_holes.iter().filter(|contour| contour.is_hole).count(), 2);
        // The background inside a diamond of diagonal pixels is a hole.
        let diamond = contours(&drawn(&[".#.", "#.#", ".#."]));
        assert_eq!(diamond.iter().map(|contour| contour.is_hole).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn contours_of_any_mask_give_it_back() {
        for seed in 0..120 {
            let size = Size::new(1 + seed as usize % 23, 1 + seed as usize * 7 % 19);
            for percent in [0, 10, 35, 50, 65, 90, 100] {
                let mask = noise(size, seed * 1000 + percent, percent);
                let contours = contours(&mask);
                assert_eq!(rasterize(&contours, size).unwrap(), mask, "{size} seed {seed} at {percent} %");
                assert_eq!(contours.iter().map(Contour::signed_area).sum::<f64>(), mask.area() as f64);
                assert!(contours.iter().all(|contour| (contour.signed_area() < 0.0) == contour.is_hole));
                let corner_only = contours.iter().all(|c| {
                    let n = c.points.len();
                    (0..n).all(|i| (c.points[i].x == c.points[(i + 1) % n].x) == (i % 2 == 1))
                });
                assert!(corner_only, "every corner turns");
            }
        }
    }

    #[test]
    fn an_empty_mask_has_no_contour_and_no_polygon_makes_an_empty_mask() {
        let size = Size::new(5, 4);
        assert!(contours(&Mask::from_runs(size, vec![]).unwrap()).is_empty());
        assert!(rasterize::<Vec<Point>>(&[], size).unwrap().is_empty());
        assert!(rasterize(&[vec![], vec![Point::new(1.0, 1.0)]], size).unwrap().is_empty());
    }

    #[test]
    fn polygons_take_the_pixels_whose_centres_they_enclose() {
        let polygon = |points: &[(f32, f32)]| points.iter().map(|&(x, y)| Point::new(x, y)).collect::<Vec<_>>();
        let triangle = polygon(&[(0.0, 0.0), (4.0, 0.0), (0.0, 4.0)]);
        let expected = drawn(&["###.", "##..", "#...", "...."]);
        assert_eq!(rasterize(&[triangle], Size::new(4, 4)).unwrap(), expected, "x + y < 4 at the centres");
        let outside = polygon(&[(-10.0, -10.0), (3.0, -10.0), (3.0, 90.0), (-10.0, 90.0)]);
        assert_eq!(rasterize(&[outside], Size::new(4, 2)).unwrap(), drawn(&["###.", "###."]));
        let star = polygon(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]);
        assert!(rasterize(&[star.clone(), star], Size::new(4, 4)).unwrap().is_empty(), "twice is even");
        let error = rasterize(&[polygon(&[(0.0, f32::NAN)])], Size::new(4, 4)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidImage);
    }

    #[test]
    fn simplifying_stays_within_the_tolerance() {
        let (size, radius) = (Size::new(101, 101), 40.0f32);
        let inside = |i: usize| {
            let (x, y) = ((i % 101) as f32 - 50.0, (i / 101) as f32 - 50.0);
            x.hypot(y) < radius
        };
        let disk = Mask::from_bools(size, &(0..size.pixels()).map(inside).collect::<Vec<_>>()).unwrap();
        let full = &contours(&disk)[0];
        for tolerance in [0.0, 0.75, 1.5, 4.0] {
            let simple = full.simplified(tolerance).unwrap();
            let n = simple.points.len();
            let distance = |p: &Point| {
                let edges = (0..n).map(|i| to_segment(*p, simple.points[i], simple.points[(i + 1) % n]));
                edges.fold(f32::INFINITY, f32::min)
            };
            assert!(full.points.iter().all(|p| distance(p) <= tolerance));
            if tolerance > 0.0 {
                assert!(n <= full.points.len() / 3, "{n} of {} corners at {tolerance}", full.points.len());
                let iou = rasterize(&[simple], size).unwrap().iou(&disk).unwrap();
                assert!(iou > 1.0 - 2.0 * f64::from(tolerance) / f64::from(radius), "{iou} at {tolerance}");
            }
        }
        assert!(full.simplified(200.0).is_none(), "a disk of 40 is thinner than 200");
    }
}

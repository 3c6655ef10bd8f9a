use super::*;
use crate::geometry::Size;

/// Numbers from 0 to 1 in no order.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
}

fn mask(size: Size, inside: impl FnMut(f64, f64) -> bool) -> Mask {
    let mut inside = inside;
    let values: Vec<bool> =
        (0..size.pixels()).map(|i| inside((i % size.width) as f64 + 0.5, (i / size.width) as f64 + 0.5)).collect();
    Mask::from_bools(size, &values).unwrap()
}

/// A lobed blob, with a border that is rough by so many pixels.
fn blob(size: Size, seed: u64, rough: f64) -> Mask {
    let mut noise = Noise(seed);
    let waves: Vec<[f64; 3]> =
        (1..6).map(|n| [f64::from(n), 0.4 * noise.next() / f64::from(n), 7.0 * noise.next()]).collect();
    let (cx, cy, radius) = (size.width as f64 / 2.0, size.height as f64 / 2.0, size.height as f64 * 0.33);
    mask(size, |x, y| {
        let (dx, dy) = (x - cx, y - cy);
        let angle = dy.atan2(dx);
        let wave: f64 = waves.iter().map(|[n, height, phase]| height * (n * angle + phase).sin()).sum();
        dx.hypot(dy) < radius * (1.0 + wave) + rough * (noise.next() - 0.5)
    })
}

fn noise(size: Size, seed: u64, percent: f64) -> Mask {
    let mut noise = Noise(seed);
    mask(size, |_, _| noise.next() * 100.0 < percent)
}

/// Teeth that hang from a back, and a handle.
fn comb(teeth: usize) -> Mask {
    mask(Size::new(teeth * 6 + 1, 40), |x, y| y < 5.0 || (x as usize % 6 < 3 && y < 30.0) || (x < 3.0 && y < 39.0))
}

/// Rings within rings, as many as given.
fn target(rings: usize) -> Mask {
    let side = 12 * rings + 5;
    let middle = side as f64 / 2.0;
    mask(Size::new(side, side), |x, y| (((x - middle).hypot(y - middle) / 3.0) as usize).is_multiple_of(2))
}

/// Masks of every kind that gives trouble.
fn masks() -> Vec<(String, Mask)> {
    let mut masks: Vec<(String, Mask)> = Vec::new();
    for seed in 0..30 {
        masks.push((format!("blob {seed}"), blob(Size::new(90, 70), seed, f64::from(seed as u32 % 5) * 2.0)));
    }
    for (index, percent) in [3.0, 20.0, 40.0, 50.0, 60.0, 80.0, 97.0].into_iter().cycle().take(35).enumerate() {
        masks.push((
            format!("noise {index} at {percent} %"),
            noise(Size::new(5 + index, 3 + index * 7 % 31), index as u64, percent),
        ));
    }
    for teeth in [1, 3, 12] {
        masks.push((format!("comb of {teeth}"), comb(teeth)));
    }
    for rings in [1, 2, 4] {
        masks.push((format!("target of {rings}"), target(rings)));
    }
    for (x, y) in [(0, 0), (4, 0), (2, 2), (4, 3)] {
        let size = Size::new(5, 4);
        masks.push((format!("pixel {x} {y}"), Mask::from_runs(size, vec![Run { y, x, len: 1 }]).unwrap()));
    }
    masks.push(("chequers".into(), mask(Size::new(21, 15), |x, y| (x as usize + y as usize).is_multiple_of(2))));
    masks.push(("diagonal".into(), mask(Size::new(15, 15), |x, y| x as usize == y as usize)));
    masks.push(("lines".into(), mask(Size::new(30, 20), |_, y| (y as usize).is_multiple_of(3))));
    masks.push(("all".into(), mask(Size::new(7, 3), |_, _| true)));
    masks
        .push(("thin ring".into(), mask(Size::new(40, 40), |x, y| (12.0..14.0).contains(&(x - 20.0).hypot(y - 20.0)))));
    masks.retain(|(_, mask)| !mask.is_empty());
    masks
}

fn edges(rings: &[Contour]) -> Vec<[Point; 2]> {
    let of = |ring: &Contour| {
        let next = ring.points.clone().into_iter().cycle().skip(1);
        ring.points.clone().into_iter().zip(next).map(|(a, b)| [a, b]).collect::<Vec<_>>()
    };
    rings.iter().flat_map(of).collect()
}

/// Whether two edges cross in a point within both, or run on top of each other. (Masks' own borders touch in corners.)
fn clash([a, b]: [Point; 2], [c, d]: [Point; 2]) -> bool {
    let whole = |p: Point| (p.x as i64, p.y as i64);
    let side = |a: Point, b: Point, p: Point| {
        let ((ax, ay), (bx, by), (px, py)) = (whole(a), whole(b), whole(p));
        ((bx - ax) * (py - ay) - (by - ay) * (px - ax)).signum()
    };
    if side(a, b, c) == 0 && side(a, b, d) == 0 {
        let along = |p: Point| {
            let ((ax, ay), (bx, by), (px, py)) = (whole(a), whole(b), whole(p));
            (px - ax) * (bx - ax) + (py - ay) * (by - ay)
        };
        return along(c).min(along(d)) < along(b) && along(c).max(along(d)) > 0;
    }
    side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0
}

/// What is promised of borders that are made of others, one of each at most.
fn assert_sound(name: &str, rings: &[Contour], borders: &[Contour]) {
    for ring in rings {
        assert!(ring.points.len() >= 3, "{name}: a border of {} corners", ring.points.len());
        assert!(ring.signed_area() != 0.0 && (ring.signed_area() < 0.0) == ring.is_hole, "{name}: turned round");
        let mut sources = borders.iter().filter(|border| border.is_hole == ring.is_hole);
        let is_of = |border: &Contour| {
            // In the same order, from whichever is the first.
            let mut rest = border.points.iter();
            ring.points.iter().all(|point| rest.any(|other| other == point))
        };
        assert!(sources.any(is_of), "{name}: corners of no border");
    }
    let edges = edges(rings);
    for (index, &one) in edges.iter().enumerate() {
        for &other in &edges[index + 1..] {
            assert!(!clash(one, other), "{name}: {one:?} crosses {other:?}");
        }
    }
}

#[test]
fn outlines_are_sound_and_spend_no_more_than_they_may() {
    for (name, mask) in masks() {
        let borders = contours(&mask);
        let all: usize = borders.iter().map(|border| border.points.len()).sum();
        let mut last = 0.0;
        for points in [3, 4, 5, 8, 13, 24, 64, 300, all, all + 1] {
            let name = format!("{name} with {points}");
            let outline = outline(&mask, points).unwrap_or_else(|| panic!("{name} has none"));
            let spent: usize = outline.rings.iter().map(|ring| ring.points.len()).sum();
            assert!(spent <= points && spent > 0, "{name}: {spent}");
            assert_sound(&name, &outline.rings, &borders);
            let drawn = rasterize(&outline.rings, mask.size()).unwrap();
            assert_eq!(outline.iou, drawn.iou(&mask).unwrap() as f32, "{name}");
            if points >= all {
                assert_eq!((outline.iou, outline.rings), (1.0, borders.clone()), "{name}");
            } else if points >= 24 {
                assert!(outline.iou > last - 0.05, "{name}: {} after {last}", outline.iou);
                last = outline.iou;
            }
        }
    }
    let nothing = Mask::from_runs(Size::new(4, 4), vec![]).unwrap();
    assert!(outline(&nothing, 100).is_none());
    assert!(outline(&comb(2), 2).is_none() && outline(&comb(2), 0).is_none());
}

#[test]
fn borders_are_sound_with_any_number_of_corners() {
    for (name, mask) in masks() {
        for border in contours(&mask) {
            for k in [3, 4, 5, 7, 12, 30] {
                let name = format!("{name} with {k}");
                let Some(simple) = border.with_at_most(k) else {
                    // Only borders that touch themselves cannot be told with few corners.
                    let touches = (1..border.points.len()).any(|i| border.points[..i].contains(&border.points[i]));
                    assert!(touches, "{name}: {border:?}");
                    continue;
                };
                assert!(simple.points.len() <= k);
                assert_eq!(simple.is_hole, border.is_hole);
                assert_sound(&name, std::slice::from_ref(&simple), std::slice::from_ref(&border));
                if border.points.len() <= k {
                    assert_eq!(simple, border);
                }
            }
        }
    }
}

#[test]
fn what_is_no_border_has_no_simple_form() {
    let border = |points: &[(f32, f32)]| {
        let points = points.iter().map(|&(x, y)| Point::new(x, y)).collect();
        Contour { points, is_hole: false }
    };
    let square = border(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]);
    assert!(square.with_at_most(2).is_none() && square.with_at_most(0).is_none());
    assert_eq!(square.with_at_most(3).unwrap().points.len(), 3);
    for points in [&[][..], &[(1.0, 1.0)], &[(0.0, 0.0), (4.0, 0.0)], &[(0.0, 0.0), (4.0, 0.0), (8.0, 0.0)]] {
        assert!(border(points).with_at_most(8).is_none(), "{points:?}");
    }
    for odd in [f32::NAN, f32::INFINITY, f32::MAX] {
        let odd = border(&[(0.0, 0.0), (4.0, 0.0), (odd, 4.0), (0.0, odd), (1.0, 1.0)]);
        assert!(odd.with_at_most(4).is_none_or(|simple| simple.points.len() <= 4));
    }
}

/// The least that the area between a border and one of `k` of its corners can be, by trying all.
fn least_error(rings: &Rings, count: usize, k: usize) -> f64 {
    let spans: Vec<Vec<f64>> = (0..count)
        .map(|from| (0..count).map(|to| if from == to { f64::INFINITY } else { rings.span_error(from, to) }).collect())
        .collect();
    let mut least = f64::INFINITY;
    for start in 0..count {
        let mut costs: Vec<f64> =
            (0..count).map(|to| if to > start { spans[start][to] } else { f64::INFINITY }).collect();
        for _ in 2..k {
            let from = |to: usize| (start..to).map(|from| costs[from] + spans[from][to]).fold(f64::INFINITY, f64::min);
            costs = (0..count).map(from).collect();
        }
        least = (start + 1..count).map(|from| costs[from] + spans[from][start]).fold(least, f64::min);
    }
    least
}

#[test]
fn little_is_lost_to_the_best_there_is() {
    let (mut ratios, mut worst) = (0.0, 0.0_f64);
    let mut count = 0;
    for seed in 0..12 {
        let mask = blob(Size::new(34, 26), seed, 1.5);
        let border = contours(&mask).into_iter().max_by(|a, b| a.signed_area().total_cmp(&b.signed_area())).unwrap();
        for k in [4, 6, 9, 14] {
            let whole = Rings::new(std::iter::once(&border)).unwrap();
            let best = least_error(&whole, border.points.len(), k);
            let simple = border.with_at_most(k).unwrap();
            let mut left = Rings::new(std::iter::once(&border)).unwrap();
            assert!(reduce(&mut left, &mut [], k));
            refine(&mut left);
            assert_eq!(left.points(0), simple.points);
            let ratio = left.rings[0].error / best;
            assert!(ratio > 1.0 - 1e-6, "seed {seed} with {k}: better than the best");
            (ratios, worst, count) = (ratios + ratio, worst.max(ratio), count + 1);
        }
    }
    let mean = ratios / f64::from(count);
    assert!(mean < 1.2 && worst < 2.0, "{mean} times the error of the best, at worst {worst}");
}

#[test]
fn corners_are_spent_where_they_pay() {
    // A large square, a small one, and specks.
    let specks = mask(Size::new(100, 60), |x, y| {
        (x < 50.0 && y < 50.0)
            || ((70.0..80.0).contains(&x) && y < 10.0)
            || (y > 55.0 && (x as usize).is_multiple_of(2))
    });
    let whole = outline(&specks, 8).unwrap();
    assert_eq!(whole.rings.len(), 2);
    assert!(whole.iou > 0.9);
    assert_eq!(
        outline(&specks, 6).unwrap().rings.len(),
        1,
        "the large square is worth four corners, and two make nothing"
    );
    // A ring's hole is kept as soon as there are corners for both.
    let ring = mask(Size::new(60, 60), |x, y| (12.0..28.0).contains(&(x - 30.0).hypot(y - 30.0)));
    let told = outline(&ring, 16).unwrap();
    assert_eq!(told.rings.iter().map(|ring| ring.is_hole).collect::<Vec<_>>(), [false, true]);
    assert!(told.iou > 0.9, "{}", told.iou);
    // What fills its hole is not left hanging there when the hole is given up, nor told as a hole.
    for points in 3..40 {
        let target = target(3);
        let told = outline(&target, points).unwrap();
        let area: f64 = told.rings.iter().map(Contour::signed_area).sum();
        let drawn = rasterize(&told.rings, target.size()).unwrap().area() as f64;
        assert!((area - drawn).abs() < 0.1 * area, "{points}: {area} are drawn as {drawn}");
    }
}

#[test]
fn noise_is_told_by_its_largest_borders() {
    let noise = noise(Size::new(400, 300), 9, 30.0);
    assert!(contours(&noise).len() > MOST_BORDERS);
    let told = outline(&noise, 65_535).unwrap();
    assert_eq!(told.rings.len(), MOST_BORDERS);
    assert!(told.iou > 0.5, "{}", told.iou);
}

#[test]
fn no_corner_is_left_unspent_while_borders_have_more() {
    for (name, mask) in masks() {
        let borders = contours(&mask);
        for points in [12, 25, 40] {
            let told = outline(&mask, points).unwrap();
            let spent: usize = told.rings.iter().map(|ring| ring.points.len()).sum();
            let source = |ring: &Contour| {
                let of = borders.iter().filter(|border| ring.points.iter().all(|p| border.points.contains(p)));
                of.map(|border| border.points.len()).max().unwrap_or(0)
            };
            let there: usize = told.rings.iter().map(source).sum();
            assert_eq!(spent, points.min(there), "{name} with {points}");
        }
    }
}

#[test]
fn any_points_are_simplified_or_refused() {
    let mut noise = Noise(3);
    for round in 0..3000 {
        // Small numbers, so that points meet and lie on lines; and large ones, and parts of pixels.
        let scale = [4.0, 40.0, 1e6, 1e30][round % 4];
        let side = |value: f64| if round % 3 == 0 { (value * scale) as f32 } else { (value * scale).round() as f32 };
        let count = (noise.next() * 30.0) as usize;
        let points: Vec<Point> = (0..count).map(|_| Point::new(side(noise.next()), side(noise.next()))).collect();
        let border = Contour { points, is_hole: false };
        for k in [3, 4, 9] {
            if let Some(simple) = border.with_at_most(k) {
                assert!((3..=k).contains(&simple.points.len()), "{border:?}");
                assert!(simple.points.iter().all(|point| border.points.contains(point)), "{border:?}");
                assert_eq!(simple.signed_area() > 0.0, border.signed_area() > 0.0, "{border:?}");
            }
        }
    }
}

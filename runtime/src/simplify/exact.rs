//! Where points and segments lie to each other. Coordinates of images are whole numbers of at most 16 bits, for which all of
//! this is exact.

/// A position.
pub(super) type P = [f64; 2];

/// Twice the area of the triangle `a`, `b`, `c`: positive if it turns as x turns to y.
pub(super) fn turn(a: P, b: P, c: P) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

/// Whether a point lies in a triangle or on its border. Of a triangle without area, on the segment that it is.
pub(super) fn in_triangle(p: P, [a, b, c]: [P; 3]) -> bool {
    let turns = [turn(a, b, p), turn(b, c, p), turn(c, a, p)];
    if turns == [0.0; 3] {
        return between(p, a, b) || between(p, b, c) || between(p, c, a);
    }
    turns.iter().all(|&turn| turn >= 0.0) || turns.iter().all(|&turn| turn <= 0.0)
}

/// Whether a point on the line of two others lies on the segment between them.
fn between(p: P, a: P, b: P) -> bool {
    (0..2).all(|i| a[i].min(b[i]) <= p[i] && p[i] <= a[i].max(b[i]))
}

/// Whether two segments have a point in common, other than an end of both that joins them.
pub(super) fn cross([a, b]: [P; 2], [c, d]: [P; 2]) -> bool {
    for (end, far, other) in [(a, b, [c, d]), (b, a, [c, d])] {
        for (joined, its_far) in [(other[0], other[1]), (other[1], other[0])] {
            if end == joined {
                // They are one behind the other, or side by side.
                let ahead = (far[0] - end[0]) * (its_far[0] - end[0]) + (far[1] - end[1]) * (its_far[1] - end[1]);
                return turn(end, far, its_far) == 0.0 && ahead > 0.0;
            }
        }
    }
    let (of_c, of_d, of_a, of_b) = (turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b));
    (of_c * of_d < 0.0 && of_a * of_b < 0.0)
        || (of_c == 0.0 && between(c, a, b))
        || (of_d == 0.0 && between(d, a, b))
        || (of_a == 0.0 && between(a, c, d))
        || (of_b == 0.0 && between(b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cross_touch_or_are_joined() {
        let s = |a: [i32; 2], b: [i32; 2]| [a.map(f64::from), b.map(f64::from)];
        for (expected, one, other) in [
            (true, s([0, 0], [4, 4]), s([0, 4], [4, 0])),
            (true, s([0, 0], [4, 0]), s([2, 0], [2, 5])),
            (true, s([0, 0], [4, 0]), s([1, 0], [3, 0])),
            (true, s([0, 0], [4, 0]), s([4, 0], [2, 0])),
            (true, s([0, 0], [4, 0]), s([0, 0], [4, 0])),
            (false, s([0, 0], [4, 0]), s([4, 0], [8, 0])),
            (false, s([0, 0], [4, 0]), s([4, 0], [4, 4])),
            (false, s([0, 0], [4, 0]), s([5, 0], [8, 0])),
            (false, s([0, 0], [4, 0]), s([0, 1], [4, 1])),
            (false, s([0, 0], [4, 4]), s([3, 2], [9, 0])),
        ] {
            for (a, b) in [(one, other), (other, one)] {
                assert_eq!(cross(a, b), expected, "{a:?} {b:?}");
                assert_eq!(cross([a[1], a[0]], b), expected, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_triangle_holds_its_border() {
        let triangle = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]];
        for (expected, p) in
            [(true, [1.0, 1.0]), (true, [2.0, 2.0]), (true, [0.0, 4.0]), (false, [2.5, 2.0]), (false, [-1.0, 0.0])]
        {
            assert_eq!(in_triangle(p, triangle), expected, "{p:?}");
            assert_eq!(in_triangle(p, [triangle[2], triangle[1], triangle[0]]), expected, "{p:?}");
        }
        let flat = [[0.0, 0.0], [4.0, 4.0], [2.0, 2.0]];
        assert!(in_triangle([3.0, 3.0], flat) && !in_triangle([5.0, 5.0], flat) && !in_triangle([1.0, 2.0], flat));
    }
}

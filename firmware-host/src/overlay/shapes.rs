//! Discs and bars with smooth edges, in sixteenths of a pixel.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;

use super::Blend;

/// One pixel, in sixteenths.
pub(super) const PIXEL: i32 = 16;

/// Furthest pixel that is reckoned with, so that sums of positions in sixteenths stay within `i32`.
pub(super) const FAR: i32 = 1 << 25;

/// The middle of a pixel, in sixteenths of a pixel; pixels further than [`FAR`] are taken to be there.
pub(super) fn middle_q4(pixel: Point) -> Point {
    let middle = |at: i32| at.clamp(-FAR, FAR) * PIXEL + PIXEL / 2;
    Point::new(middle(pixel.x), middle(pixel.y))
}

/// A filled disc: `strength` of 255 inside, falling to nothing over the last `soft_q4` on both sides of the radius (a
/// pixel for a sharp one).
pub(super) fn disc<D: Blend>(
    target: &mut D,
    centre_q4: Point,
    radius_q4: i32,
    soft_q4: i32,
    colour: Rgb888,
    strength: u8,
) -> Result<(), D::Error> {
    let reach = radius_q4 + soft_q4 + PIXEL;
    each_pixel(target, (centre_q4 - Point::new_equal(reach), centre_q4 + Point::new_equal(reach)), colour, |x, y| {
        let (dx, dy) = (i64::from(x - centre_q4.x), i64::from(y - centre_q4.y));
        let distance = (dx * dx + dy * dy).isqrt() as i32;
        // Half of the fall lies on each side of the radius.
        let inside = (2 * (radius_q4 - distance) + soft_q4).clamp(0, 2 * soft_q4);
        (inside * i32::from(strength) / (2 * soft_q4)) as u8
    })
}

/// A filled rectangle from the corner `from_q4` to the corner `to_q4`; pixels on its edge are covered in part.
pub(super) fn bar<D: Blend>(
    target: &mut D,
    from_q4: Point,
    to_q4: Point,
    colour: Rgb888,
    strength: u8,
) -> Result<(), D::Error> {
    let overlap = |middle: i32, from: i32, to: i32| {
        ((middle + PIXEL / 2).min(to) - (middle - PIXEL / 2).max(from)).clamp(0, PIXEL)
    };
    let edge = Point::new_equal(PIXEL);
    each_pixel(target, (from_q4 - edge, to_q4 + edge), colour, |x, y| {
        let area = overlap(x, from_q4.x, to_q4.x) * overlap(y, from_q4.y, to_q4.y);
        (area * i32::from(strength) / (PIXEL * PIXEL)) as u8
    })
}

/// Covers each pixel of the target whose middle lies in the rectangle by what `coverage` says there, in sixteenths of a
/// pixel and of 255; neighbours of the same coverage at once. Rectangles that meet share no pixel.
pub(super) fn each_pixel<D: Blend>(
    target: &mut D,
    (from_q4, to_q4): (Point, Point),
    colour: Rgb888,
    coverage: impl Fn(i32, i32) -> u8,
) -> Result<(), D::Error> {
    let area = target.bounding_box();
    let Some(last) = area.bottom_right() else { return Ok(()) };
    // The first pixel whose middle is at or after a position.
    let first = |q4: i32| (q4 + PIXEL / 2 - 1).div_euclid(PIXEL);
    let (left, right) = (first(from_q4.x).max(area.top_left.x), (first(to_q4.x) - 1).min(last.x));
    let (top, bottom) = (first(from_q4.y).max(area.top_left.y), (first(to_q4.y) - 1).min(last.y));
    for y in top..=bottom {
        let (mut start, mut shade) = (left, 0);
        for x in left..=right {
            let Point { x: middle_x, y: middle_y } = middle_q4(Point::new(x, y));
            let next = coverage(middle_x, middle_y);
            if next != shade {
                cover(target, start, x, y, colour, shade)?;
                (start, shade) = (x, next);
            }
        }
        cover(target, start, right + 1, y, colour, shade)?;
    }
    Ok(())
}

fn cover<D: Blend>(target: &mut D, from: i32, to: i32, y: i32, colour: Rgb888, coverage: u8) -> Result<(), D::Error> {
    match (coverage, to - from) {
        (1.., len @ 1..) => target.cover(Point::new(from, y), len as u32, colour, coverage),
        _ => Ok(()),
    }
}

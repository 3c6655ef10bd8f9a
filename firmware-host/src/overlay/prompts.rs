//! What was asked: points and boxes; and boxes around what is followed.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::shapes::{FAR, PIXEL, bar, disc, each_pixel, middle_q4};
use super::{Blend, Scale};

const GREEN: Rgb888 = Rgb888::new(0x1f, 0xb8, 0x5a);
const RED: Rgb888 = Rgb888::new(0xe5, 0x39, 0x48);
const BOX: Rgb888 = Rgb888::new(0xff, 0xd6, 0x4a);
/// Strength of the first and of the last dot of a trail, of 255.
const TRAIL: (u32, u32) = (60, 230);

/// Strength of shadows, of 255.
const SHADOW: u8 = 120;

/// What a point says about the pixel that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PointKind {
    /// The pixel belongs to the object.
    Foreground,
    /// It does not.
    Background,
}

/// How sure it is that something followed is where it is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It is there.
    Found,
    /// It may be there.
    Weak,
    /// It was there.
    Lost,
}

/// Marks the pixel `at`: a green disc with a plus for the foreground, a red one with a minus for the background, both
/// in a white ring.
pub fn draw_point<D: Blend>(target: &mut D, at: Point, kind: PointKind, scale: Scale) -> Result<(), D::Error> {
    let centre = middle_q4(at);
    let radius = scale.mark_q4();
    let ring = (radius / 5).max(PIXEL);
    let colour = match kind {
        PointKind::Foreground => GREEN,
        PointKind::Background => RED,
    };
    disc(target, centre, radius + ring / 2, ring.max(2 * PIXEL), Rgb888::BLACK, SHADOW)?;
    disc(target, centre, radius, PIXEL, Rgb888::WHITE, 255)?;
    disc(target, centre, radius - ring, PIXEL, colour, 255)?;

    // An odd number of whole pixels thick, so that it is sharp on the middle of its pixel.
    let half_thick = (radius / 4 / PIXEL / 2 * 2 + 1) * PIXEL / 2;
    let half_long = (radius * 9 / 16 / PIXEL * 2 + 1) * PIXEL / 2;
    let (along, across) = (Point::new(half_long, half_thick), Point::new(half_thick, half_long));
    bar(target, centre - along, centre + along, Rgb888::WHITE, 255)?;
    if kind == PointKind::Foreground {
        bar(target, centre - across, centre + across, Rgb888::WHITE, 255)?;
    }
    Ok(())
}

/// Draws the box that covers the pixels of `area`: a thin frame with strong corners, inside its edge.
pub fn draw_box<D: Blend>(target: &mut D, area: Rectangle, scale: Scale) -> Result<(), D::Error> {
    let frame = Frame::new(area, scale);
    frame.draw(target, frame.halo, Rgb888::BLACK, SHADOW)?;
    frame.draw(target, 0, BOX, 255)
}

/// Marks the corners of the box around something that is followed, in its `colour`: strong ones if it is found, thin ones
/// if it may be there, thin red ones where it was last seen.
pub fn draw_track<D: Blend>(
    target: &mut D,
    area: Rectangle,
    certainty: Certainty,
    colour: Rgb888,
    scale: Scale,
) -> Result<(), D::Error> {
    let frame = Frame::new(area, scale);
    let (thick, colour) = match certainty {
        Certainty::Found => (frame.thick, colour),
        Certainty::Weak => (frame.fine, colour),
        Certainty::Lost => (frame.fine, RED),
    };
    let corners = Frame { thick, thin: 0, ..frame };
    corners.draw(target, corners.halo, Rgb888::BLACK, SHADOW)?;
    corners.draw(target, 0, colour, 255)
}

/// Draws where something was: dots, the oldest first, that grow in size and strength towards the last.
pub fn draw_trail<D: Blend>(
    target: &mut D,
    trail: impl ExactSizeIterator<Item = Point>,
    colour: Rgb888,
    scale: Scale,
) -> Result<(), D::Error> {
    let last = (trail.len() as u32).saturating_sub(1).max(1);
    for (index, at) in trail.enumerate() {
        let grown = |from: u32, to: u32| from + (to - from) * index as u32 / last;
        let strength = grown(TRAIL.0, TRAIL.1) as u8;
        let radius = grown(scale.line_q4() as u32 * 3 / 4, scale.line_q4() as u32 * 3 / 2).max(PIXEL as u32 / 2) as i32;
        disc(target, middle_q4(at), radius + scale.halo_q4() / 2, PIXEL, Rgb888::BLACK, strength / 2)?;
        disc(target, middle_q4(at), radius, PIXEL, colour, strength)?;
    }
    Ok(())
}

/// A box's edges and the widths of its lines, in sixteenths of a pixel.
struct Frame {
    from: Point,
    to: Point,
    thin: i32,
    /// Between thin and thick.
    fine: i32,
    thick: i32,
    arm: i32,
    halo: i32,
}

impl Frame {
    fn new(area: Rectangle, scale: Scale) -> Self {
        let from = middle_q4(area.top_left) - Point::new_equal(PIXEL / 2);
        let side = |length: u32| length.min(FAR as u32) as i32 * PIXEL;
        let (width, height) = (side(area.size.width), side(area.size.height));
        let to = from + Point::new(width, height);
        let whole = |q4: i32| (q4 / PIXEL).max(1) * PIXEL;
        let (line, halo) = (scale.line_q4(), scale.halo_q4());
        let arm = (line * 8).min(width / 3).min(height / 3);
        Frame { from, to, thin: whole(line * 5 / 8), fine: whole(line), thick: whole(line * 3 / 2), arm, halo }
    }

    /// Draws lines, of which those of no width are not there, wider by `grow` on both sides.
    fn draw<D: Blend>(&self, target: &mut D, grow: i32, colour: Rgb888, strength: u8) -> Result<(), D::Error> {
        let Frame { from, to, thick, .. } = *self;
        let (out, inn) = (grow + PIXEL, (thick + grow + PIXEL).min((to.y - from.y) / 2).min((to.x - from.x) / 2));
        // Four strips that do not overlap, as shadows would add up: above, below, left, right.
        let strips = [
            (Point::new(from.x - out, from.y - out), Point::new(to.x + out, from.y + inn)),
            (Point::new(from.x - out, to.y - inn), Point::new(to.x + out, to.y + out)),
            (Point::new(from.x - out, from.y + inn), Point::new(from.x + inn, to.y - inn)),
            (Point::new(to.x - inn, from.y + inn), Point::new(to.x + out, to.y - inn)),
        ];
        for strip in strips {
            each_pixel(target, strip, colour, |x, y| self.coverage(x, y, grow, strength))?;
        }
        Ok(())
    }

    fn coverage(&self, x: i32, y: i32, grow: i32, strength: u8) -> u8 {
        // Distances to the nearer vertical and the nearer horizontal edge, positive inside.
        let (dx, dy) = ((x - self.from.x).min(self.to.x - x), (y - self.from.y).min(self.to.y - y));
        let corner = dx < self.arm + grow && dy < self.arm + grow;
        let width = if corner { self.thick } else { self.thin };
        if width == 0 {
            return 0;
        }
        let depth = dx.min(dy);
        let cover = ((depth + grow).min(width + grow - depth) + PIXEL / 2).clamp(0, PIXEL);
        (cover * i32::from(strength) / PIXEL) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{Dithered, RgbCanvas};
    use embedded_graphics::mock_display::MockDisplay;
    use embedded_graphics::pixelcolor::Gray2;

    fn drawn(draw: impl Fn(&mut Dithered<'_, MockDisplay<Gray2>>)) -> MockDisplay<Gray2> {
        let mut display = MockDisplay::new();
        display.set_allow_overdraw(true);
        draw(&mut Dithered(&mut display));
        display
    }

    #[test]
    fn points_are_discs_with_their_sign() {
        let scale = Scale::of(Size::new(320, 240));
        drawn(|target| draw_point(target, Point::new(7, 7), PointKind::Foreground, scale).unwrap()).assert_pattern(&[
            "              ",
            "    3333333   ",
            "   331111133  ",
            "  33111111133 ",
            " 3311113111133",
            " 3111113111113",
            " 3111113111113",
            " 3113333333113",
            " 3111113111113",
            " 3111113111113",
            " 3311113111133",
            "  33111111133 ",
            "   331111133  ",
            "    3333333   ",
        ]);
        drawn(|target| draw_point(target, Point::new(7, 7), PointKind::Background, scale).unwrap()).assert_pattern(&[
            "              ",
            "    3333333   ",
            "   331111133  ",
            "  33111111133 ",
            " 3311111111133",
            " 3111111111113",
            " 3111111111113",
            " 3113333333113",
            " 3111111111113",
            " 3111111111113",
            " 3311111111133",
            "  33111111133 ",
            "   331111133  ",
            "    3333333   ",
        ]);
    }

    #[test]
    fn on_the_smallest_displays_points_are_small() {
        let scale = Scale::of(Size::new(128, 64));
        drawn(|target| draw_point(target, Point::new(5, 5), PointKind::Foreground, scale).unwrap()).assert_pattern(&[
            "         ",
            "         ",
            "   33333 ",
            "  3113113",
            "  3113113",
            "  3333333",
            "  3113113",
            "  3113113",
            "   33333 ",
        ]);
    }

    #[test]
    fn what_is_followed_has_corners_and_what_is_lost_thin_red_ones() {
        let scale = Scale::of(Size::new(64, 64));
        let area = Rectangle::new(Point::new(2, 2), Size::new(18, 12));
        drawn(|target| draw_track(target, area, Certainty::Found, Rgb888::WHITE, scale).unwrap()).assert_pattern(&[
            "                    ",
            "                    ",
            "  3333          3333",
            "  3333          3333",
            "  33              33",
            "  33              33",
            "                    ",
            "                    ",
            "                    ",
            "                    ",
            "  33              33",
            "  33              33",
            "  3333          3333",
            "  3333          3333",
        ]);
        drawn(|target| draw_track(target, area, Certainty::Lost, Rgb888::WHITE, scale).unwrap()).assert_pattern(&[
            "                    ",
            "                    ",
            "  1111          1111",
            "  1                1",
            "  1                1",
            "  1                1",
            "                    ",
            "                    ",
            "                    ",
            "                    ",
            "  1                1",
            "  1                1",
            "  1                1",
            "  1111          1111",
        ]);
    }

    #[test]
    fn a_trail_grows_towards_its_end() {
        let scale = Scale::of(Size::new(64, 64));
        let trail = [Point::new(2, 4), Point::new(8, 4), Point::new(15, 4)];
        drawn(|target| draw_trail(target, trail.into_iter(), Rgb888::WHITE, scale).unwrap()).assert_pattern(&[
            "                  ",
            "                  ",
            "              333 ",
            "        3    33333",
            "       333   33333",
            "        3    33333",
            "              333 ",
        ]);
    }

    #[test]
    fn a_box_is_a_frame_inside_its_edge_with_strong_corners() {
        let scale = Scale::of(Size::new(64, 64));
        let area = Rectangle::new(Point::new(2, 2), Size::new(18, 12));
        drawn(|target| draw_box(target, area, scale).unwrap()).assert_pattern(&[
            "                    ",
            "                    ",
            "  222222222222222222",
            "  2222          2222",
            "  22              22",
            "  22              22",
            "  2                2",
            "  2                2",
            "  2                2",
            "  2                2",
            "  22              22",
            "  22              22",
            "  2222          2222",
            "  222222222222222222",
        ]);
    }

    #[test]
    fn marks_and_boxes_anywhere_do_not_panic_and_boxes_of_nothing_stay_small() {
        let far = [i32::MIN, -20, -1, 0, 3, 30, i32::MAX];
        for x in far {
            for y in far {
                for size in [Size::zero(), Size::new(1, 1), Size::new(5, 40), Size::new(u32::MAX, u32::MAX)] {
                    let mut bytes = [50; 20 * 20 * 3];
                    let mut canvas = RgbCanvas::new(&mut bytes, Size::new(20, 20)).unwrap();
                    let scale = Scale::of(Size::new(4000, 3000));
                    draw_point(&mut canvas, Point::new(x, y), PointKind::Foreground, scale).unwrap();
                    draw_box(&mut canvas, Rectangle::new(Point::new(x, y), size), scale).unwrap();
                }
            }
        }
    }
}

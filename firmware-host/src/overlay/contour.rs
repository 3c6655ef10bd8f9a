//! The outline of a mask, smooth, straight from its runs.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;

use super::{Blend, Scale, Span};

/// Strength of the dark border, of 255.
const HALO: u32 = 140;
/// Furthest that a pixel of line or halo lies from the edge, in pixels.
const MAX_REACH: i64 = 24;

/// Draws a line, `colour` made lighter, along the edge of a mask, holes included, with a dark halo on both sides so that
/// it stands out from any ground. It is centred on the edge; where the object leaves the picture there is none.
///
/// A pixel's shade follows from its exact Euclidean distance to the nearest pixel on the other side of the edge, which
/// needs no more of the mask than the rows within reach: one copy of the iterator is held for each of these, and no
/// pixel is stored. That makes steps of the mask's edge round, and leaves thin parts their outline.
pub fn draw_contour<D, I>(target: &mut D, spans: I, colour: Rgb888, scale: Scale) -> Result<(), D::Error>
where
    D: Blend,
    I: Iterator<Item = Span> + Clone,
{
    let pen = Pen::new(colour, scale);
    for_each_row(target, spans, pen.reach, |target, window| window.draw_row(target, &pen))
}

/// Draws the pixels of a mask that touch its edge with a side, holes included: the thinnest line that there is, for
/// displays on which every pixel counts. Where the object leaves the picture there is none.
pub fn draw_outline<D, I>(target: &mut D, spans: I, colour: Rgb888) -> Result<(), D::Error>
where
    D: Blend,
    I: Iterator<Item = Span> + Clone,
{
    for_each_row(target, spans, 1, |target, mut window| {
        for x in 0..window.width {
            if window.is_edge(x) {
                target.cover(Point::new(x as i32, window.y as i32), 1, colour, 255)?;
            }
        }
        Ok(())
    })
}

/// Calls `draw` for each row of the target within `reach` of a span, with the rows within reach of it.
fn for_each_row<D, I>(
    target: &mut D,
    spans: I,
    reach: i64,
    draw: impl Fn(&mut D, Window<I>) -> Result<(), D::Error>,
) -> Result<(), D::Error>
where
    D: Blend,
    I: Iterator<Item = Span> + Clone,
{
    let Size { width, height } = target.bounding_box().size;
    let (width, height) = (i64::from(width), i64::from(height));
    // From the first span that is within reach of row `y`.
    let mut ahead = spans;
    let mut y = 0;
    while let Some(first) = ahead.clone().next() {
        let first = i64::from(first.y);
        if first + reach < y {
            ahead.next();
            continue;
        }
        y = y.max(first - reach);
        if y >= height {
            break;
        }
        draw(target, Window::new(ahead.clone(), y, reach, width, height))?;
        y += 1;
    }
    Ok(())
}

/// Line and halo as functions of the distance from the edge.
struct Pen {
    colour: Rgb888,
    line_q4: i64,
    halo_q4: i64,
    reach: i64,
}

impl Pen {
    fn new(colour: Rgb888, scale: Scale) -> Self {
        let line_q4 = i64::from(scale.line_q4()) / 2;
        let halo_q4 = line_q4 + i64::from(scale.halo_q4());
        // A pixel whose centre is half a pixel beyond is not touched.
        let reach = ((halo_q4 + 16) / 16 + 1).min(MAX_REACH);
        Pen { colour: lighter(colour), line_q4, halo_q4, reach }
    }

    /// Coverage of line and halo, of 255, at a pixel whose centre is the root of `squared` pixels from that of the
    /// nearest pixel across the edge.
    fn shade(&self, squared: i64) -> (u8, u8) {
        // The edge is half a pixel nearer than the other pixel's centre.
        let distance_q4 = ((squared * 1024).isqrt() + 1) / 2 - 8;
        let coverage = |half_width: i64| ((half_width + 8 - distance_q4) * 255 / 16).clamp(0, 255) as u32;
        (coverage(self.line_q4) as u8, (coverage(self.halo_q4) * HALO / 255) as u8)
    }

    fn draw<D: Blend>(&self, target: &mut D, x: i64, y: i64, len: i64, shade: (u8, u8)) -> Result<(), D::Error> {
        let start = Point::new(x as i32, y as i32);
        let (line, halo) = shade;
        if line < 255 && halo > 0 {
            target.cover(start, len as u32, Rgb888::BLACK, halo)?;
        }
        if line > 0 {
            target.cover(start, len as u32, self.colour, line)?;
        }
        Ok(())
    }
}

/// Two fifths of the way to white, so that the line stands out from a mask of the same colour.
fn lighter(colour: Rgb888) -> Rgb888 {
    let [r, g, b] = [colour.r(), colour.g(), colour.b()].map(|value| value + (255 - value) / 5 * 2);
    Rgb888::new(r, g, b)
}

/// The rows within reach of one row, walked together from left to right.
struct Window<I> {
    rows: [Option<Row<I>>; 2 * MAX_REACH as usize + 1],
    y: i64,
    width: i64,
    reach: i64,
}

impl<I: Iterator<Item = Span> + Clone> Window<I> {
    fn new(mut spans: I, y: i64, reach: i64, width: i64, height: i64) -> Self {
        let mut rows = [const { None }; 2 * MAX_REACH as usize + 1];
        for (slot, dy) in rows.iter_mut().zip(-reach..=reach) {
            while spans.clone().next().is_some_and(|span| i64::from(span.y) < y + dy) {
                spans.next();
            }
            if (0..height).contains(&(y + dy)) {
                *slot = Some(Row::new(spans.clone(), y + dy, dy * dy, width));
            }
        }
        Window { rows, y, width, reach }
    }

    fn draw_row<D: Blend>(mut self, target: &mut D, pen: &Pen) -> Result<(), D::Error> {
        // Neighbours of one shade are drawn at once: full lines are long.
        let (mut start, mut shade) = (0, (0, 0));
        let mut x = 0;
        while x < self.width {
            let (squared, step) = self.nearest(x);
            let next = squared.map_or((0, 0), |squared| pen.shade(squared));
            if next != shade {
                pen.draw(target, start, self.y, x - start, shade)?;
                (start, shade) = (x, next);
            }
            x += step;
        }
        pen.draw(target, start, self.y, self.width - start, shade)
    }

    /// Whether pixel (x, y) is inside and shares a side with one that is not.
    fn is_edge(&mut self, x: i64) -> bool {
        let middle = self.rows[self.reach as usize].as_mut().map(|row| row.at(x));
        middle.is_some_and(|(inside, _)| inside) && self.nearest(x).0.is_some_and(|squared| squared <= 1)
    }

    /// Squared distance from (x, y) to the nearest pixel of the other sort, if it is within reach, and how far to go to
    /// the next pixel for which this can be so.
    fn nearest(&mut self, x: i64) -> (Option<i64>, i64) {
        let inside = self.rows[self.reach as usize].as_mut().is_some_and(|row| row.at(x).0);
        let (mut squared, mut gap) = (i64::MAX, i64::MAX);
        for row in self.rows.iter_mut().flatten() {
            let (same, distance) = row.at(x);
            let distance = if same == inside { distance } else { 0 };
            gap = gap.min(distance);
            if distance <= self.reach {
                squared = squared.min(distance * distance + row.dy_squared);
            }
        }
        let step = gap.saturating_sub(self.reach).max(1);
        ((squared <= self.reach * self.reach).then_some(squared), step)
    }
}

/// One row of the mask, read from left to right.
struct Row<I> {
    spans: I,
    y: i64,
    dy_squared: i64,
    width: i64,
    /// End of the span before, or of the one before that which ended at its start.
    before: Option<i64>,
    /// The span that contains the pixel asked for or follows it, as first column and first column after.
    span: Option<(i64, i64)>,
}

impl<I: Iterator<Item = Span> + Clone> Row<I> {
    fn new(spans: I, y: i64, dy_squared: i64, width: i64) -> Self {
        let mut row = Row { spans, y, dy_squared, width, before: None, span: None };
        row.span = row.take();
        row
    }

    /// The next span of the row, with those that continue it.
    fn take(&mut self) -> Option<(i64, i64)> {
        let mut here: Option<(i64, i64)> = None;
        while let Some(span) = self.spans.clone().next().filter(|span| i64::from(span.y) == self.y) {
            let (start, end) = (i64::from(span.x), i64::from(span.end()).min(self.width));
            match here {
                Some((_, open)) if start > open => break,
                Some((from, open)) => here = Some((from, open.max(end))),
                None if start < end => here = Some((start, end)),
                None => {}
            }
            self.spans.next();
        }
        here
    }

    /// Whether column `x` is inside, and how far in this row it is to the nearest column that is not of its sort
    /// (`i64::MAX` if there is none in the picture). Columns must be asked for in rising order.
    fn at(&mut self, x: i64) -> (bool, i64) {
        while let Some((_, end)) = self.span.filter(|&(_, end)| end <= x) {
            self.before = Some(end);
            self.span = self.take();
        }
        match self.span {
            Some((start, end)) if start <= x => {
                let left = if start > 0 { x - start + 1 } else { i64::MAX };
                let right = if end < self.width { end - x } else { i64::MAX };
                (true, left.min(right))
            }
            next => {
                let left = self.before.map_or(i64::MAX, |end| x - end + 1);
                (false, left.min(next.map_or(i64::MAX, |(start, _)| start - x)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{Dithered, RgbCanvas};
    use embedded_graphics::mock_display::MockDisplay;
    use embedded_graphics::pixelcolor::BinaryColor;

    fn spans(width: usize, inside: &[bool]) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (i, _) in inside.iter().enumerate().filter(|(_, inside)| **inside) {
            let (y, x) = ((i / width) as u32, (i % width) as u32);
            match spans.last_mut() {
                Some(last) if last.y == y && last.end() == x => last.len += 1,
                _ => spans.push(Span { y, x, len: 1 }),
            }
        }
        spans
    }

    fn pattern(rows: &[&str]) -> Vec<Span> {
        let inside: Vec<bool> = rows.iter().flat_map(|row| row.bytes().map(|byte| byte == b'#')).collect();
        spans(rows[0].len(), &inside)
    }

    fn outlined(rows: &[&str]) -> MockDisplay<BinaryColor> {
        let mut display = MockDisplay::new();
        display.set_allow_overdraw(true);
        let mask = pattern(rows);
        let scale = Scale::of(Size::new(64, 64));
        draw_contour(&mut Dithered(&mut display), mask.into_iter(), Rgb888::WHITE, scale).unwrap();
        display
    }

    #[test]
    fn the_thinnest_line_takes_the_pixels_on_both_sides_of_the_edge() {
        // The halo, shown by dots, is seen at corners only.
        outlined(&["        ", "  ##### ", "  ##### ", "  ##### ", "  ##### ", "  ##### "])
            .assert_pattern(&[" .#####.", " #######", " ##   ##", " ##   ##", " ##   ##", " #######", " .#####."]);
    }

    #[test]
    fn an_outline_is_one_pixel_wide_and_inside() {
        let mut display = MockDisplay::new();
        let mask = pattern(&["#####   ", "#####  #", "## ##   ", "#####   ", "        "]);
        draw_outline(&mut Dithered(&mut display), mask.into_iter(), Rgb888::WHITE).unwrap();
        let _: &MockDisplay<BinaryColor> = &display;
        // At the upper and the left edge of the picture there is none.
        display.assert_pattern(&["    #   ", "  # #  #", " # ##   ", "#####   "]);
    }

    #[test]
    fn a_hole_has_an_outline_and_the_edge_of_the_picture_has_none() {
        outlined(&["########", "########", "###  ###", "########"]).assert_pattern(&[
            "       ##",
            "  .##. ##",
            "  #### ##",
            "#########",
            "########.",
        ]);
    }

    /// The definition, by brute force: the nearest pixel of the other sort decides.
    fn expected(width: i64, inside: &[bool], scale: Scale, colour: u8) -> Vec<f64> {
        let half_line = f64::from(scale.line_q4()) / 32.0;
        let half_halo = half_line + f64::from(scale.halo_q4()) / 16.0;
        let at = |i: usize| (i as i64 % width, i as i64 / width);
        let nearest = |i: usize| {
            let others = (0..inside.len()).filter(|&other| inside[other] != inside[i]);
            let squared = others.map(|other| (at(i).0 - at(other).0).pow(2) + (at(i).1 - at(other).1).pow(2));
            squared.min().map_or(f64::INFINITY, |squared| (squared as f64).sqrt())
        };
        let distances = (0..inside.len()).map(nearest);
        let cover = |half: f64, distance: f64| (half + 0.5 - (distance - 0.5)).clamp(0.0, 1.0);
        distances
            .map(|distance| {
                let ground = 200.0 * (1.0 - cover(half_halo, distance) * f64::from(HALO) / 255.0);
                ground + (f64::from(colour) - ground) * cover(half_line, distance)
            })
            .collect()
    }

    #[test]
    fn shades_are_those_of_the_exact_distance_to_the_edge() {
        let (width, height) = (61_usize, 47_usize);
        let mut seed = 7_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(seed >> 8) / f64::from(1 << 24)
        };
        for long_side in [100, 1000, 2000, 4000] {
            let scale = Scale::of(Size::new(long_side, 10));
            let discs: Vec<[f64; 3]> = (0..6).map(|_| [random() * 61.0, random() * 47.0, random() * 12.0]).collect();
            let mut inside: Vec<bool> = (0..width * height)
                .map(|i| discs.iter().any(|[x, y, r]| ((i % 61) as f64 - x).hypot((i / 61) as f64 - y) < *r))
                .collect();
            // Specks, holes and a wire.
            for _ in 0..12 {
                let i = (random() * (width * height) as f64) as usize;
                inside[i] = !inside[i];
            }
            (0..width).for_each(|x| inside[30 * width + x] = true);
            let mut bytes = vec![200; width * height * 3];
            let mut canvas = RgbCanvas::new(&mut bytes, Size::new(61, 47)).unwrap();
            draw_contour(&mut canvas, spans(width, &inside).into_iter(), Rgb888::new(255, 0, 100), scale).unwrap();
            let green = expected(61, &inside, scale, 102); // 0 and two fifths of 255
            for (i, pixel) in bytes.chunks(3).enumerate() {
                let found = f64::from(pixel[1]);
                assert!((found - green[i]).abs() < 10.0, "{long_side}: pixel {i} is {found}, not {}", green[i]);
            }
            let mean = bytes.chunks(3).zip(&green).map(|(pixel, green)| f64::from(pixel[1]) - green).sum::<f64>();
            assert!((mean / green.len() as f64).abs() < 0.5, "{long_side}: {mean}");
        }
    }

    #[test]
    fn no_span_and_spans_beyond_the_picture_draw_nothing() {
        let scale = Scale::of(Size::new(10, 10));
        let far =
            [Span { y: 2, x: 30, len: 4 }, Span { y: 40, x: 0, len: 4 }, Span { y: u32::MAX, x: u32::MAX, len: 9 }];
        for mask in [&far[..], &[]] {
            let mut bytes = [50; 300];
            let mut canvas = RgbCanvas::new(&mut bytes, Size::new(10, 10)).unwrap();
            draw_contour(&mut canvas, mask.iter().copied(), Rgb888::WHITE, scale).unwrap();
            assert!(bytes.iter().all(|&value| value == 50));
        }
    }

    #[test]
    fn spans_that_touch_are_one() {
        let scale = Scale::of(Size::new(10, 10));
        let draw = |mask: &[Span]| {
            let mut bytes = vec![50; 300];
            let mut canvas = RgbCanvas::new(&mut bytes, Size::new(10, 10)).unwrap();
            draw_contour(&mut canvas, mask.iter().copied(), Rgb888::WHITE, scale).unwrap();
            bytes
        };
        let whole = [Span { y: 4, x: 2, len: 6 }];
        let parts = [Span { y: 4, x: 2, len: 3 }, Span { y: 4, x: 5, len: 3 }];
        assert_eq!(draw(&whole), draw(&parts));
    }
}

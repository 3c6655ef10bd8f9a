//! Scenes on displays whose pixels are lit or not.
//!
//! No picture is shown: dithered to one bit in so few pixels it would hide the answer. What is seen is the frame's border,
//! the mask as an outline with a hatching, marks with a gap around them, and the numbers: beside the frame where its
//! shape leaves room for them, so that it need not shrink, else in one line below.

use cutout_runtime::{Mask, PointLabel, Tracked};
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_4X6, FONT_5X8, FONT_6X10};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{BinaryColor, Rgb888};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};

use super::fit::Fit;
use super::spans::SpanScaler;
use super::{Object, Scene, Track};
use crate::overlay::{Dithered, Span, Status, draw_outline};

/// Fewest columns beside the frame, and rows below it, that numbers are put into one below the other.
const COLUMN: Size = Size::new(26, 17);
/// Rows of a line below the frame.
const LINE: u32 = 9;

/// Paints scenes in one colour; keeps its buffers.
#[derive(Debug, Default)]
pub struct MonoPainter {
    scaler: SpanScaler,
    spans: Vec<Span>,
}

impl MonoPainter {
    /// Draws the scene in place of what `target` shows.
    ///
    /// # Errors
    /// Those of the target.
    pub fn paint<D: DrawTarget<Color = BinaryColor>>(
        &mut self,
        target: &mut D,
        scene: &Scene<'_>,
    ) -> Result<(), D::Error> {
        target.clear(BinaryColor::Off)?;
        let (fit, room) = arrange(scene, target.bounding_box().size);
        border(&mut target.clipped(&fit.area), fit.area)?;
        let mut part = target.cropped(&fit.area);
        for (index, object) in scene.objects.iter().enumerate() {
            if let Some(mask) = object.mask {
                self.object(&mut part, mask, index, fit.area.size)?;
            }
        }
        scene.objects.iter().try_for_each(|object| tracked(&mut part, object, &fit))?;
        if let Some(prompt) = scene.prompt {
            if let Some(bbox) = prompt.bbox {
                dashed(&mut part, fit.bbox(bbox))?;
            }
            for &(point, label) in &prompt.points {
                mark(&mut part, fit.point(point), label)?;
            }
        }
        match (&scene.status, room) {
            (Some(status), Room::Column(area)) => column(&mut target.cropped(&area), status),
            (Some(status), Room::Line(area)) => line(&mut target.cropped(&area), status),
            (None, _) => Ok(()),
        }
    }

    fn object<D: DrawTarget<Color = BinaryColor>>(
        &mut self,
        target: &mut D,
        mask: &Mask,
        index: usize,
        size: Size,
    ) -> Result<(), D::Error> {
        self.scaler.scale(mask, size, &mut self.spans);
        let lit = |x: u32, y: u32| match index % 3 {
            0 => (x + y).is_multiple_of(4),
            1 => (x + 3 * y).is_multiple_of(4),
            _ => x.is_multiple_of(2) && y.is_multiple_of(3),
        };
        for span in &self.spans {
            let lit = (span.x..span.x + span.len).filter(|&x| lit(x, span.y));
            target.draw_iter(lit.map(|x| pixel(x as i32, span.y as i32, BinaryColor::On)))?;
        }
        draw_outline(&mut Dithered(target), self.spans.iter().copied(), Rgb888::WHITE)
    }
}

/// Where text goes.
enum Room {
    /// Facts one below the other.
    Column(Rectangle),
    /// One line.
    Line(Rectangle),
}

/// Where the frame and the text go.
fn arrange(scene: &Scene<'_>, display: Size) -> (Fit, Room) {
    let none = Rectangle::zero();
    if scene.status.is_none() {
        return (Fit::new(scene.frame, display, 0), Room::Line(none));
    }
    let whole = Fit::new(scene.frame, display, 0).area.size;
    let (right, below) = (display.width - whole.width, display.height - whole.height);
    if right >= COLUMN.width {
        let area = Rectangle::new(Point::new(whole.width as i32 + 2, 0), Size::new(right - 2, display.height));
        return (Fit::new(scene.frame, whole, 0), Room::Column(area));
    }
    if below >= COLUMN.height {
        let area = Rectangle::new(Point::new(0, whole.height as i32 + 2), Size::new(display.width, below - 2));
        return (Fit::new(scene.frame, whole, 0), Room::Column(area));
    }
    let above = Size::new(display.width, display.height.saturating_sub(LINE).max(1));
    let line = Rectangle::new(Point::new(0, above.height as i32), Size::new(display.width, LINE));
    (Fit::new(scene.frame, above, 0), Room::Line(line))
}

fn pixel(x: i32, y: i32, colour: BinaryColor) -> Pixel<BinaryColor> {
    Pixel(Point::new(x, y), colour)
}

/// The pixels of a rectangle's edge, clockwise, with their numbers.
fn edge(area: Rectangle) -> impl Iterator<Item = (i32, Point)> {
    let (from, to) = (area.top_left, area.bottom_right().unwrap_or(area.top_left));
    let top = (from.x..to.x).map(move |x| Point::new(x, from.y));
    let right = (from.y..to.y).map(move |y| Point::new(to.x, y));
    let bottom = (from.x + 1..=to.x).rev().map(move |x| Point::new(x, to.y));
    let left = (from.y + 1..=to.y).rev().map(move |y| Point::new(from.x, y));
    (0..).zip(top.chain(right).chain(bottom).chain(left))
}

/// The frame's border: every fourth pixel.
fn border<D: DrawTarget<Color = BinaryColor>>(target: &mut D, area: Rectangle) -> Result<(), D::Error> {
    let lit = edge(area).filter(|(_, at)| (at.x - area.top_left.x + at.y - area.top_left.y) % 4 == 0);
    target.draw_iter(lit.map(|(_, at)| Pixel(at, BinaryColor::On)))
}

/// A box that was asked for: dashes, two pixels outside of it so that they do not run into the outline.
fn dashed<D: DrawTarget<Color = BinaryColor>>(target: &mut D, area: Rectangle) -> Result<(), D::Error> {
    let visible = area.offset(2).intersection(&target.bounding_box());
    let lit = edge(visible).filter(|(number, _)| number % 6 < 3);
    target.draw_iter(lit.map(|(_, at)| Pixel(at, BinaryColor::On)))
}

/// A plus for what belongs to the object, a minus for what does not, with a gap around it.
fn mark<D: DrawTarget<Color = BinaryColor>>(target: &mut D, at: Point, label: PointLabel) -> Result<(), D::Error> {
    // Far beyond any display, where sums stay within `i32`.
    let at = Point::new(at.x.clamp(-9999, 99999), at.y.clamp(-9999, 99999));
    let minus = label == PointLabel::Background;
    let shape = (-3..=3).flat_map(|dy: i32| (-3..=3).map(move |dx: i32| (dx, dy)));
    let arm = move |a: i32, b: i32| a.abs() <= 2 && b == 0;
    target.draw_iter(shape.filter(|(dx, dy)| dx.abs() + dy.abs() < 6).map(|(dx, dy)| {
        let lit = arm(dx, dy) || (!minus && arm(dy, dx));
        pixel(at.x + dx, at.y + dy, lit.into())
    }))
}

/// Where an object was, and the corners of the box around it: whole if it is found, dotted if not.
fn tracked<D: DrawTarget<Color = BinaryColor>>(target: &mut D, object: &Object<'_>, fit: &Fit) -> Result<(), D::Error> {
    let Some(Track { state, bbox, trail }) = object.track else { return Ok(()) };
    target.draw_iter(trail.iter().map(|&point| Pixel(fit.point(point), BinaryColor::On)))?;
    let area = fit.bbox(bbox).offset(1);
    let (from, Some(to)) = (area.top_left, area.bottom_right()) else { return Ok(()) };
    let arm = (area.size.width.min(area.size.height) / 3).clamp(2, 6) as i32;
    let near = move |at: Point| (at.x - from.x).min(to.x - at.x) < arm && (at.y - from.y).min(to.y - at.y) < arm;
    let visible = area.intersection(&target.bounding_box());
    let shown = edge(visible).filter(|&(_, at)| near(at) && (state == Tracked::Found || (at.x + at.y) % 2 == 0));
    target.draw_iter(shown.map(|(_, at)| Pixel(at, BinaryColor::On)))
}

/// What a status says, shortest first in importance: a name and a value.
fn facts(status: &Status<'_>) -> Vec<(&'static str, String)> {
    let time = |ms: f32| match ms {
        ..999.5 => format!("{ms:.0} ms"),
        ..59_950.0 => format!("{:.1} s", ms / 1e3),
        _ => format!("{:.0} min", ms / 6e4),
    };
    let mut facts = Vec::new();
    if let Some(iou) = status.predicted_iou {
        facts.push(("IoU", format!("{iou:.2}")));
    }
    facts.push(("took", time(status.elapsed_ms)));
    if let Some(frame) = status.frame {
        facts.push(("age", time(frame.age_ms as f32)));
        facts.push(("frame", frame.id.to_string()));
    }
    facts
}

/// Facts one below the other: a small name and its value under it, or both in a row where there is the width.
fn column<D: DrawTarget<Color = BinaryColor>>(target: &mut D, status: &Status<'_>) -> Result<(), D::Error> {
    let Size { width, height } = target.bounding_box().size;
    let mut y = 1;
    if !status.note.is_empty() {
        // Inverse, to be seen first.
        target.fill_solid(&Rectangle::new(Point::zero(), Size::new(width, 9)), BinaryColor::On)?;
        let fits = status.note.chars().count() as u32 * 5 < width;
        let (font, top) = if fits { (&FONT_5X8, 1) } else { (&FONT_4X6, 2) };
        write(target, status.note, Point::new(1, top), font, BinaryColor::Off)?;
        y = 11;
    }
    let wide = width >= 60;
    let step = if wide { 9 } else { 17 };
    for (name, value) in facts(status) {
        if y + step - 1 > height as i32 {
            break;
        }
        if wide {
            write(target, name, Point::new(1, y), &FONT_5X8, BinaryColor::On)?;
            write(target, &value, Point::new(30, y), &FONT_5X8, BinaryColor::On)?;
        } else {
            write(target, name, Point::new(1, y), &FONT_4X6, BinaryColor::On)?;
            let fits = value.len() as u32 * 6 <= width;
            write(target, &value, Point::new(0, y + 6), if fits { &FONT_6X10 } else { &FONT_5X8 }, BinaryColor::On)?;
        }
        y += step;
    }
    Ok(())
}

/// As much of a status as one line holds.
fn line<D: DrawTarget<Color = BinaryColor>>(target: &mut D, status: &Status<'_>) -> Result<(), D::Error> {
    let width = target.bounding_box().size.width;
    let text = status.within(width / 5).to_string();
    write(target, &text, Point::new(0, 1), &FONT_5X8, BinaryColor::On)
}

fn write<D: DrawTarget<Color = BinaryColor>>(
    target: &mut D,
    text: &str,
    at: Point,
    font: &MonoFont<'_>,
    colour: BinaryColor,
) -> Result<(), D::Error> {
    Text::with_baseline(text, at, MonoTextStyle::new(font, colour), Baseline::Top).draw(target).map(drop)
}

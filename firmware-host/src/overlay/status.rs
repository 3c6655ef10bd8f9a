//! A line of text about what was done.

use core::fmt::{self, Display, Write};

use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_8X13, FONT_9X15, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};

use super::{Blend, Scale};

const FONTS: [&MonoFont<'static>; 4] = [&FONT_10X20, &FONT_9X15, &FONT_8X13, &FONT_6X10];
/// Strength of the bar under the text, of 255.
const BAR: u8 = 165;

/// What one answer is, as a line: `cutout-s · IoU 0.94 · 83 ms · frame 12, 40 ms old · without contour`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status<'a> {
    /// What must be seen before all else, as `lost`; nothing where it is empty.
    pub note: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The model's own estimate of the mask's IoU, where there is a mask.
    pub predicted_iou: Option<f32>,
    /// Milliseconds from prompt to mask.
    pub elapsed_ms: f32,
    /// The camera frame that the answer is about.
    pub frame: Option<FrameAge>,
    /// Names of what was wanted and left out, for a budget of bytes or time.
    pub cut: &'a [&'a str],
}

/// Which camera frame an answer is about, and how old it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameAge {
    /// The frame's id.
    pub id: u32,
    /// Milliseconds since it was taken.
    pub age_ms: u32,
}

impl Display for FrameAge {
    /// The age alone, in a unit that keeps it short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.age_ms {
            ms @ 0..1_000 => write!(f, "{ms} ms old"),
            ms @ 1_000..60_000 => write!(f, "{}.{} s old", ms / 1_000, ms / 100 % 10),
            ms => write!(f, "{} min old", ms / 60_000),
        }
    }
}

impl<'a> Status<'a> {
    /// A status of a model and a time alone.
    pub const fn new(model: &'a str, elapsed_ms: f32) -> Self {
        Status { note: "", model, predicted_iou: None, elapsed_ms, frame: None, cut: &[] }
    }

    /// The line with as much of it as `letters` hold: first the names go, then words, at last the numbers.
    pub fn within(&self, letters: u32) -> impl Display + '_ {
        (0..Self::SHORTEST)
            .map(|form| Shortened { status: self, form })
            .find(|line| count(line) <= letters)
            .unwrap_or(Shortened { status: self, form: Self::SHORTEST })
    }

    const SHORTEST: u8 = 6;
}

impl Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shortened { status: self, form: 0 }.fmt(f)
    }
}

/// A status without what the forms up to this one leave out.
struct Shortened<'a> {
    status: &'a Status<'a>,
    form: u8,
}

impl Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortened { status: Status { note, model, predicted_iou, elapsed_ms, frame, cut }, form } = *self;
        let mut gap = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            write!(f, "{}{text}", core::mem::replace(&mut gap, " \u{b7} "))
        };
        if !note.is_empty() {
            part(f, format_args!("{note}"))?;
        }
        if form < 1 {
            part(f, format_args!("{model}"))?;
        }
        match predicted_iou {
            Some(iou) if form < 6 => part(f, format_args!("IoU {iou:.2}"))?,
            Some(iou) => part(f, format_args!("{iou:.2}"))?,
            None => {}
        }
        part(f, format_args!("{elapsed_ms:.0} ms"))?;
        match frame {
            Some(frame) if form < 2 => part(f, format_args!("frame {}, {frame}", frame.id))?,
            Some(frame) if form < 4 => part(f, format_args!("{frame}"))?,
            _ => {}
        }
        if let Some((first, rest)) = cut.split_first() {
            match form {
                0..3 => {
                    part(f, format_args!("without {first}"))?;
                    rest.iter().try_for_each(|name| write!(f, ", {name}"))?;
                }
                3..5 => part(f, format_args!("cut"))?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Letters of a text.
fn count(text: &impl Display) -> u32 {
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = write!(count, "{text}");
    count.0
}

/// Letters that a line along the lower edge of a target of this width holds, in the letters that fit its scale best.
pub fn letters_within(width: u32, scale: Scale) -> u32 {
    let letters = Letters::fitting(width, 0, scale);
    width.saturating_sub(letters.beside()) / letters.size().width.max(1)
}

/// Writes `text` (Latin-1, one line) on a dark bar along the lower edge, after a small square of `colour`. The letters
/// fit the picture; where the line is too long for them they are smaller, and what the smallest cannot hold is cut.
pub fn draw_status<D: Blend>(
    target: &mut D,
    text: &impl Display,
    colour: Rgb888,
    scale: Scale,
) -> Result<(), D::Error> {
    let area = target.bounding_box();
    let letters = Letters::fitting(area.size.width, count(text), scale);
    let (pad, bar) = (letters.pad(), letters.bar());
    let top = area.top_left.y + area.size.height as i32 - bar as i32;
    for y in 0..bar {
        target.cover(Point::new(area.top_left.x, top + y as i32), area.size.width, Rgb888::BLACK, BAR)?;
    }
    let chip = letters.chip();
    let at = Point::new(area.top_left.x + 2 * pad as i32, top + (bar - chip) as i32 / 2);
    target.fill_solid(&Rectangle::new(at, Size::new_equal(chip)), colour.into())?;
    let at = Point::new(at.x + (chip + 2 * pad) as i32, top + pad as i32);
    let mut pen = Pen { target, letters, at, error: None };
    match write!(pen, "{text}") {
        Err(_) if pen.error.is_some() => pen.error.map_or(Ok(()), Err),
        _ => Ok(()),
    }
}

/// Height of the bar under a line of text that is not too long for the letters that fit the scale best.
pub fn bar_height(width: u32, scale: Scale) -> u32 {
    Letters::fitting(width, 0, scale).bar()
}

/// A font, each of its pixels drawn as a square of `factor` pixels.
#[derive(Clone, Copy)]
struct Letters {
    font: &'static MonoFont<'static>,
    factor: u32,
}

impl Letters {
    /// The largest letters, not above the scale's, in which a line of `count` fits `width`; else the smallest.
    fn fitting(width: u32, count: u32, scale: Scale) -> Self {
        let largest = scale.text_px() / FONTS[3].character_size.height;
        let sizes = (1..=largest).rev().flat_map(|factor| FONTS.map(|font| Letters { font, factor }));
        let small_enough = |letters: &Letters| {
            let Size { width: letter, height } = letters.size();
            let line = u64::from(letter) * u64::from(count) + u64::from(letters.beside());
            height <= scale.text_px() && line <= u64::from(width)
        };
        // Of letters equally high the last is taken: the finer font, less magnified.
        sizes
            .filter(small_enough)
            .max_by_key(|letters| letters.size().height)
            .unwrap_or(Letters { font: FONTS[3], factor: 1 })
    }

    fn size(&self) -> Size {
        self.font.character_size * self.factor
    }

    /// Room above and below the text.
    fn pad(&self) -> u32 {
        self.size().height / 4
    }

    /// Height of the bar.
    fn bar(&self) -> u32 {
        self.size().height + 2 * self.pad()
    }

    /// Pixels of a line that are no letters: the square before the text, and gaps.
    fn beside(&self) -> u32 {
        self.chip() + self.size().height * 3 / 2
    }

    /// Side of the square before the text.
    fn chip(&self) -> u32 {
        self.size().height * 5 / 8
    }
}

struct Count(u32);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.chars().count() as u32);
        Ok(())
    }
}

/// Draws text as it is formatted, so that no string need be kept.
struct Pen<'a, D: DrawTarget> {
    target: &'a mut D,
    letters: Letters,
    at: Point,
    error: Option<D::Error>,
}

impl<D: Blend> Write for Pen<'_, D> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Letters { font, factor } = self.letters;
        let mut magnified = Magnified { target: self.target, at: self.at, factor };
        let style = MonoTextStyle::new(font, Rgb888::WHITE.into());
        match Text::with_baseline(text, Point::zero(), style, Baseline::Top).draw(&mut magnified) {
            Ok(next) => {
                self.at.x += next.x * factor as i32;
                Ok(())
            }
            Err(error) => {
                self.error = Some(error);
                Err(fmt::Error)
            }
        }
    }
}

/// Draws each pixel as a square with the first one's corner at `at`.
struct Magnified<'a, D> {
    target: &'a mut D,
    at: Point,
    factor: u32,
}

impl<D: DrawTarget> Dimensions for Magnified<'_, D> {
    fn bounding_box(&self) -> Rectangle {
        let area = self.target.bounding_box();
        Rectangle::new((area.top_left - self.at) / self.factor as i32, area.size / self.factor)
    }
}

impl<D: DrawTarget> DrawTarget for Magnified<'_, D> {
    type Color = D::Color;
    type Error = D::Error;

    fn draw_iter<I: IntoIterator<Item = Pixel<D::Color>>>(&mut self, pixels: I) -> Result<(), D::Error> {
        let size = Size::new_equal(self.factor);
        pixels.into_iter().try_for_each(|Pixel(point, colour)| {
            self.target.fill_solid(&Rectangle::new(self.at + point * self.factor as i32, size), colour)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{Dithered, RgbCanvas};
    use embedded_graphics::mock_display::MockDisplay;
    use embedded_graphics::pixelcolor::BinaryColor;

    const FULL: Status<'_> = Status {
        predicted_iou: Some(0.937),
        frame: Some(FrameAge { id: 12, age_ms: 40 }),
        cut: &["contour", "RLE"],
        ..Status::new("cutout-s", 82.6)
    };

    #[test]
    fn the_line_says_what_is_known_and_no_more() {
        assert_eq!(Status::new("cutout-s", 82.6).to_string(), "cutout-s \u{b7} 83 ms");
        let scored = Status { frame: None, cut: &[], ..FULL };
        assert_eq!(scored.to_string(), "cutout-s \u{b7} IoU 0.94 \u{b7} 83 ms");
        let all = "cutout-s \u{b7} IoU 0.94 \u{b7} 83 ms \u{b7} frame 12, 40 ms old \u{b7} without contour, RLE";
        assert_eq!(FULL.to_string(), all);
        let lost = Status { note: "lost", predicted_iou: None, ..Status::new("cutout-s", 1.0) };
        assert_eq!(lost.to_string(), "lost \u{b7} cutout-s \u{b7} 1 ms");
    }

    #[test]
    fn a_narrow_line_keeps_what_matters_most() {
        let within = |letters| FULL.within(letters).to_string().replace(" \u{b7} ", "|");
        assert_eq!(within(99), "cutout-s|IoU 0.94|83 ms|frame 12, 40 ms old|without contour, RLE");
        assert_eq!(within(70), "IoU 0.94|83 ms|frame 12, 40 ms old|without contour, RLE");
        assert_eq!(within(51), "IoU 0.94|83 ms|40 ms old|without contour, RLE");
        assert_eq!(within(40), "IoU 0.94|83 ms|40 ms old|cut");
        assert_eq!(within(30), "IoU 0.94|83 ms|cut");
        assert_eq!(within(18), "IoU 0.94|83 ms");
        assert_eq!(within(3), "0.94|83 ms");
        for letters in [12, 16, 22, 28, 34, 51, 62, 75] {
            assert!(FULL.within(letters).to_string().chars().count() <= letters as usize, "{letters}");
        }
    }

    #[test]
    fn ages_are_short() {
        let age = |age_ms| FrameAge { id: 1, age_ms }.to_string();
        let ages = [0, 999, 1_000, 59_999, 60_000, u32::MAX].map(age);
        assert_eq!(ages, ["0 ms old", "999 ms old", "1.0 s old", "59.9 s old", "1 min old", "71582 min old"]);
    }

    #[test]
    fn letters_grow_with_the_picture_and_shrink_to_hold_the_line() {
        let letters = |width, height, count| {
            let letters = Letters::fitting(width, count, Scale::of(Size::new(width, height)));
            (letters.font.character_size.height, letters.factor)
        };
        assert_eq!(letters(320, 240, 30), (10, 1));
        assert_eq!(letters(640, 480, 30), (13, 1));
        assert_eq!(letters(1024, 768, 30), (20, 1));
        assert_eq!(letters(1800, 1200, 30), (20, 2));
        assert_eq!(letters(4000, 3000, 30), (15, 6));
        // 90 letters in 640 pixels: 7 pixels each, so 6 x 10.
        assert_eq!(letters(640, 480, 90), (10, 1));
        assert_eq!(letters(640, 480, 9000), (10, 1));
        assert_eq!(letters(0, 0, 1), (10, 1));
    }

    #[test]
    fn chip_and_text_stand_on_a_bar_along_the_lower_edge() {
        let mut display = MockDisplay::<BinaryColor>::new();
        display.set_allow_overdraw(true);
        draw_status(&mut Dithered(&mut display), &"Hi", Rgb888::WHITE, Scale::of(Size::new(64, 64))).unwrap();
        let bar = ".".repeat(64);
        let row = |start: &str| format!("{start:.<64}");
        let mut expected = vec![" ".repeat(64); 50];
        expected.extend([&bar, &bar, &bar].map(String::clone));
        expected.extend(
            [
                "..............#...#...#",
                "....######....#...#....",
                "....######....#...#..##",
                "....######....#####...#",
                "....######....#...#...#",
                "....######....#...#...#",
                "....######....#...#..###",
            ]
            .map(row),
        );
        expected.extend([&bar, &bar, &bar, &bar].map(String::clone));
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        display.assert_pattern(&expected);
    }

    #[test]
    fn any_size_of_target_is_drawn_on_without_a_panic() {
        for (width, height) in [(0, 0), (1, 1), (3, 200), (200, 3), (64, 64)] {
            let mut bytes = vec![9; (width * height * 3) as usize];
            let size = Size::new(width, height);
            let mut canvas = RgbCanvas::new(&mut bytes, size).unwrap();
            draw_status(&mut canvas, &"a long line \u{20ac} of text\nand another", Rgb888::RED, Scale::of(size))
                .unwrap();
        }
    }
}

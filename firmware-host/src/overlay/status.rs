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

/// What one prediction did, as a line: `cutout-s · IoU 0.94 · 83 ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The model's own estimate of the mask's IoU, where there is a mask.
    pub predicted_iou: Option<f32>,
    /// Milliseconds from prompt to mask.
    pub elapsed_ms: f32,
}

impl Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.model)?;
        if let Some(iou) = self.predicted_iou {
            write!(f, " \u{b7} IoU {iou:.2}")?;
        }
        write!(f, " \u{b7} {:.0} ms", self.elapsed_ms)
    }
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
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = write!(count, "{text}");
    let letters = Letters::fitting(area.size.width, count.0, scale);
    let Size { height, .. } = letters.size();
    let pad = height / 4;
    let bar = height + 2 * pad;
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
            let line = u64::from(letter) * u64::from(count) + u64::from(letters.chip() + height * 3 / 2);
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

    #[test]
    fn the_line_says_model_score_and_time() {
        let status = Status { model: "cutout-s", predicted_iou: Some(0.937), elapsed_ms: 82.6 };
        assert_eq!(status.to_string(), "cutout-s \u{b7} IoU 0.94 \u{b7} 83 ms");
        assert_eq!(Status { predicted_iou: None, ..status }.to_string(), "cutout-s \u{b7} 83 ms");
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

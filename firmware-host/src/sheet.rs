//! The picture of `cutout quantize report`: masks beside each other and beside the truth, and the error of each layer.

mod case;
mod layers;

use std::convert::Infallible;
use std::path::Path;

use anyhow::{Context, Result};
use cutout_quantize::eval::Case;
use cutout_quantize::search::LayerError;
use cutout_runtime::Size as PictureSize;
use embedded_graphics::mono_font::ascii::FONT_6X10;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::Text;
use image::RgbImage;

use crate::output::write_rgb_png;
use crate::overlay::{RgbCanvas, palette};

/// Rows of cases.
const ROWS: usize = 6;
/// Space between things.
const GAP: u32 = 8;
/// Height of a line of text.
const LINE: u32 = 14;
/// Height of a row of cases, with its text.
const ROW: u32 = case::CELL.1 + 2 * LINE + GAP;
/// Width of the picture.
const WIDTH: u32 = 4 * (case::CELL.0 + GAP) + GAP;
const FONT: MonoFont<'_> = FONT_6X10;
const INK: Rgb888 = Rgb888::new(0x20, 0x20, 0x20);
const PAPER: u8 = 0xff;
/// Colours of the truth, of the mask in f32 and of that in fewer bits.
const TRUTH: Rgb888 = palette(5);
const FIRST: Rgb888 = palette(0);
const OWN: Rgb888 = palette(1);

/// Draws cases, the worst first, and the error by layer, if it is known, to a PNG file. `precision` is that of the model that the cases are of.
///
/// # Errors
/// Where an image cannot be read again, or the file cannot be written.
pub(crate) fn draw(path: &Path, precision: &str, worst: &[Case], layers: &[LayerError]) -> Result<()> {
    let cases = &worst[..worst.len().min(ROWS)];
    let head = LINE + GAP;
    let plot = layers::height(layers.len());
    let height = head + cases.len() as u32 * ROW + plot;
    let mut pixels = vec![PAPER; (3 * WIDTH * height) as usize];
    for (row, case) in cases.iter().enumerate() {
        let top = head + row as u32 * ROW + 2 * LINE;
        for (column, cell) in case::cells(case)?.iter().enumerate() {
            place(&mut pixels, cell, (column_left(column), top));
        }
    }
    let mut canvas = RgbCanvas::new(&mut pixels, Size::new(WIDTH, height)).context("the picture is too large")?;
    // Drawing to memory cannot fail: the canvas's error has no values.
    let Ok(()) = captions(&mut canvas, precision, cases, head);
    if !layers.is_empty() {
        let Ok(()) = layers::draw(&mut canvas, precision, layers, height - plot);
    }
    write_rgb_png(path, PictureSize::new(WIDTH as usize, height as usize), &pixels)?;
    Ok(())
}

fn column_left(column: usize) -> u32 {
    GAP + column as u32 * (case::CELL.0 + GAP)
}

fn place(pixels: &mut [u8], cell: &RgbImage, (left, top): (u32, u32)) {
    for (row, line) in cell.as_raw().chunks(3 * cell.width() as usize).enumerate() {
        let start = 3 * ((top as usize + row) * WIDTH as usize + left as usize);
        pixels[start..start + line.len()].copy_from_slice(line);
    }
}

/// Writes a line of text, its letters' feet at `y`, and cuts it where it would be wider than `room`.
fn text(canvas: &mut RgbCanvas<'_>, line: &str, (x, y): (u32, u32), room: u32) -> Result<(), Infallible> {
    let letters = (room / (FONT.character_size.width + FONT.character_spacing)) as usize;
    let line: String = line.chars().take(letters).collect();
    let at = Point::new(x as i32, y as i32);
    Text::new(&line, at, MonoTextStyle::new(&FONT, INK)).draw(canvas).map(drop)
}

fn captions(canvas: &mut RgbCanvas<'_>, precision: &str, cases: &[Case], head: u32) -> Result<(), Infallible> {
    let title =
        format!("Where {precision} and f32 agree least. The numbers are intersection over union (IoU), 1 is the same.");
    text(canvas, &title, (GAP, LINE), WIDTH - 2 * GAP)?;
    for (row, case) in cases.iter().enumerate() {
        let y = head + row as u32 * ROW + LINE - 3;
        let room = case::CELL.0;
        text(canvas, &short_name(&case.image), (GAP, y), 2 * room)?;
        let lines = [
            format!("asked by the {}; yellow: the truth", if case.by_box { "box" } else { "point" }),
            format!("f32: {:.3} with the truth", case.first),
            format!("{precision}: {:.3} with the truth", case.own),
            format!("with each other {:.3}; blue: f32 only", case.agreement),
        ];
        for (column, line) in lines.iter().enumerate() {
            text(canvas, line, (column_left(column), y + LINE), room)?;
        }
        let more = format!("orange: {precision} only");
        text(canvas, &more, (column_left(3), y), room)?;
    }
    Ok(())
}

/// The last parts of a path: source, folder and file.
fn short_name(path: &Path) -> String {
    let parts: Vec<_> = path.components().rev().take(3).map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use cutout_runtime::{BBox, CocoRle, Mask, Prompt};

    use super::*;

    /// A small object in a large picture.
    #[test]
    fn cases_are_drawn_beside_each_other_and_large() {
        let folder = tempfile::tempdir().unwrap();
        let (photo, sheet) = (folder.path().join("a.png"), folder.path().join("sheet.png"));
        let size = PictureSize::new(400, 300);
        write_rgb_png(&photo, size, &[90; 3 * 400 * 300]).unwrap();
        let mask = |on: std::ops::Range<usize>| {
            let bits: Vec<bool> =
                (0..size.pixels()).map(|i| on.contains(&(i % 400)) && (200..210).contains(&(i / 400))).collect();
            CocoRle::encode(&Mask::from_bools(size, &bits).unwrap())
        };
        let case = Case {
            image: photo,
            form: 1,
            by_box: true,
            agreement: 0.5,
            first: 0.9,
            own: 0.4,
            prompt: Prompt::new().with_box(BBox { x0: 300.0, y0: 200.0, x1: 320.0, y1: 210.0 }),
            truth: mask(300..320),
            first_mask: mask(300..318),
            own_mask: mask(305..330),
        };
        draw(&sheet, "int8", &[case], &[]).unwrap();
        let drawn = image::open(&sheet).unwrap().into_rgb8();
        assert_eq!((drawn.width(), drawn.height()), (WIDTH, LINE + GAP + ROW));
        let top = LINE + GAP + 2 * LINE;
        let coloured = |column: usize| {
            let left = column_left(column);
            let inside = (left..left + case::CELL.0).flat_map(|x| (top..top + case::CELL.1).map(move |y| (x, y)));
            inside
                .filter(|(x, y)| {
                    drawn.get_pixel(*x, *y).0.iter().any(|c| c.abs_diff(drawn.get_pixel(*x, *y).0[0]) > 40)
                })
                .count()
        };
        // Each mask is a twentieth of its cell at least, where it is a thousandth of the photo.
        for column in 0..4 {
            let share = coloured(column) as f64 / f64::from(case::CELL.0 * case::CELL.1);
            assert!(share > 0.05, "column {column}: {share}");
        }
    }

    #[test]
    fn names_keep_their_last_parts() {
        assert_eq!(short_name(Path::new("/data/seg/tools/images/a.jpg")), "tools/images/a.jpg");
        assert_eq!(short_name(Path::new("a.jpg")), "a.jpg");
    }
}

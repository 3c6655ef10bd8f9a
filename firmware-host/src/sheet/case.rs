//! An object about which two forms of a model differ, seen close: what was asked with the truth, both answers, and where these differ.

use anyhow::{Context, Result};
use cutout_quantize::eval::Case;
use cutout_runtime::{Mask, PointLabel, Prompt, Size as PictureSize};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::{FIRST, OWN, TRUTH};
use crate::overlay::{PointKind, RgbCanvas, Scale, Span, draw_box, draw_contour, draw_mask, draw_point};
use crate::photo::Photo;

/// Size of each picture.
pub(super) const CELL: (u32, u32) = (304, 228);
/// Least sides of what is shown, in pixels of the photo.
const LEAST: (f64, f64) = (48.0, 36.0);
/// What is shown is so many times what the masks and the prompt cover.
const ROOM: f64 = 1.4;
/// What lies beside the photo.
const BESIDE: Rgb<u8> = Rgb([0xe8; 3]);

/// The pictures of a case.
///
/// # Errors
/// Where the image cannot be read again or a mask is damaged.
pub(super) fn cells(case: &Case) -> Result<[RgbImage; 4]> {
    let photo = Photo::open(&case.image)?;
    let masks = [case.truth.decode()?, case.first_mask.decode()?, case.own_mask.decode()?];
    let view = View::around(photo.size(), &masks, &case.prompt);
    let ground = view.cut(&photo)?;
    let [truth, first, own] = masks.map(|mask| view.bits(&mask));
    let mut cells = [ground.clone(), ground.clone(), ground.clone(), pale(&ground)];
    lay(&mut cells[0], &truth, TRUTH)?;
    view.mark(&mut cells[0], &case.prompt)?;
    lay(&mut cells[1], &first, FIRST)?;
    lay(&mut cells[2], &own, OWN)?;
    for (pixel, (first, own)) in cells[3].pixels_mut().zip(first.iter().zip(&own)) {
        let colour = match (first, own) {
            (true, false) => FIRST,
            (false, true) => OWN,
            _ => continue,
        };
        *pixel = Rgb([colour.r(), colour.g(), colour.b()]);
    }
    Ok(cells)
}

/// A part of a photo, and where in a cell it is drawn.
struct View {
    /// First column and row of the part, and its sides.
    part: (u32, u32, u32, u32),
    /// Pixels of the cell for one of the photo.
    scale: f64,
    /// Where the part begins in the cell.
    at: (f64, f64),
}

impl View {
    /// What surrounds masks and prompt, in the shape of a cell as far as the photo reaches.
    fn around(size: PictureSize, masks: &[Mask], prompt: &Prompt) -> View {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        let mut hold = |x: f64, y: f64| {
            low = [low[0].min(x), low[1].min(y)];
            high = [high[0].max(x), high[1].max(y)];
        };
        for (x, y, width, height) in masks.iter().filter_map(Mask::bbox) {
            hold(f64::from(x), f64::from(y));
            hold(f64::from(x + width), f64::from(y + height));
        }
        prompt.points.iter().for_each(|(point, _)| hold(f64::from(point.x), f64::from(point.y)));
        if let Some(b) = &prompt.bbox {
            hold(f64::from(b.x0), f64::from(b.y0));
            hold(f64::from(b.x1), f64::from(b.y1));
        }
        let wanted = [(high[0] - low[0]) * ROOM, (high[1] - low[1]) * ROOM];
        let cell = [f64::from(CELL.0), f64::from(CELL.1)];
        // Photo pixels for one of the cell.
        let coarse = (wanted[0].max(LEAST.0) / cell[0]).max(wanted[1].max(LEAST.1) / cell[1]);
        let side = |axis: usize, all: usize| -> (u32, u32) {
            let all = all as f64;
            let length = (coarse * cell[axis]).round().clamp(1.0, all);
            let first = (0.5 * (low[axis] + high[axis] - length)).round().clamp(0.0, all - length);
            (first as u32, length as u32)
        };
        let ((x, width), (y, height)) = (side(0, size.width), side(1, size.height));
        let scale = (cell[0] / f64::from(width)).min(cell[1] / f64::from(height));
        let at = |axis: usize, length: u32| ((cell[axis] - scale * f64::from(length)) / 2.0).floor();
        View { part: (x, y, width, height), scale, at: (at(0, width), at(1, height)) }
    }

    fn cut(&self, photo: &Photo) -> Result<RgbImage> {
        let (width, height) = (photo.size().width as u32, photo.size().height as u32);
        let photo = RgbImage::from_raw(width, height, photo.pixels().to_vec()).context("the photo has no pixels")?;
        let (x, y, width, height) = self.part;
        let part = imageops::crop_imm(&photo, x, y, width, height).to_image();
        let side = |length: u32| ((f64::from(length) * self.scale).round() as u32).max(1);
        let part = imageops::resize(&part, side(width), side(height), FilterType::Triangle);
        let mut cell = RgbImage::from_pixel(CELL.0, CELL.1, BESIDE);
        imageops::overlay(&mut cell, &part, self.at.0 as i64, self.at.1 as i64);
        Ok(cell)
    }

    /// For each pixel of the cell whether the mask has it.
    fn bits(&self, mask: &Mask) -> Vec<bool> {
        let (x, y, width, height) = self.part;
        let axis = |at: u32, begin: f64, first: u32, length: u32| {
            let offset = (f64::from(at) + 0.5 - begin) / self.scale;
            (0.0..f64::from(length)).contains(&offset).then(|| first as usize + offset as usize)
        };
        let columns: Vec<_> = (0..CELL.0).map(|c| axis(c, self.at.0, x, width)).collect();
        let rows = (0..CELL.1).map(|r| axis(r, self.at.1, y, height));
        rows.flat_map(|row| columns.iter().map(move |column| column.zip(row)))
            .map(|at| at.is_some_and(|(x, y)| mask.contains(x, y)))
            .collect()
    }

    /// Draws the prompt.
    fn mark(&self, cell: &mut RgbImage, prompt: &Prompt) -> Result<()> {
        let mut canvas = canvas(cell)?;
        let scale = Scale::of(canvas.size());
        let place = |x: f32, y: f32| {
            let on = |v: f32, first: u32, begin: f64| (begin + self.scale * (f64::from(v) - f64::from(first))) as i32;
            Point::new(on(x, self.part.0, self.at.0), on(y, self.part.1, self.at.1))
        };
        // Drawing to memory cannot fail: the canvas's error has no values.
        if let Some(b) = &prompt.bbox {
            let area = Rectangle::with_corners(place(b.x0, b.y0), place(b.x1, b.y1));
            let Ok(()) = draw_box(&mut canvas, area, scale);
        }
        for (point, label) in &prompt.points {
            let kind = match label {
                PointLabel::Background => PointKind::Background,
                _ => PointKind::Foreground,
            };
            // The middle of the pixel.
            let Ok(()) = draw_point(&mut canvas, place(point.x + 0.5, point.y + 0.5), kind, scale);
        }
        Ok(())
    }
}

fn canvas(cell: &mut RgbImage) -> Result<RgbCanvas<'_>> {
    RgbCanvas::new(cell.as_mut(), Size::new(CELL.0, CELL.1)).context("the picture is too large")
}

/// Lays a mask over a cell, with its outline.
fn lay(cell: &mut RgbImage, bits: &[bool], colour: Rgb888) -> Result<()> {
    let mask = Mask::from_bools(PictureSize::new(CELL.0 as usize, CELL.1 as usize), bits)?;
    let spans = mask.runs().iter().map(|run| Span { y: run.y, x: run.x, len: run.len });
    let mut canvas = canvas(cell)?;
    let scale = Scale::of(canvas.size());
    let Ok(()) = draw_mask(&mut canvas, spans.clone(), colour);
    let Ok(()) = draw_contour(&mut canvas, spans, colour, scale);
    Ok(())
}

/// A cell in light greys.
fn pale(cell: &RgbImage) -> RgbImage {
    let grey = |p: &Rgb<u8>| 150 + (p.0.iter().map(|c| u32::from(*c)).sum::<u32>() * 80 / (3 * 255)) as u8;
    RgbImage::from_fn(CELL.0, CELL.1, |x, y| Rgb([grey(cell.get_pixel(x, y)); 3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_surrounds_what_is_asked_and_stays_in_the_photo() {
        let size = PictureSize::new(100, 300);
        let prompt = Prompt::new().with_point(1.0, 298.0, true);
        let view = View::around(size, &[], &prompt);
        let (x, y, width, height) = view.part;
        assert_eq!((x, y + height), (0, 300));
        assert!((48..=100).contains(&width) && (36..=75).contains(&height), "{width}x{height}");
        // All of a tall photo is in the middle of its cell.
        let all = Mask::from_bools(size, &[true; 100 * 300]).unwrap();
        let view = View::around(size, std::slice::from_ref(&all), &prompt);
        assert_eq!(view.part, (0, 0, 100, 300));
        let bits = view.bits(&all);
        let row = &bits[..CELL.0 as usize];
        let (before, within) = (row.iter().take_while(|b| !**b).count(), row.iter().filter(|b| **b).count());
        assert_eq!(within, 76);
        assert!(before.abs_diff((CELL.0 as usize - 76) / 2) <= 1, "{before}");
    }
}

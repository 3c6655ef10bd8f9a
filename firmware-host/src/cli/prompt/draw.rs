//! An answer as files: its mask, and the frame with the mask on it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cutout_protocol::body::rle::Spans;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::prelude::OriginDimensions;
use embedded_graphics::primitives::Rectangle;

use super::report::ms;
use crate::client::{Answer, Prompt};
use crate::output;
use crate::overlay::{
    PointKind, RgbCanvas, Scale, Span, draw_box, draw_contour, draw_mask, draw_point, draw_status, mute_outside,
    palette,
};
use crate::photo::Photo;

/// Writes `STEM.overlay.png` and `STEM.mask.png`.
pub(super) fn write(
    folder: &Path,
    stem: &str,
    mut photo: Photo,
    answer: &Answer,
    prompt: &Prompt,
    model: &str,
) -> Result<[PathBuf; 2]> {
    let mask = answer.mask().context("the answer has no mask")?;
    let (size, sides) = (photo.size(), (mask.width() as usize, mask.height() as usize));
    if (size.width, size.height) != sides {
        bail!("the frame is {size}, the mask {}x{}: they do not belong together", sides.0, sides.1);
    }
    let files = [format!("{stem}.overlay.png"), format!("{stem}.mask.png")].map(|name| folder.join(name));
    let mut bytes = vec![0; size.pixels()];
    for span in spans(&mask) {
        let start = span.y as usize * size.width + span.x as usize;
        if let Some(inside) = bytes.get_mut(start..start + span.len as usize) {
            inside.fill(255);
        }
    }
    let [overlay, plain] = &files;
    output::write_mask_png(plain, size, &bytes)?;
    let status = format!("{model} \u{b7} IoU {:.2} \u{b7} {:.0} ms", answer.predicted_iou(), ms(answer.round_trip));
    draw(&mut photo, &mask, prompt, &status);
    output::write_rgb_png(overlay, size, photo.pixels())?;
    Ok(files)
}

/// The spans of a mask, as overlays take them. All have been read before, when the answer came.
pub(super) fn spans<'a>(mask: &Spans<'a>) -> impl Iterator<Item = Span> + Clone + use<'a> {
    let read = mask.clone().map_while(Result::ok);
    read.map(|span| Span { y: span.y, x: span.x, len: span.len })
}

fn draw(photo: &mut Photo, mask: &Spans<'_>, prompt: &Prompt, status: &str) {
    let size = photo.size();
    let size = Size::new(size.width as u32, size.height as u32);
    let Some(mut canvas) = RgbCanvas::new(photo.pixels_mut(), size) else { return };
    let (scale, colour) = (Scale::of(canvas.size()), palette(0));
    // Drawing to memory cannot fail: the canvas's error has no values.
    let Ok(()) = mute_outside(&mut canvas, spans(mask));
    let Ok(()) = draw_mask(&mut canvas, spans(mask), colour);
    let Ok(()) = draw_contour(&mut canvas, spans(mask), colour, scale);
    if let Some(b) = &prompt.bbox {
        let from = Point::new(b.x0.to_px().floor() as i32, b.y0.to_px().floor() as i32);
        let to = Point::new(b.x1.to_px().ceil() as i32 - 1, b.y1.to_px().ceil() as i32 - 1);
        let Ok(()) = draw_box(&mut canvas, Rectangle::with_corners(from, to), scale);
    }
    for point in &prompt.points {
        let kind = if point.label == 0 { PointKind::Background } else { PointKind::Foreground };
        let Ok(()) = draw_point(&mut canvas, Point::new(point.x.to_px() as i32, point.y.to_px() as i32), kind, scale);
    }
    let Ok(()) = draw_status(&mut canvas, &status, colour, scale);
}

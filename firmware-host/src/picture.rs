//! An answer as a picture: the photo with the mask, its outline, the prompt and a line of text on it.

use cutout_runtime::{Mask, PointLabel, Prompt};
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::primitives::Rectangle;

use crate::overlay::{
    PointKind, RgbCanvas, Scale, Span, Status, draw_box, draw_contour, draw_mask, draw_point, draw_status,
    mute_outside, palette,
};
use crate::photo::Photo;

/// Draws an answer on the photo that it is about, and a line of text if there is one. `index` chooses the colour.
///
/// The mask must be of the photo's size; what does not fit is clipped.
pub fn draw_answer(photo: &mut Photo, mask: &Mask, prompt: &Prompt, status: Option<&Status<'_>>, index: usize) {
    let size = photo.size();
    let canvas_size = Size::new(size.width as u32, size.height as u32);
    let Some(mut canvas) = RgbCanvas::new(photo.pixels_mut(), canvas_size) else { return };
    let scale = Scale::of(canvas.size());
    let spans = mask.runs().iter().map(|run| Span { y: run.y, x: run.x, len: run.len });
    let colour = palette(index);
    // Drawing to memory cannot fail: the canvas's error has no values.
    let Ok(()) = mute_outside(&mut canvas, spans.clone());
    let Ok(()) = draw_mask(&mut canvas, spans.clone(), colour);
    let Ok(()) = draw_contour(&mut canvas, spans, colour, scale);
    if let Some(b) = prompt.bbox {
        let from = Point::new(b.x0.floor() as i32, b.y0.floor() as i32);
        let to = Point::new(b.x1.ceil() as i32 - 1, b.y1.ceil() as i32 - 1);
        let Ok(()) = draw_box(&mut canvas, Rectangle::with_corners(from, to), scale);
    }
    for (point, label) in &prompt.points {
        let kind = match label {
            PointLabel::Background => PointKind::Background,
            _ => PointKind::Foreground,
        };
        let Ok(()) = draw_point(&mut canvas, Point::new(point.x as i32, point.y as i32), kind, scale);
    }
    if let Some(status) = status {
        let Ok(()) = draw_status(&mut canvas, status, colour, scale);
    }
}

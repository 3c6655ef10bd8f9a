//! An answer as a picture: the photo with the mask, its outline, the prompt and a line of text on it.

use cutout_runtime::{Mask, Prompt};
use embedded_graphics::geometry::Size;

use crate::display::{Object, Painter, Scene};
use crate::overlay::{RgbCanvas, Status};
use crate::photo::Photo;

/// Draws an answer on the photo that it is about, and a line of text if there is one. `index` chooses the colour.
///
/// A mask that is not of the photo's size is scaled to it.
pub fn draw_answer(photo: &mut Photo, mask: &Mask, prompt: &Prompt, status: Option<&Status<'_>>, index: usize) {
    let size = photo.size();
    let canvas_size = Size::new(size.width as u32, size.height as u32);
    let Some(mut canvas) = RgbCanvas::new(photo.pixels_mut(), canvas_size) else { return };
    let object = Object { mask: Some(mask), colour: index, track: None };
    let scene = Scene { objects: &[object], prompt: Some(prompt), status: status.copied(), ..Scene::new(size) };
    Painter::new().paint_over(&mut canvas, &scene);
}

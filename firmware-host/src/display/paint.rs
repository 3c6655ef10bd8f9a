//! Scenes as RGB pixels.

use cutout_runtime::{ImageView, Normalization, PointLabel, Preprocessor, Size as FrameSize, Tracked};
use embedded_graphics::geometry::{OriginDimensions, Size};

use super::fit::Fit;
use super::spans::SpanScaler;
use super::{DisplayError, Scene};
use crate::overlay::{
    Certainty, PointKind, RgbCanvas, Scale, Span, bar_height, draw_box, draw_contour, draw_mask, draw_point,
    draw_status, draw_track, draw_trail, letters_within, mute_outside, palette,
};

/// Paints scenes; keeps its buffers, so that further scenes of one size allocate nothing.
#[derive(Debug)]
pub struct Painter {
    pixels: Vec<u8>,
    resizer: Preprocessor,
    scaler: SpanScaler,
    /// Spans of each object.
    spans: Vec<Vec<Span>>,
    /// Spans of all of them, in order.
    together: Vec<Span>,
}

impl Default for Painter {
    fn default() -> Self {
        Self::new()
    }
}

impl Painter {
    /// A painter without buffers, which the first scene makes.
    pub fn new() -> Self {
        // Resizing pays no heed to the size and the statistics of a model.
        let resizer = Preprocessor::new(FrameSize::new(1, 1), Normalization::SEGMENT_ANYTHING);
        Painter { pixels: Vec::new(), resizer, scaler: SpanScaler::default(), spans: Vec::new(), together: Vec::new() }
    }

    /// The scene on `size` pixels: RGB, rows from the top without gaps.
    ///
    /// # Errors
    /// [`DisplayError::Picture`] where the picture cannot be scaled to the display.
    pub fn paint(&mut self, scene: &Scene<'_>, size: Size) -> Result<&mut [u8], DisplayError> {
        let Painter { pixels, resizer, .. } = self;
        let bytes = size.width as usize * size.height as usize * 3;
        pixels.clear();
        pixels.resize(bytes, 0);
        let mut pixels = std::mem::take(pixels);
        let bar = scene.status.map_or(0, |_| bar_height(size.width, Scale::of(size)));
        let fit = Fit::new(scene.frame, size, bar);
        if let (Some(mut canvas), Some(picture)) = (RgbCanvas::new(&mut pixels, size), &scene.picture) {
            lay(resizer, picture, &mut canvas.part(fit.area))?;
        }
        if let Some(mut canvas) = RgbCanvas::new(&mut pixels, size) {
            self.annotate(&mut canvas, scene, &fit);
        }
        self.pixels = pixels;
        Ok(&mut self.pixels)
    }

    /// Draws all of a scene but its picture over a picture of the frame's own size.
    pub fn paint_over(&mut self, canvas: &mut RgbCanvas<'_>, scene: &Scene<'_>) {
        self.annotate(canvas, scene, &Fit::whole(scene.frame));
    }

    fn annotate(&mut self, canvas: &mut RgbCanvas<'_>, scene: &Scene<'_>, fit: &Fit) {
        let size = canvas.size();
        self.scale_masks(scene, fit.area.size);
        let mut part = canvas.part(fit.area);
        let scale = Scale::of(size);
        // Drawing to memory cannot fail: the canvas's error has no values.
        let Ok(()) = mute_outside(&mut part, self.together.iter().copied());
        for (object, spans) in scene.objects.iter().zip(&self.spans) {
            let Ok(()) = draw_mask(&mut part, spans.iter().copied(), palette(object.colour));
        }
        for (object, spans) in scene.objects.iter().zip(&self.spans) {
            let Ok(()) = draw_contour(&mut part, spans.iter().copied(), palette(object.colour), scale);
        }
        for object in scene.objects {
            if let Some(track) = &object.track {
                let colour = palette(object.colour);
                let trail = track.trail.iter().map(|&point| fit.point(point));
                let Ok(()) = draw_trail(&mut part, trail, colour, scale);
                let Ok(()) = draw_track(&mut part, fit.bbox(track.bbox), certainty(track.state), colour, scale);
            }
        }
        if let Some(prompt) = scene.prompt {
            if let Some(bbox) = prompt.bbox {
                let Ok(()) = draw_box(&mut part, fit.bbox(bbox), scale);
            }
            for &(point, label) in &prompt.points {
                let kind = match label {
                    PointLabel::Background => PointKind::Background,
                    _ => PointKind::Foreground,
                };
                let Ok(()) = draw_point(&mut part, fit.point(point), kind, scale);
            }
        }
        if let Some(status) = &scene.status {
            let colour = palette(scene.objects.first().map_or(0, |object| object.colour));
            let line = status.within(letters_within(size.width, scale));
            let Ok(()) = draw_status(canvas, &line, colour, scale);
        }
    }

    fn scale_masks(&mut self, scene: &Scene<'_>, size: Size) {
        let Painter { scaler, spans, together, .. } = self;
        if spans.len() < scene.objects.len() {
            spans.resize_with(scene.objects.len(), Vec::new);
        }
        together.clear();
        for (object, spans) in scene.objects.iter().zip(spans) {
            match object.mask {
                Some(mask) => scaler.scale(mask, size, spans),
                None => spans.clear(),
            }
            together.extend_from_slice(spans);
        }
        together.sort_unstable_by_key(|span| (span.y, span.x));
    }
}

fn certainty(state: Tracked) -> Certainty {
    match state {
        Tracked::Found => Certainty::Found,
        Tracked::Weak => Certainty::Weak,
        Tracked::Lost => Certainty::Lost,
    }
}

/// Scales a picture to fill a canvas.
fn lay(resizer: &mut Preprocessor, picture: &ImageView<'_>, canvas: &mut RgbCanvas<'_>) -> Result<(), DisplayError> {
    let Size { width, height } = canvas.size();
    let size = FrameSize::new(width as usize, height as usize);
    canvas.copy_from(resizer.resize(picture, size).map_err(DisplayError::Picture)?);
    Ok(())
}

//! From pixels to the model's input.

use rayon::prelude::*;

use crate::error::Result;
use crate::geometry::{ResizeLongestSide, Size};
use crate::image::{ImageView, PixelFormat};
use cutout_kernels::{normalize, resize};

pub use cutout_models::Normalization;

/// Resizes, normalises and pads images for a model; owns its scratch, so that further images of one size allocate
/// nothing.
#[derive(Debug)]
pub struct Preprocessor {
    model: Size,
    normalization: Normalization,
    across: resize::Axis,
    down: resize::Axis,
    /// The image at the resized width and its own height.
    narrowed: Vec<u8>,
    resized: Vec<u8>,
}

impl Preprocessor {
    /// A preprocessor for models whose input is `model` pixels.
    pub fn new(model: Size, normalization: Normalization) -> Self {
        let (across, down) = Default::default();
        Preprocessor { model, normalization, across, down, narrowed: Vec::new(), resized: Vec::new() }
    }

    /// Writes the model's input to `out`: three planes of `height * width` model pixels, normalised, the image at the
    /// top left and zeros elsewhere. Returns the transform between the image's pixels and the model's.
    ///
    /// Equal to the official `ResizeLongestSide.apply_image` (Pillow) and `Sam.preprocess`, to the last bit. Uses the
    /// current rayon pool; the result does not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`](crate::ErrorKind::InvalidImage) if the model's size is zero or too large.
    pub fn run(&mut self, image: &ImageView<'_>, out: &mut Vec<f32>) -> Result<ResizeLongestSide> {
        let transform = ResizeLongestSide::new(image.size(), self.model)?;
        let (model, size) = (self.model, transform.resized_size());
        let Normalization { mean, std } = self.normalization;
        let pixels = self.resize(image, size)?;

        out.resize(3 * model.pixels(), 0.0);
        let (red, rest) = out.split_at_mut(model.pixels());
        let (green, blue) = rest.split_at_mut(model.pixels());
        let [red, green, blue] = [red, green, blue].map(|plane| plane.par_chunks_exact_mut(model.width));
        red.zip(green).zip(blue).enumerate().with_min_len(16).for_each(|(y, ((red, green), blue))| {
            // Below the image there are no pixels: the whole row is padding.
            let row = pixels.chunks_exact(3 * size.width).nth(y).unwrap_or_default();
            normalize::rgb8_to_planes(row, mean, std, [red, green, blue]);
        });
        Ok(transform)
    }

    /// Resizes an image to `size`, as Pillow's `Image.resize(size, BILINEAR)`, byte for byte (up to Pillow 12;
    /// 13 rounds in another order for tall images): tightly packed RGB rows.
    /// Uses the current rayon pool; the result does not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`](crate::ErrorKind::InvalidImage) if the size is zero or too large.
    pub fn resize(&mut self, image: &ImageView<'_>, size: Size) -> Result<&[u8]> {
        size.check()?;
        let source = image.size();
        self.across.prepare(source.width, size.width);
        self.down.prepare(source.height, size.height);
        let Preprocessor { across, down, narrowed, resized, .. } = self;
        let original = |y: usize| match image.format() {
            PixelFormat::Rgb8 => image.row(y).unwrap_or_default(),
        };
        let row_bytes = 3 * size.width;
        resized.resize(row_bytes * size.height, 0);

        if !across.is_identity() {
            // Where the height stays, the first pass is the last.
            let target = if down.is_identity() { &mut *resized } else { &mut *narrowed };
            target.resize(row_bytes * source.height, 0);
            let rows = target.par_chunks_exact_mut(row_bytes).enumerate();
            rows.with_min_len(16).for_each(|(y, out)| resize::horizontal_rgb8(across, original(y), out));
        }
        let rows = resized.par_chunks_exact_mut(row_bytes).enumerate().with_min_len(16);
        match (across.is_identity(), down.is_identity()) {
            (true, true) => rows.for_each(|(y, out)| out.copy_from_slice(original(y))),
            (false, true) => {}
            (true, false) => rows.for_each(|(y, out)| resize::vertical(down, y, original, out)),
            (false, false) => {
                let narrow = |y: usize| &narrowed[y * row_bytes..(y + 1) * row_bytes];
                rows.for_each(|(y, out)| resize::vertical(down, y, narrow, out));
            }
        }
        Ok(resized)
    }
}

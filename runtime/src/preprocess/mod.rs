//! From pixels to the model's input, in one sweep over the image.
//!
//! A band of output rows is made from top to bottom: four source rows at a time are converted to red, green and blue where
//! they are not, and resized horizontally into a ring of a few quads of rows; from there each output row is resized
//! vertically, normalised and written. Nothing of the image's size lies between; bands run in parallel.

mod band;
mod element;
mod source;

use cutout_kernels::normalize::Channel;
use cutout_kernels::{SimdLevel, resize};
use rayon::prelude::*;

use self::band::{Band, Plan};
use crate::error::Result;
use crate::geometry::{ResizeLongestSide, Size};
use crate::image::ImageView;

pub use self::element::InputElement;
pub use cutout_models::Normalization;

/// Fewest rows of a band: its first and last source rows are resized for its neighbours too.
const MIN_BAND: usize = 8;

/// Bands per thread, so that a thread that is late holds up little.
const BANDS_PER_THREAD: usize = 4;

/// How the three values of the model's input pixels lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputLayout {
    /// Three planes of `height * width` values: red, green, blue.
    Planar,
    /// `height * width` pixels of three values: red, green, blue.
    ChannelLast,
}

/// Resizes, normalises and pads images for a model; owns its scratch, so that further images of one size allocate
/// nothing.
#[derive(Debug)]
pub struct Preprocessor {
    level: SimdLevel,
    model: Size,
    channels: [Channel; 3],
    across: resize::Across,
    down: resize::Down,
    bands: Vec<Band>,
    resized: Vec<u8>,
}

impl Preprocessor {
    /// A preprocessor for models whose input is `model` pixels, at the best level that this processor has.
    pub fn new(model: Size, normalization: Normalization) -> Self {
        Self::with_level(model, normalization, SimdLevel::best())
    }

    /// A preprocessor as [`new`](Self::new) makes, at a level. The level changes nothing but the time taken.
    pub fn with_level(model: Size, normalization: Normalization, level: SimdLevel) -> Self {
        let Normalization { mean, std } = normalization;
        let channels = std::array::from_fn(|channel| Channel::new(mean[channel], std[channel]));
        let (across, down) = Default::default();
        Preprocessor { level, model, channels, across, down, bands: Vec::new(), resized: Vec::new() }
    }

    /// Writes the model's input to `out`: three planes of `height * width` model pixels, normalised, the image at the
    /// top left and zeros elsewhere. Returns the transform between the image's pixels and the model's.
    ///
    /// For RGB images equal to the official `ResizeLongestSide.apply_image` (Pillow) and `Sam.preprocess`, to the last
    /// bit; images of other formats are what their pixels' conversion to RGB gives, pixel by pixel. Uses the current
    /// rayon pool; the result does not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`](crate::ErrorKind::InvalidImage) if the model's size is zero or too large.
    pub fn run(&mut self, image: &ImageView<'_>, out: &mut Vec<f32>) -> Result<ResizeLongestSide> {
        self.run_as(image, InputLayout::Planar, out)
    }

    /// Writes the model's input as [`run`](Self::run) does, in a layout and as a type that the model asks for.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`](crate::ErrorKind::InvalidImage) if the model's size is zero or too large.
    pub fn run_as<T: InputElement>(
        &mut self,
        image: &ImageView<'_>,
        layout: InputLayout,
        out: &mut Vec<T>,
    ) -> Result<ResizeLongestSide> {
        let transform = ResizeLongestSide::new(image.size(), self.model)?;
        out.resize(3 * self.model.pixels(), T::default());
        self.sweep(image, transform.resized_size(), self.model, layout, out);
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
        let mut resized = std::mem::take(&mut self.resized);
        resized.resize(3 * size.pixels(), 0);
        self.sweep(image, size, size, InputLayout::ChannelLast, &mut resized);
        self.resized = resized;
        Ok(&self.resized)
    }

    /// Writes the image, resized to `size`, to the top left of a canvas, and padding elsewhere.
    fn sweep<T: InputElement>(
        &mut self,
        image: &ImageView<'_>,
        size: Size,
        canvas: Size,
        layout: InputLayout,
        out: &mut [T],
    ) {
        let Preprocessor { level, channels, across, down, bands, .. } = self;
        across.prepare(*level, source::pixel_bytes(image.format()), image.size().width, size.width);
        down.prepare(*level, image.size().height, size.height);
        let wanted = match rayon::current_num_threads() {
            1 => 1,
            threads => (BANDS_PER_THREAD * threads).min(canvas.height.div_ceil(MIN_BAND)),
        };
        let rows = canvas.height.div_ceil(wanted);
        if bands.len() < wanted {
            bands.resize_with(wanted, Band::default);
        }
        let plan = Plan { level: *level, image, size, canvas, channels, across, down };
        let (bands, chunk) = (bands.par_iter_mut(), rows * canvas.width);
        match layout {
            InputLayout::Planar => {
                let (red, rest) = out.split_at_mut(canvas.pixels());
                let (green, blue) = rest.split_at_mut(canvas.pixels());
                let [red, green, blue] = [red, green, blue].map(|plane| plane.par_chunks_mut(chunk));
                let planes = red.zip(green).zip(blue).zip(bands).enumerate();
                planes.for_each(|(n, (((red, green), blue), band))| band.planar(&plan, n * rows, [red, green, blue]));
            }
            InputLayout::ChannelLast => {
                let pixels = out.par_chunks_mut(3 * chunk).zip(bands).enumerate();
                pixels.for_each(|(n, (pixels, band))| band.channel_last(&plan, n * rows, pixels));
            }
        }
    }
}

//! [`BitCanvas`]: a picture of two colours in memory.

use core::convert::Infallible;

use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;

/// Pixels that are lit or not, dark at first. What is drawn outside is clipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitCanvas {
    lit: Vec<bool>,
    size: Size,
}

impl BitCanvas {
    /// A dark canvas.
    pub fn new(size: Size) -> Self {
        BitCanvas { lit: vec![false; size.width as usize * size.height as usize], size }
    }

    /// Whether each pixel is lit, rows from the top.
    pub fn lit(&self) -> &[bool] {
        &self.lit
    }
}

impl OriginDimensions for BitCanvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for BitCanvas {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let area = self.bounding_box();
        for Pixel(at, colour) in pixels.into_iter().filter(|Pixel(at, _)| area.contains(*at)) {
            self.lit[at.y as usize * self.size.width as usize + at.x as usize] = colour.is_on();
        }
        Ok(())
    }
}

//! A picture in memory that can be drawn on.

use core::convert::Infallible;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::Blend;

/// Borrowed RGB pixels, one byte per channel, rows from the top: a photo, or what a display shows. What is drawn
/// outside is clipped.
#[derive(Debug)]
pub struct RgbCanvas<'a> {
    pixels: &'a mut [[u8; 3]],
    size: Size,
    /// Pixels from the start of a row to that of the next.
    stride: u32,
}

impl<'a> RgbCanvas<'a> {
    /// A canvas over `bytes`, rows without gaps; `None` unless they are `3 * width * height`, or if a side exceeds `i32`.
    pub fn new(bytes: &'a mut [u8], size: Size) -> Option<Self> {
        let expected = u64::from(size.width).checked_mul(u64::from(size.height))?.checked_mul(3)?;
        let drawable = i32::try_from(size.width).is_ok() && i32::try_from(size.height).is_ok();
        let fits = drawable && bytes.len() as u64 == expected;
        fits.then_some(RgbCanvas { pixels: bytes.as_chunks_mut().0, size, stride: size.width })
    }

    /// A rectangle of this canvas, as far as it lies on it, as a canvas of its own: its corner is the origin, and what
    /// is drawn beyond it is clipped.
    pub fn part(&mut self, area: Rectangle) -> RgbCanvas<'_> {
        let Rectangle { top_left, size } = area.intersection(&self.bounding_box());
        let from = top_left.y as usize * self.stride as usize + top_left.x as usize;
        RgbCanvas { pixels: self.pixels.get_mut(from..).unwrap_or_default(), size, stride: self.stride }
    }

    /// Copies tightly packed RGB rows of this canvas's width to it, as many as there are.
    pub fn copy_from(&mut self, rows: &[u8]) {
        let width = self.size.width;
        for (y, row) in rows.as_chunks().0.chunks_exact(width.max(1) as usize).enumerate() {
            let Ok(y) = i32::try_from(y) else { return };
            self.stretch(Point::new(0, y), width).iter_mut().zip(row).for_each(|(pixel, new)| *pixel = *new);
        }
    }

    /// The pixels of row `start.y` from `start.x` on, `len` of them or what of these lies on the canvas.
    fn stretch(&mut self, start: Point, len: u32) -> &mut [[u8; 3]] {
        let (width, height) = (i64::from(self.size.width), i64::from(self.size.height));
        let (x, y) = (i64::from(start.x), i64::from(start.y));
        let (from, to) = (x.max(0), (x + i64::from(len)).min(width));
        if from >= to || !(0..height).contains(&y) {
            return &mut [];
        }
        let row = y * i64::from(self.stride);
        &mut self.pixels[(row + from) as usize..(row + to) as usize]
    }

    fn mix(&mut self, start: Point, len: u32, colour: Rgb888, alpha: u8) {
        let (colour, alpha) = (rgb(colour), u32::from(alpha));
        for pixel in self.stretch(start, len) {
            for (value, over) in pixel.iter_mut().zip(colour) {
                *value = ((u32::from(*value) * (255 - alpha) + u32::from(over) * alpha + 127) / 255) as u8;
            }
        }
    }
}

fn rgb(colour: Rgb888) -> [u8; 3] {
    [colour.r(), colour.g(), colour.b()]
}

impl OriginDimensions for RgbCanvas<'_> {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for RgbCanvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            self.stretch(point, 1).fill(rgb(colour));
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        for y in area.rows() {
            self.stretch(Point::new(area.top_left.x, y), area.size.width).fill(rgb(colour));
        }
        Ok(())
    }
}

impl Blend for RgbCanvas<'_> {
    fn tint(&mut self, start: Point, len: u32, colour: Rgb888, alpha: u8) -> Result<(), Infallible> {
        self.mix(start, len, colour, alpha);
        Ok(())
    }

    fn cover(&mut self, start: Point, len: u32, colour: Rgb888, coverage: u8) -> Result<(), Infallible> {
        self.mix(start, len, colour, coverage);
        Ok(())
    }

    /// Halves the distance to the pixel's own grey (luma of ITU-R BT.601), and takes a third of the light.
    fn mute(&mut self, start: Point, len: u32) -> Result<(), Infallible> {
        for pixel in self.stretch(start, len) {
            let [r, g, b] = pixel.map(u32::from);
            let grey = (r * 77 + g * 150 + b * 29 + 128) / 256;
            *pixel = [r, g, b].map(|value| ((value + grey) / 3) as u8);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fit_the_size() {
        let mut bytes = [0; 18];
        assert!(RgbCanvas::new(&mut bytes, Size::new(3, 2)).is_some());
        assert!(RgbCanvas::new(&mut bytes, Size::new(2, 2)).is_none());
        assert!(RgbCanvas::new(&mut bytes, Size::new(u32::MAX, u32::MAX)).is_none());
        assert!(RgbCanvas::new(&mut [], Size::new(0, u32::MAX)).is_none());
    }

    #[test]
    fn mixing_and_muting_follow_their_formulas() {
        let mut bytes = [100, 0, 255, 10, 20, 30];
        let mut canvas = RgbCanvas::new(&mut bytes, Size::new(2, 1)).unwrap();
        canvas.tint(Point::zero(), 1, Rgb888::new(200, 255, 0), 51).unwrap(); // one fifth
        assert_eq!(bytes, [120, 51, 204, 10, 20, 30]);

        let mut bytes = [255, 255, 255, 255, 0, 0];
        RgbCanvas::new(&mut bytes, Size::new(2, 1)).unwrap().mute(Point::zero(), 2).unwrap();
        // Red has a luma of 77: (255 + 77) / 3 and 77 / 3.
        assert_eq!(bytes, [170, 170, 170, 110, 25, 25]);
    }

    #[test]
    fn drawing_anywhere_changes_only_what_is_on_the_canvas() {
        let far = [i32::MIN, -3, -1, 0, 1, 2, 3, i32::MAX];
        for x in far {
            for y in far {
                for len in [0, 1, 4, u32::MAX] {
                    let mut bytes = [0; 18];
                    let mut canvas = RgbCanvas::new(&mut bytes, Size::new(3, 2)).unwrap();
                    canvas.cover(Point::new(x, y), len, Rgb888::WHITE, 255).unwrap();
                    let lit = |column: i64| column >= i64::from(x) && column < i64::from(x) + i64::from(len);
                    for (i, pixel) in bytes.chunks(3).enumerate() {
                        let expected = lit(i as i64 % 3) && i as i64 / 3 == i64::from(y);
                        assert_eq!(pixel[0] == 255, expected, "({x}, {y}) {len}: pixel {i}");
                    }
                    let mut canvas = RgbCanvas::new(&mut bytes, Size::new(3, 2)).unwrap();
                    canvas.draw_iter([Pixel(Point::new(x, y), Rgb888::RED)]).unwrap();
                    canvas.mute(Point::new(x, y), len).unwrap();
                }
            }
        }
    }

    #[test]
    fn rectangles_are_clipped() {
        let mut bytes = [0; 27];
        let mut canvas = RgbCanvas::new(&mut bytes, Size::new(3, 3)).unwrap();
        canvas.fill_solid(&Rectangle::new(Point::new(1, -1), Size::new(9, 3)), Rgb888::WHITE).unwrap();
        let lit: Vec<bool> = bytes.chunks(3).map(|pixel| pixel[0] == 255).collect();
        assert_eq!(lit, [false, true, true, false, true, true, false, false, false]);
    }
}

//! Translucent drawing, on targets whose pixels can be read and on those where they cannot.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// A target on which colours can be laid over what is there. Each method works on one stretch of `len` pixels to the
/// right of `start`, clipped to the target.
///
/// The provided methods are for displays that cannot be read back, which most small ones cannot; [`Dithered`] makes any
/// target one of these.
pub trait Blend: DrawTarget<Color: From<Rgb888>> {
    /// Lays `colour` over an area, `alpha` of 255 strong. Provided: an ordered dither of Bayer's 4 x 4 matrix, which
    /// leaves the rest of the pixels as they are.
    fn tint(&mut self, start: Point, len: u32, colour: Rgb888, alpha: u8) -> Result<(), Self::Error> {
        const THRESHOLDS: [[u8; 4]; 4] =
            [[8, 136, 40, 168], [200, 72, 232, 104], [56, 184, 24, 152], [248, 120, 216, 88]];
        let colour = Self::Color::from(colour);
        let points = clipped(self.bounding_box(), start, len).points();
        self.draw_iter(
            points.filter(|p| alpha > THRESHOLDS[(p.y & 3) as usize][(p.x & 3) as usize]).map(|p| Pixel(p, colour)),
        )
    }

    /// Draws a part of a sharp shape that covers `coverage` of 255 of each of these pixels. Provided: all of the pixel
    /// from one half on, else nothing.
    fn cover(&mut self, start: Point, len: u32, colour: Rgb888, coverage: u8) -> Result<(), Self::Error> {
        match coverage {
            0..128 => Ok(()),
            128.. => self.fill_solid(&clipped(self.bounding_box(), start, len), colour.into()),
        }
    }

    /// Makes what is there step back, darker and greyer. Provided: nothing.
    fn mute(&mut self, _start: Point, _len: u32) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The stretch as far as it lies on the target; lengths beyond `i32` included.
fn clipped(area: Rectangle, start: Point, len: u32) -> Rectangle {
    let (left, right) = (i64::from(area.top_left.x), i64::from(area.top_left.x) + i64::from(area.size.width));
    let from = i64::from(start.x).clamp(left, right);
    let to = (i64::from(start.x) + i64::from(len)).clamp(left, right);
    let stretch = Rectangle::new(Point::new(from as i32, start.y), Size::new((to - from).max(0) as u32, 1));
    stretch.intersection(&area)
}

/// Any target as a [`Blend`] that never reads a pixel.
#[derive(Debug)]
pub struct Dithered<'a, D>(pub &'a mut D);

impl<D: DrawTarget> Dimensions for Dithered<'_, D> {
    fn bounding_box(&self) -> Rectangle {
        self.0.bounding_box()
    }
}

impl<D: DrawTarget> DrawTarget for Dithered<'_, D> {
    type Color = D::Color;
    type Error = D::Error;

    fn draw_iter<I: IntoIterator<Item = Pixel<Self::Color>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        self.0.draw_iter(pixels)
    }

    fn fill_contiguous<I>(&mut self, area: &Rectangle, colors: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Self::Color>,
    {
        self.0.fill_contiguous(area, colors)
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Self::Color) -> Result<(), Self::Error> {
        self.0.fill_solid(area, color)
    }

    fn clear(&mut self, color: Self::Color) -> Result<(), Self::Error> {
        self.0.clear(color)
    }
}

impl<D: DrawTarget<Color: From<Rgb888>>> Blend for Dithered<'_, D> {}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_graphics::mock_display::MockDisplay;
    use embedded_graphics::pixelcolor::BinaryColor;

    fn tinted(alpha: u8) -> MockDisplay<BinaryColor> {
        let mut display = MockDisplay::new();
        for y in 0..4 {
            Dithered(&mut display).tint(Point::new(0, y), 8, Rgb888::WHITE, alpha).unwrap();
        }
        display
    }

    #[test]
    fn half_a_tint_is_a_checkerboard_and_a_quarter_is_a_grid() {
        tinted(128).assert_pattern(&["# # # # ", " # # # #", "# # # # ", " # # # #"]);
        tinted(64).assert_pattern(&["# # # # ", "        ", "# # # # ", "        "]);
        tinted(0).assert_pattern(&[]);
        tinted(255).assert_pattern(&["########"; 4]);
    }

    #[test]
    fn coverage_rounds_to_a_whole_pixel_and_muting_leaves_the_display_alone() {
        let mut display = MockDisplay::<BinaryColor>::new();
        let mut target = Dithered(&mut display);
        target.cover(Point::new(1, 0), 3, Rgb888::WHITE, 128).unwrap();
        target.cover(Point::new(1, 1), 3, Rgb888::WHITE, 127).unwrap();
        target.mute(Point::new(0, 0), 8).unwrap();
        display.assert_pattern(&[" ### "]);
    }

    #[test]
    fn a_tint_beyond_the_edges_is_clipped() {
        let mut display = MockDisplay::<BinaryColor>::new();
        Dithered(&mut display).tint(Point::new(-5, 0), 8, Rgb888::WHITE, 255).unwrap();
        Dithered(&mut display).tint(Point::new(0, -1), 8, Rgb888::WHITE, 255).unwrap();
        Dithered(&mut display).tint(Point::new(62, 1), u32::MAX, Rgb888::WHITE, 255).unwrap();
        assert_eq!(display.affected_area(), Rectangle::new(Point::zero(), Size::new(64, 2)));
        assert_eq!(
            (display.get_pixel(Point::new(2, 0)), display.get_pixel(Point::new(3, 0))),
            (Some(BinaryColor::On), None)
        );
    }
}

//! Sizes, points and boxes in image pixels, and the one way from there to model pixels and back.

use crate::error::{Error, ErrorKind, Result};

/// Longest side, in pixels, of any image or mask that is accepted.
pub const MAX_SIDE: usize = 65_535;
/// Most pixels of any image or mask that is accepted: 2^28.
pub const MAX_PIXELS: usize = 1 << 28;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// A size of `width` columns and `height` rows; not checked here.
    pub const fn new(width: usize, height: usize) -> Self {
        Size { width, height }
    }

    /// `width * height`, saturating.
    pub const fn pixels(&self) -> usize {
        self.width.saturating_mul(self.height)
    }

    /// Fails with [`ErrorKind::InvalidImage`] unless both sides are 1..=[`MAX_SIDE`] and there are at most
    /// [`MAX_PIXELS`] pixels.
    pub(crate) fn check(&self) -> Result<()> {
        let Size { width, height } = *self;
        if width == 0 || height == 0 {
            return Err(Error::new(ErrorKind::InvalidImage, format!("{width}x{height} has no pixels")));
        }
        if width > MAX_SIDE || height > MAX_SIDE || self.pixels() > MAX_PIXELS {
            let context = format!("{width}x{height} is too large: at most {MAX_SIDE} per side and {MAX_PIXELS} pixels");
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        Ok(())
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A position in image pixels, x to the right and y down; pixel (i, j) covers `[i, i + 1) x [j, j + 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// Columns from the left edge.
    pub x: f32,
    /// Rows from the top edge.
    pub y: f32,
}

impl Point {
    /// The position (x, y).
    pub const fn new(x: f32, y: f32) -> Self {
        Point { x, y }
    }
}

/// A box in image pixels from its top left corner (x0, y0) to its bottom right corner (x1, y1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BBox {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
}

impl BBox {
    /// The box between the corners (x0, y0) and (x1, y1); not checked here.
    pub const fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        BBox { x0, y0, x1, y1 }
    }

    /// Top left corner.
    pub const fn top_left(&self) -> Point {
        Point { x: self.x0, y: self.y0 }
    }

    /// Bottom right corner.
    pub const fn bottom_right(&self) -> Point {
        Point { x: self.x1, y: self.y1 }
    }
}

/// A rectangle of whole pixels of an image: columns `x0..x1` of rows `y0..y1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    /// First column.
    pub x0: usize,
    /// First row.
    pub y0: usize,
    /// The column after the last.
    pub x1: usize,
    /// The row after the last.
    pub y1: usize,
}

impl Region {
    /// The rectangle between the corners (x0, y0) and (x1, y1); not checked here.
    pub const fn new(x0: usize, y0: usize, x1: usize, y1: usize) -> Self {
        Region { x0, y0, x1, y1 }
    }

    /// Width and height; zero where the corners are in the wrong order.
    pub const fn size(&self) -> Size {
        Size { width: self.x1.saturating_sub(self.x0), height: self.y1.saturating_sub(self.y0) }
    }

    /// The smallest rectangle around this one and another.
    pub(crate) fn union(self, other: Region) -> Region {
        Region {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }
}

/// Segment Anything's way of fitting an image into the model's input: scaled so that it just fits, aspect kept, then
/// padded at the right and bottom. The one place that relates image pixels and model pixels.
///
/// Official code: `ResizeLongestSide` in `segment_anything/utils/transforms.py`, where the input is square and the
/// longest side decides. Here the input may be any rectangle and the tighter side decides, which is the same thing
/// for a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResizeLongestSide {
    image: Size,
    resized: Size,
    model: Size,
}

impl ResizeLongestSide {
    /// The transform from an image of size `image` to a model input of size `model`.
    ///
    /// Sides are rounded half up, as `int(side * scale + 0.5)`; a side that would vanish keeps one pixel (the official
    /// code fails there). Fails with [`ErrorKind::InvalidImage`] if either size is zero or too large.
    pub fn new(image: Size, model: Size) -> Result<Self> {
        image.check()?;
        model.check()?;
        let scale = f64::min(model.width as f64 / image.width as f64, model.height as f64 / image.height as f64);
        let fit = |side: usize, limit: usize| ((side as f64 * scale + 0.5) as usize).clamp(1, limit);
        let resized = Size { width: fit(image.width, model.width), height: fit(image.height, model.height) };
        Ok(ResizeLongestSide { image, resized, model })
    }

    /// Size of the image.
    pub fn image_size(&self) -> Size {
        self.image
    }

    /// Size of the image in model pixels, before padding.
    pub fn resized_size(&self) -> Size {
        self.resized
    }

    /// Size of the model's input, padding included.
    pub fn model_size(&self) -> Size {
        self.model
    }

    /// A position in image pixels as one in model pixels. The two axes scale by their own rounded ratios, as in the
    /// official `apply_coords`.
    pub fn to_model(&self, point: Point) -> Point {
        Point {
            x: (f64::from(point.x) * (self.resized.width as f64 / self.image.width as f64)) as f32,
            y: (f64::from(point.y) * (self.resized.height as f64 / self.image.height as f64)) as f32,
        }
    }

    /// A position in model pixels as one in image pixels; the inverse of [`to_model`](Self::to_model).
    pub fn to_image(&self, point: Point) -> Point {
        Point {
            x: (f64::from(point.x) * (self.image.width as f64 / self.resized.width as f64)) as f32,
            y: (f64::from(point.y) * (self.image.height as f64 / self.resized.height as f64)) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Size = Size::new(1024, 1024);

    fn resized(width: usize, height: usize, model: Size) -> (usize, usize) {
        let size = ResizeLongestSide::new(Size::new(width, height), model).unwrap().resized_size();
        (size.width, size.height)
    }

    #[test]
    fn square_models_round_as_the_official_preprocess_shape() {
        // get_preprocess_shape(h, w, 1024), worked by hand: the short side is int(short * 1024 / long + 0.5).
        assert_eq!(resized(1800, 1200, SQUARE), (1024, 683)); // 682.67
        assert_eq!(resized(1200, 1800, SQUARE), (683, 1024));
        assert_eq!(resized(640, 480, SQUARE), (1024, 768));
        assert_eq!(resized(2048, 1001, SQUARE), (1024, 501)); // 500.5 rounds up
        assert_eq!(resized(7, 7, SQUARE), (1024, 1024));
    }

    #[test]
    fn rectangular_models_are_filled_by_the_tighter_side() {
        assert_eq!(resized(1920, 1080, Size::new(1024, 576)), (1024, 576));
        assert_eq!(resized(640, 480, Size::new(1024, 576)), (768, 576));
        assert_eq!(resized(480, 640, Size::new(1024, 576)), (432, 576));
    }

    #[test]
    fn a_thin_image_keeps_one_row() {
        assert_eq!(resized(65_535, 1, SQUARE), (1024, 1));
        assert_eq!(resized(1, 65_535, SQUARE), (1, 1024));
    }

    #[test]
    fn the_resized_image_always_fits_and_touches_one_side() {
        for width in (1..900).step_by(13) {
            for height in (1..900).step_by(17) {
                for model in [SQUARE, Size::new(512, 288), Size::new(320, 448)] {
                    let (w, h) = resized(width, height, model);
                    assert!(w <= model.width && h <= model.height, "{width}x{height} -> {w}x{h}");
                    assert!(w == model.width || h == model.height, "{width}x{height} -> {w}x{h}");
                }
            }
        }
    }

    #[test]
    fn corners_map_to_corners_and_points_come_back() {
        let transform = ResizeLongestSide::new(Size::new(1801, 1199), SQUARE).unwrap();
        let corner = transform.to_model(Point::new(1801.0, 1199.0));
        assert_eq!((corner.x, corner.y), (1024.0, transform.resized_size().height as f32));
        for (x, y) in [(0.0, 0.0), (17.25, 900.5), (1800.0, 3.0)] {
            let there_and_back = transform.to_image(transform.to_model(Point::new(x, y)));
            assert!((there_and_back.x - x).abs() < 1e-3 && (there_and_back.y - y).abs() < 1e-3);
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for size in [Size::new(0, 4), Size::new(4, 0), Size::new(65_536, 1), Size::new(65_535, 65_535)] {
            assert_eq!(ResizeLongestSide::new(size, SQUARE).unwrap_err().kind(), ErrorKind::InvalidImage);
            assert_eq!(ResizeLongestSide::new(SQUARE, size).unwrap_err().kind(), ErrorKind::InvalidImage);
        }
    }
}

//! Where in a display a camera frame is shown.

use cutout_runtime::{BBox, Point as FramePoint, Size as FrameSize};
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::Rectangle;

/// The largest rectangle of the frame's shape within a display, and the way there from pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fit {
    frame: FrameSize,
    /// Where the frame is shown.
    pub(crate) area: Rectangle,
}

impl Fit {
    /// A frame in the middle of a display, but above its lowest `bar` rows as far as there is room beside it.
    pub(crate) fn new(frame: FrameSize, display: Size, bar: u32) -> Self {
        let side = |side: usize| side.clamp(1, cutout_runtime::MAX_SIDE) as u64;
        let (frame_width, frame_height) = (side(frame.width), side(frame.height));
        let (width, height) = (u64::from(display.width), u64::from(display.height));
        // Which sides touch is told by comparing the shapes, width times height crosswise.
        let scaled = |side: u64, by: u64, over: u64| ((side * by + over / 2) / over).max(1);
        let (w, h) = match frame_width * height <= frame_height * width {
            true => (scaled(frame_width, height, frame_height).min(width), height),
            false => (width, scaled(frame_height, width, frame_width).min(height)),
        };
        let (free_x, free_y) = (width - w, height - h);
        let y = free_y.saturating_sub(u64::from(bar)) / 2;
        let top_left = Point::new((free_x / 2) as i32, y as i32);
        Fit { frame, area: Rectangle::new(top_left, Size::new(w as u32, h as u32)) }
    }

    /// The frame as it is.
    pub(crate) fn whole(frame: FrameSize) -> Self {
        let size = Size::new(frame.width as u32, frame.height as u32);
        Fit { frame, area: Rectangle::new(Point::zero(), size) }
    }

    /// The pixel of the area, from its corner, that shows a position.
    pub(crate) fn point(&self, at: FramePoint) -> Point {
        Point::new(self.x(at.x).floor() as i32, self.y(at.y).floor() as i32)
    }

    /// The pixels of the area, from its corner, that show a box: those that it touches.
    pub(crate) fn bbox(&self, bbox: BBox) -> Rectangle {
        let from = Point::new(self.x(bbox.x0).floor() as i32, self.y(bbox.y0).floor() as i32);
        let to = Point::new(self.x(bbox.x1).ceil() as i32 - 1, self.y(bbox.y1).ceil() as i32 - 1);
        Rectangle::with_corners(from, Point::new(to.x.max(from.x), to.y.max(from.y)))
    }

    // Casts of floats to integers saturate, so positions may be anything.
    fn x(&self, x: f32) -> f32 {
        scaled(x, self.area.size.width, self.frame.width)
    }

    fn y(&self, y: f32) -> f32 {
        scaled(y, self.area.size.height, self.frame.height)
    }
}

fn scaled(at: f32, to: u32, from: usize) -> f32 {
    (f64::from(at) * f64::from(to) / from.max(1) as f64) as f32
}

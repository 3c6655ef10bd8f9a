//! How thick a line and how large a letter must be on a picture of a given size.

use embedded_graphics::prelude::*;

/// Lengths that fit a picture: on a large photo lines are thicker, so that they look the same once it is scaled down to
/// a screen. Lengths whose names end in `q4` are in sixteenths of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    line_q4: u32,
    mark_q4: u32,
    text: u32,
}

impl Scale {
    /// The scale for a picture or display of `size` pixels.
    pub fn of(size: Size) -> Self {
        let long_side = size.width.max(size.height).min(1 << 16);
        let line_q4 = (long_side * 16 / 400).clamp(24, 256);
        // On the smallest displays marks are smaller than lines would have them, or nothing else were seen.
        let mark_q4 = (line_q4 * 9 / 2).min(long_side / 2).max(64);
        Scale { line_q4, mark_q4, text: (long_side / 44).max(10) }
    }

    /// Width of the outline: a 400th of the long side, between 1.5 and 16 pixels.
    pub(super) fn line_q4(&self) -> i32 {
        self.line_q4 as i32
    }

    /// Width of the dark border beside a light line.
    pub(super) fn halo_q4(&self) -> i32 {
        (self.line_q4 as i32 * 5 / 8).max(16)
    }

    /// Radius of a point's mark, ring included: at least four pixels.
    pub(super) fn mark_q4(&self) -> i32 {
        self.mark_q4 as i32
    }

    /// Wished height of a line of text, in pixels.
    pub(super) fn text_px(&self) -> u32 {
        self.text
    }
}

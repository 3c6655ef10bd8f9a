//! What a person is shown on top of a picture: the mask, its outline, the prompt, a line of text.
//!
//! Everything here draws on any [`DrawTarget`](embedded_graphics::draw_target::DrawTarget), from a framebuffer to a small
//! SPI display, takes a mask as its [`Span`]s in reading order and allocates nothing, so that it runs on a microcontroller
//! as it runs here. Arithmetic is on integers; lengths finer than a pixel are in sixteenths of one. What lies outside
//! the target is clipped.
//!
//! Translucency asks for pixels that can be read back; [`Blend`] says what to do where they cannot.

mod blend;
mod canvas;
mod contour;
mod mask;
mod prompts;
mod scale;
mod shapes;
mod status;

use embedded_graphics::pixelcolor::Rgb888;

pub use blend::{Blend, Dithered};
pub use canvas::RgbCanvas;
pub use contour::{draw_contour, draw_outline};
pub use mask::{draw_mask, mute_outside};
pub use prompts::{Certainty, PointKind, draw_box, draw_point, draw_track, draw_trail};
pub use scale::Scale;
pub use status::{FrameAge, Status, bar_height, draw_status, letters_within};

/// One horizontal stretch of a mask, in pixels of the target. A mask is a sequence of spans sorted by `y`, then `x`,
/// that do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Row, from the top.
    pub y: u32,
    /// First column.
    pub x: u32,
    /// Columns covered.
    pub len: u32,
}

impl Span {
    /// The first column after the span.
    const fn end(&self) -> u32 {
        self.x.saturating_add(self.len)
    }
}

/// Colours of masks, told apart easily by most people, and apart from the green and red of [`draw_point`].
pub const PALETTE: [Rgb888; 6] = [
    Rgb888::new(0x1e, 0x9b, 0xff), // azure
    Rgb888::new(0xff, 0x9f, 0x1c), // orange
    Rgb888::new(0xb1, 0x5c, 0xff), // violet
    Rgb888::new(0x14, 0xd3, 0xc2), // turquoise
    Rgb888::new(0xff, 0x5f, 0xa8), // pink
    Rgb888::new(0xff, 0xe1, 0x3b), // yellow
];

/// The colour of the mask number `index`; colours repeat.
pub const fn palette(index: usize) -> Rgb888 {
    PALETTE[index % PALETTE.len()]
}

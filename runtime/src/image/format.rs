//! [`PixelFormat`]: how pixels lie in memory, and what their numbers mean.

/// How a pixel lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Three bytes: red, green, blue, in sRGB.
    Rgb8,
    /// Three bytes: blue, green, red, in sRGB.
    Bgr8,
    /// Four bytes: red, green, blue, in sRGB, and one that is not looked at.
    Rgba8,
    /// One byte: the grey level.
    Grey8,
    /// Two bytes, the lower first: the grey level, of which the upper eight bits count.
    Grey16,
    /// Two pixels in four bytes: Y, U, Y, V. V4L2 names it `YUYV`; others `YUY2`.
    Yuyv(YuvEncoding),
    /// A plane of Y, one byte per pixel, and a plane of U, V, two bytes for every two by two pixels.
    Nv12(YuvEncoding),
    /// One sample of a colour filter array.
    Bayer(BayerPattern, BayerDepth),
}

impl PixelFormat {
    /// Bytes of one pixel; those of the first plane if there are several.
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            PixelFormat::Rgb8 | PixelFormat::Bgr8 => 3,
            PixelFormat::Rgba8 => 4,
            PixelFormat::Grey16 | PixelFormat::Yuyv(_) => 2,
            PixelFormat::Grey8 | PixelFormat::Nv12(_) => 1,
            PixelFormat::Bayer(_, depth) => depth.bytes(),
        }
    }

    /// Bytes of a row of `width` pixels; what is stored for pairs of pixels is there for the last one too.
    pub(super) const fn row_bytes(self, width: usize) -> usize {
        let width = match self {
            PixelFormat::Yuyv(_) | PixelFormat::Nv12(_) => width.next_multiple_of(2),
            _ => width,
        };
        width.saturating_mul(self.bytes_per_pixel())
    }
}

/// What luma and chroma mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum YuvEncoding {
    /// BT.601, luma 16 to 235: what V4L2 cameras give unless they say otherwise.
    #[default]
    Bt601Limited,
    /// BT.601, luma 0 to 255: what JPEG uses.
    Bt601Full,
    /// BT.709, luma 16 to 235: what high definition video uses.
    Bt709Limited,
    /// BT.709, luma 0 to 255.
    Bt709Full,
}

/// Which colours the filters of the first two rows and columns have, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BayerPattern {
    /// Red, green; green, blue.
    Rggb,
    /// Blue, green; green, red.
    Bggr,
    /// Green, red; blue, green.
    Grbg,
    /// Green, blue; red, green.
    Gbrg,
}

impl BayerPattern {
    /// Column and row of the red filter.
    pub(crate) const fn red(self) -> (usize, usize) {
        match self {
            BayerPattern::Rggb => (0, 0),
            BayerPattern::Bggr => (1, 1),
            BayerPattern::Grbg => (1, 0),
            BayerPattern::Gbrg => (0, 1),
        }
    }
}

/// Bits of a sample of a colour filter array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BayerDepth {
    /// One byte.
    Eight,
    /// The lower 10 bits of two bytes, the lower first.
    Ten,
    /// The lower 12 bits of two bytes, the lower first.
    Twelve,
}

impl BayerDepth {
    /// Number of bits.
    pub const fn bits(self) -> u32 {
        match self {
            BayerDepth::Eight => 8,
            BayerDepth::Ten => 10,
            BayerDepth::Twelve => 12,
        }
    }

    const fn bytes(self) -> usize {
        self.bits().div_ceil(8) as usize
    }
}

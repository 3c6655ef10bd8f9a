//! [`Encoding`]: how a camera lays out pixels, by V4L2's four letters.

use std::fmt;
use std::str::FromStr;

use cutout_runtime::{BayerDepth, BayerPattern};

/// How a camera lays out its pixels. Named as V4L2 names it, in small letters (`yuyv`, `nv12`, `mjpeg`, `srggb10p`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static Known);

/// What is known of an encoding.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: &'static str,
    fourcc: [u8; 4],
    layout: Layout,
}

/// What the bytes of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Two pixels in four bytes: where in them the first luma, U, the second luma and V are.
    Pairs([usize; 4]),
    /// A plane of luma, then one of pairs of chroma for two by two pixels; whether V comes first.
    TwoPlanes { v_first: bool },
    /// A plane of luma, then two of chroma for two by two pixels; whether that of V comes first.
    ThreePlanes { v_first: bool },
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Four bytes, of which these three are red, green, blue.
    Quads([usize; 3]),
    /// One byte of grey.
    Grey,
    /// Two bytes of grey, the lower first, of which the lower so many bits count.
    Grey16 { bits: u32 },
    /// A sample of a colour filter array in one byte, or in the lower bits of two.
    Bayer(BayerPattern, BayerDepth),
    /// Samples of a colour filter array or of grey, so many in as many bytes and one more that holds their lowest bits
    /// (MIPI CSI-2).
    Packed(Option<BayerPattern>, usize),
    /// A JPEG.
    Jpeg,
}

const fn known(name: &'static str, fourcc: &[u8; 4], layout: Layout) -> Known {
    Known { name, fourcc: *fourcc, layout }
}

/// All that can be read.
static KNOWN: [Known; 44] = {
    use BayerDepth::{Eight, Ten, Twelve};
    use BayerPattern::{Bggr, Gbrg, Grbg, Rggb};
    use Layout::*;
    [
        known("nv12", b"NV12", TwoPlanes { v_first: false }),
        known("yuyv", b"YUYV", Pairs([0, 1, 2, 3])),
        known("rgb24", b"RGB3", Rgb),
        known("bgr24", b"BGR3", Bgr),
        known("nv21", b"NV21", TwoPlanes { v_first: true }),
        known("yuv420", b"YU12", ThreePlanes { v_first: false }),
        known("yvu420", b"YV12", ThreePlanes { v_first: true }),
        known("uyvy", b"UYVY", Pairs([1, 0, 3, 2])),
        known("yvyu", b"YVYU", Pairs([0, 3, 2, 1])),
        known("vyuy", b"VYUY", Pairs([1, 2, 3, 0])),
        known("xbgr32", b"XR24", Quads([2, 1, 0])),
        known("abgr32", b"AR24", Quads([2, 1, 0])),
        known("bgr32", b"BGR4", Quads([2, 1, 0])),
        known("rgbx32", b"XB24", Quads([0, 1, 2])),
        known("rgba32", b"AB24", Quads([0, 1, 2])),
        known("xrgb32", b"BX24", Quads([1, 2, 3])),
        known("rgb32", b"RGB4", Quads([1, 2, 3])),
        known("mjpeg", b"MJPG", Jpeg),
        known("jpeg", b"JPEG", Jpeg),
        known("sbggr8", b"BA81", Bayer(Bggr, Eight)),
        known("sgbrg8", b"GBRG", Bayer(Gbrg, Eight)),
        known("sgrbg8", b"GRBG", Bayer(Grbg, Eight)),
        known("srggb8", b"RGGB", Bayer(Rggb, Eight)),
        known("sbggr10p", b"pBAA", Packed(Some(Bggr), 4)),
        known("sgbrg10p", b"pGAA", Packed(Some(Gbrg), 4)),
        known("sgrbg10p", b"pgAA", Packed(Some(Grbg), 4)),
        known("srggb10p", b"pRAA", Packed(Some(Rggb), 4)),
        known("sbggr12p", b"pBCC", Packed(Some(Bggr), 2)),
        known("sgbrg12p", b"pGCC", Packed(Some(Gbrg), 2)),
        known("sgrbg12p", b"pgCC", Packed(Some(Grbg), 2)),
        known("srggb12p", b"pRCC", Packed(Some(Rggb), 2)),
        known("sbggr10", b"BG10", Bayer(Bggr, Ten)),
        known("sgbrg10", b"GB10", Bayer(Gbrg, Ten)),
        known("sgrbg10", b"BA10", Bayer(Grbg, Ten)),
        known("srggb10", b"RG10", Bayer(Rggb, Ten)),
        known("sbggr12", b"BG12", Bayer(Bggr, Twelve)),
        known("sgbrg12", b"GB12", Bayer(Gbrg, Twelve)),
        known("sgrbg12", b"BA12", Bayer(Grbg, Twelve)),
        known("srggb12", b"RG12", Bayer(Rggb, Twelve)),
        known("grey", b"GREY", Grey),
        known("y10p", b"Y10P", Packed(None, 4)),
        known("y10", b"Y10 ", Grey16 { bits: 10 }),
        known("y12", b"Y12 ", Grey16 { bits: 12 }),
        known("y16", b"Y16 ", Grey16 { bits: 16 }),
    ]
};

impl Encoding {
    /// What a camera calls by these four letters; `None` if it cannot be read.
    pub(super) fn from_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        KNOWN.iter().find(|known| known.fourcc == fourcc).map(Encoding)
    }

    pub(super) fn fourcc(self) -> [u8; 4] {
        self.0.fourcc
    }

    pub(super) fn layout(self) -> Layout {
        self.0.layout
    }

    /// How much less one would rather have it than one that is read as it is. Small numbers: size and rate matter more.
    pub(super) fn cost(self) -> f64 {
        match self.0.layout {
            Layout::Pairs([0, 1, 2, 3]) | Layout::TwoPlanes { v_first: false } | Layout::Rgb | Layout::Bgr => 0.0,
            Layout::Pairs(_) | Layout::TwoPlanes { .. } | Layout::ThreePlanes { .. } | Layout::Quads(_) => 0.02,
            // Decoding takes time, and what it shows was made coarser.
            Layout::Jpeg => 0.1,
            // No processor has made the colours right.
            Layout::Bayer(..) | Layout::Packed(Some(_), _) => 0.5,
            Layout::Grey | Layout::Grey16 { .. } | Layout::Packed(None, _) => 1.0,
        }
    }

    /// The names of all, for help.
    pub fn names() -> String {
        KNOWN.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
    }
}

impl FromStr for Encoding {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name)).map(Encoding).ok_or(())
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

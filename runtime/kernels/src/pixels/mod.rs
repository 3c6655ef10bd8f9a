//! What cameras give, one row at a time, as what [resize](crate::resize) takes.
//!
//! **Luma and chroma** (YUYV, NV12): `red = gain (Y - offset) + r (V - 128)`, `green = gain (Y - offset) + g (U - 128) +
//! h (V - 128)` and `blue = gain (Y - offset) + b (U - 128)` with the factors of a [`YuvMatrix`], each rounded to 16
//! fractional bits; the sum is rounded half up and clipped to 0..=255. So a value is within 0.51 of the exact formula's. A
//! chroma sample holds for each of the two pixels (YUYV) or two by two pixels (NV12) that it is stored for: it is repeated,
//! not interpolated, as most decoders for displays do.
//!
//! **Bayer**: bilinear. A colour that a pixel does not have is the mean of those of its eight neighbours that have it: four
//! for green at red and blue pixels, four diagonal ones for red at blue and blue at red ones, two beside or above each other
//! at green ones. Means are taken at the sensor's depth and rounded half up.
//!
//! **More than eight bits**: the top eight of the depth count, `value >> (depth - 8)`, without rounding. So each level stands
//! for as many values as any other, black stays 0 and white 255, as the same sensor gives them in an 8-bit mode; rounding
//! would need clipping at white. Samples above their depth are white.
//!
//! Layout: 16-bit samples are little-endian pairs of bytes. Colours come out as 4 bytes per pixel, red, green, blue and an
//! undefined one; greys come out as the quads of [resize](crate::resize): column by column the values of four rows.
//!
//! Tolerance: none; all is integers.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

use crate::SimdLevel;

/// Factors from luma and chroma to red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YuvMatrix {
    /// Luma of black.
    offset: i32,
    /// Of luma; this and the others in units of 2^-16.
    gain: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
}

impl YuvMatrix {
    /// The matrix of a standard with the luma weights `red` and `blue` (BT.601: 0.299 and 0.114; BT.709: 0.2126 and
    /// 0.0722), with luma and chroma over the full 0..=255, or over 16..=235 and 16..=240.
    pub const fn new(red: f64, blue: f64, full: bool) -> Self {
        let (gain, chroma) = if full { (1.0, 1.0) } else { (255.0 / 219.0, 255.0 / 224.0) };
        let green = 1.0 - red - blue;
        let (red_v, blue_u) = (2.0 * (1.0 - red) * chroma, 2.0 * (1.0 - blue) * chroma);
        YuvMatrix {
            offset: if full { 0 } else { 16 },
            gain: fixed(gain),
            red_v: fixed(red_v),
            green_u: -fixed(blue_u * blue / green),
            green_v: -fixed(red_v * red / green),
            blue_u: fixed(blue_u),
        }
    }
}

/// A positive number in units of 2^-16.
const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

/// A row that [`to_rgbx`] converts.
#[derive(Debug, Clone, Copy)]
pub enum ColourRow<'a> {
    /// Pairs of pixels: Y, U, Y, V.
    Yuyv(YuvMatrix, &'a [u8]),
    /// Pairs of pixels: a row of Y, Y and the row of U, V that holds for it.
    Nv12(YuvMatrix, &'a [u8], &'a [u8]),
    /// Samples of a colour filter array.
    Bayer(BayerRow<'a>),
}

/// A row of a colour filter array with its neighbours.
#[derive(Debug, Clone, Copy)]
pub struct BayerRow<'a> {
    /// The row above, the row and the row below, each with one more sample before the first pixel and after the last.
    pub rows: [&'a [u16]; 3],
    /// Whether the row has red pixels; else it has blue ones.
    pub red: bool,
    /// Whether the first pixel is green.
    pub green_first: bool,
    /// Bits of a sample, 8 to 14.
    pub depth: u32,
}

/// Converts one row to red, green, blue and an undefined byte per pixel; `out` has as many pixels as the row.
pub fn to_rgbx(level: SimdLevel, row: ColourRow<'_>, out: &mut [u8]) {
    let bytes = match row {
        ColourRow::Yuyv(_, row) => 2 * row.len(),
        ColourRow::Nv12(_, luma, chroma) if luma.len() == chroma.len() => 4 * luma.len(),
        ColourRow::Bayer(BayerRow { rows: [a, b, c], .. }) if a.len() == b.len() && b.len() == c.len() => {
            4 * (a.len() - 2)
        }
        _ => panic!("rows of different lengths"),
    };
    assert!(bytes == out.len(), "an output of {} bytes for a row of {bytes}", out.len());
    match level {
        SimdLevel::Scalar => scalar::to_rgbx(row, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::to_rgbx(token, row, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::to_rgbx(token, row, out),
        // The specification compiles to Advanced SIMD.
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(_) | SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => scalar::to_rgbx(row, out),
    }
}

/// Makes quads of four rows of grey pixels of `BYTES` bytes, 1 or 2: `out[4 x + r]` is pixel `x` of row `r`.
pub fn grey_quads<const BYTES: usize>(level: SimdLevel, rows: [&[u8]; 4], out: &mut [u8]) {
    assert!(rows.iter().all(|row| 4 * row.len() == BYTES * out.len()), "an output as wide as the rows");
    match level {
        SimdLevel::Scalar => scalar::grey_quads::<BYTES>(rows, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::grey_quads::<BYTES>(token, rows, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::grey_quads::<BYTES>(token, rows, out),
        // The specification compiles to `st4`.
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(_) | SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => scalar::grey_quads::<BYTES>(rows, out),
    }
}

/// Reads samples of `depth` bits, of one byte each up to 8 and of two above, little-endian; what is above `2^depth - 1` is
/// made that.
pub fn samples(row: &[u8], depth: u32, out: &mut [u16]) {
    let bytes = if depth > 8 { 2 } else { 1 };
    assert!(row.len() == bytes * out.len(), "{} bytes for {} samples", row.len(), out.len());
    scalar::samples(row, depth, out);
}

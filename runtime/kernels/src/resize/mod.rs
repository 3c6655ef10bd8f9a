//! Separable antialiased bilinear resize of 8-bit images, bit-equal to `Image.resize(size, BILINEAR)` of Pillow up to
//! version 12, which is what Segment Anything was trained and published with. Pillow 13 does the vertical pass first
//! where that is cheaper (tall images made much smaller), and so differs there by a level here and there.
//!
//! Formula, per axis with `scale = input / output`: output pixel `i` is a weighted mean of the input pixels around
//! `centre = (i + 0.5) * scale`, with the triangle filter `1 - |d| / max(scale, 1)` of the distance `d` from there to
//! a pixel's centre, over the pixels from `int(centre - support + 0.5)` to `int(centre + support + 0.5)`, where
//! `support = max(scale, 1)`, cut at the image's edges.
//!
//! Rounding: weights are normalised in f64, then rounded half away from zero to 22 fractional bits. A pass sums in
//! i32 from one half, shifts right by 22 and clips to 0..=255. The horizontal pass comes first and rounds to u8. An
//! axis that keeps its size has one weight of 1, so its pass changes nothing.
//!
//! Layout: the horizontal pass takes four rows of interleaved pixels and gives planes of *quads*: word `x` of a plane
//! holds the four rows' values of column `x`, the upper row in the lowest byte. The vertical pass takes the quads that
//! [`Down::quads`] names and gives one row of one plane, as bytes or normalised. So a band of rows is resized in one
//! sweep, with no more than a few quads between the passes. Planes of quads are [`padded`] to whole vectors; what the
//! padding holds does not matter.
//!
//! Tolerance: none; every implementation gives the same bytes. (Pillow: `src/libImaging/Resample.c`.)

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod axis;
mod digits;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
mod scalar;
#[cfg(test)]
mod tests;

pub use axis::{Across, Down};

#[cfg(target_arch = "aarch64")]
use self::neon_dot::Udot;
use crate::SimdLevel;
use crate::normalize::Channel;

/// Fractional bits of a weight: 32 less 8 for the pixel and 2 for headroom, as in Pillow.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// One half, which a pass starts its sums from.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Columns that the vertical pass may read at a time.
const BLOCK: usize = 64;

/// Words of a plane of quads that is `width` pixels wide.
pub const fn padded(width: usize) -> usize {
    width.next_multiple_of(BLOCK)
}

/// Resizes four rows of pixels of `PIXEL` bytes (3 or 4), of which the first three count, along `across`: rows are
/// `PIXEL * input` bytes, each plane has [`padded`]`(output)` words.
pub fn horizontal<const PIXEL: usize>(across: &Across, rows: [&[u8]; 4], planes: [&mut [u32]; 3]) {
    assert!(PIXEL == across.pixel(), "an axis for pixels of {PIXEL} bytes");
    assert!(rows.iter().all(|row| row.len() == PIXEL * across.input()), "rows as wide as the axis");
    assert!(planes.iter().all(|plane| plane.len() == padded(across.output())), "planes as wide as the axis");
    if rows[0].len() < 16 {
        return scalar::horizontal::<PIXEL>(across, rows, planes);
    }
    match across.level() {
        SimdLevel::Scalar => scalar::horizontal::<PIXEL>(across, rows, planes),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::horizontal::<PIXEL>(token, across, rows, planes),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::horizontal::<PIXEL>(token, across, rows, planes),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => neon::horizontal::<PIXEL, _>(token, across, rows, planes),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => neon::horizontal::<PIXEL, _>(Udot::from(token), across, rows, planes),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => neon::horizontal::<PIXEL, _>(Udot::from(token), across, rows, planes),
    }
}

/// Resizes one plane of quads along `across`: `source` holds `input` quads as bytes, `plane` has [`padded`]`(output)`
/// words.
pub fn horizontal_quads(across: &Across, source: &[u8], plane: &mut [u32]) {
    assert!(across.pixel() == 4, "an axis for pixels of 4 bytes");
    assert!(source.len() == 4 * across.input(), "a row as wide as the axis");
    assert!(plane.len() == padded(across.output()), "a plane as wide as the axis");
    if source.len() < 16 {
        return scalar::horizontal_quads(across, source, plane);
    }
    match across.level() {
        SimdLevel::Scalar => scalar::horizontal_quads(across, source, plane),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::horizontal_quads(token, across, source, plane),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::horizontal_quads(token, across, source, plane),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => neon::horizontal_quads(token, across, source, plane),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => neon::horizontal_quads(Udot::from(token), across, source, plane),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => neon::horizontal_quads(Udot::from(token), across, source, plane),
    }
}

/// Computes row `i` of the output of `down` as bytes; `quad(q)` gives quad `q` of a plane, [`padded`] to `out`'s length.
pub fn vertical_u8<'a>(down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], out: &mut [u8]) {
    let width = out.len();
    let quad = |q: usize| checked(quad(q), width);
    match down.level() {
        SimdLevel::Scalar => scalar::vertical_u8(down, i, quad, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::vertical_u8(token, down, i, quad, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::vertical_u8(token, down, i, quad, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => neon::vertical_u8(token, down, i, quad, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => neon::vertical_u8(Udot::from(token), down, i, quad, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => neon::vertical_u8(Udot::from(token), down, i, quad, out),
    }
}

/// Computes row `i` as [`vertical_u8`] does, and [normalises](crate::normalize) it.
pub fn vertical_f32<'a>(down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], channel: &Channel, out: &mut [f32]) {
    let width = out.len();
    let quad = |q: usize| checked(quad(q), width);
    if channel.inverse().is_none() {
        return scalar::vertical_f32(down, i, quad, channel, out);
    }
    match down.level() {
        SimdLevel::Scalar => scalar::vertical_f32(down, i, quad, channel, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => avx2::vertical_f32(token, down, i, quad, channel, out),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => avx512::vertical_f32(token, down, i, quad, channel, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => neon::vertical_f32(token, down, i, quad, channel, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => neon::vertical_f32(Udot::from(token), down, i, quad, channel, out),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => neon::vertical_f32(Udot::from(token), down, i, quad, channel, out),
    }
}

fn checked(quad: &[u32], width: usize) -> &[u32] {
    assert!(quad.len() >= padded(width), "a plane of quads is padded to whole vectors");
    quad
}

/// Where four consecutive pixels of `PIXEL` bytes lie in 16, ordered by channel: a byte shuffle's control, which gives 0 for the rest.
const fn gather<const PIXEL: usize>() -> [u8; 16] {
    let mut control = [0x80; 16];
    let mut i = 0;
    while i < 4 * PIXEL {
        control[i] = (i / 4 + i % 4 * PIXEL) as u8;
        i += 1;
    }
    control
}

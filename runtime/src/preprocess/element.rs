//! [`InputElement`]: the types that a model's input may have.

use cutout_kernels::normalize::Channel;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::band::Row;

/// A type of the model's input.
///
/// - `f32`: normalised values; padding is zero.
/// - `half::f16`: the nearest to those.
/// - `u8`: levels that are not normalised, for networks whose first layer does that; padding is the level that is nearest to
///   the mean, which is what normalises to about zero.
/// - `i8`: such levels less 128.
pub trait InputElement: sealed::Element {}

impl InputElement for f32 {}
impl InputElement for f16 {}
impl InputElement for u8 {}
impl InputElement for i8 {}

/// Rows on their way out, in L1.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    floats: Vec<f32>,
    levels: Vec<u8>,
    float_planes: Vec<f32>,
    half_planes: Vec<f16>,
    level_planes: Vec<u8>,
    signed_planes: Vec<i8>,
}

mod sealed {
    use super::{Channel, Row, Scratch};

    pub trait Element: Copy + Default + Send + Sync {
        /// What stands beside the image.
        fn padding(channel: &Channel) -> Self;

        /// The scratch for one row of three planes.
        #[allow(private_interfaces, reason = "the trait is sealed")]
        fn planes(scratch: &mut Scratch) -> &mut Vec<Self>;

        /// Writes one channel of a row.
        #[allow(private_interfaces, reason = "the trait is sealed")]
        fn row(row: &Row<'_>, channel: usize, scratch: &mut Scratch, out: &mut [Self]);
    }
}

fn level_of_mean(channel: &Channel) -> u8 {
    // The cast saturates.
    channel.mean().round() as u8
}

#[allow(private_interfaces, reason = "the trait is sealed")]
impl sealed::Element for f32 {
    fn padding(_: &Channel) -> f32 {
        0.0
    }

    fn planes(scratch: &mut Scratch) -> &mut Vec<f32> {
        &mut scratch.float_planes
    }

    fn row(row: &Row<'_>, channel: usize, _: &mut Scratch, out: &mut [f32]) {
        row.normalized(channel, out);
    }
}

#[allow(private_interfaces, reason = "the trait is sealed")]
impl sealed::Element for f16 {
    fn padding(_: &Channel) -> f16 {
        f16::ZERO
    }

    fn planes(scratch: &mut Scratch) -> &mut Vec<f16> {
        &mut scratch.half_planes
    }

    fn row(row: &Row<'_>, channel: usize, scratch: &mut Scratch, out: &mut [f16]) {
        scratch.floats.resize(out.len(), 0.0);
        row.normalized(channel, &mut scratch.floats);
        out.convert_from_f32_slice(&scratch.floats);
    }
}

#[allow(private_interfaces, reason = "the trait is sealed")]
impl sealed::Element for u8 {
    fn padding(channel: &Channel) -> u8 {
        level_of_mean(channel)
    }

    fn planes(scratch: &mut Scratch) -> &mut Vec<u8> {
        &mut scratch.level_planes
    }

    fn row(row: &Row<'_>, channel: usize, _: &mut Scratch, out: &mut [u8]) {
        row.levels(channel, out);
    }
}

#[allow(private_interfaces, reason = "the trait is sealed")]
impl sealed::Element for i8 {
    fn padding(channel: &Channel) -> i8 {
        signed(level_of_mean(channel))
    }

    fn planes(scratch: &mut Scratch) -> &mut Vec<i8> {
        &mut scratch.signed_planes
    }

    fn row(row: &Row<'_>, channel: usize, scratch: &mut Scratch, out: &mut [i8]) {
        scratch.levels.resize(out.len(), 0);
        row.levels(channel, &mut scratch.levels);
        for (out, &level) in out.iter_mut().zip(&scratch.levels) {
            *out = signed(level);
        }
    }
}

/// The level less 128.
fn signed(level: u8) -> i8 {
    (level ^ 0x80) as i8
}

//! The loops of the specification, compiled for Avx512's vectors.

use super::{ColourRow, scalar};
use crate::simd::Avx512;

pub(super) fn to_rgbx(_: Avx512, row: ColourRow<'_>, out: &mut [u8]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    fn wide(row: ColourRow<'_>, out: &mut [u8]) {
        scalar::to_rgbx(row, out);
    }
    // SAFETY: the token proves these instructions.
    unsafe { wide(row, out) }
}

pub(super) fn grey_quads<const BYTES: usize>(_: Avx512, rows: [&[u8]; 4], out: &mut [u8]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    fn wide<const BYTES: usize>(rows: [&[u8]; 4], out: &mut [u8]) {
        scalar::grey_quads::<BYTES>(rows, out);
    }
    // SAFETY: the token proves these instructions.
    unsafe { wide::<BYTES>(rows, out) }
}

//! The loops of the specification, compiled for Avx2's vectors.

use super::scalar;
use crate::simd::Avx2;

pub(super) fn interleave<T: Copy>(_: Avx2, planes: [&[T]; 3], out: &mut [T]) {
    #[target_feature(enable = "avx2")]
    fn wide<T: Copy>(planes: [&[T]; 3], out: &mut [T]) {
        scalar::interleave(planes, out);
    }
    // SAFETY: the token proves these instructions.
    unsafe { wide(planes, out) }
}

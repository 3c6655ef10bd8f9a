//! The loops of the specification, compiled for Avx512's vectors.

use super::scalar;
use crate::simd::Avx512;

pub(super) fn interleave<T: Copy>(_: Avx512, planes: [&[T]; 3], out: &mut [T]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn wide<T: Copy>(planes: [&[T]; 3], out: &mut [T]) {
        scalar::interleave(planes, out);
    }
    // SAFETY: the token proves these instructions.
    unsafe { wide(planes, out) }
}

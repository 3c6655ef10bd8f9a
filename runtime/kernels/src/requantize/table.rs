//! A table over rows of bytes.

use super::Table;
#[cfg(target_arch = "aarch64")]
use super::neon;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::SimdLevel;

/// Applies `table` to each of `bytes`.
pub fn map(level: SimdLevel, table: &Table, bytes: &mut [u8]) {
    // SAFETY: one row, which is the slice.
    unsafe { map_rows(level, table, bytes.as_mut_ptr(), bytes.len(), 1, bytes.len()) }
}

/// Applies `table` to `rows` rows of `len` bytes, `stride` apart.
///
/// # Safety
/// `to` is valid for reads and writes of these rows, and nothing else reads or writes them meanwhile.
pub(crate) unsafe fn map_rows(level: SimdLevel, table: &Table, to: *mut u8, stride: usize, rows: usize, len: usize) {
    match level {
        SimdLevel::Scalar => {
            for row in 0..rows {
                // SAFETY: as the caller promises.
                let bytes = unsafe { std::slice::from_raw_parts_mut(to.add(row * stride), len) };
                scalar(table, bytes);
            }
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves AVX2; the caller vouches for the memory.
        SimdLevel::Avx2(_) => unsafe { avx2::map(table, to, stride, rows, len) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the token proves AVX2 and AVX-512 BW; VBMI is looked for; the caller vouches for the memory.
        SimdLevel::Avx512(_) => unsafe {
            if std::arch::is_x86_feature_detected!("avx512vbmi") {
                avx512::map(table, to, stride, rows, len);
            } else {
                avx2::map(table, to, stride, rows, len);
            }
        },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the tokens prove Advanced SIMD; the caller vouches for the memory.
        SimdLevel::Neon(_) | SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => unsafe {
            neon::map(table, to, stride, rows, len);
        },
    }
}

/// The specification.
pub(super) fn scalar(table: &Table, bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = table[usize::from(*byte)]);
}

//! [`Quantize`]: registers of sums, on their way to bytes.

use std::ptr;

use super::Clamp;
use crate::lanes::Lanes;

/// What the [rule](super) needs beside arithmetic in f32. All methods are inlined, as those of [`Lanes`].
pub(crate) trait Quantize: Lanes {
    /// As many i32 as a register of f32 has lanes.
    type Sums: Copy;

    /// The i32 that have these bits.
    fn as_sums(self, bits: Self::Vector) -> Self::Sums;
    /// To f32, to nearest, ties to even.
    fn to_f32(self, sums: Self::Sums) -> Self::Vector;
    /// Reads `len` bytes, and takes `zero` from each. Lanes beyond `len` are anything.
    ///
    /// # Safety
    /// `from` is valid for reads of `len` bytes, which fill `N - 1` registers and at least start the last; `N` is at most 4.
    unsafe fn load_bytes<const N: usize>(self, from: *const u8, len: usize, zero: u8) -> [Self::Vector; N];
    /// Rounds, adds the zero point, clamps and writes the first `len` lanes, which are not NaN.
    ///
    /// # Safety
    /// As of [`load_bytes`](Self::load_bytes), of writes.
    unsafe fn store_bytes<const N: usize>(self, values: [Self::Vector; N], clamp: Clamp, to: *mut u8, len: usize);
}

/// Copies `len` bytes, of which all but at most seven are `known` when this is compiled: without a call, around which registers would be
/// saved.
///
/// # Safety
/// `from` is valid for reads of `len` bytes, and `to` for writes. `known <= len < known + 8`.
#[inline(always)]
pub(super) unsafe fn copy_part(from: *const u8, to: *mut u8, known: usize, len: usize) {
    // SAFETY: the pieces that `len` consists of, one after the other.
    unsafe {
        ptr::copy_nonoverlapping(from, to, known);
        let (mut at, left) = (known, len - known);
        if left & 4 != 0 {
            to.add(at).cast::<u32>().write_unaligned(from.add(at).cast::<u32>().read_unaligned());
            at += 4;
        }
        if left & 2 != 0 {
            to.add(at).cast::<u16>().write_unaligned(from.add(at).cast::<u16>().read_unaligned());
            at += 2;
        }
        if left & 1 != 0 {
            *to.add(at) = *from.add(at);
        }
    }
}

//! Weights of 22 bits as digits that SIMD instructions multiply exactly; sums of digits are put together again in i32.

use super::axis::Taps;

/// Bits of the lower part of [`halves`].
#[cfg(target_arch = "x86_64")]
pub(super) const HALF_BITS: u32 = 14;

/// `w = 2^14 high + low` of taps 0 and 2, 1 and 3 as pairs of 16-bit numbers: low, low, high, high.
#[cfg(target_arch = "x86_64")]
pub(super) fn halves(weights: [i32; 4]) -> Taps {
    let low = weights.map(|w| w as u32 & ((1 << HALF_BITS) - 1));
    let high = weights.map(|w| w as u32 >> HALF_BITS);
    [low[0] | low[2] << 16, low[1] | low[3] << 16, high[0] | high[2] << 16, high[1] | high[3] << 16]
}

/// `w = 2^16 a + 2^8 b + c` with signed bytes: those of four taps in one word, `a` first; the last word is 0.
#[cfg(target_arch = "x86_64")]
pub(super) fn signed_bytes(weights: [i32; 4]) -> Taps {
    let c = weights.map(|w| w as i8);
    let rest: [i32; 4] = std::array::from_fn(|k| (weights[k] - i32::from(c[k])) >> 8);
    let b = rest.map(|w| w as i8);
    let a: [i8; 4] = std::array::from_fn(|k| ((rest[k] - i32::from(b[k])) >> 8) as i8);
    let word = |digits: [i8; 4]| u32::from_le_bytes(digits.map(|d| d as u8));
    [word(a), word(b), word(c), 0]
}

/// `w = 2^16 a + 2^8 b + c` with unsigned bytes: those of four taps in one word, `a` first; the last word is 0.
#[cfg(target_arch = "aarch64")]
pub(super) fn bytes(weights: [i32; 4]) -> Taps {
    let word = |shift: u32| u32::from_le_bytes(weights.map(|w| (w >> shift) as u8));
    [word(16), word(8), word(0), 0]
}

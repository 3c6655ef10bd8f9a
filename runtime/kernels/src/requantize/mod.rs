//! From integer sums to bytes: the one rounding rule of all quantised operations.
//!
//! A quantised number is a byte `q` with the scale `s` and the zero point `z` of its tensor, and stands for `(q - z) * s`.
//! Formula: `t = sum * multiplier [+ (residual - residual_zero) * residual_multiplier]`, then
//! `q = round(min(max(t, low - zero), high - zero)) + zero`, and then `table[q]` where there is a table.
//!
//! Rounding: `sum` (i32) is converted to f32, to nearest, ties to even; each multiplication and the addition is rounded to f32 by itself,
//! never fused; the last rounding is to nearest, ties to even. Each of these is one IEEE 754 operation, so that every level gives the
//! same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod quantize;
mod table;
mod vector;

pub use quantize::{Clamp, dequantize, quantize};
pub use table::map;
pub(crate) use table::map_rows;
pub(crate) use vector::Quantize;

/// A byte for each byte: an activation between two quantisations.
pub type Table = [u8; 256];

/// What becomes of the sums of some outputs, see the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// One for each output: scale of the input, times that of the output's weights, by that of the result. Within `2^64`, so that
    /// nothing becomes infinite.
    pub multipliers: &'a [f32],
    /// What is added.
    pub residual: Option<Residual<'a>>,
    /// The result's zero point.
    pub zero: u8,
    /// The least result before the table.
    pub low: u8,
    /// The greatest result before the table; not below `low`.
    pub high: u8,
    /// Applied last.
    pub table: Option<&'a Table>,
}

/// Quantised rows that are added to rows of sums.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// Rows of one byte for each output.
    pub values: &'a [u8],
    /// Bytes between the starts of rows.
    pub stride: usize,
    /// Their zero point.
    pub zero: u8,
    /// Their scale by that of the result. Within `2^64`.
    pub multiplier: f32,
}

impl Requantize<'_> {
    /// The specification: the byte for the sum of output `j`, and for the byte of its residual, if there is one.
    pub(crate) fn value(&self, sum: i32, j: usize, residual: u8) -> u8 {
        let mut t = sum as f32 * self.multipliers[j];
        if let Some(r) = &self.residual {
            t += f32::from(i16::from(residual) - i16::from(r.zero)) * r.multiplier;
        }
        let q = Clamp { zero: self.zero, low: self.low, high: self.high }.byte(t);
        self.table.map_or(q, |table| table[usize::from(q)])
    }
}

#[cfg(test)]
mod tests;

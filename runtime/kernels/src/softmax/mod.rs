//! Softmax of rows.
//!
//! Formula: `exp(x - largest) / sum of exp(x - largest)` over each row. Where `x - largest` is below -87 the exponential counts as
//! that of -87 (1.6e-38).
//!
//! Rounding: in f32; sums are taken in registers and differ between levels in their order only. The exponential of the levels with
//! registers is within 3e-7 of itself, that of scalar is the standard library's.
//!
//! Layout: rows of `width` numbers without gaps, in place. Numbers are finite or minus infinity, and not all of a row are that.
//!
//! Tolerance: levels agree within 2e-6 of each value.

use crate::SimdLevel;
use crate::lanes::{LOWEST, Lanes, at_level, exp};

/// Replaces rows by their softmax.
pub fn softmax(level: SimdLevel, values: &mut [f32], width: usize) {
    assert!(width > 0 && values.len().is_multiple_of(width), "rows of {width} numbers");
    at_level!(level, scalar, vector, (values: &mut [f32] = values, width: usize = width));
}

/// Replaces matrices of `rows` rows of `columns` numbers, one behind the other, by the softmax of each of their columns. (The largest
/// number of a column is subtracted from it as in [`softmax`]; sums take the rows in ascending order.)
pub fn softmax_of_columns(level: SimdLevel, values: &mut [f32], rows: usize, columns: usize) {
    assert!(rows * columns > 0 && values.len().is_multiple_of(rows * columns), "matrices of {rows} rows of {columns}");
    at_level!(level, scalar_columns, vector_columns, (
        values: &mut [f32] = values,
        rows: usize = rows,
        columns: usize = columns,
    ));
}

/// The specification of [`softmax_of_columns`].
fn scalar_columns(values: &mut [f32], rows: usize, columns: usize) {
    for matrix in values.chunks_exact_mut(rows * columns) {
        for column in 0..columns {
            let mut numbers: Vec<f32> = matrix[column..].iter().step_by(columns).copied().collect();
            scalar(&mut numbers, rows);
            matrix[column..].iter_mut().step_by(columns).zip(numbers).for_each(|(value, number)| *value = number);
        }
    }
}

/// The columns on registers.
#[inline(always)]
fn vector_columns<S: Lanes>(s: S, values: &mut [f32], rows: usize, columns: usize) {
    for matrix in values.chunks_exact_mut(rows * columns) {
        for column in (0..columns).step_by(S::LANES) {
            let (at, len) = (matrix[column..].as_mut_ptr(), columns - column);
            // SAFETY: each of the rows has `len` numbers from this column on.
            unsafe {
                let mut largest = s.load_up_to(at, len);
                for row in 1..rows {
                    largest = s.max(largest, s.load_up_to(at.add(row * columns), len));
                }
                let (minus, mut sum) = (s.mul(largest, s.splat(-1.0)), s.splat(0.0));
                for row in 0..rows {
                    let at = at.add(row * columns);
                    let value = exp(s, s.add(s.load_up_to(at, len), minus));
                    sum = s.add(sum, value);
                    s.store_up_to(value, at, len);
                }
                let mut scales = s.to_array(sum);
                scales.iter_mut().for_each(|sum| *sum = 1.0 / *sum);
                let scales = s.load(scales.as_ptr());
                for row in 0..rows {
                    let at = at.add(row * columns);
                    s.store_up_to(s.mul(s.load_up_to(at, len), scales), at, len);
                }
            }
        }
    }
}

/// The specification.
fn scalar(values: &mut [f32], width: usize) {
    for row in values.chunks_exact_mut(width) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|x| *x = (*x - largest).max(LOWEST).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|x| *x *= 1.0 / sum);
    }
}

/// The rows on registers.
#[inline(always)]
fn vector<S: Lanes>(s: S, values: &mut [f32], width: usize) {
    for row in values.chunks_exact_mut(width) {
        let scale = 1.0 / exponentials(s, row, f32::NEG_INFINITY).1;
        for chunk in row.chunks_mut(S::LANES) {
            // SAFETY: a chunk has the numbers that its length says.
            unsafe {
                let value = s.mul(s.load_up_to(chunk.as_ptr(), chunk.len()), s.splat(scale));
                s.store_up_to(value, chunk.as_mut_ptr(), chunk.len());
            }
        }
    }
}

/// Replaces a row by `exp(x - largest)`, where no largest number counts that is less than `low`, and gives that and the sum.
#[inline(always)]
pub(crate) fn exponentials<S: Lanes>(s: S, row: &mut [f32], low: f32) -> (f32, f32) {
    let whole = row.len() - row.len() % S::LANES;
    let (head, tail) = row.split_at_mut(whole);
    let mut largest = tail.iter().copied().fold(low, f32::max);
    let mut high = s.splat(f32::NEG_INFINITY);
    for chunk in head.chunks_exact(S::LANES) {
        // SAFETY: the chunk is a whole register.
        high = s.max(high, unsafe { s.load(chunk.as_ptr()) });
    }
    largest = s.to_array(high)[..S::LANES].iter().copied().fold(largest, f32::max);
    let minus = s.splat(-largest);
    let mut sum = s.splat(0.0);
    for chunk in head.chunks_exact_mut(S::LANES) {
        // SAFETY: the chunk is a whole register.
        unsafe {
            let value = exp(s, s.add(s.load(chunk.as_ptr()), minus));
            sum = s.add(sum, value);
            s.store(value, chunk.as_mut_ptr());
        }
    }
    let mut total = s.sum(sum);
    if !tail.is_empty() {
        // SAFETY: the tail has the numbers that its length says, fewer than a register.
        unsafe {
            let value = exp(s, s.add(s.load_part(tail.as_ptr(), tail.len()), minus));
            s.store_part(value, tail.as_mut_ptr(), tail.len());
        }
        total += tail.iter().sum::<f32>();
    }
    (largest, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Values;

    #[test]
    fn every_level_is_the_formula() {
        let mut values = Values::new(4);
        for width in [1, 2, 7, 12, 15, 16, 17, 49, 196, 1000] {
            for limit in [0.1, 3.0, 30.0] {
                let mut input = values.vec(3 * width, limit);
                input[width / 2] += 40.0;
                if width > 2 {
                    input[2 * width + 1] = f32::NEG_INFINITY;
                }
                for level in SimdLevel::available() {
                    let mut out = input.clone();
                    softmax(level, &mut out, width);
                    for (input, out) in input.chunks(width).zip(out.chunks(width)) {
                        let largest = input.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                        let each: Vec<f64> = input.iter().map(|x| f64::from(x - largest).exp()).collect();
                        let sum: f64 = each.iter().sum();
                        for (got, each) in out.iter().zip(each) {
                            let expected = each / sum;
                            let far = (f64::from(*got) - expected).abs();
                            assert!(far <= 2e-6 * expected + 2e-38, "{level} {width} {got} {expected}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn columns_are_rows_of_the_transposed() {
        let mut values = Values::new(5);
        for (rows, columns) in [(1, 1), (7, 8), (5, 3), (12, 17), (3, 40)] {
            let input = values.vec(3 * rows * columns, 8.0);
            let turn = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                let one = |m: &[f32]| (0..m.len()).map(|i| m[i % rows * columns + i / rows]).collect::<Vec<_>>();
                values.chunks(rows * columns).flat_map(one).collect()
            };
            let mut expected = turn(&input, rows, columns);
            softmax(SimdLevel::Scalar, &mut expected, rows);
            let expected = turn(&expected, columns, rows);
            for level in SimdLevel::available() {
                let mut out = input.clone();
                softmax_of_columns(level, &mut out, rows, columns);
                for (got, expected) in out.iter().zip(&expected) {
                    assert!((got - expected).abs() <= 2e-6 * expected, "{level} {rows} {columns} {got} {expected}");
                }
            }
        }
    }
}

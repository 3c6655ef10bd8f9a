//! Transposition of a matrix.
//!
//! Formula: `out[column][row] = input[row][column]`.
//!
//! Rounding: none.
//!
//! Layout: rows of adjacent numbers, evenly spaced on both sides; numbers between them are neither read nor written.

use crate::SimdLevel;
use crate::lanes::{Lanes, at_level};

/// Writes `rows` rows of `columns` numbers, which begin `stride` apart in `input`, to `out` as `columns` rows of `rows` numbers, which
/// begin `out_stride` apart.
pub fn transpose(
    level: SimdLevel,
    input: &[f32],
    stride: usize,
    [rows, columns]: [usize; 2],
    out: &mut [f32],
    out_stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let end = |rows: usize, stride: usize, row: usize| (rows - 1).checked_mul(stride)?.checked_add(row);
    assert!(
        end(rows, stride, columns).is_some_and(|end| end <= input.len()),
        "{rows} rows of {columns}, {stride} apart"
    );
    assert!(
        end(columns, out_stride, rows).is_some_and(|end| end <= out.len()) && (columns == 1 || out_stride >= rows),
        "{columns} rows of {rows}, {out_stride} apart"
    );
    let shape = [rows, columns];
    at_level!(level, scalar, vector, (
        input: &[f32] = input,
        stride: usize = stride,
        shape: [usize; 2] = shape,
        out: &mut [f32] = out,
        out_stride: usize = out_stride,
    ));
}

/// The specification.
fn scalar(input: &[f32], stride: usize, [rows, columns]: [usize; 2], out: &mut [f32], out_stride: usize) {
    for row in 0..rows {
        for (column, &value) in input[row * stride..][..columns].iter().enumerate() {
            out[column * out_stride + row] = value;
        }
    }
}

/// Squares as wide as a register; what is left of them, by the specification.
#[inline(always)]
fn vector<S: Lanes>(
    s: S,
    input: &[f32],
    stride: usize,
    [rows, columns]: [usize; 2],
    out: &mut [f32],
    out_stride: usize,
) {
    let whole = |n: usize| n - n % S::LANES;
    for row in (0..whole(rows)).step_by(S::LANES) {
        for column in (0..whole(columns)).step_by(S::LANES) {
            // SAFETY: both sides have been checked to hold all rows and columns, of which these are some.
            unsafe {
                let from = input.as_ptr().add(row * stride + column);
                s.transpose(from, stride, out.as_mut_ptr().add(column * out_stride + row), out_stride);
            }
        }
    }
    let rest = [rows - whole(rows), columns - whole(columns)];
    if rest[1] > 0 {
        let (from, to) = (&input[whole(columns)..], &mut out[whole(columns) * out_stride..]);
        scalar(from, stride, [whole(rows), rest[1]], to, out_stride);
    }
    if rest[0] > 0 {
        scalar(&input[whole(rows) * stride..], stride, [rest[0], columns], &mut out[whole(rows)..], out_stride);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Values;

    #[test]
    fn columns_become_rows_at_every_level() {
        for (rows, columns) in [(0, 3), (1, 1), (4, 4), (16, 16), (17, 33), (33, 15), (7, 50), (49, 32)] {
            for gap in [0, 3] {
                let (stride, out_stride) = (columns + gap, rows + gap);
                let input = Values::new(3).vec(rows * stride, 1.0);
                for level in SimdLevel::available() {
                    let mut out = vec![f32::INFINITY; columns * out_stride];
                    transpose(level, &input, stride, [rows, columns], &mut out, out_stride);
                    for (i, &got) in out.iter().enumerate() {
                        let (column, row) = (i / out_stride, i % out_stride);
                        let expected = if row < rows { input[row * stride + column] } else { f32::INFINITY };
                        assert_eq!(got, expected, "{level} {rows} {columns} {gap} {i}");
                    }
                }
            }
        }
    }
}

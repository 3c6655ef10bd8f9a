use std::sync::Arc;

use super::*;
use crate::requantize::{Residual, Table};
use crate::testing::{Values, bytes};
use crate::{Bytes, SimdLevel};

/// What lies between rows of the output.
const UNTOUCHED: u8 = 0xA5;
/// The same as a number.
const UNTOUCHED_NUMBER: f32 = 12345.0;

/// Data for a call, with gaps between the rows.
struct Case {
    rows: usize,
    k: usize,
    n: usize,
    /// Of inputs, residual and output.
    strides: [usize; 3],
    a: Vec<u8>,
    weight: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    residual: Vec<u8>,
    table: Table,
    /// The zero point and the bounds.
    range: [u8; 3],
    with_residual: bool,
    with_table: bool,
}

impl Case {
    fn new(rows: usize, k: usize, n: usize, gaps: [usize; 3]) -> Case {
        let seed = (rows * 1_000_003 + k * 1009 + n) as u32;
        let strides = [k + gaps[0], n + gaps[1], n + gaps[2]];
        let mut values = Values::new(u64::from(seed) + 7);
        // Multipliers that spread sums of noise over all bytes and somewhat beyond.
        let spread = 1.0 / (40.0 * ((k + 1) as f32).sqrt());
        let table = bytes(seed + 3, 256);
        Case {
            rows,
            k,
            n,
            strides,
            // The last row ends with its last byte, so that reading on is out of bounds.
            a: bytes(seed, span(rows, strides[0], k)),
            weight: bytes(seed + 1, n * k).into_iter().map(|w| (w as i8).max(-127)).collect(),
            bias: (0..n).map(|_| (values.bits() as i32) >> 17).collect(),
            multipliers: values.vec(n, spread),
            residual: bytes(seed + 2, span(rows, strides[1], n)),
            table: std::array::from_fn(|i| table[i]),
            range: [100, 0, 255],
            with_residual: false,
            with_table: false,
        }
    }

    fn requantize(&self) -> Requantize<'_> {
        let residual = Residual { values: &self.residual, stride: self.strides[1], zero: 77, multiplier: 0.37 };
        Requantize {
            multipliers: &self.multipliers,
            residual: self.with_residual.then_some(residual),
            zero: self.range[0],
            low: self.range[1],
            high: self.range[2],
            table: self.with_table.then_some(&self.table),
        }
    }

    fn weights(&self, level: SimdLevel) -> Weights {
        Weights::pack(level, &self.weight, self.n, self.k)
    }

    fn to_bytes(&self, weights: &Weights, parallel: bool) -> Vec<u8> {
        let function = if parallel { linear_to_bytes_parallel } else { linear_to_bytes };
        let mut out = vec![UNTOUCHED; span(self.rows, self.strides[2], self.n)];
        let [stride, _, out_stride] = self.strides;
        function(&self.a, stride, self.rows, weights, &self.bias, &self.requantize(), &mut out, out_stride);
        out
    }

    fn to_floats(&self, weights: &Weights, parallel: bool) -> Vec<f32> {
        let function = if parallel { linear_to_floats_parallel } else { linear_to_floats };
        let mut out = vec![UNTOUCHED_NUMBER; span(self.rows, self.strides[2], self.n)];
        let [stride, _, out_stride] = self.strides;
        function(&self.a, stride, self.rows, weights, &self.bias, &self.multipliers, &mut out, out_stride);
        out
    }

    /// By the formula, in wide integers.
    fn sum(&self, i: usize, j: usize) -> i32 {
        let products =
            (0..self.k).map(|p| i64::from(self.a[i * self.strides[0] + p]) * i64::from(self.weight[j * self.k + p]));
        (i64::from(self.bias[j]) + products.sum::<i64>()) as i32
    }

    fn expected_bytes(&self) -> Vec<u8> {
        let (mut out, requantize) = (vec![UNTOUCHED; span(self.rows, self.strides[2], self.n)], self.requantize());
        for (i, j) in (0..self.rows).flat_map(|i| (0..self.n).map(move |j| (i, j))) {
            let residual = self.residual[i * self.strides[1] + j];
            out[i * self.strides[2] + j] = requantize.value(self.sum(i, j), j, residual);
        }
        out
    }

    fn expected_floats(&self) -> Vec<f32> {
        let mut out = vec![UNTOUCHED_NUMBER; span(self.rows, self.strides[2], self.n)];
        for (i, j) in (0..self.rows).flat_map(|i| (0..self.n).map(move |j| (i, j))) {
            out[i * self.strides[2] + j] = self.sum(i, j) as f32 * self.multipliers[j];
        }
        out
    }

    /// At every level, to bytes and to numbers, with and without what may be added.
    fn check(&mut self) {
        for (with_residual, with_table) in [(false, false), (true, false), (false, true), (true, true)] {
            (self.with_residual, self.with_table) = (with_residual, with_table);
            let (bytes, floats) = (self.expected_bytes(), self.expected_floats());
            for level in SimdLevel::available() {
                let weights = self.weights(level);
                let what = format!(
                    "{level} {} x {} x {} {:?} {:?} residual {with_residual} table {with_table}",
                    self.rows, self.k, self.n, self.strides, self.range
                );
                assert_eq!(self.to_bytes(&weights, false), bytes, "{what}");
                assert!(same_bits(&self.to_floats(&weights, false), &floats), "{what}");
            }
        }
    }
}

/// Numbers from the start of the first of `rows` to the end of the last.
fn span(rows: usize, stride: usize, row: usize) -> usize {
    rows.checked_sub(1).map_or(0, |last| last * stride + row)
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[test]
fn every_width_and_depth() {
    for n in (0..=40).chain([47, 48, 49, 63, 64, 65, 80, 96, 97, 130]) {
        for (rows, k) in [(0, 3), (1, 1), (2, 16), (3, 2), (5, 0), (7, 33), (9, 8), (13, 20), (6, 24)] {
            Case::new(rows, k, n, [0, 0, 0]).check();
            Case::new(rows, k, n, [3, 5, 1]).check();
        }
    }
    for k in 0..=70 {
        Case::new(7, k, 19, [k % 3, 0, 2]).check();
    }
}

#[test]
fn every_number_of_rows() {
    for rows in 0..=30 {
        for n in [16, 30, 48, 64] {
            Case::new(rows, 13, n, [1, 0, 2]).check();
        }
    }
    // More rows than a block has.
    Case::new(1300, 200, 20, [0, 0, 0]).check();
    Case::new(40, 2304, 33, [0, 0, 0]).check();
}

#[test]
fn every_range_of_bytes() {
    for range in [[0, 0, 255], [255, 0, 255], [128, 128, 255], [3, 20, 30], [200, 0, 7], [9, 250, 255], [50, 60, 60]] {
        let mut case = Case { range, ..Case::new(14, 40, 83, [0, 0, 0]) };
        case.check();
        // Far beyond: all that is not zero is one of the bounds.
        case.multipliers.iter_mut().for_each(|m| *m *= 1e12);
        case.check();
        // Sums around halves: every other one is a tie.
        case.multipliers.fill(0.5);
        case.weight.iter_mut().for_each(|w| *w %= 2);
        case.bias.iter_mut().for_each(|b| *b %= 100);
        case.check();
    }
}

#[test]
fn the_largest_products_saturate_nowhere() {
    for k in [1, 2, 3, 4, 7, 8, 16, 40, 513] {
        for (byte, weight) in [(255, 127), (255, -127), (128, 127), (0, -127), (127, -127)] {
            let mut case = Case::new(8, k, 70, [0, 0, 0]);
            case.a.fill(byte);
            case.weight.fill(weight);
            case.multipliers.fill(0.003);
            case.check();
            case.a.iter_mut().step_by(2).for_each(|a| *a = 255 - *a);
            case.weight.iter_mut().step_by(2).for_each(|w| *w = -*w);
            case.check();
        }
    }
}

#[test]
fn sums_wrap_at_the_limits_of_i32() {
    let mut case = Case::new(5, 12, 37, [0, 0, 0]);
    let limits = [i32::MAX, i32::MIN, i32::MAX - 100_000, i32::MIN + 100_000];
    case.bias.iter_mut().zip(limits.iter().cycle()).for_each(|(b, &limit)| *b = limit);
    case.multipliers.fill(1.0 / 16_777_216.0);
    case.check();
}

#[test]
fn threads_change_nothing() {
    for (rows, k, n) in [(1200, 24, 144), (100, 160, 97), (3, 1024, 700), (4000, 16, 96)] {
        let case = Case { with_residual: true, with_table: true, ..Case::new(rows, k, n, [1, 0, 2]) };
        for level in SimdLevel::available() {
            let weights = case.weights(level);
            let (bytes, floats) = (case.to_bytes(&weights, false), case.to_floats(&weights, false));
            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    assert_eq!(case.to_bytes(&weights, true), bytes, "{level} {rows} x {k} x {n} on {threads}");
                    assert!(same_bits(&case.to_floats(&weights, true), &floats), "{level} on {threads} threads");
                });
            }
        }
    }
}

#[test]
fn packed_weights_come_back_from_their_bytes() {
    for level in SimdLevel::available() {
        for (n, k) in [(0, 0), (1, 1), (19, 23), (64, 16), (100, 40)] {
            let case = Case::new(9, k, n, [0, 0, 0]);
            let weights = case.weights(level);
            let mut file = vec![0u8; 64 + weights.as_bytes().len()];
            let start = file.as_ptr().align_offset(64);
            let range = start..start + weights.as_bytes().len();
            file[range.clone()].copy_from_slice(weights.as_bytes());
            let file: Bytes = Arc::new(file);
            let read = |shape, range| Weights::from_bytes(level, shape, Arc::clone(&file), range);
            let again = read((n, k), range.clone()).unwrap();
            assert_eq!((again.outputs(), again.inputs(), again.level()), (n, k, level));
            assert_eq!(again.sums(), weights.sums());
            assert_eq!(case.to_bytes(&again, false), case.to_bytes(&weights, false), "{level} {n} x {k}");
            let sums: Vec<i32> =
                (0..n).map(|j| case.weight[j * k..][..k].iter().map(|&w| i32::from(w)).sum()).collect();
            assert_eq!(again.sums(), sums);
            if n > 0 {
                assert!(read((n, k), range.start..range.end - 4).is_none());
                assert!(read((n, k), range.start..range.end + 4).is_none());
                assert!(read((n, k), range.start + 1..range.end + 1).is_none());
                assert!(read((n + 64, k), range.clone()).is_none());
            }
            assert!(read((usize::MAX, 2), range.clone()).is_none());
            assert!(read((2, usize::MAX), range).is_none());
        }
    }
}

#[test]
#[should_panic(expected = "inputs")]
fn strides_that_overflow_are_refused() {
    let case = Case { strides: [usize::MAX, 2, 2], ..Case::new(2, 2, 2, [0, 0, 0]) };
    case.to_bytes(&case.weights(SimdLevel::best()), false);
}

#[test]
#[should_panic(expected = "127")]
fn the_one_weight_without_an_opposite_is_refused() {
    Weights::pack(SimdLevel::best(), &[-128], 1, 1);
}

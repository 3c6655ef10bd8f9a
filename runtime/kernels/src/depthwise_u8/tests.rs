use super::*;
use crate::SimdLevel;
use crate::testing::{Values, bytes};
use std::sync::Arc;

struct Case {
    shape: Shape,
    kernel: usize,
    channels: usize,
    input: Vec<u8>,
    weight: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    zero: u8,
}

impl Case {
    fn new(values: &mut Values, shape: Shape, kernel: usize, channels: usize) -> Case {
        let area = kernel * kernel;
        let seed = values.bits() as u32;
        let input = bytes(seed, shape.height * shape.width * channels);
        let weight: Vec<i8> = bytes(seed ^ 1, channels * area).into_iter().map(|w| (w as i8).max(-127)).collect();
        let zero = bytes(seed ^ 2, 9)[8];
        let sum = |c: usize| weight[c * area..][..area].iter().map(|w| i32::from(*w)).sum::<i32>();
        let noise = |i: usize| values.vec(i, 1.0);
        let (noise, factors) = [channels, channels].map(noise).into();
        let bias = (0..channels).map(|c| (noise[c] * 30_000.0) as i32 - i32::from(zero) * sum(c)).collect();
        // Some results saturate, some by far.
        let size = |c: usize| [0.02, 0.002, 1.0, 1e30][c % 4] / area as f32;
        let multipliers = factors.iter().enumerate().map(|(c, f)| f * size(c)).collect();
        Case { shape, kernel, channels, input, weight, bias, multipliers, zero }
    }

    fn requantize(&self) -> Requantize<'_> {
        let (multipliers, zero) = (&self.multipliers, self.zero ^ 0x55);
        Requantize { multipliers, residual: None, zero, low: 0, high: 255, table: None }
    }

    fn run(&self, level: SimdLevel, requantize: &Requantize<'_>) -> Vec<u8> {
        let weights = Weights::pack(level, &self.weight, self.channels, self.kernel);
        let (height, width) = self.shape.output(self.kernel);
        let mut out = vec![77; height * width * self.channels];
        depthwise_parallel_u8(&self.input, &self.shape, &weights, &self.bias, self.zero, requantize, &mut out);
        out
    }
}

fn cases() -> Vec<Case> {
    let mut values = Values::new(3);
    let mut out = Vec::new();
    for (kernel, stride, dilation, padding) in [
        (3, 1, 1, 1),
        (3, 2, 1, 1),
        (3, 1, 2, 2),
        (5, 1, 1, 2),
        (3, 1, 1, 0),
        (5, 2, 1, 2),
        (3, 2, 2, 3),
        (1, 1, 1, 0),
        (7, 1, 1, 3),
        (4, 3, 1, 1),
        (11, 1, 1, 5),
    ] {
        for (height, width) in [(7, 7), (8, 13), (11, 9)] {
            for channels in [1, 3, 15, 16, 17, 33, 64, 70, 144, 160] {
                let shape = Shape { height, width, stride, dilation, padding };
                if shape.height + 2 * padding > (kernel - 1) * dilation {
                    out.push(Case::new(&mut values, shape, kernel, channels));
                }
            }
        }
    }
    for (height, width) in [(1, 1), (1, 6), (6, 1), (2, 2)] {
        let shape = Shape { height, width, stride: 1, dilation: 1, padding: 1 };
        out.push(Case::new(&mut values, shape, 3, 80));
    }
    out
}

#[test]
fn scalar_is_the_formula() {
    for case in cases() {
        let Shape { height, width, stride, dilation, padding } = case.shape;
        let requantize = case.requantize();
        let got = case.run(SimdLevel::Scalar, &requantize);
        let columns = case.shape.output(case.kernel).1;
        for (i, &got) in got.iter().enumerate() {
            let (c, x, y) = (i % case.channels, i / case.channels % columns, i / case.channels / columns);
            let mut sum = i64::from(case.bias[c]);
            for tap in 0..case.kernel * case.kernel {
                let at = |p: usize, t: usize| (p * stride + t * dilation) as i64 - padding as i64;
                let (row, column) = (at(y, tap / case.kernel), at(x, tap % case.kernel));
                let inside = (0..height as i64).contains(&row) && (0..width as i64).contains(&column);
                let value = match inside {
                    true => case.input[(row as usize * width + column as usize) * case.channels + c],
                    false => case.zero,
                };
                sum += i64::from(value) * i64::from(case.weight[c * case.kernel * case.kernel + tap]);
            }
            assert_eq!(got, requantize.value(i32::try_from(sum).unwrap(), c, 0), "{:?} at {y}, {x}, {c}", case.shape);
        }
    }
}

#[test]
fn every_level_gives_the_bytes_of_scalar() {
    let table: crate::requantize::Table = std::array::from_fn(|i| (i * 7 + 3) as u8);
    for case in cases() {
        for (low, high, table) in [(0, 255, None), (40, 201, None), (case.zero ^ 0x55, 255, Some(&table))] {
            let requantize = Requantize { low, high, table, ..case.requantize() };
            let wanted = case.run(SimdLevel::Scalar, &requantize);
            for level in SimdLevel::available() {
                let got = case.run(level, &requantize);
                assert!(got == wanted, "{level} {:?} {} {}", case.shape, case.kernel, case.channels);
            }
        }
    }
}

#[test]
fn the_largest_sums_are_exact() {
    let shape = Shape { height: 12, width: 14, stride: 1, dilation: 1, padding: 0 };
    for (kernel, weight, zero) in [(3, 127, 255), (5, -127, 0), (3, -127, 128), (11, 127, 3)] {
        let (channels, area) = (97, kernel * kernel);
        let case = Case {
            shape,
            kernel,
            channels,
            input: vec![255; 12 * 14 * channels],
            weight: vec![weight; area * channels],
            bias: (0..channels as i32).collect(),
            multipliers: vec![1.0; channels],
            zero,
        };
        for level in SimdLevel::available() {
            let sum = 255 * i32::from(weight) * area as i32;
            let weights = Weights::pack(level, &case.weight, channels, kernel);
            assert!(weights.sums().iter().all(|sum| *sum == i32::from(weight) * area as i32));
            // The bias takes the sum back, but for the channel.
            let bias: Vec<i32> = case.bias.iter().map(|b| b - sum).collect();
            let requantize = Requantize { zero: 0, ..case.requantize() };
            let (height, width) = shape.output(kernel);
            let mut out = vec![0; height * width * channels];
            depthwise_parallel_u8(&case.input, &shape, &weights, &bias, zero, &requantize, &mut out);
            assert!(out.iter().enumerate().all(|(i, q)| usize::from(*q) == i % channels), "{level} {kernel}");
        }
    }
}

#[test]
fn threads_change_no_byte_and_weights_come_back_from_bytes() {
    for case in cases().into_iter().step_by(13) {
        for level in SimdLevel::available() {
            let requantize = case.requantize();
            let wanted = case.run(level, &requantize);
            let packed = Weights::pack(level, &case.weight, case.channels, case.kernel);
            let mut aligned = crate::Aligned::<i32>::zeros(packed.as_bytes().len() / 4);
            bytemuck::cast_slice_mut(&mut aligned).copy_from_slice(packed.as_bytes());
            struct Held(crate::Aligned<i32>);
            impl AsRef<[u8]> for Held {
                fn as_ref(&self) -> &[u8] {
                    bytemuck::cast_slice(&self.0)
                }
            }
            let held: crate::Bytes = Arc::new(Held(aligned));
            let len = packed.as_bytes().len();
            let sizes = (case.channels, case.kernel);
            assert!(Weights::from_bytes(level, sizes, Arc::clone(&held), 0..len - 4).is_none());
            assert!(Weights::from_bytes(level, (case.channels, 12), Arc::clone(&held), 0..len).is_none());
            assert!(Weights::from_bytes(level, (usize::MAX / 2, 3), Arc::clone(&held), 0..len).is_none());
            let weights = Weights::from_bytes(level, sizes, held, 0..len).unwrap();
            assert_eq!(weights.sums(), packed.sums());
            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![0; wanted.len()];
                pool.install(|| {
                    depthwise_parallel_u8(
                        &case.input,
                        &case.shape,
                        &weights,
                        &case.bias,
                        case.zero,
                        &requantize,
                        &mut out,
                    );
                });
                assert!(out == wanted, "{level} {threads}");
            }
        }
    }
}

/// A width that, times the channels, wraps around to the length of the rows.
#[test]
#[should_panic(expected = "cannot be counted")]
fn a_width_beyond_memory_is_refused() {
    let (channels, row) = (16, [0u8; 16]);
    let shape = Shape { height: 3, width: usize::MAX / channels + 2, stride: 1, dilation: 1, padding: 1 };
    let weights = Weights::pack(SimdLevel::best(), &[1; 9 * 16], channels, 3);
    let requantize = Requantize { multipliers: &[1.0; 16], residual: None, zero: 0, low: 0, high: 255, table: None };
    depthwise_row_u8(&[Some(&row[..]); 3], &shape, &weights, &[0; 16], 0, &requantize, &mut [0; 16]);
}

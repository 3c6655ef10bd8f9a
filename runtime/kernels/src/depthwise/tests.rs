use super::*;
use crate::testing::Values;

const ACTIVATIONS: [Activation; 5] =
    [Activation::None, Activation::Relu, Activation::Relu6, Activation::Gelu, Activation::Hardswish];

struct Case {
    shape: Shape,
    kernel: usize,
    channels: usize,
    input: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
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
    ] {
        for (height, width) in [(7, 7), (8, 13), (9, 5), (13, 30)] {
            for channels in [1, 3, 4, 7, 8, 15, 16, 17, 24, 33] {
                let shape = Shape { height, width, stride, dilation, padding };
                let input = values.vec(height * width * channels, 2.0);
                let weight = values.vec(channels * kernel * kernel, 1.0);
                let bias = values.vec(channels, 1.0);
                out.push(Case { shape, kernel, channels, input, weight, bias });
            }
        }
    }
    for (height, width) in [(1, 1), (1, 6), (6, 1), (2, 2)] {
        let shape = Shape { height, width, stride: 1, dilation: 1, padding: 1 };
        let input = values.vec(height * width * 5, 2.0);
        out.push(Case { shape, kernel: 3, channels: 5, input, weight: values.vec(45, 1.0), bias: values.vec(5, 1.0) });
    }
    out
}

/// The formula in f64, and the sum of the absolute values of its summands.
fn naive(case: &Case, y: usize, x: usize, c: usize) -> (f64, f64) {
    let Shape { height, width, stride, dilation, padding } = case.shape;
    let (mut sum, mut size) = (f64::from(case.bias[c]), f64::from(case.bias[c].abs()));
    for i in 0..case.kernel {
        for j in 0..case.kernel {
            let at = |p: usize, t: usize| (p * stride + t * dilation) as i64 - padding as i64;
            let (row, column) = (at(y, i), at(x, j));
            if (0..height as i64).contains(&row) && (0..width as i64).contains(&column) {
                let value = case.input[(row as usize * width + column as usize) * case.channels + c];
                let product = f64::from(value) * f64::from(case.weight[(c * case.kernel + i) * case.kernel + j]);
                (sum, size) = (sum + product, size + product.abs());
            }
        }
    }
    (sum, size)
}

#[test]
fn every_level_is_the_formula() {
    for case in cases() {
        let (height, width) = case.shape.output(case.kernel);
        for level in SimdLevel::available() {
            let weights = Weights::pack(level, &case.weight, &case.bias, case.channels, case.kernel);
            let mut out = vec![f32::NAN; height * width * case.channels];
            depthwise(&case.input, &case.shape, &weights, Activation::None, 0..height, &mut out);
            for (i, &got) in out.iter().enumerate() {
                let (c, pixel) = (i % case.channels, i / case.channels);
                let (sum, size) = naive(&case, pixel / width, pixel % width, c);
                let limit = 1.2e-7 * (case.kernel * case.kernel + 2) as f64 * size;
                assert!((f64::from(got) - sum).abs() <= limit, "{level} {:?} {got} {sum}", case.shape);
            }
        }
    }
}

#[test]
fn activations_come_last_and_parts_and_threads_change_no_bit() {
    for case in cases().into_iter().step_by(7) {
        let (height, width) = case.shape.output(case.kernel);
        let row = width * case.channels;
        for level in SimdLevel::available() {
            let weights = Weights::pack(level, &case.weight, &case.bias, case.channels, case.kernel);
            let mut plain = vec![0.0; height * row];
            depthwise(&case.input, &case.shape, &weights, Activation::None, 0..height, &mut plain);
            for activation in ACTIVATIONS {
                let mut expected = plain.clone();
                crate::activation::apply(level, activation, &mut expected);
                for threads in [1, 2, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut out = vec![f32::NAN; height * row];
                    pool.install(|| depthwise_parallel(&case.input, &case.shape, &weights, activation, &mut out));
                    assert!(out == expected, "{level} {activation:?} {threads}");
                }
                let mut last = vec![f32::NAN; row];
                depthwise(&case.input, &case.shape, &weights, activation, height - 1..height, &mut last);
                assert!(last == expected[(height - 1) * row..]);
            }
        }
    }
}

#[test]
#[should_panic(expected = "the window is larger than the map")]
fn windows_that_cannot_be_counted_are_refused() {
    Shape { height: 9, width: 40, stride: 1, dilation: 1 << 61, padding: 0 }.output(9);
}

/// A width that, times the channels, wraps around to the length of the rows.
#[test]
#[should_panic(expected = "cannot be counted")]
fn a_width_beyond_memory_is_refused() {
    let shape = Shape { height: 3, width: usize::MAX / 16 + 2, stride: 1, dilation: 1, padding: 1 };
    let weights = Weights::pack(SimdLevel::best(), &[1.0; 9 * 16], &[0.0; 16], 16, 3);
    depthwise_row(&[Some(&[0.0; 16][..]); 3], &shape, &weights, Activation::None, &mut [0.0; 16]);
}

use super::*;
use crate::testing::{Values, bytes};

/// Operands of a shape: bytes of a joint projection, with something between the tokens.
struct Case {
    shape: Shape,
    bytes: [Vec<u8>; 3],
    zeros: [u8; 3],
    bias: Option<Vec<i32>>,
    scales: Scales,
}

impl Case {
    fn new(seed: u32, shape: Shape, zeros: [u8; 3], bias: Option<i32>, scales: Scales) -> Self {
        let Shape { batch, heads, queries, keys, width, value_width } = shape;
        let [q, k, v] = [(queries, width), (keys, width), (keys, value_width)]
            .map(|(rows, width)| batch * rows * (heads * width + GAP) - GAP);
        let bytes = [bytes(seed, q), bytes(seed + 1, k), bytes(seed + 2, v)];
        let mut values = Values::new(u64::from(seed));
        let span = |limit: i32| (2 * limit + 1) as u64;
        let mut number = |limit: i32| (values.bits() % span(limit)) as i32 - limit;
        let bias = bias.map(|limit| (0..heads * queries * keys).map(|_| number(limit)).collect());
        Case { shape, bytes, zeros, bias, scales }
    }

    fn run(&self, level: SimdLevel) -> Vec<u8> {
        let Shape { batch, heads, queries, keys, width, value_width } = self.shape;
        let of = |i: usize, rows: usize, width: usize| {
            let row_stride = heads * width + GAP;
            let zero = self.zeros[i];
            Operand { data: &self.bytes[i], batch_stride: rows * row_stride, head_stride: width, row_stride, zero }
        };
        let mut out = vec![0; batch * queries * heads * value_width];
        let (q, k, v) = (of(0, queries, width), of(1, keys, width), of(2, keys, value_width));
        attention_u8(level, q, k, v, self.bias.as_deref(), &self.scales, &self.shape, &mut out);
        out
    }
}

/// Bytes between the rows.
const GAP: usize = 3;

#[test]
fn every_level_is_scalar() {
    let mut seed = 0;
    for keys in [1, 3, 7, 49, 50, 196] {
        for width in [1, 2, 8, 16, 31, 32, 64] {
            for zeros in [[0, 128, 255], [128, 255, 0], [255, 0, 128], [130, 121, 128]] {
                for bias in [None, Some(40_000)] {
                    seed += 3;
                    // Queries from one to more than a register of any level, in every remainder.
                    let queries = [1, 2, 5, 16, 17, 33, 49, 97][seed as usize / 3 % 8];
                    let value_width = [width, 1, 32, 19][seed as usize / 3 % 4];
                    let shape = Shape { batch: 2, heads: 1 + seed as usize % 3, queries, keys, width, value_width };
                    let score = [1e-4, 3e-5, 0.02][seed as usize / 3 % 3];
                    let scales = Scales { score, output: 1.3, zero: zeros[seed as usize % 3] };
                    let case = Case::new(seed, shape, zeros, bias, scales);
                    let expected = case.run(SimdLevel::Scalar);
                    for level in SimdLevel::available() {
                        assert!(case.run(level) == expected, "{level} {shape:?} {zeros:?} {scales:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn extremes_are_scalar_too() {
    for (seed, (keys, queries, width)) in
        [(4096, 20, 32), (4096, 3, 7), (513, 130, 5), (20, 40, 8256)].iter().enumerate()
    {
        let (keys, queries, width) = (*keys, *queries, *width);
        let shape = Shape { batch: 1, heads: 2, queries, keys, width, value_width: 33 };
        for (score, output, bias) in [
            (0.0, 1.0, Some((1 << 29) - 1)),
            (1e-9, 300.0, Some((1 << 29) - 1)),
            (1e6, 1.0, None),
            (1e6, f32::MAX, Some((1 << 29) - 1)),
            (1e-30, -1.0, Some(5)),
            (1e-5, 0.0, None),
            (1e-5, 1.0, None),
        ] {
            for (zero, byte) in [(0, 255), (255, 0), (128, 255), (3, 9)] {
                let scales = Scales { score, output, zero };
                let mut case = Case::new(seed as u32, shape, [zero; 3], bias, scales);
                if byte != 9 {
                    // The largest sums that there are.
                    case.bytes.iter_mut().for_each(|bytes| bytes.fill(byte));
                }
                let expected = case.run(SimdLevel::Scalar);
                for level in SimdLevel::available() {
                    assert!(case.run(level) == expected, "{level} {shape:?} {scales:?}");
                }
            }
        }
    }
}

#[test]
fn results_are_within_the_bound_of_exact_attention() {
    for (seed, keys) in [1, 2, 49, 196, 1000].into_iter().enumerate() {
        for score in [0.0, 1e-6, 2e-5, 1e-4, 1e-3] {
            let shape = Shape { batch: 2, heads: 3, queries: 19, keys, width: 32, value_width: 21 };
            let scales = Scales { score, output: 0.97, zero: 120 };
            let case = Case::new(seed as u32, shape, [110, 140, 120], Some(20_000), scales);
            let out = case.run(SimdLevel::best());
            for (i, out) in out.chunks_exact(21).enumerate() {
                let (head, query, batch) = (i % 3, i / 3 % 19, i / 57);
                let number = |which: usize, rows: usize, row: usize, width: usize, c: usize| {
                    let at = (batch * rows + row) * (3 * width + GAP) + head * width + c;
                    f64::from(case.bytes[which][at]) - f64::from(case.zeros[which])
                };
                let bias = &case.bias.as_ref().unwrap()[(head * 19 + query) * keys..];
                let scores: Vec<f64> = (0..keys)
                    .map(|key| {
                        let product = |c| number(0, 19, query, 32, c) * number(1, keys, key, 32, c);
                        f64::from(score) * ((0..32).map(product).sum::<f64>() + f64::from(bias[key]))
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let shares: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
                let total: f64 = shares.iter().sum();
                for (c, &got) in out.iter().enumerate() {
                    let value = |key| number(2, keys, key, 21, c);
                    let exact = (0..keys).map(|key| shares[key] * value(key)).sum::<f64>() / total;
                    let spread: f64 = (0..keys).map(|key| (value(key) - exact).abs()).sum();
                    let weights = (255.0 * total - 0.53 * keys as f64).max(255.0);
                    let output = f64::from(scales.output);
                    let bound = 0.5 + 0.53 * output * spread / weights + 1e-3;
                    let expected = (exact * output + 120.0).clamp(0.0, 255.0);
                    let far = (f64::from(got) - expected).abs();
                    assert!(far <= bound, "{shape:?} {score}: {got} for {expected}, {far} > {bound}");
                }
            }
        }
    }
}

#[test]
fn threads_change_no_byte() {
    // More queries than one task answers.
    let shape = Shape { batch: 3, heads: 2, queries: 300, keys: 50, width: 32, value_width: 32 };
    let scales = Scales { score: 1e-4, output: 1.0, zero: 128 };
    let case = Case::new(1, shape, [128; 3], Some(1000), scales);
    let expected = case.run(SimdLevel::Scalar);
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for level in SimdLevel::available() {
            assert!(pool.install(|| case.run(level)) == expected, "{level} {threads}");
        }
    }
}

#[test]
fn operands_that_do_not_hold_their_rows_are_refused() {
    let data = vec![0; 8200];
    let shape = Shape { batch: 1, heads: 1, queries: 1, keys: 1025, width: 8, value_width: 8 };
    let whole = Operand { data: &data, batch_stride: 0, head_stride: 0, row_stride: 8, zero: 0 };
    let scales = Scales { score: 1.0, output: 1.0, zero: 0 };
    for row_stride in [9, 1 << 54, usize::MAX] {
        let far = Operand { row_stride, ..whole };
        for (k, v) in [(far, whole), (whole, far)] {
            let run = || attention_u8(SimdLevel::best(), whole, k, v, None, &scales, &shape, &mut [0; 8]);
            assert!(std::panic::catch_unwind(run).is_err(), "{row_stride}");
        }
    }
}

#[test]
fn weights_never_exceed_the_largest_and_fall_with_the_score() {
    for factor in [0.0, 1e-7, 1e-3, 0.1, 3.0, 1e6] {
        let mut last = 255;
        for difference in (0..100_000).chain([1 << 30, i32::MAX]) {
            let weight = Share::weight(-difference, factor);
            let exact = 255.0 * (-f64::from(difference) * f64::from(factor)).exp2();
            assert!((0..=last).contains(&weight) && (f64::from(weight) - exact).abs() <= 0.53, "{difference} {factor}");
            last = weight;
        }
    }
}

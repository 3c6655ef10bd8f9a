use super::*;
use crate::testing::Values;

#[test]
fn every_level_is_the_formula_and_threads_change_no_bit() {
    let mut values = Values::new(6);
    for (batch, heads, queries, keys, width, value_width, biased) in [
        (1, 8, 7, 130, 16, 16, false),
        (1, 8, 150, 7, 16, 16, false),
        (3, 2, 49, 49, 32, 32, true),
        (2, 3, 13, 17, 5, 11, true),
        (1, 1, 1, 1, 1, 1, false),
        (2, 1, 67, 16, 32, 20, false),
    ] {
        let shape = Shape { batch, heads, queries, keys, width, value_width };
        // As of a joint projection: heads beside each other, and something between the tokens.
        let stride = |width: usize| heads * width + 3;
        let (qs, ks, vs) = (stride(width), stride(width), stride(value_width));
        let q = values.vec(batch * queries * qs, 1.0);
        let k = values.vec(batch * keys * ks, 1.0);
        let v = values.vec(batch * keys * vs, 2.0);
        let bias = biased.then(|| values.vec(heads * queries * keys, 2.0));
        let of = |data, rows: usize, row_stride, head_stride| Operand {
            data,
            batch_stride: rows * row_stride,
            head_stride,
            row_stride,
        };
        let (qo, ko, vo) =
            (of(&q[..], queries, qs, width), of(&k[..], keys, ks, width), of(&v[..], keys, vs, value_width));
        for level in SimdLevel::available() {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![f32::NAN; batch * queries * heads * value_width];
                pool.install(|| attention(level, qo, ko, vo, bias.as_deref(), &shape, &mut out));
                out
            };
            let out = run(1);
            for (i, &got) in out.iter().enumerate() {
                let (c, head) = (i % value_width, i / value_width % heads);
                let (query, b) = (i / value_width / heads % queries, i / value_width / heads / queries);
                let scores: Vec<f64> = (0..keys)
                    .map(|key| {
                        let dot: f64 = (0..width)
                            .map(|p| {
                                let a = q[(b * queries + query) * qs + head * width + p];
                                f64::from(a) * f64::from(k[(b * keys + key) * ks + head * width + p])
                            })
                            .sum();
                        dot + bias.as_ref().map_or(0.0, |t| f64::from(t[(head * queries + query) * keys + key]))
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                let value = |key: usize| f64::from(v[(b * keys + key) * vs + head * value_width + c]);
                let expected: f64 =
                    scores.iter().enumerate().map(|(key, s)| (s - largest).exp() / total * value(key)).sum();
                assert!((f64::from(got) - expected).abs() <= 2e-5, "{level} {shape:?} {got} {expected}");
            }
            assert!(run(2) == out && run(3) == out, "{level}");
        }
    }
}

#[test]
fn operands_that_do_not_hold_their_rows_are_refused() {
    let data = vec![0.0; 8200];
    let shape = Shape { batch: 1, heads: 1, queries: 1, keys: 1025, width: 8, value_width: 8 };
    let whole = Operand { data: &data, batch_stride: 0, head_stride: 0, row_stride: 8 };
    for row_stride in [9, 1 << 54, usize::MAX] {
        for operand in 0..2 {
            let (mut k, mut v) = (whole, whole);
            if operand == 0 {
                k.row_stride = row_stride
            } else {
                v.row_stride = row_stride
            }
            let run = || attention(SimdLevel::best(), whole, k, v, None, &shape, &mut [0.0; 8]);
            assert!(std::panic::catch_unwind(run).is_err(), "{row_stride}");
        }
    }
}

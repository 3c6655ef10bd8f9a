use super::*;
use crate::linear::Storage;
use crate::testing::Values;

/// The bias of a test case.
#[derive(Clone, Copy)]
enum Kind {
    None,
    Table,
    Grid(usize, usize),
}

#[test]
fn every_level_is_the_formula_and_threads_change_no_bit() {
    let mut values = Values::new(6);
    for (batch, heads, queries, keys, width, value_width, kind) in [
        (1, 8, 7, 130, 16, 16, Kind::None),
        (1, 8, 150, 7, 16, 16, Kind::None),
        (3, 2, 49, 49, 32, 32, Kind::Table),
        (2, 3, 13, 17, 5, 11, Kind::Table),
        (1, 1, 1, 1, 1, 1, Kind::None),
        (2, 1, 67, 16, 32, 20, Kind::None),
        // Several blocks of keys.
        (1, 2, 103, 1030, 8, 70, Kind::None),
        (2, 2, 3, 1300, 6, 4, Kind::Table),
        // Grids, also of several blocks.
        (3, 2, 196, 196, 8, 64, Kind::Grid(14, 14)),
        (1, 2, 15, 15, 5, 3, Kind::Grid(3, 5)),
        (1, 1, 1071, 1071, 4, 5, Kind::Grid(51, 21)),
        // Few queries to many keys.
        (2, 3, 5, 700, 16, 19, Kind::None),
        (1, 1, 57, 513, 70, 130, Kind::None),
    ] {
        let shape = Shape { batch, heads, queries, keys, width, value_width };
        // As of a joint projection: heads beside each other, and something between the tokens.
        let stride = |width: usize| heads * width + 3;
        let (qs, ks, vs) = (stride(width), stride(width), stride(value_width));
        let q = values.vec(batch * queries * qs, 1.0);
        let k = values.vec(batch * keys * ks, 1.0);
        let v = values.vec(batch * keys * vs, 2.0);
        let table = matches!(kind, Kind::Table).then(|| values.vec(heads * queries * keys, 2.0));
        let grid = if let Kind::Grid(h, w) = kind { Some([h, w]) } else { None };
        // Of each row, and of each column, of the grid: `(side, width)`.
        let maps = grid.map(|sides| sides.map(|side| values.vec(side * side * width, 0.5)));
        let of = |data, rows: usize, row_stride, head_stride| Operand {
            data,
            batch_stride: rows * row_stride,
            head_stride,
            row_stride,
        };
        let (qo, ko, vo) =
            (of(&q[..], queries, qs, width), of(&k[..], keys, ks, width), of(&v[..], keys, vs, value_width));
        for level in SimdLevel::available() {
            let packed = maps.as_ref().map(|maps| {
                maps.each_ref().map(|map| {
                    let side = (map.len() / width).isqrt();
                    let pack = |map: &[f32]| Weights::pack(level, map, side, width, Storage::F32);
                    map.chunks_exact(side * width).map(pack).collect::<Vec<_>>()
                })
            });
            let bias = match (&table, &packed) {
                (Some(table), _) => Bias::Table(table),
                (_, Some([rows, columns])) => Bias::Decomposed { rows, columns },
                _ => Bias::None,
            };
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![f32::NAN; batch * queries * heads * value_width];
                pool.install(|| attention(level, qo, ko, vo, bias, &shape, &mut out));
                out
            };
            let out = run(1);
            for (i, got) in out.chunks(value_width).enumerate() {
                let (head, query, b) = (i % heads, i / heads % queries, i / heads / queries);
                let asked: Vec<f64> =
                    (0..width).map(|p| f64::from(q[(b * queries + query) * qs + head * width + p])).collect();
                let dot = |with: &[f32]| asked.iter().zip(with).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
                let scores: Vec<f64> = (0..keys)
                    .map(|key| {
                        let mut score = dot(&k[(b * keys + key) * ks + head * width..]);
                        if let Some(table) = &table {
                            score += f64::from(table[(head * queries + query) * keys + key]);
                        }
                        if let (Some([h, w]), Some([rows, columns])) = (grid, &maps) {
                            score += dot(&rows[(query / w * h + key / w) * width..]);
                            score += dot(&columns[(query % w * w + key % w) * width..]);
                        }
                        score
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                for (c, &got) in got.iter().enumerate() {
                    let value = |key: usize| f64::from(v[(b * keys + key) * vs + head * value_width + c]);
                    let expected: f64 =
                        scores.iter().enumerate().map(|(key, s)| (s - largest).exp() / total * value(key)).sum();
                    assert!((f64::from(got) - expected).abs() <= 2e-5, "{level} {shape:?} {got} {expected}");
                }
            }
            assert!(run(2) == out && run(3) == out, "{level} {shape:?}");
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
            let run = || attention(SimdLevel::best(), whole, k, v, Bias::None, &shape, &mut [0.0; 8]);
            assert!(std::panic::catch_unwind(run).is_err(), "{row_stride}");
        }
    }
}

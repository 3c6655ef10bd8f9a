use half::f16;

use super::*;
use crate::testing::Values;

const ACTIVATIONS: [Activation; 5] =
    [Activation::None, Activation::Relu, Activation::Relu6, Activation::Gelu, Activation::Hardswish];

const STORAGES: [Storage; 3] = [Storage::F32, Storage::F16, Storage::F16Arithmetic];

/// Data for a call, with gaps between the rows.
struct Case {
    rows: usize,
    k: usize,
    n: usize,
    strides: [usize; 3],
    a: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
    storage: Storage,
    activation: Activation,
    with: (bool, bool),
}

/// What lies between rows of the output.
const UNTOUCHED: f32 = 12345.0;

impl Case {
    fn new(rows: usize, k: usize, n: usize, gaps: [usize; 3]) -> Case {
        let mut values = Values::new((rows * 1000 + k * 100 + n) as u64);
        let strides = [k + gaps[0], n + gaps[1], n + gaps[2]];
        // The last row ends with its last number, so that reading on is out of bounds.
        let len = |stride: usize, row: usize| if rows == 0 { 0 } else { (rows - 1) * stride + row };
        Case {
            rows,
            k,
            n,
            strides,
            a: values.vec(len(strides[0], k), 1.0),
            weight: values.vec(n * k, 1.0),
            bias: values.vec(n, 3.0),
            residual: values.vec(len(strides[1], n), 1.0),
            storage: Storage::F32,
            activation: Activation::None,
            with: (false, false),
        }
    }

    fn epilogue(&self) -> Epilogue<'_> {
        Epilogue {
            bias: self.with.0.then_some(&self.bias[..]),
            activation: self.activation,
            residual: self.with.1.then_some((&self.residual[..], self.strides[1])),
        }
    }

    fn out(&self) -> Vec<f32> {
        vec![UNTOUCHED; if self.rows == 0 { 0 } else { (self.rows - 1) * self.strides[2] + self.n }]
    }

    fn run(&self, level: SimdLevel) -> Vec<f32> {
        let weights = Weights::pack(level, &self.weight, self.n, self.k, self.storage);
        let mut out = self.out();
        linear(&self.a, self.strides[0], self.rows, &weights, &self.epilogue(), &mut out, self.strides[2]);
        out
    }

    /// The formula in f64 before the activation, and the sum of the absolute values of its summands.
    fn exact(&self, i: usize, j: usize) -> (f64, f64) {
        let start = if self.with.0 { f64::from(self.bias[j]) } else { 0.0 };
        (0..self.k).fold((start, start.abs()), |(sum, size), p| {
            let weight = self.weight[j * self.k + p];
            let weight = if self.storage == Storage::F32 { weight } else { f16::from_f32(weight).to_f32() };
            let product = f64::from(self.a[i * self.strides[0] + p]) * f64::from(weight);
            (sum + product, size + product.abs())
        })
    }

    /// What arithmetic in f16 adds, of numbers up to 1.
    fn f16_tolerance(&self, level: SimdLevel, size: f64) -> f64 {
        match Weights::scratch(level, self.storage).arithmetic() {
            Arithmetic::F32 => 0.0,
            Arithmetic::F16 => {
                let (u, b) = (0.5f64.powi(11), self.k.min(F16_BLOCK) as f64);
                (b * u / (1.0 - b * u) + 2.0 * u + u * u) * size + self.k as f64 * 3.0 * 0.5f64.powi(24)
            }
        }
    }

    fn check(&self, level: SimdLevel) {
        let out = self.run(level);
        let what = format!(
            "{level} {} x {} x {} {:?} {:?} {:?} {:?}",
            self.rows, self.k, self.n, self.strides, self.storage, self.activation, self.with
        );
        for i in 0..self.rows {
            let row = &out[i * self.strides[2]..];
            for (j, &value) in row[..self.n].iter().enumerate() {
                let (sum, size) = self.exact(i, j);
                let residual = if self.with.1 { self.residual[i * self.strides[1] + j] } else { 0.0 };
                let expected = activated(self.activation, sum) + f64::from(residual);
                // Activations are at most 1.5 as steep as their argument; the residual's sum is rounded once more.
                let tolerance = 1.2e-7 * ((self.k + 2) as f64 * size * 1.5 + 2.0) + 1e-6 * sum.abs().max(1.0);
                let tolerance = tolerance + 1.5 * self.f16_tolerance(level, size);
                let error = (f64::from(value) - expected).abs();
                assert!(error <= tolerance, "{what} at {i}, {j}: {value}, not {expected}");
            }
            let gap = if i + 1 < self.rows { &row[self.n..self.strides[2]] } else { &row[self.n..] };
            assert!(gap.iter().all(|&x| x == UNTOUCHED), "{what} wrote beside row {i}");
        }
    }
}

/// By the formulas of `activation`, in f64 but for the polynomial, which has a test of its own.
fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => f64::from(crate::activation::scalar::value(activation, x as f32)),
        Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

fn in_pool(threads: usize, run: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
}

#[test]
fn every_level_meets_the_formula() {
    for level in SimdLevel::available() {
        for n in (1..=35).chain([48, 63, 64, 65, 97]) {
            for (rows, k) in [(0, 3), (1, 1), (2, 16), (3, 2), (5, 0), (7, 33), (15, 5), (29, 7)] {
                Case::new(rows, k, n, [0, 0, 0]).check(level);
                let mut case = Case::new(rows, k, n, [3, 5, 1]);
                case.with = (true, true);
                case.check(level);
                case.storage = Storage::F16;
                case.check(level);
                case.storage = Storage::F16Arithmetic;
                case.check(level);
            }
        }
        for rows in 0..=43 {
            Case::new(rows, 9, 40, [1, 0, 2]).check(level);
        }
        Case::new(3, 0, 0, [0, 0, 0]).check(level);
        Case::new(3, 4, 0, [0, 0, 0]).check(level);
        Case::new(40, 700, 33, [0, 0, 0]).check(level);
    }
}

#[test]
fn every_epilogue_at_every_level() {
    for level in SimdLevel::available() {
        for activation in ACTIVATIONS {
            for with in [(false, false), (true, false), (false, true), (true, true)] {
                for storage in STORAGES {
                    for (rows, k, n) in [(17, 6, 32), (4, 31, 19), (30, 8, 45)] {
                        Case { activation, with, storage, ..Case::new(rows, k, n, [0, 2, 3]) }.check(level);
                    }
                }
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_on_other_rows() {
    for level in SimdLevel::available() {
        for (rows, k, n) in [(7, 256, 600), (1, 300, 2048), (1200, 24, 40), (100, 160, 97), (70, 1, 1)] {
            let plain = STORAGES.map(|storage| (Activation::None, storage));
            for (activation, storage) in plain.into_iter().chain([(Activation::Gelu, Storage::F16Arithmetic)]) {
                let case = Case { activation, storage, with: (true, true), ..Case::new(rows, k, n, [1, 0, 2]) };
                let weights = Weights::pack(level, &case.weight, n, k, storage);
                let serial = case.run(level);
                for threads in [1, 2, 3] {
                    let mut out = case.out();
                    let (a, epilogue) = (&case.a, case.epilogue());
                    in_pool(threads, || {
                        linear_parallel(a, case.strides[0], rows, &weights, &epilogue, &mut out, case.strides[2]);
                    });
                    assert!(same_bits(&serial, &out), "{level} {rows} x {k} x {n} on {threads} threads");
                }
                for i in [0, rows / 2, rows - 1] {
                    let mut alone = vec![0.0; n];
                    let residual = Some((&case.residual[i * case.strides[1]..], n));
                    let epilogue = Epilogue { residual, ..case.epilogue() };
                    linear(&case.a[i * case.strides[0]..], k, 1, &weights, &epilogue, &mut alone, n);
                    assert!(same_bits(&alone, &serial[i * case.strides[2]..][..n]), "{level} row {i} of {rows}, alone");
                }
            }
        }
    }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[test]
fn grids_cover_the_output_once() {
    let weights = |n, k| Weights::pack(SimdLevel::best(), &vec![0.0; n * k], n, k, Storage::F32);
    for (rows, k, n) in [(9000, 16, 40), (1, 2048, 2048), (7, 256, 2048), (33, 700, 700), (0, 4, 4), (5, 5, 0)] {
        let (a, mut out, weights) = (vec![0.0; rows * k], vec![0.0; rows * n], weights(n, k));
        let job = Job::new(&a, k, rows, &weights, &Epilogue::default(), &mut out, n);
        for threads in 1..9 {
            let grid = job.grid(threads);
            assert!(grid.cells() <= 64 && (threads > 1 || grid.cells() == 1));
            let mut seen = vec![0u8; rows * weights.panels()];
            for (rows, panels) in (0..grid.cells()).map(|cell| grid.cell(cell)) {
                for row in rows {
                    panels.clone().for_each(|panel| seen[row * weights.panels() + panel] += 1);
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{rows} x {k} x {n} on {threads} threads");
        }
    }
}

#[test]
fn nan_and_infinity_propagate() {
    for level in SimdLevel::available() {
        for storage in STORAGES {
            let mut case = Case { storage, ..Case::new(20, 12, 37, [0, 0, 0]) };
            case.a[3 * 12 + 5] = f32::NAN;
            case.a[9 * 12 + 11] = f32::INFINITY;
            case.weight[30 * 12] = f32::NEG_INFINITY;
            case.weight[36 * 12 + 1] = f32::NAN;
            for activation in ACTIVATIONS {
                case.activation = activation;
                let scalar = case.run(SimdLevel::Scalar);
                for (index, (value, expected)) in case.run(level).into_iter().zip(scalar).enumerate() {
                    let (i, j) = (index / 37, index % 37);
                    let same = value == expected || (value.is_nan() && expected.is_nan());
                    let special = i == 3 || i == 9 || j == 30 || j == 36;
                    assert!(
                        same || !special,
                        "{level} {storage:?} {activation:?} at {i}, {j}: {value}, not {expected}"
                    );
                    assert!(value.is_finite() || special, "{level} {activation:?} at {i}, {j}: {value}");
                    assert!(value.is_nan() || (i != 3 && j != 36), "{level} {activation:?} at {i}, {j}: {value}");
                }
            }
        }
    }
}

#[test]
fn matrices_are_packed_by_their_strides_into_memory_that_stays() {
    for level in SimdLevel::available() {
        for storage in STORAGES {
            let mut scratch = Weights::scratch(level, storage);
            let mut last = None;
            for (n, k) in [(45, 70), (19, 23), (33, 3), (5, 90)] {
                let (rows, columns) = (n + 2, k + 3);
                let source = Values::new(n as u64).vec(rows * columns, 1.0);
                let packed: Vec<f32> = (0..n * k).map(|i| source[i / k * columns + i % k]).collect();
                let expected = Weights::pack(level, &packed, n, k, storage);
                scratch.pack_into(&source, (columns, 1), n, k);
                assert_eq!(scratch.widened(), expected.widened(), "{level} ({n}, {k})");
                let mut transposed = vec![0.0; rows * columns];
                for (i, &value) in source.iter().enumerate() {
                    transposed[i % columns * rows + i / columns] = value;
                }
                scratch.pack_into(&transposed, (1, rows), n, k);
                assert_eq!(scratch.widened(), expected.widened(), "{level} ({k}, {n})");
                assert_eq!((scratch.outputs(), scratch.inputs(), scratch.storage()), (n, k, storage));
                assert_eq!(scratch.bytes(), expected.bytes());
                let start = scratch.address();
                assert_eq!(*last.get_or_insert(start), start, "{level}: the largest came first, so nothing need grow");
            }
            let shared = scratch.clone();
            scratch.pack_into(&[2.0], (1, 1), 1, 1);
            assert_eq!(shared.inputs(), 90);
            assert_ne!(shared.address(), scratch.address());
        }
    }
}

impl Weights {
    /// All packed weights.
    fn widened(&self) -> Vec<f32> {
        let f32s = self.as_f32().into_iter().flatten().copied();
        f32s.chain(self.as_f16().into_iter().flatten().map(|x| x.to_f32())).collect()
    }

    /// Where they lie.
    fn address(&self) -> usize {
        self.as_f32().map_or(0, |x| x.as_ptr().addr()) + self.as_f16().map_or(0, |x| x.as_ptr().addr())
    }
}

#[test]
#[should_panic(expected = "inputs")]
fn strides_that_overflow_are_refused() {
    let weights = Weights::pack(SimdLevel::best(), &[1.0; 4], 2, 2, Storage::F32);
    linear(&[1.0; 4], usize::MAX, 2, &weights, &Epilogue::default(), &mut [0.0; 4], 2);
}

#[test]
fn f16_halves_the_bytes() {
    for level in SimdLevel::available() {
        let bytes = |storage| Weights::pack(level, &[1.0; 48 * 10], 48, 10, storage).bytes();
        assert_eq!(STORAGES.map(bytes), [48 * 10 * 4, 48 * 10 * 2, 48 * 10 * 2]);
    }
}

#[test]
fn sums_in_f16_have_the_bits_of_the_specification() {
    let f16_levels = |l: &SimdLevel| Weights::scratch(*l, Storage::F16Arithmetic).arithmetic() == Arithmetic::F16;
    for level in SimdLevel::available().into_iter().filter(f16_levels) {
        let widths = (1..=26).chain([31, 40, 47, 48, 49, 64, 97]);
        let shapes = widths.flat_map(|n| (0..=10).map(move |rows| (rows, 7 * n % 23, n)));
        let deep = [(8, 127, 24), (9, 128, 25), (7, 129, 23), (17, 256, 9), (3, 257, 50), (1, 700, 33), (120, 130, 30)];
        for (rows, k, n) in shapes.chain(deep) {
            for (storage, gaps) in [(Storage::F16Arithmetic, [0, 0, 0]), (Storage::F16Arithmetic, [3, 2, 1])] {
                let case = Case { storage, with: (gaps[0] > 0, gaps[0] > 0), ..Case::new(rows, k, n, gaps) };
                let (ours, specified) = (case.run(level), case.run(SimdLevel::Scalar));
                assert!(same_bits(&ours, &specified), "{level} {rows} x {k} x {n} {gaps:?}");
            }
        }
    }
}

#[test]
fn levels_without_f16_arithmetic_do_the_same_in_f32() {
    for level in SimdLevel::available() {
        let case = Case { storage: Storage::F16, ..Case::new(9, 140, 30, [0, 0, 0]) };
        let half = Case { storage: Storage::F16Arithmetic, ..Case::new(9, 140, 30, [0, 0, 0]) };
        let arithmetic = Weights::scratch(level, Storage::F16Arithmetic).arithmetic();
        assert_eq!(same_bits(&case.run(level), &half.run(level)), arithmetic == Arithmetic::F32, "{level}");
        let expected = match level.name() {
            "scalar" | "neon-dot" | "neon-i8mm" => Arithmetic::F16,
            _ => Arithmetic::F32,
        };
        assert_eq!(arithmetic, expected, "{level}");
    }
}

/// A large number loses the small ones of its block, and no others.
#[test]
fn blocks_end_after_128_inputs_and_overflow_is_infinite() {
    for level in SimdLevel::available() {
        if Weights::scratch(level, Storage::F16Arithmetic).arithmetic() == Arithmetic::F32 {
            continue;
        }
        let one = |a: &[f32], weight: f32| {
            let k = a.len();
            let weights = Weights::pack(level, &vec![weight; k], 1, k, Storage::F16Arithmetic);
            let mut out = [0.0];
            linear(a, k, 1, &weights, &Epilogue::default(), &mut out, 1);
            out[0]
        };
        // Beside 2048 an f16 sum loses every single 1.
        let mut a = vec![1.0; 130];
        a[0] = 2048.0;
        assert_eq!(one(&a, 1.0), 2050.0, "{level}: two ones come after the first block");
        assert_eq!(one(&[65519.0], 1.0), 65504.0, "{level}");
        assert_eq!(one(&[65520.0], 1.0), f32::INFINITY, "{level}");
        assert_eq!(one(&[-300.0; 2], 300.0), f32::NEG_INFINITY, "{level}");
        assert_eq!(one(&[60000.0, 60000.0, -60000.0], 1.0), f32::INFINITY, "{level}");
        assert!(one(&[300.0, -300.0, f32::INFINITY, f32::NEG_INFINITY], 1.0).is_nan(), "{level}");
        let mut far = vec![0.0; 129];
        (far[0], far[128]) = (60000.0, 60000.0);
        assert_eq!(one(&far, 1.0), 120_000.0, "{level}: sums of blocks are f32");
    }
}

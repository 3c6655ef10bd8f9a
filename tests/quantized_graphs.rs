//! Small quantised graphs, each with one thing that a network of another program may have: they run in integers where that means the same,
//! give what ONNX says to within the steps that rounding may move, and the same bits at every SIMD level.

use cutout_runtime::SimdLevel;
use cutout_runtime::engine::{Operators, Precision};
use cutout_tests::qdq::Attribute::{self, Int, Ints};
use cutout_tests::qdq::Graph;

/// A value with numbers of -2 to 2.
const STEP: f32 = 4.0 / 255.0;

fn weights(count: usize, seed: usize) -> Vec<i8> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 255) as i32 as u8 as i8).map(|w| w.max(-127)).collect()
}

fn numbers(count: usize, most: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * 2971 % 199) as f32 / 99.0 - 1.0) * most).collect()
}

/// Scales that keep what products of `inputs` bytes give within about one.
fn scales(outputs: usize, inputs: usize) -> Vec<f32> {
    (0..outputs).map(|j| (1.0 + j as f32 % 3.0) / (60.0 * (inputs as f32).sqrt() * 2.0)).collect()
}

/// A convolution of `x` with bytes as weights, named after its result.
fn conv(g: &mut Graph, x: &str, out: &str, [outputs, inputs, kernel]: [usize; 3], group: usize) {
    let (per_group, weight) = (inputs / group, format!("{out}/weight"));
    let count = outputs * per_group * kernel * kernel;
    g.integers(
        &weight,
        &[outputs, per_group, kernel, kernel],
        &weights(count, out.len()),
        &scales(outputs, count / outputs),
        0,
    );
    let bias = format!("{out}/bias");
    g.floats(&bias, &[outputs], &numbers(outputs, 0.3));
    let (side, weight) = (kernel as i64 / 2, format!("{weight}/numbers"));
    let attributes = [("group", Int(group as i64)), ("pads", Ints(vec![side; 4]))];
    g.node("Conv", &[x, &weight, &bias], out, &attributes);
}

/// Checks a graph against tract, to within `steps` of the output's scale, and with itself at other levels, if it runs in integers, and with other numbers of
/// threads; gives the operators
/// that ran.
fn check(g: &Graph, scale: f32, steps: f32) -> Vec<(&'static str, Precision)> {
    let theirs = g.run(Operators::Tract, 1);
    let ours = g.run(Operators::default(), 2);
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs.shape(), ours.shape());
        let spread = theirs.values().iter().fold((0.0f32, 0.0f32), |(l, h), v| (l.min(*v), h.max(*v)));
        assert!(spread.1 - spread.0 > 20.0 * scale, "the test shows little: {spread:?}");
        let apart = theirs.values().iter().zip(ours.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= steps * scale * 1.001, "{} steps apart", apart / scale);
    }
    let (ran, bits) = (g.operators(), |level, threads| {
        let given = g.run(Operators::Own(level), threads);
        given.iter().map(|t| t.values().iter().map(|v| v.to_bits()).collect()).collect::<Vec<Vec<u32>>>()
    });
    for level in SimdLevel::available() {
        // Sums of numbers are rounded in the order of the level.
        let like = if floats(&ran).is_empty() { SimdLevel::Scalar } else { level };
        for threads in [1, 3] {
            assert!(bits(level, threads) == bits(like, 2), "{level}, {threads} threads: other bits");
        }
    }
    ran
}

/// Those that ran otherwise than in integers, between the first and the last step.
fn floats(operators: &[(&'static str, Precision)]) -> Vec<&'static str> {
    let inner = operators.iter().filter(|(name, _)| !matches!(*name, "quantize" | "dequantize" | "copy"));
    inner.filter(|(_, precision)| *precision != Precision::Int8).map(|(name, _)| *name).collect()
}

/// `x` of that shape, in bytes.
fn graph(shape: &[usize]) -> Graph {
    let mut g = Graph::new(shape);
    g.quantized("x", STEP, 120);
    g
}

#[test]
fn relu_and_gelu_follow_a_sum() {
    for gelu in [false, true] {
        let mut g = graph(&[1, 8, 5, 7]);
        conv(&mut g, "x/numbers", "a", [8, 8, 1], 1);
        g.quantized("a", STEP, 128);
        conv(&mut g, "a/numbers", "b", [8, 8, 3], 1);
        g.quantized("b", 2.0 * STEP, 100);
        g.node("Add", &["x/numbers", "b/numbers"], "sum", &[]);
        if gelu {
            g.quantized("sum", STEP, 128);
            g.gelu("sum/numbers", "end");
        } else {
            g.node("Relu", &["sum"], "end", &[]);
        }
        g.quantized("end", STEP, if gelu { 12 } else { 0 });
        g.output("end/numbers");
        let ran = check(&g, STEP, 3.0);
        assert!(floats(&ran).is_empty(), "{ran:?}");
        assert!(!ran.iter().any(|(name, _)| *name == "add"), "{ran:?}");
    }
}

#[test]
fn a_convolution_may_have_no_bias_one_scale_and_signed_bytes() {
    let mut g = Graph::new(&[1, 6, 5, 9]);
    g.quantized_signed("x", STEP, -8);
    g.integers("w", &[10, 6, 1, 1], &weights(60, 1), &[0.004], 0);
    g.node("Conv", &["x/numbers", "w/numbers"], "y", &[]);
    g.quantized_signed("y", 2.0 * STEP, 3);
    g.output("y/numbers");
    assert!(floats(&check(&g, 2.0 * STEP, 1.0)).is_empty());
}

#[test]
fn a_value_may_be_read_in_bytes_and_in_numbers_and_be_an_output() {
    let mut g = graph(&[1, 8, 6, 6]);
    conv(&mut g, "x/numbers", "a", [8, 8, 3], 1);
    g.quantized("a", STEP, 128);
    conv(&mut g, "a/numbers", "b", [8, 8, 1], 1);
    g.quantized("b", STEP, 128);
    g.node("Relu", &["b/numbers"], "c", &[]);
    g.quantized("c", STEP / 2.0, 0);
    g.node("Sin", &["a/numbers"], "s", &[]);
    g.output("s");
    g.output("b/numbers");
    g.output("c/numbers");
    let ran = check(&g, STEP, 1.0);
    assert_eq!(floats(&ran), ["sine"], "{ran:?}");
}

#[test]
fn views_may_be_held_by_another_scale() {
    let mut g = graph(&[1, 12, 4, 6]);
    g.node("Transpose", &["x/numbers"], "t", &[("perm", Ints(vec![0, 2, 3, 1]))]);
    g.quantized("t", 1.5 * STEP, 90);
    g.ints("shape", &[1, 24, 12]);
    g.node("Reshape", &["t/numbers", "shape"], "r", &[]);
    g.slice("r", "s", 2, 3, 11);
    g.quantized("s", STEP, 128);
    g.integers("w", &[8, 16], &weights(128, 3), &scales(16, 8), 1);
    g.node("MatMul", &["s/numbers", "w/numbers"], "y", &[]);
    g.quantized("y", STEP, 128);
    g.output("y/numbers");
    let ran = check(&g, STEP, 3.0);
    assert!(floats(&ran).is_empty(), "{ran:?}");
}

#[test]
fn parts_of_maps_are_convolved() {
    for group in [1, 4] {
        let mut g = graph(&[1, 8, 6, 7]);
        g.slice("x/numbers", "half", 1, 3, 7);
        conv(&mut g, "half", "a", [4, 4, 3], group);
        g.quantized("a", STEP, 128);
        g.slice("a/numbers", "rows", 2, 1, 6);
        conv(&mut g, "rows", "b", [6, 4, 1], 1);
        g.quantized("b", STEP, 128);
        g.output("b/numbers");
        let ran = check(&g, STEP, 2.0);
        assert!(floats(&ran).is_empty(), "group {group}: {ran:?}");
    }
}

#[test]
fn maps_are_padded_and_brought_together() {
    let mut g = graph(&[1, 4, 5, 6]);
    g.ints("pads", &[0, 0, 1, 2, 0, 0, 3, 0]);
    g.node("Pad", &["x/numbers", "pads"], "p", &[]);
    conv(&mut g, "p", "a", [4, 4, 3], 1);
    g.quantized("a", STEP, 128);
    g.node("Concat", &["a/numbers", "p"], "c", &[("axis", Int(1))]);
    g.quantized("c", STEP, 120);
    conv(&mut g, "c/numbers", "b", [8, 8, 3], 8);
    g.quantized("b", STEP, 128);
    g.output("b/numbers");
    let ran = check(&g, STEP, 2.0);
    assert_eq!(floats(&ran), ["concatenate"], "{ran:?}");
}

#[test]
fn bytes_meet_numbers() {
    // Weights in numbers, of a map in bytes; weights in bytes, of a map in numbers.
    let mut g = graph(&[1, 8, 5, 5]);
    g.floats("w", &[8, 8, 1, 1], &numbers(64, 0.4));
    g.node("Conv", &["x/numbers", "w"], "a", &[]);
    conv(&mut g, "a", "b", [8, 8, 1], 1);
    g.node("Add", &["b", "x/numbers"], "c", &[]);
    g.output("c");
    let ran = check(&g, STEP, 0.01);
    assert!(ran.iter().all(|(name, precision)| *name != "linear" || *precision == Precision::F32), "{ran:?}");
}

#[test]
fn a_depthwise_convolution_is_added_to_something() {
    let mut g = graph(&[1, 8, 5, 6]);
    conv(&mut g, "x/numbers", "a", [8, 8, 3], 8);
    g.quantized("a", STEP, 128);
    g.node("Add", &["a/numbers", "x/numbers"], "sum", &[]);
    g.quantized("sum", 1.5 * STEP, 128);
    g.output("sum/numbers");
    let ran = check(&g, 1.5 * STEP, 1.0);
    assert!(floats(&ran).is_empty(), "{ran:?}");
}

/// Windows with gaps, steps between them, and such as lie beyond the map altogether; of few and of many planes, and of each by itself.
#[test]
fn windows_of_all_kinds() {
    for (inputs, group) in [(3, 1), (8, 1), (8, 8)] {
        for [kernel, stride, dilation, padding] in
            [[1, 2, 1, 0], [3, 1, 2, 2], [3, 2, 1, 4], [5, 3, 1, 1], [2, 1, 3, 3]]
        {
            let mut g = graph(&[1, inputs, 9, 11]);
            let count = 8 * inputs / group * kernel * kernel;
            let shape = [8, inputs / group, kernel, kernel];
            g.integers("w", &shape, &weights(count, 3), &scales(8, count / 8), 0);
            let [k, s, d, p] = [kernel, stride, dilation, padding].map(|n| n as i64);
            let window = [("strides", vec![s; 2]), ("dilations", vec![d; 2]), ("pads", vec![p; 4])];
            let mut attributes: Vec<_> = window.into_iter().map(|(name, ints)| (name, Ints(ints))).collect();
            attributes.extend([("kernel_shape", Ints(vec![k; 2])), ("group", Int(group as i64))]);
            g.node("Conv", &["x/numbers", "w/numbers"], "y", &attributes);
            g.quantized("y", STEP, 128);
            g.output("y/numbers");
            let ran = check(&g, STEP, 1.0);
            assert!(floats(&ran).is_empty(), "{inputs} {group} {kernel}: {ran:?}");
        }
    }
}

#[test]
fn a_scalar_may_have_more_dimensions_than_what_it_is_multiplied_with() {
    let mut g = graph(&[1, 8, 5, 6]);
    conv(&mut g, "x/numbers", "a", [8, 8, 1], 1);
    g.quantized("a", STEP, 128);
    g.gelu("a/numbers", "y");
    g.set_dims("y/half", &[1; 5]);
    g.quantized("y", STEP, 12);
    g.output("y/numbers");
    assert!(g.is_refused(), "it is no GELU that keeps its shape");
}

/// Expansion, depthwise convolution and projection become one step, with what is added.
#[test]
fn an_inverted_residual_is_one_step() {
    let mut g = graph(&[1, 8, 9, 7]);
    conv(&mut g, "x/numbers", "a", [24, 8, 1], 1);
    g.node("Relu", &["a"], "b", &[]);
    g.quantized("b", STEP, 0);
    conv(&mut g, "b/numbers", "c", [24, 24, 3], 24);
    g.node("Relu", &["c"], "d", &[]);
    g.quantized("d", STEP, 0);
    conv(&mut g, "d/numbers", "e", [8, 24, 1], 1);
    g.quantized("e", 3.0 * STEP, 128);
    g.node("Add", &["x/numbers", "e/numbers"], "y", &[]);
    g.quantized("y", 3.0 * STEP, 128);
    g.output("y/numbers");
    let ran = check(&g, 3.0 * STEP, 2.0);
    assert_eq!(ran.iter().filter(|(name, _)| *name == "inverted residual").count(), 1, "{ran:?}");
    assert!(floats(&ran).is_empty() && !ran.iter().any(|(name, _)| *name == "add"), "{ran:?}");
}

/// Other programs write a Relu as bytes that have no negative numbers.
#[test]
fn bytes_of_one_sign_are_an_activation() {
    let mut g = graph(&[1, 8, 5, 6]);
    conv(&mut g, "x/numbers", "a", [8, 8, 1], 1);
    g.quantized("a", STEP, 0);
    g.node("Add", &["a/numbers", "x/numbers"], "y", &[]);
    g.quantized("y", 1.5 * STEP, 90);
    g.output("y/numbers");
    let ran = check(&g, 1.5 * STEP, 1.0);
    assert!(floats(&ran).is_empty(), "{ran:?}");
}

/// Steps in integers run input by input between those that run for all at once.
#[test]
fn a_batch_changes_nothing() {
    let mut g = graph(&[1, 4, 16]);
    g.integers("v", &[16, 24], &weights(384, 3), &scales(24, 16), 1);
    g.node("MatMul", &["x/numbers", "v/numbers"], "a", &[]);
    g.quantized("a", STEP, 128);
    g.floats("w", &[24, 16], &numbers(384, 0.2));
    g.node("MatMul", &["a/numbers", "w"], "b", &[]);
    g.node("Add", &["b", "x/numbers"], "c", &[]);
    g.quantized("c", STEP, 128);
    g.node("MatMul", &["c/numbers", "v/numbers"], "d", &[]);
    g.output("d");
    check(&g, STEP, 6.0);
    let [alone, batch] = g.run_batch(5);
    assert!(alone == batch && alone[0] != alone[1]);
}

/// Heads in bytes, with a bias far beyond the range of the scores for what is not to be seen.
#[test]
fn attention_has_a_bias_without_bounds() {
    let mut g = graph(&[1, 2, 9, 8]);
    g.node("Transpose", &["x/numbers"], "k", &[("perm", Ints(vec![0, 1, 3, 2]))]);
    g.node("MatMul", &["x/numbers", "k"], "scores", &[]);
    let bias: Vec<f32> = (0..162).map(|i| if i % 5 == 1 { -1e30 } else { (i % 7) as f32 / 7.0 }).collect();
    g.floats("bias", &[1, 2, 9, 9], &bias);
    g.node("Add", &["scores", "bias"], "biased", &[]);
    g.node("Softmax", &["biased"], "share", &[("axis", Int(-1))]);
    g.node("MatMul", &["share", "x/numbers"], "y", &[]);
    g.quantized("y", STEP, 128);
    g.output("y/numbers");
    let ran = check(&g, STEP, 2.0);
    assert_eq!(ran.iter().filter(|(name, p)| (*name, *p) == ("attention", Precision::Int8)).count(), 1, "{ran:?}");
}

/// What integers cannot express is computed in numbers.
#[test]
fn what_would_leave_the_range_of_integers_runs_in_numbers() {
    let sound = |g: &mut Graph| conv(g, "x/numbers", "y", [8, 8, 1], 1);
    // A byte of -128; a bias of far more steps than a sum has; scales of the weights beyond measure.
    let changes: [&dyn Fn(&mut Graph); 3] = [
        &|g| g.set_integers("y/weight", |w| w[5] = -128),
        &|g| {
            g.set_scales("y/weight", |s| s[3] = 1e-12);
            g.set_floats("y/bias", |b| b[3] = 0.7);
        },
        &|g| g.set_integers("y/weight", |w| w[0] = i8::MIN),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut g = graph(&[1, 8, 5, 6]);
        sound(&mut g);
        change(&mut g);
        g.quantized("y", STEP, 128);
        g.output("y/numbers");
        let ran = check(&g, STEP, 1.0);
        assert_eq!(floats(&ran), ["linear"], "{i}: {ran:?}");
    }
}

#[test]
fn notes_that_contradict_each_other_are_refused() {
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut g = graph(&[1, 8, 5, 6]);
        conv(&mut g, "x/numbers", "y", [8, 8, 1], 1);
        change(&mut g);
        g.output("y");
        assert!(g.is_refused(), "it was taken");
    };
    let taken = |g: &mut Graph| g.ints("nothing", &[1]);
    let mut g = graph(&[1, 8, 5, 6]);
    conv(&mut g, "x/numbers", "y", [8, 8, 1], 1);
    taken(&mut g);
    g.output("y");
    assert!(!g.is_refused());
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(&move |g| g.set_floats("x/scale", |s| s[0] = scale));
        refused(&move |g| g.set_scales("y/weight", |s| s[2] = scale));
    }
    refused(&|g| g.set_scales("y/weight", |s| s.truncate(7)));
    // The second of a pair has another zero point.
    refused(&|g| {
        g.byte("other", 7);
        g.set_input("x/numbers", 2, "other");
    });
    // Somebody reads the bytes themselves.
    refused(&|g| g.node("Relu", &["x/bytes"], "z", &[]));
    // One constant stands for two.
    refused(&|g| g.dequantized_again("y/weight", 0.5));
}

/// Steps without elements, and windows upon nothing. What our own operators refuse goes to tract, which panics where a row is empty or there
/// is no pixel: that is left out.
#[test]
fn empty_values_are_no_panic() {
    let run = |op: &str, attributes: &[(&str, Attribute)], more: &[&str], axes: &[i64]| {
        for &axis in axes {
            let mut g = graph(&[1, 4, 3, 3]);
            g.slice("x/numbers", "none", axis, 1, 1);
            g.ints("pads", &[0, 1, 1, 1, 0, 0, 0, 2]);
            g.integers("w", &[4, 4, 1, 1], &weights(16, 2), &[0.1], 0);
            g.floats("gamma", &[3], &[1.0; 3]);
            g.integers("m", &[3, 3], &weights(9, 2), &[0.1], 1);
            let inputs: Vec<&str> = std::iter::once("none").chain(more.iter().copied()).collect();
            g.node(op, &inputs, "y", attributes);
            g.quantized("y", STEP, 100);
            g.output("y/numbers");
            g.may_run();
        }
    };
    run("Conv", &[("pads", Ints(vec![1; 4]))], &["w/numbers"], &[1, 2, 3]);
    run("GlobalAveragePool", &[], &[], &[1]);
    run("Pad", &[], &["pads"], &[1, 2, 3]);
    run("Relu", &[], &[], &[1, 2, 3]);
    run("Add", &[], &["none"], &[1, 2, 3]);
    run("LayerNormalization", &[("axis", Int(-1))], &["gamma", "gamma"], &[1, 2]);
    run("MatMul", &[], &["m/numbers"], &[1, 2]);
    run("MatMul", &[], &["none"], &[1, 2, 3]);
}

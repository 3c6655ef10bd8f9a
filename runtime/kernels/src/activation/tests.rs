use super::*;
use crate::testing::Values;

const ALL: [Activation; 5] =
    [Activation::None, Activation::Relu, Activation::Relu6, Activation::Gelu, Activation::Hardswish];

/// erf by its series, or one less its continued fraction where that converges.
fn erf(x: f64) -> f64 {
    if x.abs() > 3.0 {
        let fraction = (1..=120).rev().fold(x.abs(), |rest, i| x.abs() + f64::from(i) / 2.0 / rest);
        return x.signum() * (1.0 - (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt()));
    }
    let (mut term, mut sum) = (x, x);
    for i in 1..100 {
        term *= -x * x / f64::from(i);
        sum += term / f64::from(2 * i + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn gelu_is_the_exact_one() {
    assert!((erf(0.5) - 0.520_499_877_813_046_5).abs() < 1e-14 && (erf(3.5) - 0.999_999_256_901_627_7).abs() < 1e-14);
    for level in SimdLevel::available() {
        let inputs: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 * 1e-4).collect();
        let mut values = inputs.clone();
        apply(level, Activation::Gelu, &mut values);
        for (&x, &value) in inputs.iter().zip(&values) {
            let exact = f64::from(x) * (1.0 + erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2)) / 2.0;
            assert!((f64::from(value) - exact).abs() < 2e-6, "{level}: gelu({x}) = {value}, not {exact}");
        }
        let mut ends = [6.0, -6.0, 1e30, -1e30, 0.0];
        apply(level, Activation::Gelu, &mut ends);
        assert_eq!(ends, [6.0, 0.0, 1e30, 0.0, 0.0], "{level}");
    }
}

#[test]
fn levels_agree_with_scalar() {
    for level in SimdLevel::available() {
        for activation in ALL {
            for len in 0..70 {
                let inputs = Values::new(len as u64).vec(len, 8.0);
                let mut values = inputs.clone();
                apply(level, activation, &mut values);
                for (&x, &value) in inputs.iter().zip(&values) {
                    let expected = scalar::value(activation, x);
                    assert!(
                        (value - expected).abs() <= 5e-7 * x.abs().max(1.0),
                        "{level} {activation:?}({x}) = {value}"
                    );
                }
            }
        }
    }
}

#[test]
fn formulas_and_extremes() {
    for level in SimdLevel::available() {
        let of = |activation, x: f32| {
            let mut values = [x; 19];
            apply(level, activation, &mut values);
            assert!(values.iter().all(|value| value.to_bits() == values[0].to_bits()), "{level} {activation:?}");
            values[0]
        };
        for activation in ALL {
            assert!(of(activation, f32::NAN).is_nan(), "{level} {activation:?}");
        }
        for (activation, x, expected) in [
            (Activation::Relu, -2.0, 0.0),
            (Activation::Relu, 2.0, 2.0),
            (Activation::Relu, f32::INFINITY, f32::INFINITY),
            (Activation::Relu, f32::NEG_INFINITY, 0.0),
            (Activation::Relu6, -2.0, 0.0),
            (Activation::Relu6, 5.0, 5.0),
            (Activation::Relu6, f32::INFINITY, 6.0),
            (Activation::Hardswish, -3.0, 0.0),
            (Activation::Hardswish, 3.0, 3.0),
            (Activation::Hardswish, 0.0, 0.0),
            (Activation::Hardswish, f32::INFINITY, f32::INFINITY),
            (Activation::Gelu, f32::INFINITY, f32::INFINITY),
            (Activation::None, f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(of(activation, x), expected, "{level} {activation:?}({x})");
        }
        assert!(of(Activation::Gelu, f32::NEG_INFINITY).is_nan(), "{level}");
    }
}

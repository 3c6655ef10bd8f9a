//! The specification of [activation](super).

use super::{Activation, ERF, ERF_END, ERF_SCALE};

/// `activation` of `x`.
pub(crate) fn value(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => x,
        Activation::Relu => at_least(x, 0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => 0.5 * x * erf_of_normal(x) + 0.5 * x,
        Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0),
    }
}

/// As `f32::max`, but NaN stays NaN.
fn at_least(x: f32, low: f32) -> f32 {
    if x < low { low } else { x }
}

/// `erf(x / sqrt(2))`.
fn erf_of_normal(x: f32) -> f32 {
    let x = x.clamp(-ERF_END, ERF_END);
    let t = x * x * ERF_SCALE - 1.0;
    let ratio = ERF.iter().rev().fold(0.0, |sum, &coefficient| sum * t + coefficient);
    (x * ratio).clamp(-1.0, 1.0)
}

//! Activation functions, element by element; kernels with an epilogue apply them to registers before they store.
//!
//! Formulas, in f32:
//! - `Relu`: `max(x, 0)`; `Relu6`: `min(max(x, 0), 6)`;
//! - `Hardswish`: `x * min(max(x + 3, 0), 6) * (1 / 6)`;
//! - `Gelu`: `x / 2 * erf(x / sqrt(2)) + x / 2`, the exact one (not its tanh approximation). `erf(x / sqrt(2))` is an
//!   odd polynomial of degree 27 in `x` clamped to +-5.2, the result clamped to +-1: within 6e-7 of erf everywhere,
//!   exactly +-1 beyond 5.2. So GELU is within 2e-6 of its definition, exactly `x` above 5.2 and exactly zero below
//!   -5.2. (Coefficients: a least-squares fit reweighted towards equal errors, made for this file.)
//!
//! NaN stays NaN. Where a formula multiplies infinity by zero (`Gelu` and `Hardswish` of minus infinity), so does
//! every level: NaN.
//!
//! Tolerance: levels differ by the rounding of fused multiply-adds only, in `Gelu`: 5e-7 times the larger of 1 and
//! `|x|`.

pub(crate) mod scalar;
pub(crate) mod vector;

use crate::SimdLevel;
use crate::lanes::Lanes;

/// What is applied to each number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// Zero where negative.
    Relu,
    /// Clamped to 0..=6.
    Relu6,
    /// `x` times the normal distribution's integral up to `x`.
    Gelu,
    /// A piecewise parabola in the shape of `x * sigmoid(x)`.
    Hardswish,
}

/// Applies `activation` to every number of `values`, in place.
pub fn apply(level: SimdLevel, activation: Activation, values: &mut [f32]) {
    match level {
        SimdLevel::Scalar => values.iter_mut().for_each(|x| *x = scalar::value(activation, *x)),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => token.run(vector::Apply { activation, values }),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => token.run(vector::Apply { activation, values }),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => token.run(vector::Apply { activation, values }),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => token.neon().run(vector::Apply { activation, values }),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => token.neon().run(vector::Apply { activation, values }),
    }
}

/// Beyond this, `erf(x / sqrt(2))` is +-1.
const ERF_END: f32 = 5.2;

/// `erf(x / sqrt(2)) / x` is this polynomial, lowest power first, in `x * x * ERF_SCALE - 1`.
const ERF: [f32; 14] = [
    0.271_9,
    -0.135_487_32,
    0.100_049_07,
    -0.079_859_61,
    0.063_979_94,
    -0.049_447_253,
    0.035_909_574,
    -0.025_010_241,
    0.017_119_939,
    -0.009_578_078,
    0.003_600_242_3,
    -0.002_442_987,
    0.002_537_023_3,
    -0.000_962_554_4,
];

/// `2 / ERF_END^2`: takes the squares of 0..=`ERF_END` to 0..=2.
const ERF_SCALE: f32 = 0.073_964_5;

#[cfg(test)]
mod tests;

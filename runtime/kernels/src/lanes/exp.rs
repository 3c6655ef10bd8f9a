//! The exponential function of registers.

use super::Lanes;

/// Below this, the exponential of a number is given as zero (it is less than 2^-125).
pub(crate) const LOWEST: f32 = -87.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The natural logarithm of two in two parts: the first has so few bits that its products with whole numbers are exact.
const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Adding this to a number of less than 2^22 rounds it to a whole one.
const ROUND: f32 = 12_582_912.0;
/// `(exp(r) - 1 - r) / r^2`, lowest power first, for |r| <= ln(2) / 2: its Taylor series, the last terms of which make up for the rest.
const SERIES: [f32; 6] = [0.5, 0.166_666_67, 0.041_666_6, 0.008_333_2, 0.001_393_4, 0.000_198_5];

/// `exp(x)` of numbers up to 88, within 3e-7 of itself; zero below -87.
#[inline(always)]
pub(crate) fn exp<S: Lanes>(s: S, x: S::Vector) -> S::Vector {
    let x = s.at_least(x, LOWEST);
    let n = s.add(s.mul_add(x, s.splat(LOG2_E), s.splat(ROUND)), s.splat(-ROUND));
    let r = s.mul_add(n, s.splat(-LN2[0]), x);
    let r = s.mul_add(n, s.splat(-LN2[1]), r);
    let [lower @ .., highest] = SERIES;
    let mut sum = s.splat(highest);
    for coefficient in lower.into_iter().rev() {
        sum = s.mul_add(sum, r, s.splat(coefficient));
    }
    let sum = s.mul_add(s.mul(r, r), sum, s.add(r, s.splat(1.0)));
    s.mul(sum, s.exp2_whole(n))
}

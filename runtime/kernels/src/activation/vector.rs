//! [Activation](super) of registers, the same text for every instruction set.

use super::{Activation, ERF, ERF_END, ERF_SCALE};
use crate::lanes::{Lanes, Work};

/// `activation` of each lane.
#[inline(always)]
pub(crate) fn value<S: Lanes>(s: S, activation: Activation, x: S::Vector) -> S::Vector {
    match activation {
        Activation::None => x,
        Activation::Relu => s.at_least(x, 0.0),
        Activation::Relu6 => s.clamp(x, 0.0, 6.0),
        Activation::Gelu => gelu(s, x),
        Activation::Hardswish => hardswish(s, x),
    }
}

#[inline(always)]
fn hardswish<S: Lanes>(s: S, x: S::Vector) -> S::Vector {
    let gate = s.clamp(s.add(x, s.splat(3.0)), 0.0, 6.0);
    s.mul(s.mul(x, gate), s.splat(1.0 / 6.0))
}

#[inline(always)]
fn gelu<S: Lanes>(s: S, x: S::Vector) -> S::Vector {
    let clamped = s.clamp(x, -ERF_END, ERF_END);
    let t = s.mul_add(s.mul(clamped, clamped), s.splat(ERF_SCALE), s.splat(-1.0));
    let [lower @ .., highest] = ERF;
    let mut ratio = s.splat(highest);
    for coefficient in lower.into_iter().rev() {
        ratio = s.mul_add(ratio, t, s.splat(coefficient));
    }
    let erf = s.clamp(s.mul(clamped, ratio), -1.0, 1.0);
    let half = s.mul(x, s.splat(0.5));
    s.mul_add(half, erf, half)
}

/// [`apply`](super::apply), for kernels that know their level.
pub(crate) struct Apply<'a> {
    pub(crate) activation: Activation,
    pub(crate) values: &'a mut [f32],
}

impl Work for Apply<'_> {
    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let Apply { activation, values } = self;
        // Each call is inlined with its one activation, so that no loop chooses. (Not by closures: they do not take on the instructions
        // of the function that they are inlined into.)
        match activation {
            Activation::None => {}
            Activation::Relu => each(s, Activation::Relu, values),
            Activation::Relu6 => each(s, Activation::Relu6, values),
            Activation::Gelu => each(s, Activation::Gelu, values),
            Activation::Hardswish => each(s, Activation::Hardswish, values),
        }
    }
}

#[inline(always)]
fn each<S: Lanes>(s: S, activation: Activation, values: &mut [f32]) {
    for chunk in values.chunks_mut(S::LANES) {
        // SAFETY: a chunk has the numbers that its length says.
        unsafe {
            let x = s.load_up_to(chunk.as_ptr(), chunk.len());
            s.store_up_to(value(s, activation, x), chunk.as_mut_ptr(), chunk.len());
        }
    }
}

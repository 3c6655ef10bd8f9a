//! What this machine's products of bytes can reach at most.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::scalar;
use super::tile::Kernel;
use crate::SimdLevel;

/// Multiply-accumulates per second of the level's instructions on registers, without any memory, on all threads of the current rayon pool
/// at once: the best of several short measurements. (In scalar, of the specification.)
pub fn peak_macs_per_second(level: SimdLevel) -> f64 {
    const STEPS: usize = 256;
    const TIME: Duration = Duration::from_millis(2);
    let rate = |_| {
        let mut best: f64 = 0.0;
        for _ in 0..12 {
            let (start, mut macs) = (Instant::now(), 0);
            while start.elapsed() < TIME {
                macs += (0..16).map(|_| multiply(level, STEPS)).sum::<usize>();
            }
            best = best.max(macs as f64 / start.elapsed().as_secs_f64());
        }
        best
    };
    (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).map(rate).sum()
}

/// Multiplies, and says how often.
fn multiply(level: SimdLevel, steps: usize) -> usize {
    match level {
        SimdLevel::Scalar => {
            let (a, weights) = (black_box([1; 256]), black_box([1; 256]));
            (0..steps).for_each(|i| _ = black_box(scalar::sum(&a, &weights, i as i32)));
            256 * steps
        }
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(token) => token.multiply(steps),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(token) => token.multiply(steps),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(token) => token.multiply(steps),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(token) => token.multiply(steps),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonI8mm(token) => token.multiply(steps),
    }
}

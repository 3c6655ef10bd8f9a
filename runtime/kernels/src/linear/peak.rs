//! What this machine's products can reach at most.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::{Epilogue, Storage, Weights, linear};
use crate::SimdLevel;

/// Multiply-accumulates per second of products that stay in the first-level cache, on all threads of the current rayon pool at once:
/// the best of several short measurements.
pub fn peak_macs_per_second(level: SimdLevel) -> f64 {
    const ROWS: usize = 28;
    const INPUTS: usize = 128;
    const OUTPUTS: usize = 32;
    const TIME: Duration = Duration::from_millis(2);
    let rate = |_| {
        let weights = Weights::pack(level, &vec![0.5; INPUTS * OUTPUTS], OUTPUTS, INPUTS, Storage::F32);
        let (a, mut out) = (vec![0.25; ROWS * INPUTS], vec![0.0; ROWS * OUTPUTS]);
        let mut best = f64::INFINITY;
        for _ in 0..12 {
            let (start, mut runs) = (Instant::now(), 0);
            while start.elapsed() < TIME {
                for _ in 0..64 {
                    linear(&a, INPUTS, ROWS, &weights, &Epilogue::default(), &mut out, OUTPUTS);
                }
                runs += 64;
            }
            best = best.min(start.elapsed().as_secs_f64() / f64::from(runs));
        }
        (ROWS * INPUTS * OUTPUTS) as f64 / best
    };
    (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).map(rate).sum()
}

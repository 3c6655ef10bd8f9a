//! [Depthwise](super) on registers of channels.

use super::{Shape, Weights};
use crate::Activation;
use crate::activation::vector::Apply;
use crate::lanes::{Lanes, Work};

/// Outputs side by side whose windows overlap: they share what they read.
const TOGETHER: usize = 4;
/// Channels that pass from the left end of a row to its right before the next ones do; a multiple of every register.
const BLOCK: usize = 192;

/// Computes an output row from the input rows that its windows see.
#[inline(always)]
pub(super) fn row<S: Lanes>(
    s: S,
    rows: &[Option<&[f32]>],
    shape: &Shape,
    weights: &Weights,
    activation: Activation,
    out: &mut [f32],
) {
    // A clamp is part of the loop; what is longer passes over the row, which is in the cache, when it is done.
    let (low, high) = match activation {
        Activation::None | Activation::Gelu | Activation::Hardswish => (f32::NEG_INFINITY, f32::INFINITY),
        Activation::Relu => (0.0, f32::INFINITY),
        Activation::Relu6 => (0.0, 6.0),
    };
    let job = Job { rows, shape, weights, low, high };
    match (weights.kernel, shape.stride, shape.dilation) {
        (3, 1, 1) => by_rows::<S, 3, 1, 1>(s, &job, out),
        (3, 2, 1) => by_rows::<S, 3, 2, 1>(s, &job, out),
        (3, 1, 2) => by_rows::<S, 3, 1, 2>(s, &job, out),
        (5, 1, 1) => by_rows::<S, 5, 1, 1>(s, &job, out),
        _ => any(s, &job, out),
    }
    match activation {
        Activation::None | Activation::Relu | Activation::Relu6 => {}
        Activation::Gelu | Activation::Hardswish => Apply { activation, values: out }.run(s),
    }
}

/// One output row, clamped.
struct Job<'a> {
    rows: &'a [Option<&'a [f32]>],
    shape: &'a Shape,
    weights: &'a Weights,
    low: f32,
    high: f32,
}

/// A row of the window inside the map, and its taps `(kernel, channels)`.
type Seen<'a> = (&'a [f32], &'a [f32]);

/// By the number of the window's rows that lie inside the map, so that all taps of a register of channels stay in registers.
#[inline(always)]
fn by_rows<S: Lanes, const KERNEL: usize, const STRIDE: usize, const DILATION: usize>(
    s: S,
    job: &Job<'_>,
    out: &mut [f32],
) {
    let channels = job.weights.channels;
    let mut seen: [Seen<'_>; KERNEL] = [(&[], &[]); KERNEL];
    let mut count = 0;
    for (i, row) in job.rows.iter().enumerate() {
        if let Some(row) = row {
            seen[count] = (row, &job.weights.taps[i * KERNEL * channels..][..KERNEL * channels]);
            count += 1;
        }
    }
    match seen[..count] {
        [a] => inner::<S, 1, KERNEL, STRIDE, DILATION>(s, job, [a], out),
        [a, b] => inner::<S, 2, KERNEL, STRIDE, DILATION>(s, job, [a, b], out),
        [a, b, c] => inner::<S, 3, KERNEL, STRIDE, DILATION>(s, job, [a, b, c], out),
        [a, b, c, d] => inner::<S, 4, KERNEL, STRIDE, DILATION>(s, job, [a, b, c, d], out),
        [a, b, c, d, e] => inner::<S, 5, KERNEL, STRIDE, DILATION>(s, job, [a, b, c, d, e], out),
        _ => any(s, job, out),
    }
}

/// The row, a block of channels at a time from its left end to its right: what neighbouring windows share is still in the first-level
/// cache.
#[inline(always)]
fn inner<S: Lanes, const ROWS: usize, const KERNEL: usize, const STRIDE: usize, const DILATION: usize>(
    s: S,
    job: &Job<'_>,
    seen: [Seen<'_>; ROWS],
    out: &mut [f32],
) {
    let &Job { shape, weights, .. } = job;
    let channels = weights.channels;
    let width = out.len() / channels;
    for (row, taps) in seen {
        assert!(row.len() == shape.width * channels && taps.len() == KERNEL * channels, "rows and taps");
    }
    let reach = (KERNEL - 1) * DILATION + 1;
    // Outputs `first..end` read nothing beyond the left and right edges.
    let first = shape.padding.div_ceil(STRIDE).min(width);
    let beyond = (shape.width + shape.padding).checked_sub(reach).map_or(0, |last| last / STRIDE + 1);
    let end = beyond.min(width).max(first);
    for from in (0..channels).step_by(BLOCK) {
        let to = channels.min(from + BLOCK);
        let whole = from + (to - from) / S::LANES * S::LANES;
        let mut x = 0;
        while x < width {
            let alone = x < first || x >= end || end - first < TOGETHER;
            if !alone {
                // The last group begins earlier and computes a few outputs again.
                x = x.min(end - TOGETHER);
            }
            // SAFETY: channels `from..to` are in every tap and pixel; outputs `first..end` read whole windows inside the rows.
            unsafe {
                for c in (from..whole).step_by(S::LANES) {
                    if alone {
                        one::<S, ROWS, KERNEL>(s, job, &seen, x, c, S::LANES, out);
                    } else {
                        group::<S, ROWS, KERNEL, STRIDE, DILATION>(s, job, &seen, x, c, S::LANES, out);
                    }
                }
                if whole < to {
                    if alone {
                        one::<S, ROWS, KERNEL>(s, job, &seen, x, whole, to - whole, out);
                    } else {
                        group::<S, ROWS, KERNEL, STRIDE, DILATION>(s, job, &seen, x, whole, to - whole, out);
                    }
                }
            }
            x += if alone { 1 } else { TOGETHER };
        }
    }
}

/// Output `x`, of the `len` channels from `c` on, at most a register, each tap checked.
///
/// # Safety
/// Each pixel and tap has these channels; the rows have the pixels of `job.shape`, the taps those of the kernel.
#[inline(always)]
unsafe fn one<S: Lanes, const ROWS: usize, const KERNEL: usize>(
    s: S,
    job: &Job<'_>,
    seen: &[Seen<'_>; ROWS],
    x: usize,
    c: usize,
    len: usize,
    out: &mut [f32],
) {
    let channels = job.weights.channels;
    // SAFETY: as the caller promises.
    unsafe {
        let mut sum = s.load_up_to(job.weights.bias.as_ptr().add(c), len);
        for j in 0..KERNEL {
            let Some(column) = job.shape.tap(x, j, job.shape.width) else { continue };
            for (row, taps) in seen {
                let value = s.load_up_to(row.as_ptr().add(column * channels + c), len);
                sum = s.mul_add(value, s.load_up_to(taps.as_ptr().add(j * channels + c), len), sum);
            }
        }
        s.store_up_to(s.clamp(sum, job.low, job.high), out.as_mut_ptr().add(x * channels + c), len);
    }
}

/// The `TOGETHER` outputs from `x` on, of the `len` channels from `c` on, at most a register.
///
/// # Safety
/// As [`one`], and all windows are inside the rows.
#[inline(always)]
unsafe fn group<S: Lanes, const ROWS: usize, const KERNEL: usize, const STRIDE: usize, const DILATION: usize>(
    s: S,
    job: &Job<'_>,
    seen: &[Seen<'_>; ROWS],
    x: usize,
    c: usize,
    len: usize,
    out: &mut [f32],
) {
    let channels = job.weights.channels;
    let reach = (KERNEL - 1) * DILATION + 1;
    // SAFETY: as the caller promises.
    unsafe {
        let mut sums = [s.load_up_to(job.weights.bias.as_ptr().add(c), len); TOGETHER];
        let start = (x * STRIDE - job.shape.padding) * channels + c;
        let mut taps = [[sums[0]; KERNEL]; ROWS];
        for (taps, (_, source)) in taps.iter_mut().zip(seen) {
            for (j, tap) in taps.iter_mut().enumerate() {
                *tap = s.load_up_to(source.as_ptr().add(j * channels + c), len);
            }
        }
        for column in 0..(TOGETHER - 1) * STRIDE + reach {
            for ((row, _), taps) in seen.iter().zip(&taps) {
                let value = s.load_up_to(row.as_ptr().add(start + column * channels), len);
                for (j, &tap) in taps.iter().enumerate() {
                    // Where the tap of this column is a window's, and not between two.
                    let from = column.wrapping_sub(j * DILATION);
                    if from.is_multiple_of(STRIDE) && from / STRIDE < TOGETHER {
                        sums[from / STRIDE] = s.mul_add(value, tap, sums[from / STRIDE]);
                    }
                }
            }
        }
        for (o, sum) in sums.into_iter().enumerate() {
            s.store_up_to(s.clamp(sum, job.low, job.high), out.as_mut_ptr().add((x + o) * channels + c), len);
        }
    }
}

/// Any kernel, stride and dilation, each tap checked.
#[inline(always)]
fn any<S: Lanes>(s: S, job: &Job<'_>, out: &mut [f32]) {
    let &Job { rows, shape, weights, low, high } = job;
    let (channels, kernel) = (weights.channels, weights.kernel);
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        for c in (0..channels).step_by(S::LANES) {
            let len = channels - c;
            // SAFETY: channel `c` has `len` channels from it on, in the bias, in every tap, in the output, and in pixels of the map.
            unsafe {
                let mut sum = s.load_up_to(weights.bias.as_ptr().add(c), len);
                for j in 0..kernel {
                    for (i, row) in rows.iter().enumerate() {
                        let Some((row, column)) = row.zip(shape.tap(x, j, shape.width)) else { continue };
                        let source = row.as_ptr().add(column * channels + c);
                        let tap = weights.taps.as_ptr().add((i * kernel + j) * channels + c);
                        sum = s.mul_add(s.load_up_to(source, len), s.load_up_to(tap, len), sum);
                    }
                }
                s.store_up_to(s.clamp(sum, low, high), out.as_mut_ptr().add(c), len);
            }
        }
    }
}

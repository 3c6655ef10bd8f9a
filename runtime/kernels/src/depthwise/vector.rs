//! [Depthwise](super) on registers of channels.

use super::{Shape, Weights};
use crate::Activation;
use crate::activation::vector::value;
use crate::lanes::Lanes;

/// Outputs side by side whose windows overlap: they share what they read.
const TOGETHER: usize = 4;
/// Kernels with a path of their own have at most this many rows.
const ROWS: usize = 5;

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
    // Each call is inlined with its one activation, so that no inner loop chooses.
    let job = |activation| Job { rows, shape, weights, activation };
    match activation {
        Activation::None => by_kernel(s, &job(Activation::None), out),
        Activation::Relu => by_kernel(s, &job(Activation::Relu), out),
        Activation::Relu6 => by_kernel(s, &job(Activation::Relu6), out),
        Activation::Gelu => by_kernel(s, &job(Activation::Gelu), out),
        Activation::Hardswish => by_kernel(s, &job(Activation::Hardswish), out),
    }
}

#[inline(always)]
fn by_kernel<S: Lanes>(s: S, job: &Job<'_>, out: &mut [f32]) {
    match (job.weights.kernel, job.shape.stride, job.shape.dilation) {
        (3, 1, 1) => inner::<S, 3, 1, 1>(s, job, out),
        (3, 2, 1) => inner::<S, 3, 2, 1>(s, job, out),
        (3, 1, 2) => inner::<S, 3, 1, 2>(s, job, out),
        (5, 1, 1) => inner::<S, 5, 1, 1>(s, job, out),
        _ => edge(s, job, 0, out),
    }
}

/// One output row.
struct Job<'a> {
    rows: &'a [Option<&'a [f32]>],
    shape: &'a Shape,
    weights: &'a Weights,
    activation: Activation,
}

/// The row, by groups of outputs whose windows lie inside it, and its edges one by one.
#[inline(always)]
fn inner<S: Lanes, const KERNEL: usize, const STRIDE: usize, const DILATION: usize>(
    s: S,
    job: &Job<'_>,
    out: &mut [f32],
) {
    let &Job { rows, shape, weights, activation } = job;
    let channels = weights.channels;
    let width = out.len() / channels;
    let reach = (KERNEL - 1) * DILATION + 1;
    // Outputs `first..end` read nothing beyond the left and right edges.
    let first = shape.padding.div_ceil(STRIDE).min(width);
    let end = if shape.width + shape.padding >= reach {
        ((shape.width + shape.padding - reach) / STRIDE + 1).min(width)
    } else {
        0
    };
    let groups = end.saturating_sub(first) / TOGETHER;
    let middle = first + groups * TOGETHER;
    let (left, rest) = out.split_at_mut(first * channels);
    let (inside, right) = rest.split_at_mut((middle - first) * channels);
    edge(s, job, 0, left);

    // The rows of the window that lie inside the map, and their taps.
    let mut seen: [(&[f32], &[f32]); ROWS] = [(&[], &[]); ROWS];
    let mut count = 0;
    for (i, row) in rows.iter().enumerate() {
        if let Some(row) = row {
            seen[count] = (row, &weights.taps[i * KERNEL * channels..][..KERNEL * channels]);
            count += 1;
        }
    }
    for (group, out) in inside.chunks_exact_mut(TOGETHER * channels).enumerate() {
        let start = ((first + group * TOGETHER) * STRIDE - shape.padding) * channels;
        for c in (0..channels).step_by(S::LANES) {
            let len = channels - c;
            // SAFETY: channel `c` has `len` channels from it on, in the bias, in every tap, in the `TOGETHER` outputs, and in the
            // pixels of each row from `start` to the reach of the last output, which `end` keeps inside the row.
            unsafe {
                let mut sums = [s.load_up_to(weights.bias.as_ptr().add(c), len); TOGETHER];
                for (source, taps) in &seen[..count] {
                    let mut tap = [sums[0]; KERNEL];
                    for (j, tap) in tap.iter_mut().enumerate() {
                        *tap = s.load_up_to(taps.as_ptr().add(j * channels + c), len);
                    }
                    for column in 0..(TOGETHER - 1) * STRIDE + reach {
                        let value = s.load_up_to(source.as_ptr().add(start + column * channels + c), len);
                        for (o, sum) in sums.iter_mut().enumerate() {
                            for (j, &tap) in tap.iter().enumerate() {
                                if o * STRIDE + j * DILATION == column {
                                    *sum = s.mul_add(value, tap, *sum);
                                }
                            }
                        }
                    }
                }
                for (o, sum) in sums.into_iter().enumerate() {
                    s.store_up_to(value(s, activation, sum), out.as_mut_ptr().add(o * channels + c), len);
                }
            }
        }
    }
    edge(s, job, middle, right);
}

/// Outputs from `first` on, each tap checked.
#[inline(always)]
fn edge<S: Lanes>(s: S, job: &Job<'_>, first: usize, out: &mut [f32]) {
    let &Job { rows, shape, weights, activation } = job;
    let (channels, kernel) = (weights.channels, weights.kernel);
    for (x, out) in (first..).zip(out.chunks_exact_mut(channels)) {
        for c in (0..channels).step_by(S::LANES) {
            let len = channels - c;
            // SAFETY: channel `c` has `len` channels from it on, in the bias, in every tap, in the output, and in pixels of the map.
            unsafe {
                let mut sum = s.load_up_to(weights.bias.as_ptr().add(c), len);
                for (i, row) in rows.iter().enumerate() {
                    for j in 0..kernel {
                        let Some((row, column)) = row.zip(shape.tap(x, j, shape.width)) else { continue };
                        let source = row.as_ptr().add(column * channels + c);
                        let tap = weights.taps.as_ptr().add((i * kernel + j) * channels + c);
                        sum = s.mul_add(s.load_up_to(source, len), s.load_up_to(tap, len), sum);
                    }
                }
                s.store_up_to(value(s, activation, sum), out.as_mut_ptr().add(c), len);
            }
        }
    }
}

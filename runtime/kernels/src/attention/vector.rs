//! [Attention](super) on registers: of keys for the scores, of the width for the result.

use std::ops::Range;

use super::{Job, Operand, QUERIES, Rows, Shape};
use crate::lanes::{LOWEST, Lanes, exp};
use crate::softmax::exponentials;

/// Queries side by side: they share what they read of keys and values.
pub(super) const TOGETHER: usize = 6;

/// What is known of a query after some of its keys.
#[derive(Clone, Copy)]
struct Running {
    largest: f32,
    total: f32,
}

/// Answers the queries from `job.first` on that `out` has rows for.
#[inline(always)]
pub(super) fn block<S: Lanes>(s: S, job: &Job<'_>, q: Operand<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
    let &Shape { heads, keys, value_width, .. } = job.shape;
    let row = heads * value_width;
    let (count, block) = (out.len() / row, job.block().min(keys));
    scores.resize(TOGETHER * block.next_multiple_of(S::LANES), 0.0);
    for head in 0..heads {
        let mut running = [Running { largest: f32::NEG_INFINITY, total: 0.0 }; QUERIES];
        for first in (0..keys).step_by(block) {
            let mut at = 0;
            while at < count {
                let part = Part {
                    job,
                    head,
                    keys: first..keys.min(first + block),
                    first: job.first + at,
                    queries: Rows {
                        data: &q.rows(job.batch, head).data[(job.first + at) * q.row_stride..],
                        stride: q.row_stride,
                    },
                };
                let (running, out) = (&mut running[at..], &mut out[at * row + head * value_width..]);
                at += match count - at {
                    n if n >= TOGETHER => part.run::<S, TOGETHER>(s, scores, running, out),
                    n if n >= 4 => part.run::<S, 4>(s, scores, running, out),
                    n if n >= 2 => part.run::<S, 2>(s, scores, running, out),
                    _ => part.run::<S, 1>(s, scores, running, out),
                };
            }
        }
    }
}

/// Some queries of one head, and some keys.
struct Part<'a> {
    job: &'a Job<'a>,
    head: usize,
    keys: Range<usize>,
    first: usize,
    queries: Rows<'a>,
}

impl Part<'_> {
    /// Lets `N` queries attend to the keys, and gives `N`.
    #[inline(always)]
    fn run<S: Lanes, const N: usize>(
        self,
        s: S,
        scores: &mut [f32],
        running: &mut [Running],
        out: &mut [f32],
    ) -> usize {
        let Part { job, head, keys, first, queries } = self;
        let &Shape { heads, width, value_width, .. } = job.shape;
        let (count, row) = (keys.len(), heads * value_width);
        let stride = count.next_multiple_of(S::LANES);
        let turned = &job.prepared.keys[head * width * job.padded..][..width * job.padded];
        let last = queries.row(N - 1, width);
        assert!(last.len() == width && keys.start + stride <= job.padded && scores.len() >= N * stride);
        let left = Left { from: queries.data.as_ptr(), row: queries.stride, step: 1 };
        let mut at = 0;
        while at < stride {
            // SAFETY: the last of the rows has been read above; each of the `width` rows of `turned` has `stride` numbers from the
            // first key on, and so have the `N` rows of scores.
            at += unsafe {
                let right = (turned.as_ptr().add(keys.start + at), job.padded);
                let to = scores.as_mut_ptr().add(at);
                match (stride - at) / S::LANES {
                    n if n >= 4 && S::REGISTERS >= 32 => products::<S, N, 4>(s, left, right, width, to, stride),
                    n if n >= 2 => products::<S, N, 2>(s, left, right, width, to, stride),
                    _ => products::<S, N, 1>(s, left, right, width, to, stride),
                }
            };
        }
        let (mut old, mut new) = ([0.0; N], [1.0; N]);
        for n in 0..N {
            let scores = &mut scores[n * stride..][..count];
            job.add_bias(head, first + n, keys.start, scores);
            let Running { largest, total } = running[n];
            let (higher, sum) = exponentials(s, scores, largest);
            old[n] = if keys.start == 0 { 0.0 } else { (largest - higher).max(LOWEST).exp() };
            running[n] = Running { largest: higher, total: total * old[n] + sum };
            if keys.end == job.shape.keys {
                new[n] = 1.0 / running[n].total;
                old[n] *= new[n];
            }
        }
        let values = &job.prepared.values[(head * job.shape.keys + keys.start) * job.padded_values..];
        assert!(values.len() >= count * job.padded_values && out.len() >= (N - 1) * row + value_width);
        let left = Left { from: scores.as_ptr(), row: stride, step: 1 };
        let mut at = 0;
        while at < value_width {
            // SAFETY: scores has `count` numbers in each of `N` rows; each row of values is padded to whole registers.
            let right = (unsafe { values.as_ptr().add(at) }, job.padded_values);
            let mix = Mix { out: &mut out[at..], row, len: value_width - at, first: keys.start == 0, old, new };
            // SAFETY: as above.
            at += unsafe {
                match (value_width - at).div_ceil(S::LANES) {
                    n if n >= 4 && S::REGISTERS >= 32 => mix.run::<S, 4>(s, left, right, count),
                    n if n >= 2 => mix.run::<S, 2>(s, left, right, count),
                    _ => mix.run::<S, 1>(s, left, right, count),
                }
            };
        }
        N
    }
}

/// A matrix on the left of a product: where it is, from row to row, and from summand to summand.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) from: *const f32,
    pub(super) row: usize,
    pub(super) step: usize,
}

/// `N` rows of a product, `V` registers of each; rows of the right matrix are `right.1` apart.
///
/// # Safety
/// The left matrix has `N` rows of `depth` numbers, the right one `depth` rows of `V` registers, the last of which has `last` numbers.
#[inline(always)]
pub(super) unsafe fn tile<S: Lanes, const N: usize, const V: usize>(
    s: S,
    left: Left,
    right: (*const f32, usize),
    depth: usize,
    last: usize,
) -> [[S::Vector; V]; N] {
    let mut sums = [[s.splat(0.0); V]; N];
    let whole = last >= S::LANES;
    for p in 0..depth {
        let mut from = [s.splat(0.0); V];
        for (v, from) in from.iter_mut().enumerate() {
            // SAFETY: as the caller promises.
            *from = unsafe {
                let at = right.0.add(p * right.1 + v * S::LANES);
                if v + 1 < V || whole { s.load(at) } else { s.load_part(at, last) }
            };
        }
        for (n, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as the caller promises.
            let value = s.splat(unsafe { *left.from.add(n * left.row + p * left.step) });
            for (sum, &from) in sums.iter_mut().zip(&from) {
                *sum = s.mul_add(value, from, *sum);
            }
        }
    }
    sums
}

/// Writes a tile of whole registers, and gives how many numbers of a row that are.
///
/// # Safety
/// As [`tile`], and `to` is valid for writes of the tile's rows, `stride` apart.
#[inline(always)]
unsafe fn products<S: Lanes, const N: usize, const V: usize>(
    s: S,
    left: Left,
    right: (*const f32, usize),
    depth: usize,
    to: *mut f32,
    stride: usize,
) -> usize {
    // SAFETY: as the caller promises.
    unsafe {
        let sums = tile::<S, N, V>(s, left, right, depth, S::LANES);
        for (n, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                s.store(sum, to.add(n * stride + v * S::LANES));
            }
        }
    }
    V * S::LANES
}

/// A part of the results of `N` queries.
struct Mix<'a, const N: usize> {
    out: &'a mut [f32],
    row: usize,
    /// Numbers of a row that are left.
    len: usize,
    first: bool,
    /// What the sums so far, and those of these keys, are multiplied with.
    old: [f32; N],
    new: [f32; N],
}

impl<const N: usize> Mix<'_, N> {
    /// Adds products to the results, and gives how many numbers of a row that are.
    ///
    /// # Safety
    /// As [`tile`] with whole registers.
    #[inline(always)]
    unsafe fn run<S: Lanes, const V: usize>(self, s: S, left: Left, right: (*const f32, usize), depth: usize) -> usize {
        let Mix { out, row, len, first, old, new } = self;
        // SAFETY: as the caller promises.
        let sums = unsafe { tile::<S, N, V>(s, left, right, depth, S::LANES) };
        for (n, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let len = len - v * S::LANES;
                let out = &mut out[n * row + v * S::LANES..][..len.min(S::LANES)];
                let mut sum = s.mul(sum, s.splat(new[n]));
                // SAFETY: the slice has as many numbers as are read and stored.
                unsafe {
                    if !first {
                        sum = s.mul_add(s.load_up_to(out.as_ptr(), len), s.splat(old[n]), sum);
                    }
                    s.store_up_to(sum, out.as_mut_ptr(), len);
                }
            }
        }
        (V * S::LANES).min(len)
    }
}

/// [`part`](super::scalar::part) with registers of queries, then of the width.
#[inline(always)]
pub(super) fn part<S: Lanes>(
    s: S,
    scores: &mut [f32],
    padded: usize,
    values: Rows<'_>,
    value_width: usize,
    out: &mut [f32],
) {
    let (keys, row) = (scores.len() / padded, 2 + value_width);
    let queries = out.len() / row;
    assert!(
        queries <= padded && padded.is_multiple_of(S::LANES) && values.row(keys - 1, value_width).len() == value_width
    );
    for query in (0..queries).step_by(S::LANES) {
        // SAFETY: each of the rows of scores is padded to whole registers. (What is behind the queries does not matter.)
        let (largest, sum) = unsafe {
            let at = scores.as_mut_ptr().add(query);
            let mut largest = s.load(at);
            for key in 1..keys {
                largest = s.max(largest, s.load(at.add(key * padded)));
            }
            let (minus, mut sum) = (s.mul(largest, s.splat(-1.0)), s.splat(0.0));
            for key in 0..keys {
                let at = at.add(key * padded);
                let value = exp(s, s.add(s.load(at), minus));
                sum = s.add(sum, value);
                s.store(value, at);
            }
            (s.to_array(largest), s.to_array(sum))
        };
        for (i, out) in out.chunks_exact_mut(row).skip(query).take(S::LANES).enumerate() {
            (out[0], out[1]) = (largest[i], sum[i]);
        }
    }
    let mut query = 0;
    while query < queries {
        let sums =
            Sums { left: Left { from: scores[query..].as_ptr(), row: 1, step: padded }, keys, values, value_width };
        let out = &mut out[query * row..];
        // SAFETY: the scores have a number for each of these queries in each of their rows.
        query += unsafe {
            match queries - query {
                n if n >= TOGETHER => sums.run::<S, TOGETHER>(s, out),
                n if n >= 4 => sums.run::<S, 4>(s, out),
                n if n >= 2 => sums.run::<S, 2>(s, out),
                _ => sums.run::<S, 1>(s, out),
            }
        };
    }
}

/// The values of some keys, to be summed for some queries.
struct Sums<'a> {
    left: Left,
    keys: usize,
    values: Rows<'a>,
    value_width: usize,
}

impl Sums<'_> {
    /// Writes the sums of `N` queries behind the first two numbers of their rows, and gives `N`.
    ///
    /// # Safety
    /// `left` has `N` rows of `keys` numbers; the values have as many rows of `value_width`.
    #[inline(always)]
    unsafe fn run<S: Lanes, const N: usize>(&self, s: S, out: &mut [f32]) -> usize {
        let mut at = 0;
        while at < self.value_width {
            // SAFETY: as the caller promises; no register begins behind the width.
            at += unsafe {
                match (self.value_width - at) / S::LANES {
                    n if n >= 4 && S::REGISTERS >= 32 => self.columns::<S, N, 4>(s, at, out),
                    n if n >= 2 => self.columns::<S, N, 2>(s, at, out),
                    _ => self.columns::<S, N, 1>(s, at, out),
                }
            };
        }
        N
    }

    /// # Safety
    /// As [`run`](Self::run), and all of the `V` registers from `at` on begin within the width.
    #[inline(always)]
    unsafe fn columns<S: Lanes, const N: usize, const V: usize>(&self, s: S, at: usize, out: &mut [f32]) -> usize {
        let len = self.value_width - at;
        // SAFETY: as the caller promises.
        let sums = unsafe {
            let right = (self.values.data.as_ptr().add(at), self.values.stride);
            tile::<S, N, V>(s, self.left, right, self.keys, len - (V - 1) * S::LANES)
        };
        for (n, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let len = len - v * S::LANES;
                let out = &mut out[n * (2 + self.value_width) + 2 + at + v * S::LANES..][..len.min(S::LANES)];
                // SAFETY: the slice has as many numbers as are stored.
                unsafe { s.store_up_to(sum, out.as_mut_ptr(), len) };
            }
        }
        (V * S::LANES).min(len)
    }
}

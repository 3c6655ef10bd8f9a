//! Operands and biases as the [loops](super::vector) read them.

use super::words::Words;
use super::{Job, Operand};
use crate::attention::Shape;
use crate::transpose::transpose;
use crate::{Aligned, SimdLevel};

/// What one thread works in.
#[derive(Default)]
pub(super) struct Scratch {
    /// Of some queries: words of adjacent numbers, `(words of the width, queries)`.
    pub(super) queries: Aligned<u32>,
    /// Of one head: `(padded keys, words of the width)`.
    pub(super) keys: Aligned<u32>,
    /// What the score with each of the padded keys begins at.
    pub(super) starts: Aligned<i32>,
    /// Of one head: `(words of the keys, padded width)`; a word has the numbers of adjacent keys.
    pub(super) values: Aligned<u32>,
    /// Scores of some queries, `(padded keys, queries)`, and in their place, from the first row on, words of weights.
    pub(super) scores: Aligned<u32>,
    /// Results of some queries: words of four adjacent bytes, `(words of the padded width, queries)`.
    pub(super) results: Aligned<u32>,
}

/// Keys, or numbers of a row of values, with what the loops take at once at least.
pub(super) const fn padded(count: usize) -> usize {
    count.next_multiple_of(4)
}

/// A start below all scores.
const NEVER: i32 = -(1 << 30);

/// The bias of every head, transposed, with zeros where there is no key or query.
pub(super) struct Table {
    /// `(heads, padded keys, stride)`.
    pub(super) numbers: Aligned<f32>,
    /// Queries, and more, to whole registers of every level.
    pub(super) stride: usize,
}

impl Table {
    /// Lays out `(heads, queries, keys)`. (What is moved as f32 keeps its bits.)
    pub(super) fn new(level: SimdLevel, bias: &[i32], shape: &Shape) -> Self {
        let &Shape { queries, keys, .. } = shape;
        let stride = queries.next_multiple_of(16);
        let head = padded(keys) * stride;
        let mut numbers = Aligned::zeros(shape.heads * head);
        for (from, to) in bias.chunks_exact(queries * keys).zip(numbers.chunks_exact_mut(head)) {
            transpose(level, bytemuck::cast_slice(from), keys, [queries, keys], to, stride);
        }
        Table { numbers, stride }
    }
}

/// One word of the first numbers of these.
#[inline(always)]
fn join<S: Words>([a, b, c, d]: [u8; 4]) -> u32 {
    if S::GROUP == 4 { u32::from_le_bytes([a, b, c, d]) } else { u32::from_le_bytes([a, 0, b, 0]) }
}

/// Bytes of a row that are moved at once: loops of this length, which is known, become a few instructions.
const BLOCK: usize = 32;

/// Writes the numbers of a row, and zeros behind them where the words have more.
#[inline(always)]
fn spread<S: Words>(row: &[u8], words: &mut [u32]) {
    if S::GROUP == 4 {
        copy(row, bytemuck::cast_slice_mut(words), |byte| byte ^ S::OFFSET);
    } else {
        copy::<u16>(row, bytemuck::cast_slice_mut(words), |byte| u16::from(byte ^ S::OFFSET));
    }
}

#[inline(always)]
fn copy<E: Copy + Default>(from: &[u8], to: &mut [E], number: impl Fn(u8) -> E + Copy) {
    let (to, beyond) = to.split_at_mut(from.len());
    let ((blocks, rest), (to_blocks, to_rest)) = (from.as_chunks::<BLOCK>(), to.as_chunks_mut::<BLOCK>());
    for (to, from) in to_blocks.iter_mut().zip(blocks) {
        // Not in place: what may overlap is moved byte by byte.
        let mut block = [E::default(); BLOCK];
        for i in 0..BLOCK {
            block[i] = number(from[i]);
        }
        *to = block;
    }
    for (to, &from) in to_rest.iter_mut().zip(rest) {
        *to = number(from);
    }
    for to in beyond {
        *to = E::default();
    }
}

/// The sum of bytes.
#[inline(always)]
fn sum(bytes: &[u8]) -> i32 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut sum = 0;
    for block in blocks {
        sum += block.iter().map(|&byte| i32::from(byte)).sum::<i32>();
    }
    for &byte in rest {
        sum += i32::from(byte);
    }
    sum
}

/// Lays out keys and values of a head.
#[inline(always)]
pub(super) fn keys_and_values<S: Words>(job: &Job<'_>, head: usize, into: &mut Scratch) {
    let &Shape { keys, width, value_width, .. } = job.shape;
    let [q, k, v] = job.operands;
    let (depth, all) = (width.div_ceil(S::GROUP), padded(keys));
    let known = k.rows(job.batch, head);
    let words = into.keys.resize(all * depth);
    words[keys * depth..].fill(0);
    let starts = into.starts.resize(all);
    starts[keys..].fill(NEVER);
    for (key, (words, start)) in words.chunks_exact_mut(depth).zip(starts).take(keys).enumerate() {
        let row = &known[key * k.row_stride..][..width];
        spread::<S>(row, words);
        *start = -i32::from(q.zero) * (sum(row) - width as i32 * i32::from(S::OFFSET));
    }
    let values = v.rows(job.batch, head);
    let across = padded(value_width);
    let words = into.values.resize(keys.div_ceil(S::GROUP) * across);
    for (i, words) in words.chunks_exact_mut(across).enumerate() {
        // What has no key has no weight.
        let row = |n: usize| &values[(i * S::GROUP + n).min(keys - 1) * v.row_stride..][..value_width];
        let rows = [row(0), row(1), row(2 % S::GROUP), row(3 % S::GROUP)];
        let blocks = rows.map(|row| row.as_chunks::<BLOCK>().0);
        let (to_blocks, _) = words.as_chunks_mut::<BLOCK>();
        for (b, to) in to_blocks.iter_mut().enumerate().take(value_width / BLOCK) {
            let from = blocks.map(|blocks| &blocks[b]);
            for c in 0..BLOCK {
                to[c] = join::<S>([from[0][c], from[1][c], from[2][c], from[3][c]].map(|byte| byte ^ S::OFFSET));
            }
        }
        for c in value_width / BLOCK * BLOCK..value_width {
            words[c] = join::<S>(rows.map(|row| row[c] ^ S::OFFSET));
        }
    }
}

/// Lays out `count` queries of a head from `first` on, `lanes` apart.
#[inline(always)]
pub(super) fn queries<S: Words>(
    job: &Job<'_>,
    head: usize,
    [first, count]: [usize; 2],
    lanes: usize,
    into: &mut Aligned<u32>,
) {
    let width = job.shape.width;
    let q: Operand<'_> = job.operands[0];
    let asked = q.rows(job.batch, head);
    let words = into.resize(width.div_ceil(S::GROUP) * lanes);
    assert!(count <= lanes);
    for lane in 0..count {
        let row = &asked[(first + lane) * q.row_stride..][..width];
        let (whole, rest) = (row.chunks_exact(S::GROUP), row.len() % S::GROUP);
        let mut at = lane;
        for from in whole {
            // SAFETY: there is a row of `lanes` words for each word of the row of bytes.
            unsafe { *words.get_unchecked_mut(at) = join::<S>(std::array::from_fn(|i| from[i % S::GROUP])) };
            at += lanes;
        }
        if rest > 0 {
            let from = &row[width - rest..];
            words[at] = join::<S>(std::array::from_fn(|i| from.get(i).copied().unwrap_or(0)));
        }
    }
}

/// Writes `count` rows of bytes, `stride` apart, of words that are `lanes` apart.
#[inline(always)]
pub(super) fn unpack(words: &[u32], lanes: usize, width: usize, count: usize, stride: usize, out: &mut [u8]) {
    assert!(count <= lanes && words.len() >= width.div_ceil(4) * lanes);
    for lane in 0..count {
        let (whole, rest) = out[lane * stride..][..width].as_chunks_mut();
        let mut at = lane;
        for out in whole {
            // SAFETY: there is a row of `lanes` words for each four bytes of the width.
            *out = unsafe { words.get_unchecked(at) }.to_le_bytes();
            at += lanes;
        }
        for (out, byte) in rest.iter_mut().zip(words.get(at).copied().unwrap_or_default().to_le_bytes()) {
            *out = byte;
        }
    }
}

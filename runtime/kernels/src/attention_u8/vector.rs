//! [Attention](super) on registers of queries: every query has a lane of its own, so that its largest score, its total and the division
//! are those of registers, and nothing is summed across one.

use super::pack::{self, Scratch};
use super::words::Words;
use super::{Job, Share};
use crate::attention::Shape;
use crate::lanes::Lanes;

/// Registers of queries that share what they read of keys and values.
const TOGETHER: usize = 2;

/// Answers the queries from `job.first` on that `out` has rows for.
#[inline(always)]
pub(super) fn block<S: Words>(s: S, job: &Job<'_>, scratch: &mut Scratch, out: &mut [u8]) {
    let &Shape { heads, value_width, .. } = job.shape;
    let row = heads * value_width;
    let count = out.len() / row;
    for head in 0..heads {
        pack::keys_and_values::<S>(job, head, scratch);
        let mut at = 0;
        while at < count {
            let part = Part { job, head, first: job.first + at, count: count - at };
            let out = &mut out[at * row + head * value_width..];
            at += if count - at > S::Floats::LANES {
                part.run::<S, TOGETHER>(s, scratch, out)
            } else {
                part.run::<S, 1>(s, scratch, out)
            };
        }
    }
}

/// Queries of one head, and its laid out keys and values are in the scratch.
struct Part<'a> {
    job: &'a Job<'a>,
    head: usize,
    first: usize,
    count: usize,
}

impl Part<'_> {
    /// Answers the queries that `V` registers have lanes for, and gives how many lanes those are.
    #[inline(always)]
    fn run<S: Words, const V: usize>(&self, s: S, scratch: &mut Scratch, out: &mut [u8]) -> usize {
        let &Shape { heads, value_width, .. } = self.job.shape;
        let lanes = V * S::Floats::LANES;
        let count = self.count.min(lanes);
        pack::queries::<S>(self.job, self.head, [self.first, count], lanes, &mut scratch.queries);
        let largest = self.scores::<S, V>(s, scratch);
        let totals = self.weights::<S, V>(s, scratch, largest);
        self.mix::<S, V>(s, scratch, totals);
        pack::unpack(&scratch.results, lanes, value_width, count, heads * value_width, out);
        lanes
    }

    /// Writes the scores, less what all of a query have in common, and gives the largest.
    #[inline(always)]
    fn scores<S: Words, const V: usize>(&self, s: S, scratch: &mut Scratch) -> [S::Word; V] {
        let lanes = V * S::Floats::LANES;
        let (depth, padded) = (self.job.shape.width.div_ceil(S::GROUP), pack::padded(self.job.shape.keys));
        let out = scratch.scores.resize(padded * lanes);
        let bias = self.job.table.map(|table| {
            let numbers = &table.numbers[self.head * padded * table.stride + self.first..];
            assert!(numbers.len() >= (padded - 1) * table.stride + lanes);
            (numbers.as_ptr(), table.stride)
        });
        assert!(scratch.queries.len() == depth * lanes && scratch.keys.len() == padded * depth);
        assert!(scratch.starts.len() == padded);
        let mut job = Scores {
            tile: Tile { left: scratch.queries.as_ptr(), right: scratch.keys.as_ptr(), depth, step: 1, next: depth },
            starts: &scratch.starts,
            bias,
            out: out.as_mut_ptr(),
            largest: [s.splat(i32::MIN); V],
        };
        let mut key = 0;
        while key < padded {
            // SAFETY: as has been checked, the queries have `depth` rows of `lanes` words, the keys `padded` rows of `depth`, bias and
            // scores `padded` rows of `lanes` numbers; `padded` is a multiple of four.
            key += unsafe {
                if S::ACROSS == 8 && padded - key >= 8 { job.run::<8>(s, key) } else { job.run::<4>(s, key) }
            };
        }
        job.largest
    }

    /// Makes words of weights of the scores, in their place, and gives the totals.
    #[inline(always)]
    fn weights<S: Words, const V: usize>(&self, s: S, scratch: &mut Scratch, largest: [S::Word; V]) -> [S::Word; V] {
        let (lanes, keys) = (V * S::Floats::LANES, self.job.shape.keys);
        assert!(scratch.scores.len() >= keys * lanes);
        let mut job = Weights {
            scores: scratch.scores.as_mut_ptr(),
            largest,
            totals: [s.start(s.splat(0)); V],
            one: s.group([s.splat(1); 4]),
            factor: s.floats().splat(Share::factor(self.job.scales)),
        };
        // SAFETY: as has been checked, there are `keys` rows of `lanes` scores.
        unsafe {
            for i in 0..keys / S::GROUP {
                job.run(s, i, S::GROUP);
            }
            if !keys.is_multiple_of(S::GROUP) {
                job.run(s, keys / S::GROUP, keys % S::GROUP);
            }
        }
        job.totals.map(|total| s.finish(total))
    }

    /// Writes the results of weights and values.
    #[inline(always)]
    fn mix<S: Words, const V: usize>(&self, s: S, scratch: &mut Scratch, totals: [S::Word; V]) {
        let &Shape { keys, value_width, .. } = self.job.shape;
        let (lanes, f) = (V * S::Floats::LANES, s.floats());
        let (depth, across) = (keys.div_ceil(S::GROUP), pack::padded(value_width));
        assert!(scratch.scores.len() >= depth * lanes && scratch.values.len() == depth * across);
        let results = scratch.results.resize(across / 4 * lanes);
        let (less, output) = (i32::from(S::OFFSET) - i32::from(self.job.operands[2].zero), self.job.scales.output);
        // The totals are at most 255 times the number of keys: these products are exact.
        let starts = totals.map(|total| s.multiply(total, less));
        let multipliers = totals.map(|total| s.divide(f.splat(output), s.to_float(total)));
        let mut job = Mix {
            tile: Tile { left: scratch.scores.as_ptr(), right: scratch.values.as_ptr(), depth, step: across, next: 1 },
            starts,
            multipliers,
            zero: self.job.scales.zero,
            out: results.as_mut_ptr(),
        };
        let mut c = 0;
        while c < across {
            // SAFETY: as has been checked, the weights have `depth` rows of `lanes` words, the values as many of `across`, the results
            // a quarter of `across` of `lanes`; `across` is a multiple of four.
            c += unsafe { if S::ACROSS == 8 && across - c >= 8 { job.run::<8>(s, c) } else { job.run::<4>(s, c) } };
        }
    }
}

/// [`Share::weight`] of a register.
#[inline(always)]
fn share<S: Words>(s: S, difference: S::Word, factor: <S::Floats as Lanes>::Vector) -> S::Word {
    let f = s.floats();
    let exponent = f.at_least(f.mul(s.to_float(difference), factor), Share::LOWEST);
    let whole = s.round(exponent);
    let rest = f.mul_add(whole, f.splat(-1.0), exponent);
    let [a, b, c] = Share::SERIES.map(|x| f.splat(x));
    let weight = f.mul_add(f.mul_add(f.mul_add(c, rest, b), rest, a), rest, f.splat(Share::WHOLE));
    s.to_word(s.scale(weight, whole))
}

/// A product of words: registers of the left, row by row, with words of the right that are `step` apart from row to row, and `next` from
/// column to column.
#[derive(Clone, Copy)]
struct Tile {
    left: *const u32,
    right: *const u32,
    depth: usize,
    step: usize,
    next: usize,
}

impl Tile {
    /// Adds the products of `V` registers and `N` columns from `column` on.
    ///
    /// # Safety
    /// The left has `depth` rows of `V` registers, the right `depth` rows with these columns.
    #[inline(always)]
    unsafe fn run<S: Words, const N: usize, const V: usize>(
        self,
        s: S,
        column: usize,
        mut sums: [[S::Sums; V]; N],
    ) -> [[S::Sums; V]; N] {
        for i in 0..self.depth {
            // SAFETY: as the caller promises.
            unsafe {
                let mut left = [s.splat(0); V];
                for (v, left) in left.iter_mut().enumerate() {
                    *left = s.load(self.left.add((i * V + v) * S::Floats::LANES));
                }
                for (n, sums) in sums.iter_mut().enumerate() {
                    let right = s.splat(*self.right.add(i * self.step + (column + n) * self.next) as i32);
                    for (sum, &left) in sums.iter_mut().zip(&left) {
                        *sum = s.dot(*sum, left, right);
                    }
                }
            }
        }
        sums
    }
}

/// Scores that are being computed.
struct Scores<'a, S: Words, const V: usize> {
    tile: Tile,
    starts: &'a [i32],
    /// And how far apart its rows are.
    bias: Option<(*const f32, usize)>,
    out: *mut u32,
    largest: [S::Word; V],
}

impl<S: Words, const V: usize> Scores<'_, S, V> {
    /// Computes those of `N` keys from `first` on, and gives `N`.
    ///
    /// # Safety
    /// As [`Tile::run`]; bias and scores have rows of `V` registers for these keys.
    #[inline(always)]
    unsafe fn run<const N: usize>(&mut self, s: S, first: usize) -> usize {
        let mut sums = [[s.start(s.splat(0)); V]; N];
        for ((n, sums), &start) in sums.iter_mut().enumerate().zip(&self.starts[first..][..N]) {
            for (v, sum) in sums.iter_mut().enumerate() {
                let mut value = s.splat(start);
                if let Some((bias, stride)) = self.bias {
                    // SAFETY: as the caller promises.
                    value =
                        s.add(value, unsafe { s.load(bias.add((first + n) * stride + v * S::Floats::LANES).cast()) });
                }
                *sum = s.start(value);
            }
        }
        // SAFETY: as the caller promises.
        unsafe {
            let sums = self.tile.run::<S, N, V>(s, first, sums);
            for (n, sums) in sums.into_iter().enumerate() {
                for (v, sum) in sums.into_iter().enumerate() {
                    let sum = s.finish(sum);
                    self.largest[v] = s.max(self.largest[v], sum);
                    s.store(sum, self.out.add(((first + n) * V + v) * S::Floats::LANES));
                }
            }
        }
        N
    }
}

/// Weights that are being computed.
struct Weights<S: Words, const V: usize> {
    scores: *mut u32,
    largest: [S::Word; V],
    totals: [S::Sums; V],
    one: S::Word,
    factor: <S::Floats as Lanes>::Vector,
}

impl<S: Words, const V: usize> Weights<S, V> {
    /// Makes row `i` of words, of the first `count` keys of a group.
    ///
    /// # Safety
    /// The scores of these keys have rows of `V` registers.
    #[inline(always)]
    unsafe fn run(&mut self, s: S, i: usize, count: usize) {
        for v in 0..V {
            let mut weights = [s.splat(0); 4];
            for (n, weight) in weights.iter_mut().enumerate() {
                if n < count {
                    // SAFETY: as the caller promises.
                    let score = unsafe { s.load(self.scores.add(((i * S::GROUP + n) * V + v) * S::Floats::LANES)) };
                    *weight = share(s, s.sub(score, self.largest[v]), self.factor);
                }
            }
            let words = s.group(weights);
            self.totals[v] = s.dot(self.totals[v], words, self.one);
            // SAFETY: this is no later row than the first of these scores, and that of this register has been read.
            unsafe { s.store(words, self.scores.add((i * V + v) * S::Floats::LANES)) };
        }
    }
}

/// Results that are being computed.
struct Mix<S: Words, const V: usize> {
    tile: Tile,
    starts: [S::Word; V],
    multipliers: [<S::Floats as Lanes>::Vector; V],
    zero: u8,
    out: *mut u32,
}

impl<S: Words, const V: usize> Mix<S, V> {
    /// Computes `N` numbers of each row from `first` on, and gives `N`.
    ///
    /// # Safety
    /// As [`Tile::run`]; the results have a row of `V` registers for each four of these numbers.
    #[inline(always)]
    unsafe fn run<const N: usize>(&mut self, s: S, first: usize) -> usize {
        let sums = [self.starts.map(|start| s.start(start)); N];
        // SAFETY: as the caller promises.
        let sums = unsafe { self.tile.run::<S, N, V>(s, first, sums) };
        let zero = i32::from(self.zero);
        for v in 0..V {
            for (i, sums) in sums.chunks_exact(4).enumerate() {
                let mut numbers = [s.splat(0); 4];
                for (number, sums) in numbers.iter_mut().zip(sums) {
                    let t = s.floats().mul(s.to_float(s.finish(sums[v])), self.multipliers[v]);
                    let t = s.floats().clamp(t, -zero as f32, (255 - zero) as f32);
                    *number = s.add(s.to_word(t), s.splat(zero));
                }
                // SAFETY: as the caller promises.
                unsafe { s.store(s.bytes(numbers), self.out.add(((first / 4 + i) * V + v) * S::Floats::LANES)) };
            }
        }
        N
    }
}

//! [Depthwise](super) on blocks of channels, a few rows of the window at a time.

use std::ops::Range;

use super::Job;
use crate::depthwise::{MAX_KERNEL, Shape};
use crate::requantize::Clamp;

/// How a level multiplies: units of a few rows of one column of the window, for a block of channels.
pub(super) trait Kernel: Copy {
    /// Channels of a block, at most [`MOST`].
    const CHANNELS: usize;
    /// Rows of a unit, at most four.
    const ROWS: usize;
    /// Bytes of a unit's weights.
    const BYTES: usize;
    /// The rows of a unit, ready to be multiplied.
    type Unit: Copy;
    /// Sums of a block's channels.
    type Sums: Copy;
    /// What sums begin and end with.
    type Ends: Copy;

    /// Writes the weight of a channel of the block and a row of the unit to its place in the unit's weights.
    fn place(channel: usize, row: usize, weight: i8, unit: &mut [i8]);

    /// # Safety
    /// `bias`, `sums` (of weights) and `multipliers` are valid for reads of a block.
    unsafe fn ends(self, bias: *const i32, sums: *const i32, multipliers: *const f32, clamp: &Clamp) -> Self::Ends;
    /// What sums begin with.
    fn start(self, ends: &Self::Ends) -> Self::Sums;
    /// `None` beyond the window: anything, as the weights there are zero.
    ///
    /// # Safety
    /// Each of the first `ROWS` of `rows` is valid for reads of a block.
    unsafe fn unit(self, rows: [Option<*const u8>; 4]) -> Self::Unit;
    /// Adds products.
    ///
    /// # Safety
    /// `weights` is valid for reads of a unit's.
    unsafe fn add(self, sums: Self::Sums, unit: &Self::Unit, weights: *const i8) -> Self::Sums;
    /// Writes the bytes of a block.
    ///
    /// # Safety
    /// `to` is valid for writes of a block.
    unsafe fn finish(self, sums: Self::Sums, ends: &Self::Ends, to: *mut u8);
}

/// The largest block.
pub(super) const MOST: usize = 64;
/// The most rows of whole units.
const ROWS: usize = MAX_KERNEL.next_multiple_of(4);

/// The first channel of each block of `width` channels, of `all`: one that would reach beyond them begins earlier, where it can.
#[inline(always)]
pub(super) fn blocks(channels: Range<usize>, all: usize, width: usize) -> impl Iterator<Item = usize> {
    channels.step_by(width).map(move |first| first.min(all.saturating_sub(width)))
}

/// Computes `channels` of an output row; `weights` are those of their blocks.
#[inline(always)]
pub(super) fn row<K: Kernel>(k: K, job: &Job<'_>, channels: Range<usize>, weights: &[i8], out: &mut [u8]) {
    let (kernel, stride, dilation) = (job.weights.kernel(), job.shape.stride, job.shape.dilation);
    match (kernel, stride, dilation) {
        (3, 1, 1) => by_blocks::<K, 3, 1, 1>(k, job, channels, weights, out),
        (3, 2, 1) => by_blocks::<K, 3, 2, 1>(k, job, channels, weights, out),
        (3, 1, 2) => by_blocks::<K, 3, 1, 2>(k, job, channels, weights, out),
        (5, 1, 1) => by_blocks::<K, 5, 1, 1>(k, job, channels, weights, out),
        _ => by_blocks::<K, 0, 0, 0>(k, job, channels, weights, out),
    }
}

/// A block of one output row.
struct Block<'a, K: Kernel> {
    shape: &'a Shape,
    kernel: usize,
    channels: usize,
    /// Of the block, at most `K::CHANNELS`.
    len: usize,
    /// For each row of the window its first pixel, and the bytes to the next.
    rows: [(*const u8, usize); ROWS],
    /// A pixel outside the map.
    outside: *const u8,
    /// The weights, unit by unit, `kernel` columns each.
    weights: *const i8,
    ends: K::Ends,
    /// The first pixel.
    out: *mut u8,
}

/// The row, one block after the other. A `KERNEL` of zero stands for any kernel, stride and dilation.
#[inline(always)]
fn by_blocks<K: Kernel, const KERNEL: usize, const STRIDE: usize, const DILATION: usize>(
    k: K,
    job: &Job<'_>,
    part: Range<usize>,
    weights: &[i8],
    out: &mut [u8],
) {
    let &Job { shape, requantize, .. } = job;
    let (channels, kernel) = (job.weights.channels(), if KERNEL > 0 { KERNEL } else { job.weights.kernel() });
    let width = out.len() / channels;
    let clamp = Clamp::from(requantize);
    let outside = [job.zero; MOST];
    // Outputs `first..end` read nothing beyond the left and right edges.
    let (first, end) = if KERNEL > 0 {
        let first = shape.padding.div_ceil(STRIDE).min(width);
        let reach = (KERNEL - 1) * DILATION + 1;
        let beyond = (shape.width + shape.padding).checked_sub(reach).map_or(0, |last| last / STRIDE + 1);
        (first, beyond.min(width).max(first))
    } else {
        (width, width)
    };
    let (bias, sums, multipliers) = (job.bias, job.weights.sums(), requantize.multipliers);
    assert!(part.end <= channels && bias.len() == channels && sums.len() == channels && multipliers.len() == channels);
    let unit = kernel.div_ceil(K::ROWS) * kernel * K::BYTES;
    for (c, weights) in blocks(part, channels, K::CHANNELS).zip(weights.chunks_exact(unit)) {
        let len = (channels - c).min(K::CHANNELS);
        let mut rows = [(outside.as_ptr(), 0); ROWS];
        for (to, row) in rows.iter_mut().zip(job.rows) {
            if let Some(row) = row {
                assert!(row.len() == shape.width * channels, "a row of the map");
                *to = (row[c..].as_ptr(), channels);
            }
        }
        // SAFETY: a block of channels follows `c` in the numbers for each channel, or in their copies.
        let ends = unsafe {
            if len == K::CHANNELS {
                k.ends(bias[c..].as_ptr(), sums[c..].as_ptr(), multipliers[c..].as_ptr(), &clamp)
            } else {
                let (mut whole, mut factors) = ([[0; MOST]; 2], [0.0; MOST]);
                whole[0][..len].copy_from_slice(&bias[c..][..len]);
                whole[1][..len].copy_from_slice(&sums[c..][..len]);
                factors[..len].copy_from_slice(&multipliers[c..][..len]);
                k.ends(whole[0].as_ptr(), whole[1].as_ptr(), factors.as_ptr(), &clamp)
            }
        };
        let (outside, weights, out) = (outside.as_ptr(), weights.as_ptr(), out[c..].as_mut_ptr());
        let block = Block::<K> { shape, kernel, channels, len, rows, outside, weights, ends, out };
        // SAFETY: `len` channels follow `c` in every pixel; outputs `first..end` read whole windows inside the rows; the weights are those
        // of a block.
        unsafe {
            if len < K::CHANNELS {
                for x in 0..width {
                    one::<K, 0, false>(k, &block, x);
                }
                continue;
            }
            for x in (0..first).chain(end..width) {
                one::<K, KERNEL, true>(k, &block, x);
            }
            for x in (first..end).take(DILATION) {
                Chain::<K, KERNEL, STRIDE>::run(k, &block, DILATION, x, end);
            }
        }
    }
}

/// Output `x`, each tap checked. `WHOLE` where the block is.
///
/// # Safety
/// Rows, weights and output are a block's, as [`Block`] says.
#[inline(always)]
unsafe fn one<K: Kernel, const KERNEL: usize, const WHOLE: bool>(k: K, block: &Block<'_, K>, x: usize) {
    let kernel = if KERNEL > 0 { KERNEL } else { block.kernel };
    let mut sums = k.start(&block.ends);
    let mut weights = block.weights;
    let mut copies = [[0; MOST]; 4];
    // SAFETY: columns are inside the map, and the copies hold a block.
    unsafe {
        for first in (0..kernel).step_by(K::ROWS) {
            for j in 0..kernel {
                let column = block.shape.tap(x, j, block.shape.width);
                let mut rows = [None; 4];
                for (i, row) in rows.iter_mut().enumerate().take(K::ROWS.min(kernel - first)) {
                    let (start, step) = block.rows[first + i];
                    let at = column.map_or(block.outside, |column| start.add(column * step));
                    *row = Some(at);
                    if !WHOLE {
                        at.copy_to_nonoverlapping(copies[i].as_mut_ptr(), block.len);
                        *row = Some(copies[i].as_ptr());
                    }
                }
                sums = k.add(sums, &k.unit(rows), weights);
                weights = weights.add(K::BYTES);
            }
        }
        let to = block.out.add(x * block.channels);
        if WHOLE {
            k.finish(sums, &block.ends, to);
        } else {
            k.finish(sums, &block.ends, copies[0].as_mut_ptr());
            to.copy_from_nonoverlapping(copies[0].as_ptr(), block.len);
        }
    }
}

/// A loop, written out: sums stay in registers only where the compiler knows which of them is which.
macro_rules! each {
    ($i:ident in $($value:literal)+: $body:block) => {
        $({
            #[allow(non_upper_case_globals, reason = "it reads as a loop's variable")]
            const $i: usize = $value;
            $body
        })+
    };
}

/// The most outputs that see a column, where there is a [`Chain`].
const KEPT: usize = 5;

/// Outputs a dilation apart, from left to right: each column is read once, and added to the sums of all outputs that see it.
struct Chain<'a, K: Kernel, const KERNEL: usize, const STRIDE: usize> {
    k: K,
    block: &'a Block<'a, K>,
    /// Of the window's rows: where the next column is, and the bytes to the one after it.
    rows: [(*const u8, usize); ROWS],
    /// Of the outputs that see columns which were read; those of the next output are at some place, the others follow in turn.
    sums: [K::Sums; KEPT],
}

impl<'a, K: Kernel, const KERNEL: usize, const STRIDE: usize> Chain<'a, K, KERNEL, STRIDE> {
    /// Outputs that see a column, at most.
    const KEPT: usize = if STRIDE > 0 { KERNEL.div_ceil(STRIDE) } else { 0 };

    /// Computes outputs `x`, `x + dilation` and so on, before `end`.
    ///
    /// # Safety
    /// As [`one`], of a whole block, and all windows are inside the rows.
    #[inline(always)]
    unsafe fn run(k: K, block: &'a Block<'a, K>, dilation: usize, x: usize, end: usize) {
        let mut rows = block.rows;
        for (at, step) in &mut rows[..KERNEL] {
            // SAFETY: the first column is inside the rows.
            *at = unsafe { at.add((x * STRIDE - block.shape.padding) * *step) };
            *step *= dilation;
        }
        let mut chain = Self { k, block, rows, sums: [k.start(&block.ends); KEPT] };
        let step = dilation * block.channels;
        let mut left = (end - x).div_ceil(dilation);
        // SAFETY: as the caller promises.
        unsafe {
            let mut to = block.out.add(x * block.channels);
            each!(column in 0 1 2 3: {
                if column + STRIDE < KERNEL {
                    chain.column(0, column);
                }
            });
            loop {
                each!(first in 0 1 2 3 4: {
                    if first < Self::KEPT {
                        chain.output(first, to);
                        to = to.wrapping_add(step);
                        left -= 1;
                        if left == 0 {
                            return;
                        }
                    }
                });
            }
        }
    }

    /// Reads a column, which is that of the next output's window, and adds it to the sums; those of the next output are at `first`.
    #[inline(always)]
    unsafe fn column(&mut self, first: usize, column: usize) {
        each!(top in 0 1 2: {
            if top * K::ROWS < KERNEL {
                // SAFETY: as the caller promises.
                unsafe { self.unit(first, column, top) };
            }
        });
        for (at, step) in &mut self.rows[..KERNEL] {
            *at = at.wrapping_add(*step);
        }
    }

    #[inline(always)]
    unsafe fn unit(&mut self, first: usize, column: usize, top: usize) {
        let mut rows = [None; 4];
        for (i, row) in rows.iter_mut().enumerate() {
            if i < K::ROWS && top * K::ROWS + i < KERNEL {
                *row = Some(self.rows[top * K::ROWS + i].0);
            }
        }
        // SAFETY: as the caller promises.
        unsafe {
            let unit = self.k.unit(rows);
            each!(i in 0 1 2 3 4: {
                let tap = column.wrapping_sub(i * STRIDE);
                if i < Self::KEPT && tap < KERNEL {
                    let sums = &mut self.sums[(first + i) % Self::KEPT];
                    *sums = self.k.add(*sums, &unit, self.block.weights.add((top * KERNEL + tap) * K::BYTES));
                }
            });
        }
    }

    /// Completes the next output, whose sums are at `first`.
    #[inline(always)]
    unsafe fn output(&mut self, first: usize, to: *mut u8) {
        // SAFETY: as the caller promises.
        unsafe {
            each!(column in 0 1 2 3 4: {
                if column + STRIDE >= KERNEL && column < KERNEL {
                    self.column(first, column);
                }
            });
            self.k.finish(self.sums[first], &self.block.ends, to);
        }
        self.sums[first] = self.k.start(&self.block.ends);
    }
}

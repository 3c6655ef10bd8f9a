//! The specification of [resize](super).

use super::{Across, BLOCK, Down, HALF, PRECISION_BITS};
use crate::normalize::Channel;

pub(super) fn horizontal<const PIXEL: usize>(across: &Across, rows: [&[u8]; 4], planes: [&mut [u32]; 3]) {
    let rows = rows.map(|row| row.as_chunks::<PIXEL>().0);
    for (channel, plane) in planes.into_iter().enumerate() {
        for (i, quad) in plane[..across.output()].iter_mut().enumerate() {
            let (start, weights) = across.window(i);
            *quad = u32::from_le_bytes(rows.map(|row| {
                let values = row[start..].iter().map(|pixel| pixel[channel]);
                round(values.zip(weights).fold(HALF, |sum, (value, weight)| sum + i32::from(value) * weight))
            }));
        }
    }
}

pub(super) fn horizontal_quads(across: &Across, source: &[u8], plane: &mut [u32]) {
    let (source, _) = source.as_chunks::<4>();
    for (i, quad) in plane[..across.output()].iter_mut().enumerate() {
        let (start, weights) = across.window(i);
        let mut sums = [HALF; 4];
        for (input, &weight) in source[start..].iter().zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(input) {
                *sum += i32::from(value) * weight;
            }
        }
        *quad = u32::from_le_bytes(sums.map(round));
    }
}

/// The values of one block of columns of row `i`, from column `x` on.
fn block<'a>(down: &Down, i: usize, quad: &impl Fn(usize) -> &'a [u32], x: usize) -> [u8; BLOCK] {
    let (start, weights) = down.window(i);
    let mut sums = [HALF; BLOCK];
    // The last weights may be 0, and their quad not there.
    let used = weights.iter().rposition(|&weight| weight != 0).map_or(1, |last| last + 1);
    for (y, &weight) in (start..).zip(&weights[..used]) {
        for (sum, &values) in sums.iter_mut().zip(&quad(y / 4)[x..x + BLOCK]) {
            *sum += (values >> (8 * (y % 4)) & 0xFF) as i32 * weight;
        }
    }
    sums.map(round)
}

pub(super) fn vertical_u8<'a>(down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], out: &mut [u8]) {
    for (index, out) in out.chunks_mut(BLOCK).enumerate() {
        out.copy_from_slice(&block(down, i, &quad, index * BLOCK)[..out.len()]);
    }
}

pub(super) fn vertical_f32<'a>(
    down: &Down,
    i: usize,
    quad: impl Fn(usize) -> &'a [u32],
    channel: &Channel,
    out: &mut [f32],
) {
    for (index, out) in out.chunks_mut(BLOCK).enumerate() {
        for (out, level) in out.iter_mut().zip(block(down, i, &quad, index * BLOCK)) {
            *out = channel.value(level);
        }
    }
}

fn round(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

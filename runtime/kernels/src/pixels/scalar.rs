//! The specification of [pixels](super), written so that the compiler makes vectors of its loops.

use super::{BayerRow, ColourRow, YuvMatrix};

#[inline(always)]
pub(super) fn to_rgbx(row: ColourRow<'_>, out: &mut [u8]) {
    match row {
        ColourRow::Yuyv(matrix, row) => {
            let (blocks, rest) = row.as_chunks::<4>().0.as_chunks::<PAIRS>();
            let blocks = blocks.iter().map(|pairs| pairs.map(u32::from_le_bytes));
            yuv(&matrix, out, blocks, rest.iter().map(|&pair| u32::from_le_bytes(pair)));
        }
        ColourRow::Nv12(matrix, luma, chroma) => {
            let [luma, chroma] = [luma, chroma].map(|row| row.as_chunks::<2>().0.as_chunks::<PAIRS>());
            let pair = |luma: [u8; 2], chroma: [u8; 2]| {
                let [luma, chroma] = [luma, chroma].map(|pair| u32::from(u16::from_le_bytes(pair)));
                luma & 0xFF | (chroma & 0xFF) << 8 | (luma & 0xFF00) << 8 | (chroma & 0xFF00) << 16
            };
            let blocks = luma.0.iter().zip(chroma.0).map(|(luma, chroma)| {
                let mut pairs = [0; PAIRS];
                for ((out, &luma), &chroma) in pairs.iter_mut().zip(luma).zip(chroma) {
                    *out = pair(luma, chroma);
                }
                pairs
            });
            yuv(&matrix, out, blocks, luma.1.iter().zip(chroma.1).map(|(&luma, &chroma)| pair(luma, chroma)));
        }
        ColourRow::Bayer(row) => bayer(row, out),
    }
}

/// Pairs that are converted at a time, each step a loop of its own.
const PAIRS: usize = 16;

/// Converts blocks of pairs of pixels, then those that are left; a pair is Y, U, Y, V from the lowest byte on.
#[inline(always)]
fn yuv(
    matrix: &YuvMatrix,
    out: &mut [u8],
    blocks: impl Iterator<Item = [u32; PAIRS]>,
    rest: impl Iterator<Item = u32>,
) {
    let (whole, last) = out.as_chunks_mut::<{ 8 * PAIRS }>();
    for (out, pairs) in whole.iter_mut().zip(blocks) {
        *out = yuv_block(matrix, pairs);
    }
    let mut pairs = [0; PAIRS];
    for (out, pair) in pairs.iter_mut().zip(rest) {
        *out = pair;
    }
    last.copy_from_slice(&yuv_block(matrix, pairs)[..last.len()]);
}

#[inline(always)]
fn yuv_block(matrix: &YuvMatrix, pairs: [u32; PAIRS]) -> [u8; 8 * PAIRS] {
    let (mut first, mut second) = ([0; PAIRS], [0; PAIRS]);
    for ((pair, first), second) in pairs.iter().zip(&mut first).zip(&mut second) {
        let byte = |k: u32| (pair >> (8 * k) & 0xFF) as i32;
        let (u, v) = (byte(1) - 128, byte(3) - 128);
        let red = matrix.red_v * v;
        let green = matrix.green_u * u + matrix.green_v * v;
        let blue = matrix.blue_u * u;
        let pixel = |luma: i32| {
            let luma = matrix.gain * (luma - matrix.offset) + (1 << 15);
            let level = |chroma: i32| ((luma + chroma) >> 16).clamp(0, 255) as u32;
            level(red) | level(green) << 8 | level(blue) << 16
        };
        (*first, *second) = (pixel(byte(0)), pixel(byte(2)));
    }
    let mut out = [0; 8 * PAIRS];
    for ((out, first), second) in out.as_chunks_mut::<8>().0.iter_mut().zip(first).zip(second) {
        *out = (u64::from(first) | u64::from(second) << 32).to_le_bytes();
    }
    out
}

#[inline(always)]
fn bayer(BayerRow { rows, red, green_first, depth }: BayerRow<'_>, out: &mut [u8]) {
    let (pixels, _) = out.as_chunks_mut::<4>();
    let width = pixels.len();
    let [above, row, below] = rows.map(|row| [&row[..width], &row[1..=width], &row[2..width + 2]]);
    let (shift, first) = (depth - 8, u16::from(green_first));
    for (x, pixel) in pixels.iter_mut().enumerate() {
        let [left, own, right] = row.map(|row| row[x]);
        let ([north_west, north, north_east], [south_west, south, south_east]) =
            (above.map(|row| row[x]), below.map(|row| row[x]));
        let (beside, over) = ((left + right + 1) >> 1, (north + south + 1) >> 1);
        let cross = (left + right + north + south + 2) >> 2;
        let diagonal = (north_west + north_east + south_west + south_east + 2) >> 2;
        // All ones at green pixels; a mask keeps the loop free of branches.
        let at_green = (x as u16 ^ first) & 1;
        let at_green = at_green.wrapping_neg();
        let pick = |green: u16, coloured: u16| u32::from(((green & at_green) | (coloured & !at_green)) >> shift);
        let (same, green, other) = (pick(beside, own), pick(own, cross), pick(over, diagonal));
        let (r, b) = if red { (same, other) } else { (other, same) };
        *pixel = (r | green << 8 | b << 16).to_le_bytes();
    }
}

#[inline(always)]
pub(super) fn grey_quads<const BYTES: usize>(rows: [&[u8]; 4], out: &mut [u8]) {
    let (quads, _) = out.as_chunks_mut::<4>();
    let [a, b, c, d] = rows.map(|row| &row.as_chunks::<BYTES>().0[..quads.len()]);
    // The last byte is the one of the upper bits.
    let top = |sample: [u8; BYTES]| u32::from(sample[BYTES - 1]);
    for (x, quad) in quads.iter_mut().enumerate() {
        *quad = (top(a[x]) | top(b[x]) << 8 | top(c[x]) << 16 | top(d[x]) << 24).to_le_bytes();
    }
}

pub(super) fn samples(row: &[u8], depth: u32, out: &mut [u16]) {
    if depth > 8 {
        let most = (1u16 << depth) - 1;
        for (out, &sample) in out.iter_mut().zip(row.as_chunks().0) {
            *out = u16::from_le_bytes(sample).min(most);
        }
    } else {
        for (out, &sample) in out.iter_mut().zip(row) {
            *out = u16::from(sample);
        }
    }
}

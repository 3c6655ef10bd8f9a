//! AVX2: sums of two 16-bit products at a time, weights as a lower and an upper half.

use std::arch::x86_64::*;

use super::axis::Taps;
use super::digits::HALF_BITS;
use super::{Across, BLOCK, Down, HALF, PRECISION_BITS, gather};
use crate::normalize::Channel;
use crate::simd::Avx2;

pub(super) fn horizontal<const PIXEL: usize>(_: Avx2, across: &Across, rows: [&[u8]; 4], planes: [&mut [u32]; 3]) {
    // SAFETY: the token proves these instructions.
    unsafe {
        match across.groups {
            1 => colours::<PIXEL, 1>(across, rows, planes),
            2 => colours::<PIXEL, 2>(across, rows, planes),
            _ => colours::<PIXEL, 0>(across, rows, planes),
        }
    }
}

pub(super) fn horizontal_quads(_: Avx2, across: &Across, source: &[u8], plane: &mut [u32]) {
    // SAFETY: the token proves these instructions.
    unsafe { greys(across, source, plane) }
}

pub(super) fn vertical_u8<'a>(_: Avx2, down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], out: &mut [u8]) {
    // SAFETY: the token proves these instructions.
    unsafe { bytes(down, i, quad, out) }
}

pub(super) fn vertical_f32<'a>(
    _: Avx2,
    down: &Down,
    i: usize,
    quad: impl Fn(usize) -> &'a [u32],
    channel: &Channel,
    out: &mut [f32],
) {
    // SAFETY: the token proves these instructions.
    unsafe { floats(down, i, quad, channel, out) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_16(source: &[u8], at: usize) -> __m128i {
    debug_assert!(at + 16 <= source.len());
    // SAFETY: callers keep `at + 16` within `source`.
    unsafe { _mm_loadu_si128(source.as_ptr().add(at).cast()) }
}

/// The pixels of one group of taps of two output pixels, a lane each, gathered by channel. With `EDGE`, what would be
/// read beyond the row's end is not; weights are 0 there.
#[inline]
#[target_feature(enable = "avx2")]
fn windows<const PIXEL: usize, const EDGE: bool>(row: &[u8], at: [usize; 2]) -> __m256i {
    let mask = const { gather::<PIXEL>() };
    // SAFETY: 16 bytes are read from an array of 16.
    let mut mask = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(mask.as_ptr().cast()) });
    let mut from = at;
    if EDGE {
        from = at.map(|at| at.min(row.len() - 16));
        let [a, b] = std::array::from_fn(|k| _mm_set1_epi8((at[k] - from[k]).min(64) as i8));
        mask = _mm256_add_epi8(mask, _mm256_set_m128i(b, a));
    }
    let [a, b] = from.map(|at| load_16(row, at));
    _mm256_shuffle_epi8(_mm256_set_m128i(b, a), mask)
}

/// The taps of output pixels `s` and `s + 4` of a block, spread over their lanes: lower halves, then upper ones.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(taps: &[Taps; 2]) -> [__m256i; 4] {
    // SAFETY: 32 bytes are read from two times 16.
    let taps = unsafe { _mm256_loadu_si256(taps.as_ptr().cast()) };
    [
        _mm256_shuffle_epi32::<0x00>(taps),
        _mm256_shuffle_epi32::<0x55>(taps),
        _mm256_shuffle_epi32::<0xAA>(taps),
        _mm256_shuffle_epi32::<0xFF>(taps),
    ]
}

/// What the sums of lower and of upper halves start from.
#[inline]
#[target_feature(enable = "avx2")]
fn half() -> [__m256i; 2] {
    [_mm256_set1_epi32(HALF), _mm256_setzero_si256()]
}

/// Adds words of four bytes times four taps each: bytes 0 and 2, then 1 and 3, as the taps come.
#[inline]
#[target_feature(enable = "avx2")]
fn add(sums: &mut [__m256i; 2], values: __m256i, [low_even, low_odd, high_even, high_odd]: [__m256i; 4]) {
    let even = _mm256_and_si256(values, _mm256_set1_epi16(0xFF));
    let odd = _mm256_srli_epi16::<8>(values);
    let low = _mm256_add_epi32(_mm256_madd_epi16(even, low_even), _mm256_madd_epi16(odd, low_odd));
    let high = _mm256_add_epi32(_mm256_madd_epi16(even, high_even), _mm256_madd_epi16(odd, high_odd));
    sums[0] = _mm256_add_epi32(sums[0], low);
    sums[1] = _mm256_add_epi32(sums[1], high);
}

/// Puts the sums of the halves together and rounds.
#[inline]
#[target_feature(enable = "avx2")]
fn round([low, high]: [__m256i; 2]) -> __m256i {
    let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ HALF_BITS as i32 }>(high), low);
    _mm256_srli_epi32::<{ PRECISION_BITS as i32 }>(sum)
}

/// One register of 8 output pixels: lanes are output pixels `s` and `s + 4` of the block, words the channels, bytes the
/// rows. `GROUPS` is the number of groups of taps, 0 if it is not known.
#[inline]
#[target_feature(enable = "avx2")]
fn colour<const PIXEL: usize, const GROUPS: usize, const EDGE: bool>(
    starts: [usize; 2],
    groups: &[[Taps; 8]],
    s: usize,
    rows: [&[u8]; 4],
) -> __m256i {
    let mut sums = [half(); 4];
    let groups = if GROUPS == 0 { groups } else { &groups[..GROUPS] };
    for (g, taps) in groups.iter().enumerate() {
        let (taps, _) = taps.as_chunks::<2>();
        let taps = halves(&taps[s]);
        let at = starts.map(|start| (start + 4 * g) * PIXEL);
        for (sums, row) in sums.iter_mut().zip(rows) {
            add(sums, windows::<PIXEL, EDGE>(row, at), taps);
        }
    }
    let [a, b, c, d] = sums.map(|sums| round(sums));
    let upper = _mm256_or_si256(_mm256_slli_epi32::<16>(c), _mm256_slli_epi32::<24>(d));
    _mm256_or_si256(_mm256_or_si256(a, _mm256_slli_epi32::<8>(b)), upper)
}

#[target_feature(enable = "avx2")]
fn colours<const PIXEL: usize, const GROUPS: usize>(across: &Across, rows: [&[u8]; 4], planes: [&mut [u32]; 3]) {
    let width = rows[0].len();
    let rows = rows.map(|row| &row[..width]);
    let [red, green, blue] = planes.map(|plane| plane.as_chunks_mut::<8>().0);
    let (starts, _) = across.starts.as_chunks::<8>();
    let (taps, _) = across.taps.as_chunks::<8>();
    let planes = red.iter_mut().zip(green).zip(blue);
    for ((starts, taps), ((red, green), blue)) in starts.iter().zip(taps.chunks_exact(across.groups)).zip(planes) {
        let last = starts[7] as usize + 4 * (across.groups - 1);
        let edge = last * PIXEL + 16 > width;
        let mut words = [_mm256_setzero_si256(); 4];
        for (s, words) in words.iter_mut().enumerate() {
            let starts = [0, 4].map(|lane| starts[lane + s] as usize);
            *words = if edge {
                colour::<PIXEL, GROUPS, true>(starts, taps, s, rows)
            } else {
                colour::<PIXEL, GROUPS, false>(starts, taps, s, rows)
            };
        }
        let [a, b, c, d] = words;
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (ab_blue, cd_blue) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        store(red, _mm256_unpacklo_epi64(ab, cd));
        store(green, _mm256_unpackhi_epi64(ab, cd));
        store(blue, _mm256_unpacklo_epi64(ab_blue, cd_blue));
    }
}

#[target_feature(enable = "avx2")]
fn greys(across: &Across, source: &[u8], plane: &mut [u32]) {
    let (plane, _) = plane.as_chunks_mut::<8>();
    let (starts, _) = across.starts.as_chunks::<8>();
    let (taps, _) = across.taps.as_chunks::<8>();
    for ((starts, taps), out) in starts.iter().zip(taps.chunks_exact(across.groups)).zip(plane) {
        let last = starts[7] as usize + 4 * (across.groups - 1);
        let edge = 4 * last + 16 > source.len();
        let mut words = [_mm256_setzero_si256(); 4];
        for (s, words) in words.iter_mut().enumerate() {
            let mut sums = half();
            for (g, taps) in taps.iter().enumerate() {
                let (taps, _) = taps.as_chunks::<2>();
                let at = [0, 4].map(|lane| 4 * (starts[lane + s] as usize + 4 * g));
                let values = if edge { windows::<4, true>(source, at) } else { windows::<4, false>(source, at) };
                add(&mut sums, values, halves(&taps[s]));
            }
            *words = round(sums);
        }
        let [a, b, c, d] = words;
        store(out, _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(out: &mut [u32; 8], value: __m256i) {
    // SAFETY: 32 bytes are written to an array of 32.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), value) }
}

/// Vectors that are summed at a time.
const VECTORS: usize = 4;

/// The values of columns `x..x + 32` of the row that `taps` make of quads.
#[inline]
#[target_feature(enable = "avx2")]
fn part<'a>(taps: &[Taps], quad: &impl Fn(usize) -> &'a [u32], x: usize) -> [__m256i; VECTORS] {
    let mut sums = [half(); VECTORS];
    for (q, taps) in taps.iter().enumerate() {
        let taps = taps.map(|half| _mm256_set1_epi32(half as i32));
        let (vectors, _) = quad(q)[x..x + 8 * VECTORS].as_chunks::<8>();
        for (sums, vector) in sums.iter_mut().zip(vectors) {
            // SAFETY: 32 bytes are read from an array of 32.
            let values = unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) };
            add(sums, values, taps);
        }
    }
    sums.map(|sums| round(sums))
}

#[target_feature(enable = "avx2")]
fn bytes<'a>(down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], out: &mut [u8]) {
    const PART: usize = 8 * VECTORS;
    const { assert!(BLOCK.is_multiple_of(PART)) };
    let first = down.quads(i).start;
    let quad = |q: usize| quad(first + q);
    for (index, out) in out.chunks_mut(PART).enumerate() {
        let [a, b, c, d] = part(down.taps(i), &quad, index * PART);
        let packed = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        let packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        let mut values = [0u8; PART];
        // SAFETY: 32 bytes are written to an array of 32.
        unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), packed) }
        match out.as_mut_array() {
            Some(whole) => *whole = values,
            None => out.copy_from_slice(&values[..out.len()]),
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn floats<'a>(down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], channel: &Channel, out: &mut [f32]) {
    const PART: usize = 8 * VECTORS;
    let (mean, std) = (_mm256_set1_ps(channel.mean()), _mm256_set1_ps(channel.std()));
    let inverse = _mm256_set1_ps(channel.inverse().unwrap_or_default());
    let first = down.quads(i).start;
    let quad = |q: usize| quad(first + q);
    for (index, out) in out.chunks_mut(PART).enumerate() {
        let parts = part(down.taps(i), &quad, index * PART);
        let mut values = [0f32; PART];
        for (out, value) in values.as_chunks_mut::<8>().0.iter_mut().zip(parts) {
            let centred = _mm256_sub_ps(_mm256_cvtepi32_ps(value), mean);
            let quotient = _mm256_mul_ps(centred, inverse);
            let rest = _mm256_fnmadd_ps(quotient, std, centred);
            let value = _mm256_fmadd_ps(rest, inverse, quotient);
            // SAFETY: 32 bytes are written to an array of 32.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), value) }
        }
        match out.as_mut_array() {
            Some(whole) => *whole = values,
            None => out.copy_from_slice(&values[..out.len()]),
        }
    }
}

//! AVX-512: sums of four bytes times four signed bytes at a time (VNNI), weights as three digits.

mod vertical;

use std::arch::x86_64::*;

use super::axis::{Near, Taps};
use super::{Across, HALF, PRECISION_BITS, gather};
use crate::simd::Avx512;

pub(super) use vertical::{vertical_f32, vertical_u8};

pub(super) fn horizontal<const PIXEL: usize>(_: Avx512, across: &Across, rows: [&[u8]; 4], planes: [&mut [u32]; 3]) {
    // SAFETY: the token proves these instructions.
    unsafe {
        match (across.groups, across.near.is_empty()) {
            (1, false) => colours::<PIXEL, 1>(across, rows, planes),
            (2, false) => colours::<PIXEL, 2>(across, rows, planes),
            _ => colours::<PIXEL, 0>(across, rows, planes),
        }
    }
}

pub(super) fn horizontal_quads(_: Avx512, across: &Across, source: &[u8], plane: &mut [u32]) {
    // SAFETY: the token proves these instructions.
    unsafe {
        match (across.groups, across.near.is_empty()) {
            (1, false) => greys::<1>(across, source, plane),
            (2, false) => greys::<2>(across, source, plane),
            _ => greys::<0>(across, source, plane),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_16(source: &[u8], at: usize) -> __m128i {
    debug_assert!(at + 16 <= source.len());
    // SAFETY: callers keep `at + 16` within `source`.
    unsafe { _mm_loadu_si128(source.as_ptr().add(at).cast()) }
}

/// The pixels of one group of taps of four output pixels, a lane each, gathered by channel. With `EDGE`, what would be
/// read beyond the row's end is not; weights are 0 there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn windows<const PIXEL: usize, const EDGE: bool>(row: &[u8], at: [usize; 4]) -> __m512i {
    let mask = const { gather::<PIXEL>() };
    // SAFETY: 16 bytes are read from an array of 16.
    let mut mask = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(mask.as_ptr().cast()) });
    let mut from = at;
    if EDGE {
        from = at.map(|at| at.min(row.len() - 16));
        let [a, b, c, d] = std::array::from_fn(|k| _mm_set1_epi8((at[k] - from[k]).min(64) as i8));
        mask = _mm512_add_epi8(mask, join(a, b, c, d));
    }
    let [a, b, c, d] = from.map(|at| load_16(row, at));
    _mm512_shuffle_epi8(join(a, b, c, d), mask)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn join(a: __m128i, b: __m128i, c: __m128i, d: __m128i) -> __m512i {
    let ab = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(ab, c), d)
}

/// The digits of the taps of four output pixels, spread over their lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn digits(taps: &[Taps; 4]) -> [__m512i; 3] {
    // SAFETY: 64 bytes are read from four times 16.
    let taps = unsafe { _mm512_loadu_si512(taps.as_ptr().cast()) };
    [_mm512_shuffle_epi32::<0x00>(taps), _mm512_shuffle_epi32::<0x55>(taps), _mm512_shuffle_epi32::<0xAA>(taps)]
}

/// One block of 16 output pixels of an axis.
#[derive(Clone, Copy)]
struct Block<'a> {
    starts: &'a [u32; 16],
    /// Of each group, each four output pixels.
    taps: &'a [[Taps; 4]],
    /// Of each four output pixels, where they are near.
    near: &'a [Near],
}

impl<'a> Block<'a> {
    /// All blocks of an axis.
    fn all(across: &'a Across) -> impl Iterator<Item = Self> {
        let taps = across.taps.as_chunks().0.chunks_exact(4 * across.groups);
        let near = across.near.chunks_exact(4).chain(std::iter::repeat(&[][..]));
        let starts = across.starts.as_chunks().0.iter();
        starts.zip(taps).zip(near).map(|((starts, taps), near)| Block { starts, taps, near })
    }
}

/// The values of `ROWS` rows at the `s`th four output pixels of a block, a lane each, before they are shifted right by
/// [`PRECISION_BITS`]. `GROUPS` is the number of groups of taps if the pixels are near, else 0. With `EDGE`, windows may
/// reach beyond the row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sums<const PIXEL: usize, const GROUPS: usize, const EDGE: bool, const ROWS: usize>(
    block: Block<'_>,
    s: usize,
    rows: [&[u8]; ROWS],
) -> [__m512i; ROWS] {
    if GROUPS == 0 {
        let mut sums = [half(); ROWS];
        for (g, taps) in block.taps.chunks_exact(4).enumerate() {
            let at = [0, 1, 2, 3].map(|lane| (block.starts[4 * s + lane] as usize + 4 * g) * PIXEL);
            let digits = digits(&taps[s]);
            for (sums, row) in sums.iter_mut().zip(rows) {
                add(sums, windows::<PIXEL, EDGE>(row, at), digits);
            }
        }
        return sums.map(|sums| whole(sums));
    }
    // SAFETY: the tables are as long as what is read of them.
    let (words, control) = unsafe {
        let Near { words, bytes } = &block.near[s];
        let words = _mm512_cvtepu8_epi32(_mm_loadu_si128(words.as_ptr().cast()));
        (words, _mm512_loadu_si512(bytes.as_ptr().cast()))
    };
    let mut values = [[_mm512_setzero_si512(); GROUPS]; ROWS];
    let mut all_digits = [[_mm512_setzero_si512(); 3]; GROUPS];
    for (g, all_digits) in all_digits.iter_mut().enumerate() {
        *all_digits = digits(&block.taps[4 * g + s]);
        let at = (block.starts[4 * s] as usize + 4 * g) * PIXEL;
        for (values, row) in values.iter_mut().zip(rows) {
            let inside = row.len().saturating_sub(at).min(64);
            debug_assert!(EDGE || inside == 64);
            let inside = if !EDGE || inside == 64 { !0 } else { (1u64 << inside) - 1 };
            // SAFETY: the mask keeps the load within `row`; without `EDGE`, callers do.
            let bytes = unsafe { _mm512_maskz_loadu_epi8(inside, row.as_ptr().wrapping_add(at).cast()) };
            values[g] = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, bytes), control);
        }
    }
    let mut sums = [_mm512_setzero_si512(); ROWS];
    for (sum, values) in sums.iter_mut().zip(values) {
        // Digit by digit, so that the sums need not be put together.
        *sum = by_digit(values, &all_digits);
    }
    sums
}

/// Whether windows of a block may reach beyond a row of `width` bytes.
fn reaches(block: Block<'_>, pixel: usize, width: usize) -> bool {
    let bytes = if block.near.is_empty() { 16 } else { 64 };
    (block.starts[15] as usize + block.taps.len() - 4) * pixel + bytes > width
}

/// The sum of words of four bytes times four taps, before it is shifted right by [`PRECISION_BITS`].
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn by_digit<const N: usize>(values: [__m512i; N], digits: &[[__m512i; 3]; N]) -> __m512i {
    let mut sum = _mm512_set1_epi32(HALF >> 16);
    for digit in 0..3 {
        if digit > 0 {
            sum = _mm512_slli_epi32::<8>(sum);
        }
        for (value, digits) in values.iter().zip(digits) {
            sum = _mm512_dpbusd_epi32(sum, *value, digits[digit]);
        }
    }
    sum
}

/// Puts the sums of the digits together.
#[inline]
#[target_feature(enable = "avx512f")]
fn whole([a, b, c]: [__m512i; 3]) -> __m512i {
    let ab = _mm512_add_epi32(_mm512_slli_epi32::<8>(a), b);
    _mm512_add_epi32(_mm512_slli_epi32::<8>(ab), c)
}

/// What the sums of the digits start from: [`HALF`], in the highest digit.
#[inline]
#[target_feature(enable = "avx512f")]
fn half() -> [__m512i; 3] {
    [_mm512_set1_epi32(HALF >> 16), _mm512_setzero_si512(), _mm512_setzero_si512()]
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add(sums: &mut [__m512i; 3], values: __m512i, digits: [__m512i; 3]) {
    for (sum, digit) in sums.iter_mut().zip(digits) {
        *sum = _mm512_dpbusd_epi32(*sum, values, digit);
    }
}

/// The quads of a block: lanes are its output pixels by fours, words their channels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn colour<const PIXEL: usize, const GROUPS: usize, const EDGE: bool>(
    block: Block<'_>,
    rows: [&[u8]; 4],
) -> [__m512i; 4] {
    // The truth table of a | b & c.
    const PUT: i32 = 0xF8;
    let [second, third, fourth] = [0xFF << 8, 0xFF << 16, 0xFFu32 << 24].map(|mask| _mm512_set1_epi32(mask as i32));
    let mut quads = [_mm512_setzero_si512(); 4];
    for (s, quads) in quads.iter_mut().enumerate() {
        // Each row's values in its byte.
        let [a, b, c, d] = sums::<PIXEL, GROUPS, EDGE, 4>(block, s, rows);
        let words = _mm512_srli_epi32::<PRECISION_BITS>(a);
        let words = _mm512_ternarylogic_epi32::<PUT>(words, _mm512_srli_epi32::<{ PRECISION_BITS - 8 }>(b), second);
        let words = _mm512_ternarylogic_epi32::<PUT>(words, _mm512_srli_epi32::<{ PRECISION_BITS - 16 }>(c), third);
        *quads = _mm512_ternarylogic_epi32::<PUT>(words, _mm512_slli_epi32::<{ 24 - PRECISION_BITS }>(d), fourth);
    }
    quads
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn colours<const PIXEL: usize, const GROUPS: usize>(across: &Across, rows: [&[u8]; 4], planes: [&mut [u32]; 3]) {
    let width = rows[0].len();
    let rows = rows.map(|row| &row[..width]);
    let [red, green, blue] = planes.map(|plane| plane.as_chunks_mut::<16>().0);
    // Words 0 and 1 of eight lanes, then word 2.
    let red_green = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
    let only_blue = _mm512_setr_epi32(2, 6, 10, 14, 18, 22, 26, 30, 2, 6, 10, 14, 18, 22, 26, 30);
    for (block, ((red, green), blue)) in Block::all(across).zip(red.iter_mut().zip(green).zip(blue)) {
        let [a, b, c, d] = if reaches(block, PIXEL, width) {
            colour::<PIXEL, GROUPS, true>(block, rows)
        } else {
            colour::<PIXEL, GROUPS, false>(block, rows)
        };
        let (ab, cd) = (_mm512_permutex2var_epi32(a, red_green, b), _mm512_permutex2var_epi32(c, red_green, d));
        let (ab_blue, cd_blue) =
            (_mm512_permutex2var_epi32(a, only_blue, b), _mm512_permutex2var_epi32(c, only_blue, d));
        store(red, _mm512_shuffle_i64x2::<0x44>(ab, cd));
        store(green, _mm512_shuffle_i64x2::<0xEE>(ab, cd));
        store(blue, _mm512_shuffle_i64x2::<0x44>(ab_blue, cd_blue));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn greys<const GROUPS: usize>(across: &Across, source: &[u8], plane: &mut [u32]) {
    let (plane, _) = plane.as_chunks_mut::<16>();
    let in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (block, out) in Block::all(across).zip(plane) {
        let edge = reaches(block, 4, source.len());
        let mut quads = [_mm512_setzero_si512(); 4];
        for (s, quads) in quads.iter_mut().enumerate() {
            let [sums] = if edge {
                sums::<4, GROUPS, true, 1>(block, s, [source])
            } else {
                sums::<4, GROUPS, false, 1>(block, s, [source])
            };
            *quads = _mm512_srli_epi32::<PRECISION_BITS>(sums);
        }
        let [a, b, c, d] = quads;
        let packed = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        store(out, _mm512_permutexvar_epi32(in_order, packed));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(out: &mut [u32; 16], value: __m512i) {
    // SAFETY: 64 bytes are written to an array of 64.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), value) }
}

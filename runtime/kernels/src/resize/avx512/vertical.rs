//! The vertical pass: quads are what VNNI multiplies, as they lie in memory.

use std::arch::x86_64::*;

use super::super::axis::Taps;
use super::super::{Down, PRECISION_BITS};
use super::{add, by_digit, half, whole};
use crate::normalize::Channel;
use crate::simd::Avx512;

pub(in crate::resize) fn vertical_u8<'a>(
    _: Avx512,
    down: &Down,
    i: usize,
    quad: impl Fn(usize) -> &'a [u32],
    out: &mut [u8],
) {
    // SAFETY: the token proves these instructions.
    unsafe { bytes(down, i, quad, out) }
}

pub(in crate::resize) fn vertical_f32<'a>(
    _: Avx512,
    down: &Down,
    i: usize,
    quad: impl Fn(usize) -> &'a [u32],
    channel: &Channel,
    out: &mut [f32],
) {
    // SAFETY: the token proves these instructions.
    unsafe { floats(down, i, quad, channel, out) }
}

/// Calls `$row` with the quads of a row as vectors and their digits, the number of which is known up to 3.
macro_rules! by_quads {
    ($row:ident, $down:expr, $i:expr, $quad:expr, $($rest:expr),*) => {{
        let (taps, first) = ($down.taps($i), $down.quads($i).start);
        match taps.len() {
            1 => $row(Few::<1>::new(taps, first, $quad), $($rest),*),
            2 => $row(Few::<2>::new(taps, first, $quad), $($rest),*),
            3 => $row(Few::<3>::new(taps, first, $quad), $($rest),*),
            _ => $row(Many { taps, first, quad: $quad }, $($rest),*),
        }
    }};
}

/// The quads that a row is made of.
trait Quads {
    /// The values of columns `16 x..16 x + 16`.
    ///
    /// # Safety
    /// The processor has AVX-512 F and VNNI.
    unsafe fn values(&self, x: usize) -> __m512i;
}

struct Few<'a, const N: usize> {
    quads: [&'a [[u32; 16]]; N],
    digits: [[__m512i; 3]; N],
}

impl<'a, const N: usize> Few<'a, N> {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(taps: &[Taps], first: usize, quad: impl Fn(usize) -> &'a [u32]) -> Self {
        Few {
            quads: std::array::from_fn(|q| quad(first + q).as_chunks().0),
            digits: std::array::from_fn(|q| spread(&taps[q])),
        }
    }
}

impl<const N: usize> Quads for Few<'_, N> {
    #[inline(always)]
    unsafe fn values(&self, x: usize) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            let mut values = [_mm512_setzero_si512(); N];
            for (value, quad) in values.iter_mut().zip(self.quads) {
                *value = load(&quad[x]);
            }
            _mm512_srli_epi32::<PRECISION_BITS>(by_digit(values, &self.digits))
        }
    }
}

struct Many<'a, F> {
    taps: &'a [Taps],
    first: usize,
    quad: F,
}

impl<'a, F: Fn(usize) -> &'a [u32]> Quads for Many<'_, F> {
    #[inline(always)]
    unsafe fn values(&self, x: usize) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            let mut sums = half();
            for (q, taps) in self.taps.iter().enumerate() {
                let vectors = (self.quad)(self.first + q).as_chunks().0;
                add(&mut sums, load(&vectors[x]), spread(taps));
            }
            _mm512_srli_epi32::<PRECISION_BITS>(whole(sums))
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(vector: &[u32; 16]) -> __m512i {
    // SAFETY: 64 bytes are read from an array of 64.
    unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn spread(&[a, b, c, _]: &Taps) -> [__m512i; 3] {
    [a, b, c].map(|digit| _mm512_set1_epi32(digit as i32))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn bytes<'a>(down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], out: &mut [u8]) {
    by_quads!(byte_row, down, i, quad, out);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn byte_row(quads: impl Quads, out: &mut [u8]) {
    let whole = out.len() / 16;
    for x in 0..out.len().div_ceil(16) {
        let mut values = [0; 16];
        // SAFETY: this function has the instructions; 16 bytes are written to an array of 16.
        unsafe { _mm_storeu_si128(values.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(quads.values(x))) }
        if x < whole {
            out[16 * x..][..16].copy_from_slice(&values);
        } else {
            let rest = &mut out[16 * x..];
            rest.copy_from_slice(&values[..rest.len()]);
        }
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn floats<'a>(down: &Down, i: usize, quad: impl Fn(usize) -> &'a [u32], channel: &Channel, out: &mut [f32]) {
    by_quads!(float_row, down, i, quad, channel, out);
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn float_row(quads: impl Quads, channel: &Channel, out: &mut [f32]) {
    let constants = [channel.mean(), channel.std(), channel.inverse().unwrap_or_default()];
    let (vectors, rest) = out.as_chunks_mut::<16>();
    for (x, out) in vectors.iter_mut().enumerate() {
        // SAFETY: this function has the instructions; 64 bytes are written to an array of 64.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), normalized(quads.values(x), constants)) }
    }
    if !rest.is_empty() {
        // SAFETY: this function has the instructions; the mask keeps the store within `rest`, which is not a whole vector.
        unsafe {
            let value = normalized(quads.values(vectors.len()), constants);
            _mm512_mask_storeu_ps(rest.as_mut_ptr(), (1 << rest.len()) - 1, value);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn normalized(value: __m512i, constants: [f32; 3]) -> __m512 {
    let [mean, std, inverse] = constants.map(|constant| _mm512_set1_ps(constant));
    let centred = _mm512_sub_ps(_mm512_cvtepi32_ps(value), mean);
    let quotient = _mm512_mul_ps(centred, inverse);
    _mm512_fmadd_ps(_mm512_fnmadd_ps(quotient, std, centred), inverse, quotient)
}

//! [`Words`]: registers of 32-bit words that are sums, or hold a few small numbers each.

use crate::lanes::Lanes;

/// The integers of one instruction set. The token that implements it proves the instructions, so arithmetic is safe; memory is not.
///
/// All methods are inlined, as those of [`Lanes`], and want the same features.
pub(super) trait Words: Copy {
    /// Its f32 numbers.
    type Floats: Lanes;
    /// A register of words.
    type Word: Copy;
    /// What adds up to a register of words.
    type Sums: Copy;

    /// Numbers in a word that is multiplied: four bytes, or two of twice as many bits.
    const GROUP: usize;
    /// What a number on the right of a product has been reduced by.
    const OFFSET: u8;
    /// Right words that a loop multiplies two registers with at once: 4 or 8.
    const ACROSS: usize;

    /// Their arithmetic.
    fn floats(self) -> Self::Floats;

    /// `value` in every word.
    fn splat(self, value: i32) -> Self::Word;
    /// `a + b`.
    fn add(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// `a - b`.
    fn sub(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// `a * b`.
    fn multiply(self, a: Self::Word, b: i32) -> Self::Word;
    /// The larger of `a` and `b`.
    fn max(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// Words of the lowest bytes of four words each, the first in the lowest bits. Each word is in 0..=255.
    fn bytes(self, from: [Self::Word; 4]) -> Self::Word;
    /// Words of the first [`GROUP`](Self::GROUP) of these, each in 0..=255, for the left of a product.
    fn group(self, from: [Self::Word; 4]) -> Self::Word;

    /// Sums that begin at `value`.
    fn start(self, value: Self::Word) -> Self::Sums;
    /// Adds the products of the numbers in each word of `left` with those in `right`.
    fn dot(self, sums: Self::Sums, left: Self::Word, right: Self::Word) -> Self::Sums;
    /// The sums.
    fn finish(self, sums: Self::Sums) -> Self::Word;

    /// As f32, rounded to nearest, ties to even.
    fn to_float(self, value: Self::Word) -> <Self::Floats as Lanes>::Vector;
    /// To nearest, ties to even.
    fn to_word(self, value: <Self::Floats as Lanes>::Vector) -> Self::Word;
    /// To nearest whole number, ties to even.
    fn round(self, value: <Self::Floats as Lanes>::Vector) -> <Self::Floats as Lanes>::Vector;
    /// `value * 2^n`, for whole numbers `n` in -20..=0 and values in 128..512.
    fn scale(
        self,
        value: <Self::Floats as Lanes>::Vector,
        n: <Self::Floats as Lanes>::Vector,
    ) -> <Self::Floats as Lanes>::Vector;
    /// `a / b`.
    fn divide(
        self,
        a: <Self::Floats as Lanes>::Vector,
        b: <Self::Floats as Lanes>::Vector,
    ) -> <Self::Floats as Lanes>::Vector;

    /// Reads a register.
    ///
    /// # Safety
    /// `from` is valid for reads of a register of words.
    unsafe fn load(self, from: *const u32) -> Self::Word;
    /// Writes a register.
    ///
    /// # Safety
    /// `to` is valid for writes of a register of words.
    unsafe fn store(self, value: Self::Word, to: *mut u32);
}

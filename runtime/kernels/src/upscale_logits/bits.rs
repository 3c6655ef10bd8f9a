//! Rows of bits: which logits are above a threshold.

use super::Axis;

/// Pixels of a word of bits.
pub const WORD: usize = u64::BITS as usize;

/// What a mask asks of a logit: to be above `at`. Its stability is measured at `at + offset` and `at - offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// The threshold: 0 for Segment Anything.
    pub at: f32,
    /// The distance: 1 for Segment Anything.
    pub offset: f32,
}

impl Threshold {
    /// The threshold, the one above it and the one below it.
    pub(super) fn limits(self) -> [f32; 3] {
        [self.at, self.at + self.offset, self.at - self.offset]
    }
}

/// How many logits lie above the thresholds around a mask's: their ratio is the stability score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Above `at + offset`.
    pub inside: u64,
    /// Above `at - offset`.
    pub around: u64,
}

/// What the low-resolution logits tell of a word of pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Class(u8);

impl Class {
    const UNKNOWN: Class = Class(0);
    const ABOVE: Class = Class(1);
    const BELOW: Class = Class(2);

    /// What holds of any mean of both.
    fn both(self, other: Class) -> Class {
        Class(self.0 & other.0)
    }
}

/// Says of each word of a low-resolution row at image width whether all that it is made of lies clearly above or clearly
/// below all three thresholds. `axis` is the horizontal one; `out` has a class for each word.
pub fn classify(axis: &Axis, low: &[f32], threshold: Threshold, out: &mut [Class]) {
    // Weights of two add up to 1 within 2^-25, and each of four interpolations rounds three times: what lies between such logits
    // is off by 2e-6 of itself at most. Infinite logits, which have no mean, and those close to them are left to arithmetic.
    const MARGIN: f32 = 1e-4;
    const LIMIT: f32 = 1e30;
    let (at, reach) = (threshold.at, threshold.offset.abs());
    let margin = MARGIN * (1.0 + at.abs() + reach);
    let (above, below) = (at + reach + margin, at - reach - margin);
    let [first, .., last] = &axis.indices;
    for (word, out) in out.iter_mut().enumerate() {
        let start = word * WORD;
        let end = (start + WORD).min(axis.image()) - 1;
        let logits = &low[first[start] as usize..=last[end] as usize];
        *out = if logits.iter().all(|&logit| above < logit && logit < LIMIT) {
            Class::ABOVE
        } else if logits.iter().all(|&logit| -LIMIT < logit && logit < below) {
            Class::BELOW
        } else {
            Class::UNKNOWN
        };
    }
}

/// The four rows of which an output row is made, in whole words, what is known of them, and their weights.
pub(super) struct Rows<'a> {
    pub(super) rows: [&'a [f32]; 4],
    pub(super) classes: [&'a [Class]; 4],
    pub(super) weights: [f32; 6],
    pub(super) width: usize,
}

impl Rows<'_> {
    /// Writes and counts the words of the row; `word(x)` gives those of the three limits from pixel `x` on.
    #[inline(always)]
    pub(super) fn each_word(&self, bits: &mut [u64], counts: &mut Counts, mut word: impl FnMut(usize) -> [u64; 3]) {
        let [a, b, c, d] = self.classes;
        for (index, out) in bits.iter_mut().enumerate() {
            let start = index * WORD;
            let len = WORD.min(self.width - start);
            let used = u64::MAX >> (WORD - len);
            match a[index].both(b[index]).both(c[index]).both(d[index]) {
                Class::BELOW => *out = 0,
                Class::ABOVE => {
                    *out = used;
                    counts.inside += len as u64;
                    counts.around += len as u64;
                }
                _ => {
                    let [at, high, low] = word(start);
                    *out = at & used;
                    counts.inside += u64::from((high & used).count_ones());
                    counts.around += u64::from((low & used).count_ones());
                }
            }
        }
    }
}

/// Calls `found(x, len)` for each stretch of ones in a row of bits, from the first on; `x` and `len` in pixels.
pub fn for_each_run(bits: &[u64], mut found: impl FnMut(u32, u32)) {
    let mut open = None;
    for (index, &word) in bits.iter().enumerate() {
        let base = (index * WORD) as u32;
        // Ones where a pixel differs from the one before it.
        let mut changes = word ^ (word << 1 | u64::from(open.is_some()));
        while changes != 0 {
            let x = base + changes.trailing_zeros();
            changes &= changes - 1;
            match open.take() {
                None => open = Some(x),
                Some(start) => found(start, x - start),
            }
        }
    }
    if let Some(start) = open {
        found(start, (bits.len() * WORD) as u32 - start);
    }
}

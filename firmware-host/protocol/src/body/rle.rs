//! Masks row by row, as lengths of runs: item [`Rle`](crate::ItemKind::Rle).
//!
//! Width and height; then, over the rows laid end to end, the lengths of runs outside, inside, outside and so on. The
//! first may be 0, no other. They end with a run inside: what follows is outside. Each length is written as the
//! [zigzag](super::leb::zigzag) of its difference to the one two before (0 before the first two), because a run is often nearly
//! as long as the one above it.

use super::BodyError;
use super::leb;
use crate::field::{Full, Sink};

/// `len` pixels of row `y` from column `x` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Row.
    pub y: u32,
    /// First column.
    pub x: u32,
    /// Number of pixels, at least one.
    pub len: u32,
}

/// The lengths of two kinds of runs that came last.
#[derive(Debug, Clone, Copy, Default)]
struct Before([u32; 2]);

impl Before {
    fn difference(&mut self, length: u32) -> u64 {
        let [older, newer] = self.0;
        self.0 = [newer, length];
        leb::zigzag(i64::from(length) - i64::from(older))
    }

    fn length(&mut self, difference: u64) -> Option<u32> {
        let [older, newer] = self.0;
        let length = leb::unzigzag(difference).checked_add(i64::from(older))?;
        let length = u32::try_from(length).ok()?;
        self.0 = [newer, length];
        Some(length)
    }
}

/// Writes a mask of `width` times `height` pixels, given as spans sorted by row, then column, none overlapping.
///
/// Written to a [`Count`](crate::Count) it tells the length; the spans are then needed twice.
///
/// # Errors
/// [`Full`] if there is no room, or a span is empty, out of order or outside of the mask.
pub fn encode(
    width: u16,
    height: u16,
    spans: impl IntoIterator<Item = Span>,
    out: &mut (impl Sink + ?Sized),
) -> Result<(), Full> {
    leb::put(out, width.into())?;
    leb::put(out, height.into())?;
    let (width, height) = (u32::from(width), u32::from(height));
    let mut before = Before::default();
    // The run inside that may still grow, over the end of a row too: from where to where.
    let (mut start, mut end) = (0, 0);
    // Where the run before that ended.
    let mut done = 0;
    for Span { y, x, len } in spans {
        if len == 0 || y >= height || x >= width || len > width - x {
            return Err(Full);
        }
        // Below 2^32, as sides are below 2^16.
        let first = y * width + x;
        if first < end {
            return Err(Full);
        }
        if first > end && end > start {
            leb::put(out, before.difference(start - done))?;
            leb::put(out, before.difference(end - start))?;
            done = end;
        }
        if first > end || end == start {
            start = first;
        }
        end = first + len;
    }
    if end > start {
        leb::put(out, before.difference(start - done))?;
        leb::put(out, before.difference(end - start))?;
    }
    Ok(())
}

/// Reads the spans of a mask, row by row. Ends after the first error. There are never more than rows and runs together.
#[derive(Debug, Clone)]
pub struct Spans<'a> {
    rest: &'a [u8],
    width: u32,
    height: u32,
    before: Before,
    /// Where the next run outside begins, and how much of a run inside is still to be given before that.
    at: u32,
    inside: u32,
    first: bool,
}

impl<'a> Spans<'a> {
    /// Of an item's bytes.
    ///
    /// # Errors
    /// [`BodyError`] if they do not begin with a width and a height of 16 bits.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BodyError> {
        let mut rest = bytes;
        let mut side = || u16::try_from(leb::take(&mut rest)?).map_err(|_| BodyError::Number);
        let (width, height) = (side()?, side()?);
        let (width, height) = (width.into(), height.into());
        Ok(Spans { rest, width, height, before: Before::default(), at: 0, inside: 0, first: true })
    }

    /// Width of the mask in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height of the mask in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    fn length(&mut self) -> Result<u32, BodyError> {
        let difference = leb::take(&mut self.rest)?;
        self.before.length(difference).ok_or(BodyError::Runs)
    }

    fn run(&mut self) -> Result<(), BodyError> {
        let (outside, inside) = (self.length()?, self.length()?);
        let first = core::mem::replace(&mut self.first, false);
        if inside == 0 || (outside == 0 && !first) {
            return Err(BodyError::Runs);
        }
        let start = self.at.checked_add(outside).ok_or(BodyError::Runs)?;
        let end = start.checked_add(inside).ok_or(BodyError::Runs)?;
        if end > self.width * self.height {
            return Err(BodyError::Runs);
        }
        (self.at, self.inside) = (start, inside);
        Ok(())
    }
}

impl Iterator for Spans<'_> {
    type Item = Result<Span, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.inside == 0 {
            if self.rest.is_empty() {
                return None;
            }
            if let Err(error) = self.run() {
                self.rest = &[];
                return Some(Err(error));
            }
        }
        // A run inside lies inside of the mask, so that its width is not 0.
        let (y, x) = (self.at / self.width, self.at % self.width);
        let len = self.inside.min(self.width - x);
        self.at += len;
        self.inside -= len;
        Some(Ok(Span { y, x, len }))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::field::{Count, SliceSink};
    use std::vec::Vec;

    fn span(y: u32, x: u32, len: u32) -> Span {
        Span { y, x, len }
    }

    fn assert_form(width: u16, height: u16, spans: &[Span], bytes: &[u8]) {
        let mut out = std::vec![0; 64];
        let mut sink = SliceSink::new(&mut out);
        encode(width, height, spans.iter().copied(), &mut sink).unwrap();
        let length = sink.len();
        assert_eq!(&out[..length], bytes);
        let mut count = Count(0);
        encode(width, height, spans.iter().copied(), &mut count).unwrap();
        assert_eq!(count.0, length);
        let read = Spans::new(&out[..length]).unwrap();
        assert_eq!((read.width(), read.height()), (width.into(), height.into()));
        let read: Result<Vec<_>, _> = read.collect();
        assert_eq!(read.unwrap(), spans);
    }

    #[test]
    fn masks_stand_as_the_document_says() {
        assert_form(300, 2, &[], &[0xac, 2, 2]);
        assert_form(4, 3, &[span(0, 0, 1)], &[4, 3, 0, 2]);
        // 6 outside, 2 inside, 2 outside (4 less), 2 inside (0 less).
        assert_form(4, 3, &[span(1, 2, 2), span(2, 2, 2)], &[4, 3, 12, 4, 7, 0]);
        // A run over the end of a row, and all pixels.
        assert_form(4, 3, &[span(0, 3, 1), span(1, 0, 2)], &[4, 3, 6, 6]);
        assert_form(4, 3, &[span(0, 0, 4), span(1, 0, 4), span(2, 0, 4)], &[4, 3, 0, 24]);
    }

    #[test]
    fn spans_that_make_no_mask_are_refused() {
        let bad: [&[Span]; 6] = [
            &[span(0, 0, 0)],
            &[span(3, 0, 1)],
            &[span(0, 4, 1)],
            &[span(0, 2, 3)],
            &[span(0, 0, 2), span(0, 1, 2)],
            &[span(1, 0, 1), span(0, 0, 1)],
        ];
        for spans in bad {
            assert_eq!(encode(4, 3, spans.iter().copied(), &mut Count(0)), Err(Full), "{spans:?}");
        }
    }

    #[test]
    fn bytes_that_make_no_mask_are_refused() {
        let bad: [(&[u8], BodyError); 9] = [
            (&[], BodyError::Short),
            (&[4], BodyError::Short),
            (&[0x80, 0x80, 4, 3], BodyError::Number),
            (&[4, 3, 2], BodyError::Short),
            (&[4, 3, 1, 2], BodyError::Runs),
            (&[4, 3, 0, 0], BodyError::Runs),
            (&[4, 3, 0, 26], BodyError::Runs),
            (&[4, 3, 2, 2, 1, 0], BodyError::Runs),
            (&[0, 3, 0, 2], BodyError::Runs),
        ];
        for (bytes, error) in bad {
            let read = Spans::new(bytes).and_then(|spans| spans.collect::<Result<Vec<_>, _>>());
            assert_eq!(read, Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn the_largest_mask_needs_no_more_than_32_bits() {
        let rows = (0..65535).map(|y| span(y, 0, 65535));
        let mut out = [0; 32];
        let mut sink = SliceSink::new(&mut out);
        encode(65535, 65535, rows, &mut sink).unwrap();
        let length = sink.len();
        let read = Spans::new(&out[..length]).unwrap();
        assert_eq!(read.map(|span| u64::from(span.unwrap().len)).sum::<u64>(), 65535 * 65535);
    }
}

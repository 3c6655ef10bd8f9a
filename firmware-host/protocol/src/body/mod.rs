//! The body of an answer: items one after another, each a kind, a length and that many bytes.
//!
//! Lengths and most numbers inside items are LEB128 ([`leb`]). A service writes items in the order of their kinds; who reads takes any order
//! and skips kinds that it does not know.

use core::fmt;

use crate::codes::ItemKind;
use crate::field::{Count, Full, Sink, SliceSink};
use crate::q4::Q4;

pub mod contour;
pub mod leb;
pub mod rle;

/// Why the bytes of a body are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// They end too early.
    Short,
    /// More follow than belong there.
    Trailing,
    /// A number is longer than it has to be, or too large for what it says.
    Number,
    /// Runs that are empty or reach beyond the mask.
    Runs,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::Short => "the item ends too early",
            BodyError::Trailing => "the item goes on behind its end",
            BodyError::Number => "the item has a number that it must not have",
            BodyError::Runs => "the item has runs that are empty or outside of the mask",
        })
    }
}

impl core::error::Error for BodyError {}

/// One item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// What it is.
    pub kind: ItemKind,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Reads the items of a body. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// Of a whole body.
    pub fn new(body: &'a [u8]) -> Self {
        Items { rest: body }
    }

    fn read(&mut self) -> Result<Item<'a>, BodyError> {
        let (&kind, rest) = self.rest.split_first().ok_or(BodyError::Short)?;
        let mut rest = rest;
        let length = usize::try_from(leb::take(&mut rest)?).map_err(|_| BodyError::Number)?;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(BodyError::Short)?;
        self.rest = rest;
        Ok(Item { kind: kind.into(), bytes })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

/// Bytes of an item in a body: its kind, the length and so many bytes.
pub fn item_size(bytes: usize) -> usize {
    1usize.saturating_add(leb::size(bytes as u64)).saturating_add(bytes)
}

/// Writes items into a slice.
#[derive(Debug)]
pub struct ItemWriter<'a> {
    out: SliceSink<'a>,
}

impl<'a> ItemWriter<'a> {
    /// With nothing written.
    pub fn new(out: &'a mut [u8]) -> Self {
        ItemWriter { out: SliceSink::new(out) }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Appends an item that `write` writes; it is called twice, first to count.
    ///
    /// # Errors
    /// [`Full`] if the item does not fit, or `write` fails; what was written before stays whole, and a shorter item may
    /// still fit.
    pub fn item<W>(&mut self, kind: ItemKind, write: W) -> Result<(), Full>
    where
        W: Fn(&mut dyn Sink) -> Result<(), Full>,
    {
        let mut count = Count(0);
        write(&mut count)?;
        if item_size(count.0) > self.out.room() {
            return Err(Full);
        }
        let before = self.out.len();
        let written = (|| {
            self.out.push(&[kind.into()])?;
            leb::put(&mut self.out, count.0 as u64)?;
            let start = self.out.len();
            write(&mut self.out)?;
            if self.out.len() - start == count.0 { Ok(()) } else { Err(Full) }
        })();
        if written.is_err() {
            self.out.shorten(before);
        }
        written
    }

    /// Appends an item of these bytes.
    ///
    /// # Errors
    /// [`Full`], as [`item`](Self::item).
    pub fn bytes(&mut self, kind: ItemKind, bytes: &[u8]) -> Result<(), Full> {
        self.item(kind, |out| out.push(bytes))
    }

    /// Appends a [`BBox`].
    ///
    /// # Errors
    /// [`Full`], as [`item`](Self::item).
    pub fn bbox(&mut self, bbox: BBox) -> Result<(), Full> {
        self.bytes(ItemKind::BBox, &bbox.to_bytes())
    }

    /// Appends a [`Centroid`].
    ///
    /// # Errors
    /// [`Full`], as [`item`](Self::item).
    pub fn centroid(&mut self, centroid: Centroid) -> Result<(), Full> {
        self.bytes(ItemKind::Centroid, &centroid.to_bytes())
    }

    /// Appends the number of the mask's pixels.
    ///
    /// # Errors
    /// [`Full`], as [`item`](Self::item).
    pub fn area(&mut self, pixels: u32) -> Result<(), Full> {
        self.bytes(ItemKind::Area, &pixels.to_le_bytes())
    }
}

/// The smallest box around a mask, in whole pixels; all 0 for an empty mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BBox {
    /// First column.
    pub x: u16,
    /// First row.
    pub y: u16,
    /// Number of columns.
    pub width: u16,
    /// Number of rows.
    pub height: u16,
}

impl BBox {
    /// Four `u16`.
    pub fn to_bytes(self) -> [u8; 8] {
        let [x, y, w, h] = [self.x, self.y, self.width, self.height].map(u16::to_le_bytes);
        [x[0], x[1], y[0], y[1], w[0], w[1], h[0], h[1]]
    }

    /// From the bytes of an item.
    ///
    /// # Errors
    /// [`BodyError`] if they are not eight.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BodyError> {
        let [x0, x1, y0, y1, w0, w1, h0, h1] = exactly(bytes)?;
        let number = |low, high| u16::from_le_bytes([low, high]);
        Ok(BBox { x: number(x0, x1), y: number(y0, y1), width: number(w0, w1), height: number(h0, h1) })
    }
}

/// The mean of the middles of a mask's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Centroid {
    /// Column.
    pub x: Q4,
    /// Row.
    pub y: Q4,
}

impl Centroid {
    /// Two [`Q4`].
    pub fn to_bytes(self) -> [u8; 8] {
        let (x, y) = (self.x.0.to_le_bytes(), self.y.0.to_le_bytes());
        [x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]]
    }

    /// From the bytes of an item.
    ///
    /// # Errors
    /// [`BodyError`] if they are not eight.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BodyError> {
        let [x0, x1, x2, x3, y0, y1, y2, y3] = exactly(bytes)?;
        let number = |bytes| Q4(u32::from_le_bytes(bytes));
        Ok(Centroid { x: number([x0, x1, x2, x3]), y: number([y0, y1, y2, y3]) })
    }
}

/// The number of a mask's pixels, from the bytes of an item.
///
/// # Errors
/// [`BodyError`] if they are not four.
pub fn area_from_bytes(bytes: &[u8]) -> Result<u32, BodyError> {
    exactly(bytes).map(u32::from_le_bytes)
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BodyError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(BodyError::Short)?;
    if rest.is_empty() { Ok(*taken) } else { Err(BodyError::Trailing) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn items_stand_as_the_document_says() {
        let mut out = [0; 64];
        let mut writer = ItemWriter::new(&mut out);
        writer.bbox(BBox { x: 1, y: 2, width: 0x0304, height: 5 }).unwrap();
        writer.centroid(Centroid { x: Q4(0x10), y: Q4(0x0102_0304) }).unwrap();
        writer.area(0x0a0b_0c0d).unwrap();
        writer.bytes(ItemKind::CocoRle, b"0c0").unwrap();
        let length = writer.len();
        let expected = [
            &[1, 8, 1, 0, 2, 0, 4, 3, 5, 0][..],
            &[2, 8, 0x10, 0, 0, 0, 4, 3, 2, 1],
            &[3, 4, 0x0d, 0x0c, 0x0b, 0x0a],
            &[6, 3, b'0', b'c', b'0'],
        ];
        assert_eq!(out[..length], expected.concat());
        let items: Vec<_> = Items::new(&out[..length]).map(Result::unwrap).collect();
        assert_eq!(BBox::from_bytes(items[0].bytes), Ok(BBox { x: 1, y: 2, width: 0x0304, height: 5 }));
        assert_eq!(Centroid::from_bytes(items[1].bytes), Ok(Centroid { x: Q4(0x10), y: Q4(0x0102_0304) }));
        assert_eq!(area_from_bytes(items[2].bytes), Ok(0x0a0b_0c0d));
        assert_eq!(items[3], Item { kind: ItemKind::CocoRle, bytes: b"0c0" });
    }

    #[test]
    fn an_item_that_does_not_fit_leaves_the_others_whole() {
        let mut out = [0; 9];
        let mut writer = ItemWriter::new(&mut out);
        writer.area(7).unwrap();
        assert_eq!(writer.bbox(BBox::default()), Err(Full));
        assert_eq!(writer.item(ItemKind::Rle, |_| Err(Full)), Err(Full));
        assert_eq!(writer.len(), 6);
        writer.bytes(ItemKind::Picture, &[9]).unwrap();
        assert_eq!(out, [3, 4, 7, 0, 0, 0, 7, 1, 9]);
    }

    #[test]
    fn unknown_kinds_are_given_and_damage_ends_the_items() {
        let items: Vec<_> = Items::new(&[99, 1, 5, 3, 4, 1]).collect();
        assert_eq!(items, [Ok(Item { kind: ItemKind::Other(99), bytes: &[5] }), Err(BodyError::Short)]);
        assert_eq!(Items::new(&[]).next(), None);
        assert_eq!(Items::new(&[1]).next(), Some(Err(BodyError::Short)));
        assert_eq!(Items::new(&[1, 0x80, 0]).next(), Some(Err(BodyError::Number)));
        assert_eq!(BBox::from_bytes(&[0; 9]), Err(BodyError::Trailing));
        assert_eq!(area_from_bytes(&[0; 3]), Err(BodyError::Short));
    }
}

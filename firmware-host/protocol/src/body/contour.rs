//! Polygons around a mask: item [`Contour`](crate::ItemKind::Contour).
//!
//! The IoU of the polygons with the mask, in 1/10000 (`u16`); the number of rings; for each a byte that is 1 for a hole,
//! the number of its points, the first point, and for the others the [zigzag](super::leb::zigzag) of the difference to
//! the one before, in x and y. Points are corners of pixels: (0, 0) is the upper left corner of the image.

use super::BodyError;
use super::leb;
use crate::field::{Full, Sink};

/// One closed border; the last point joins the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring<'a> {
    /// Whether it bounds a hole.
    pub hole: bool,
    /// Corners: x and y.
    pub points: &'a [[u16; 2]],
}

/// Writes polygons.
///
/// # Errors
/// [`Full`] if there is no room.
pub fn encode(iou: u16, rings: &[Ring<'_>], out: &mut (impl Sink + ?Sized)) -> Result<(), Full> {
    out.push(&iou.to_le_bytes())?;
    leb::put(out, rings.len() as u64)?;
    for ring in rings {
        out.push(&[ring.hole.into()])?;
        leb::put(out, ring.points.len() as u64)?;
        let mut before: Option<[i64; 2]> = None;
        for &[x, y] in ring.points {
            let [x, y] = [i64::from(x), i64::from(y)];
            let coded = match before {
                None => [x as u64, y as u64],
                Some([x0, y0]) => [leb::zigzag(x - x0), leb::zigzag(y - y0)],
            };
            coded.into_iter().try_for_each(|number| leb::put(out, number))?;
            before = Some([x, y]);
        }
    }
    Ok(())
}

/// What [`Contour`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A ring begins; so many points follow.
    Ring {
        /// Whether it bounds a hole.
        hole: bool,
        /// Its points. A service can claim any number: reserve nothing for it.
        points: u32,
    },
    /// The next point of the ring.
    Point {
        /// Column of the corner.
        x: u16,
        /// Row of the corner.
        y: u16,
    },
}

/// Reads polygons, part by part. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Contour<'a> {
    rest: &'a [u8],
    iou: u16,
    rings: u64,
    points: u32,
    before: Option<[u16; 2]>,
}

impl<'a> Contour<'a> {
    /// Of an item's bytes.
    ///
    /// # Errors
    /// [`BodyError`] if they do not begin as they should.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BodyError> {
        let (&iou, rest) = bytes.split_first_chunk().ok_or(BodyError::Short)?;
        let mut rest = rest;
        let rings = leb::take(&mut rest)?;
        Ok(Contour { rest, iou: u16::from_le_bytes(iou), rings, points: 0, before: None })
    }

    /// IoU of the polygons with the mask, in 1/10000.
    pub fn iou(&self) -> u16 {
        self.iou
    }

    fn ring(&mut self) -> Result<Part, BodyError> {
        let (&hole, rest) = self.rest.split_first().ok_or(BodyError::Short)?;
        self.rest = rest;
        let points = u32::try_from(leb::take(&mut self.rest)?).map_err(|_| BodyError::Number)?;
        if hole > 1 {
            return Err(BodyError::Number);
        }
        self.rings -= 1;
        (self.points, self.before) = (points, None);
        Ok(Part::Ring { hole: hole == 1, points })
    }

    fn point(&mut self) -> Result<Part, BodyError> {
        let (x, y) = (leb::take(&mut self.rest)?, leb::take(&mut self.rest)?);
        let coordinate = |coded: u64, before: Option<u16>| {
            let value = match before {
                None => i64::try_from(coded).ok(),
                Some(before) => leb::unzigzag(coded).checked_add(before.into()),
            };
            value.and_then(|value| u16::try_from(value).ok()).ok_or(BodyError::Number)
        };
        let (x, y) = (coordinate(x, self.before.map(|b| b[0]))?, coordinate(y, self.before.map(|b| b[1]))?);
        self.before = Some([x, y]);
        self.points -= 1;
        Ok(Part::Point { x, y })
    }
}

impl Iterator for Contour<'_> {
    type Item = Result<Part, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = match (self.points, self.rings) {
            (0, 0) if self.rest.is_empty() => return None,
            (0, 0) => Err(BodyError::Trailing),
            (0, _) => self.ring(),
            _ => self.point(),
        };
        if part.is_err() {
            (self.rest, self.rings, self.points) = (&[], 0, 0);
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::field::SliceSink;
    use std::vec::Vec;

    #[test]
    fn polygons_stand_as_the_document_says() {
        let rings = [
            Ring { hole: false, points: &[[300, 10], [302, 10], [302, 7]] },
            Ring { hole: true, points: &[[0, 65535], [65535, 0]] },
        ];
        let mut out = [0; 64];
        let mut sink = SliceSink::new(&mut out);
        encode(9876, &rings, &mut sink).unwrap();
        let length = sink.len();
        let expected = [
            &[0x94, 0x26, 2][..],
            &[0, 3, 0xac, 2, 10, 4, 0, 0, 5],
            &[1, 2, 0, 0xff, 0xff, 3, 0xfe, 0xff, 7, 0xfd, 0xff, 7],
        ];
        assert_eq!(out[..length], expected.concat());
        let read = Contour::new(&out[..length]).unwrap();
        assert_eq!(read.iou(), 9876);
        let parts: Vec<_> = read.map(Result::unwrap).collect();
        let expected = [
            Part::Ring { hole: false, points: 3 },
            Part::Point { x: 300, y: 10 },
            Part::Point { x: 302, y: 10 },
            Part::Point { x: 302, y: 7 },
            Part::Ring { hole: true, points: 2 },
            Part::Point { x: 0, y: 65535 },
            Part::Point { x: 65535, y: 0 },
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn bytes_that_are_no_polygons_are_refused() {
        let bad: [(&[u8], BodyError); 7] = [
            (&[0], BodyError::Short),
            (&[0, 0], BodyError::Short),
            (&[0, 0, 0, 9], BodyError::Trailing),
            (&[0, 0, 1, 2, 0], BodyError::Number),
            (&[0, 0, 1, 0, 2, 5, 5], BodyError::Short),
            (&[0, 0, 1, 0, 2, 5, 5, 11, 0], BodyError::Number),
            (&[0, 0, 1, 0, 1, 0x80, 0x80, 4, 5], BodyError::Number),
        ];
        for (bytes, error) in bad {
            let read = Contour::new(bytes).and_then(|parts| parts.collect::<Result<Vec<_>, _>>());
            assert_eq!(read, Err(error), "{bytes:?}");
        }
    }
}

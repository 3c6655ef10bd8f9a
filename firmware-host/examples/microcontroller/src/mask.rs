//! Masks without a bitmap: spans are counted and drawn as they are read.

use core::fmt;

use cutout_protocol::Q4;
use cutout_protocol::body::contour::{Contour, Part};
use cutout_protocol::body::rle::{Span, Spans};
use cutout_protocol::body::{BBox, BodyError, Centroid};

/// What a mask's runs say of it.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// Columns and rows of the frame.
    pub(crate) size: (u32, u32),
    /// Number of the mask's pixels.
    pub(crate) area: u32,
    /// The smallest box around them.
    pub(crate) bbox: BBox,
    /// The mean of their middles.
    pub(crate) centroid: Centroid,
}

/// Reads a row RLE, and draws it.
///
/// # Errors
/// If it is none.
pub(crate) fn measure(rle: &[u8], picture: &mut Picture) -> Result<Measured, BodyError> {
    let spans = Spans::new(rle)?;
    let size = (spans.width(), spans.height());
    let (mut area, mut sum_x, mut sum_y) = (0, 0, 0);
    let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
    let mut pen = Pen { picture, size, row: 0, counts: [0; Picture::WIDTH as usize] };
    for span in spans {
        let Span { y, x, len } = span?;
        area += len;
        // Twice the distances of the middles from the edges.
        sum_x += u64::from(len) * u64::from(2 * x + len);
        sum_y += u64::from(len) * u64::from(2 * y + 1);
        (left, right) = (left.min(x), right.max(x + len));
        (top, bottom) = (top.min(y), bottom.max(y + 1));
        pen.draw(span?);
    }
    pen.finish();
    let mean = |sum: u64| Q4((sum * 8 + u64::from(area) / 2).checked_div(area.into()).unwrap_or(0) as u32);
    // Sides are of 16 bits.
    let bbox = match area {
        0 => BBox::default(),
        _ => BBox { x: left as u16, y: top as u16, width: (right - left) as u16, height: (bottom - top) as u16 },
    };
    Ok(Measured { size, area, bbox, centroid: Centroid { x: mean(sum_x), y: mean(sum_y) } })
}

/// What a small monochrome display shows: 64 by 32 pixels, the leftmost of a row in the highest bit.
pub(crate) struct Picture([u64; Picture::HEIGHT as usize]);

impl Picture {
    const WIDTH: u32 = 64;
    const HEIGHT: u32 = 32;

    /// A dark one.
    pub(crate) const fn new() -> Self {
        Picture([0; Self::HEIGHT as usize])
    }

    /// Pixels that are lit.
    pub(crate) fn lit(&self) -> u32 {
        self.0.iter().map(|row| row.count_ones()).sum()
    }
}

/// In characters.
impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.0 {
            let mut line = [b'.'; Self::WIDTH as usize];
            for (at, place) in line.iter_mut().enumerate() {
                if row << at >> 63 == 1 {
                    *place = b'#';
                }
            }
            writeln!(f, "  {}", core::str::from_utf8(&line).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Draws a mask row by row. A pixel of the picture is lit if half of the mask's pixels in its place are set.
struct Pen<'p> {
    picture: &'p mut Picture,
    size: (u32, u32),
    /// The row being drawn, and how many of the mask's pixels are in the place of each of its pixels.
    row: u32,
    counts: [u32; Picture::WIDTH as usize],
}

/// Which of `cells` parts of a side has pixel `at` in it.
fn cell(at: u32, side: u32, cells: u32) -> u32 {
    at * cells / side
}

/// The first pixel of a part.
fn start(cell: u32, side: u32, cells: u32) -> u32 {
    (cell * side).div_ceil(cells)
}

impl Pen<'_> {
    fn draw(&mut self, span: Span) {
        let (width, height) = self.size;
        let row = cell(span.y, height, Picture::HEIGHT);
        if row != self.row {
            self.finish();
            self.row = row;
        }
        let (mut x, end) = (span.x, span.x + span.len);
        while x < end {
            let column = cell(x, width, Picture::WIDTH);
            let next = start(column + 1, width, Picture::WIDTH).min(end);
            if let Some(count) = self.counts.get_mut(column as usize) {
                *count += next - x;
            }
            x = next;
        }
    }

    fn finish(&mut self) {
        let (width, height) = self.size;
        let part = |at: usize, side, cells| start(at as u32 + 1, side, cells) - start(at as u32, side, cells);
        let Some(row) = self.picture.0.get_mut(self.row as usize) else { return };
        let rows = part(self.row as usize, height, Picture::HEIGHT);
        for (column, count) in self.counts.iter_mut().enumerate() {
            if *count > 0 && *count * 2 >= rows * part(column, width, Picture::WIDTH) {
                *row |= 1 << 63 >> column;
            }
            *count = 0;
        }
    }
}

/// What a contour says of itself.
#[derive(Clone, Copy)]
pub(crate) struct Outline {
    /// Polygons, holes among them.
    pub(crate) rings: u32,
    /// Their corners.
    pub(crate) points: u32,
    /// Area of the polygons without the holes, in pixels.
    pub(crate) area: u32,
    /// IoU with the mask that the service states, in 1/10000.
    pub(crate) iou: u16,
    /// Whether all corners lie on this box, its edges included.
    pub(crate) is_inside: bool,
}

/// Reads a contour.
///
/// # Errors
/// If it is none.
pub(crate) fn outline(bytes: &[u8], bbox: BBox) -> Result<Outline, BodyError> {
    let contour = Contour::new(bytes)?;
    let mut outline = Outline { rings: 0, points: 0, area: 0, iou: contour.iou(), is_inside: true };
    let (mut twice, mut ring) = (0, Ring::default());
    for part in contour {
        match part? {
            Part::Ring { hole, .. } => {
                twice += ring.twice_area();
                ring = Ring { hole, ..Ring::default() };
                outline.rings += 1;
            }
            Part::Point { x, y } => {
                ring.add([x.into(), y.into()]);
                outline.points += 1;
                let within = |at: u16, from: u16, side: u16| at >= from && at - from <= side;
                outline.is_inside &= within(x, bbox.x, bbox.width) && within(y, bbox.y, bbox.height);
            }
        }
    }
    twice += ring.twice_area();
    outline.area = u32::try_from(twice / 2).map_err(|_| BodyError::Number)?;
    Ok(outline)
}

/// Adds up a polygon's area (the shoelace formula).
#[derive(Default)]
struct Ring {
    hole: bool,
    first: Option<[i64; 2]>,
    last: [i64; 2],
    sum: i64,
}

impl Ring {
    fn add(&mut self, point: [i64; 2]) {
        if self.first.is_none() {
            self.first = Some(point);
        } else {
            self.sum += cross(self.last, point);
        }
        self.last = point;
    }

    /// Twice the area, negative for a hole.
    fn twice_area(&self) -> i64 {
        let closed = self.first.map_or(0, |first| self.sum + cross(self.last, first)).abs();
        if self.hole { -closed } else { closed }
    }
}

fn cross([x0, y0]: [i64; 2], [x1, y1]: [i64; 2]) -> i64 {
    x0 * y1 - x1 * y0
}

/// Reads COCO's `counts`: the mask's pixels, and all pixels up to the end of the last run. `None` if it is no such text.
///
/// A length is written in digits of five bits, the lowest first, from `0` on; bit 5 says that more follow, and bit 4 of the last
/// is the sign. From the fourth on they are differences to the one two before.
pub(crate) fn coco_area(counts: &[u8]) -> Option<(u32, u32)> {
    let (mut area, mut total) = (0u32, 0u32);
    let (mut older, mut newer) = (0i32, 0i32);
    let mut rest = counts.iter();
    let mut index = 0u32;
    while !rest.as_slice().is_empty() {
        let (mut value, mut shift) = (0i32, 0);
        loop {
            let digit = i32::from(rest.next()?.checked_sub(48).filter(|digit| *digit < 64)?);
            value |= (digit & 0x1f).checked_shl(shift)?;
            shift += 5;
            if digit & 0x20 == 0 {
                if digit & 0x10 != 0 && shift < 32 {
                    value |= -1 << shift;
                }
                break;
            }
        }
        let length = if index > 2 { value.checked_add(older)? } else { value };
        let run = u32::try_from(length).ok()?;
        total = total.checked_add(run)?;
        area += if index % 2 == 1 { run } else { 0 };
        (older, newer) = (newer, length);
        index += 1;
    }
    Some((area, total))
}

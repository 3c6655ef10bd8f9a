//! [`Mask`]: which pixels are meant, as row-major runs.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Point, Size};

/// `len` pixels of row `y` from column `x` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Row.
    pub y: u32,
    /// First column.
    pub x: u32,
    /// Number of pixels, at least one.
    pub len: u32,
}

impl Run {
    /// The column after the last.
    pub const fn end(&self) -> u32 {
        self.x.saturating_add(self.len)
    }
}

/// A binary mask in image pixels: runs sorted by row, then column; none empty, none overlapping, none touching another
/// of its row. So equal masks have equal runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mask {
    size: Size,
    runs: Vec<Run>,
}

impl Mask {
    /// A mask from its runs. Fails with [`ErrorKind::InvalidImage`] if the size is zero or too large for an image, or
    /// the runs are not as the type promises.
    pub fn from_runs(size: Size, runs: Vec<Run>) -> Result<Self> {
        size.check()?;
        let (width, height) = (size.width as u32, size.height as u32);
        let mut free = (0, 0);
        for (index, run) in runs.iter().enumerate() {
            let inside = run.len > 0 && run.y < height && run.x < width && run.len <= width - run.x;
            if !inside || (run.y, run.x) < free {
                let Run { y, x, len } = run;
                let context = format!(
                    "run {index} (row {y}, column {x}, length {len}) of a {size} mask is empty, outside, out of order \
                     or touches the one before"
                );
                return Err(Error::new(ErrorKind::InvalidImage, context));
            }
            free = (run.y, run.end() + 1);
        }
        Ok(Mask { size, runs })
    }

    /// A mask from runs that are known to be as the type promises.
    pub(crate) fn from_sorted_runs(size: Size, runs: Vec<Run>) -> Self {
        debug_assert!(Mask::from_runs(size, runs.clone()).is_ok());
        Mask { size, runs }
    }

    /// A mask from one value per pixel, row-major. Fails with [`ErrorKind::InvalidImage`] if the size is zero, too
    /// large or not that of the values.
    pub fn from_bools(size: Size, values: &[bool]) -> Result<Self> {
        Self::from_values(size, values, |&inside| inside)
    }

    /// The pixels whose logit is above `threshold` (0 for Segment Anything), row-major; NaN is outside. Fails as
    /// [`from_bools`](Self::from_bools).
    pub fn from_logits(size: Size, logits: &[f32], threshold: f32) -> Result<Self> {
        Self::from_values(size, logits, |&logit| logit > threshold)
    }

    fn from_values<T>(size: Size, values: &[T], inside: impl Fn(&T) -> bool) -> Result<Self> {
        size.check()?;
        if values.len() != size.pixels() {
            let context = format!("{} values do not make a {size} mask", values.len());
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        let mut runs = Vec::new();
        for (y, row) in values.chunks_exact(size.width).enumerate() {
            scan_row(y as u32, row, &inside, &mut runs);
        }
        Ok(Mask { size, runs })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The runs, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Number of pixels inside.
    pub fn area(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.len)).sum()
    }

    /// Whether no pixel is inside.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The smallest rectangle of whole pixels around the mask as (x, y, width, height); `None` if it is empty.
    pub fn bbox(&self) -> Option<(u32, u32, u32, u32)> {
        let (first, last) = (self.runs.first()?, self.runs.last()?);
        let x0 = self.runs.iter().map(|run| run.x).min()?;
        let x1 = self.runs.iter().map(Run::end).max()?;
        Some((x0, first.y, x1 - x0, last.y - first.y + 1))
    }

    /// The mean of the pixels' centres, in image pixels (the only pixel of a 1x1 mask has (0.5, 0.5)); `None` if the
    /// mask is empty. It need not lie inside.
    pub fn centroid(&self) -> Option<Point> {
        let (mut x, mut y) = (0.0, 0.0);
        for run in &self.runs {
            let len = f64::from(run.len);
            x += len * (f64::from(run.x) + len / 2.0);
            y += len * (f64::from(run.y) + 0.5);
        }
        let area = self.area() as f64;
        (area > 0.0).then(|| Point { x: (x / area) as f32, y: (y / area) as f32 })
    }

    /// Whether the pixel in column `x` of row `y` is inside; false outside the image.
    pub fn contains(&self, x: usize, y: usize) -> bool {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return false };
        let after = self.runs.partition_point(|run| (run.y, run.x) <= (y, x));
        after.checked_sub(1).and_then(|index| self.runs.get(index)).is_some_and(|run| run.y == y && x < run.end())
    }

    /// The pixels inside both. Fails with [`ErrorKind::InvalidImage`] if the sizes differ.
    pub fn intersection(&self, other: &Mask) -> Result<Mask> {
        let mut runs = Vec::new();
        self.for_each_common(other, |run| runs.push(run))?;
        Ok(Mask::from_sorted_runs(self.size, runs))
    }

    /// Pixels inside both over pixels inside either, 0 to 1; 0 where both are empty, as pycocotools has it. Fails
    /// with [`ErrorKind::InvalidImage`] if the sizes differ.
    pub fn iou(&self, other: &Mask) -> Result<f64> {
        let mut common = 0u64;
        self.for_each_common(other, |run| common += u64::from(run.len))?;
        let either = self.area() + other.area() - common;
        Ok(if either == 0 { 0.0 } else { common as f64 / either as f64 })
    }

    fn for_each_common(&self, other: &Mask, mut found: impl FnMut(Run)) -> Result<()> {
        if self.size != other.size {
            let context =
                format!("masks of {} and {} cannot be compared: bring them to one size", self.size, other.size);
            return Err(Error::new(ErrorKind::InvalidImage, context));
        }
        let (mut mine, mut theirs) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        while let (Some(&&a), Some(&&b)) = (mine.peek(), theirs.peek()) {
            if a.y == b.y {
                let (x, end) = (a.x.max(b.x), a.end().min(b.end()));
                if x < end {
                    found(Run { y: a.y, x, len: end - x });
                }
            }
            if (a.y, a.end()) <= (b.y, b.end()) {
                mine.next();
            } else {
                theirs.next();
            }
        }
        Ok(())
    }

    /// One value per pixel, row-major.
    pub fn to_bools(&self) -> Vec<bool> {
        self.spread(false, true)
    }

    /// One byte per pixel, row-major: 0 outside, 255 inside.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.spread(0, 255)
    }

    fn spread<T: Copy>(&self, outside: T, inside: T) -> Vec<T> {
        let mut values = vec![outside; self.size.pixels()];
        for run in &self.runs {
            let start = run.y as usize * self.size.width + run.x as usize;
            if let Some(pixels) = values.get_mut(start..start + run.len as usize) {
                pixels.fill(inside);
            }
        }
        values
    }

    /// One bit per pixel, 1 inside: rows from the top, each `ceil(width / 8)` bytes, the leftmost pixel in a byte's
    /// highest bit, unused bits zero. The layout of 1-bit PNG and PBM images.
    pub fn bits_1bpp(&self) -> Vec<u8> {
        let stride = self.size.width.div_ceil(8);
        let mut bits = vec![0u8; stride * self.size.height];
        for run in &self.runs {
            let row = run.y as usize * stride;
            let (first, last) = (run.x as usize, run.end() as usize - 1);
            let (head, tail) = (0xffu8 >> (first % 8), 0xffu8 << (7 - last % 8));
            match bits.get_mut(row + first / 8..=row + last / 8) {
                Some([only]) => *only |= head & tail,
                Some([left, middle @ .., right]) => {
                    *left |= head;
                    middle.fill(0xff);
                    *right |= tail;
                }
                _ => {}
            }
        }
        bits
    }
}

/// Appends the runs of one row. Stretches that are all inside or all outside, which is nearly everything in a mask of
/// an object, are passed a block at a time.
fn scan_row<T>(y: u32, row: &[T], inside: impl Fn(&T) -> bool, runs: &mut Vec<Run>) {
    const BLOCK: usize = 32;
    let mut open: Option<u32> = None;
    let mut x = 0;
    for block in row.chunks(BLOCK) {
        let count = block.iter().map(|value| u32::from(inside(value))).sum::<u32>() as usize;
        let changes = if open.is_some() { count < block.len() } else { count > 0 };
        if changes {
            for (value, x) in block.iter().zip(x..) {
                match (open, inside(value)) {
                    (None, true) => open = Some(x),
                    (Some(start), false) => {
                        runs.push(Run { y, x: start, len: x - start });
                        open = None;
                    }
                    _ => {}
                }
            }
        }
        x += block.len() as u32;
    }
    if let Some(start) = open {
        runs.push(Run { y, x: start, len: x - start });
    }
}

/// Calls `found(line, above, below)` for every horizontal grid line, from the top, that has runs in the row above it
/// (`line - 1`) or below it (`line`); both as ranges of indices into `runs`, which are sorted.
pub(crate) fn for_each_line(runs: &[Run], mut found: impl FnMut(u32, Range<usize>, Range<usize>)) {
    let mut above = 0..0;
    for row in runs.chunk_by(|a, b| a.y == b.y) {
        let below = above.end..above.end + row.len();
        let line = row[0].y;
        let previous = runs[above.clone()].last().map(|run| run.y + 1);
        match previous {
            Some(bottom) if bottom == line => found(line, above, below.clone()),
            Some(bottom) => {
                found(bottom, above, below.start..below.start);
                found(line, below.start..below.start, below.clone());
            }
            None => found(line, above, below.clone()),
        }
        above = below;
    }
    if let Some(last) = runs[above.clone()].last() {
        let end = above.end;
        found(last.y + 1, above, end..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of `.` and `#`.
    fn drawn(rows: &[&str]) -> Mask {
        let size = Size::new(rows[0].len(), rows.len());
        let values: Vec<bool> = rows.iter().flat_map(|row| row.bytes().map(|byte| byte == b'#')).collect();
        Mask::from_bools(size, &values).unwrap()
    }

    fn noise(size: Size, mut state: u64, percent: u64) -> Vec<bool> {
        (0..size.pixels())
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) % 100 < percent
            })
            .collect()
    }

    #[test]
    fn runs_are_maximal_and_row_major() {
        let mask = drawn(&["##.#", "....", "####"]);
        let run = |y, x, len| Run { y, x, len };
        assert_eq!(mask.runs(), [run(0, 0, 2), run(0, 3, 1), run(2, 0, 4)]);
        assert_eq!(mask.area(), 7);
        assert_eq!(mask.bbox(), Some((0, 0, 4, 3)));
        assert!(mask.contains(1, 0) && !mask.contains(2, 0) && !mask.contains(0, 1) && mask.contains(3, 2));
        assert!(!mask.contains(4, 2) && !mask.contains(0, 3) && !mask.contains(usize::MAX, 0));
    }

    #[test]
    fn runs_that_break_the_promise_are_refused() {
        let size = Size::new(8, 3);
        let run = |y, x, len| Run { y, x, len };
        for bad in [
            vec![run(0, 0, 0)],
            vec![run(0, 6, 3)],
            vec![run(0, 8, 1)],
            vec![run(3, 0, 1)],
            vec![run(0, 1, u32::MAX)],
            vec![run(0, 0, 2), run(0, 2, 2)],
            vec![run(0, 0, 3), run(0, 2, 2)],
            vec![run(0, 4, 2), run(0, 0, 2)],
            vec![run(1, 0, 2), run(0, 0, 2)],
        ] {
            assert_eq!(Mask::from_runs(size, bad.clone()).unwrap_err().kind(), ErrorKind::InvalidImage, "{bad:?}");
        }
        assert!(Mask::from_runs(size, vec![run(0, 0, 2), run(0, 3, 5), run(2, 0, 8)]).is_ok());
        assert!(Mask::from_runs(Size::new(0, 3), vec![]).is_err());
        assert!(Mask::from_bools(size, &[true; 23]).is_err());
    }

    #[test]
    fn values_come_back_at_awkward_widths() {
        for (seed, width) in [1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 200].into_iter().enumerate() {
            for percent in [0, 3, 50, 97, 100] {
                let size = Size::new(width, 5);
                let values = noise(size, seed as u64 * 97 + percent, percent);
                let mask = Mask::from_bools(size, &values).unwrap();
                assert_eq!(mask.to_bools(), values, "{size} at {percent} %");
                assert!(Mask::from_runs(size, mask.runs().to_vec()).is_ok());
                assert_eq!(mask.area(), values.iter().filter(|&&inside| inside).count() as u64);
                let logits: Vec<f32> = values.iter().map(|&inside| if inside { 0.5 } else { 0.25 }).collect();
                assert_eq!(Mask::from_logits(size, &logits, 0.25).unwrap(), mask);
                let bits = mask.bits_1bpp();
                assert_eq!(bits.len(), width.div_ceil(8) * 5);
                let bit = |x: usize, y: usize| bits[y * width.div_ceil(8) + x / 8] >> (7 - x % 8) & 1 == 1;
                assert!((0..5).all(|y| (0..width).all(|x| bit(x, y) == values[y * width + x])));
                let ones: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                assert_eq!(u64::from(ones), mask.area(), "unused bits are zero");
            }
        }
    }

    #[test]
    fn a_logit_on_the_threshold_or_nan_is_outside() {
        let mask = Mask::from_logits(Size::new(4, 1), &[0.0, f32::MIN_POSITIVE, f32::NAN, -1.0], 0.0).unwrap();
        assert_eq!(mask.to_bytes(), [0, 255, 0, 0]);
    }

    #[test]
    fn iou_and_intersection_agree_with_counting() {
        let size = Size::new(37, 23);
        for seed in 0..40 {
            let (a, b) = (noise(size, seed, 30 + seed), noise(size, seed + 1000, 60));
            let both: Vec<bool> = a.iter().zip(&b).map(|(&a, &b)| a && b).collect();
            let either = a.iter().zip(&b).filter(|&(&a, &b)| a || b).count();
            let count = both.iter().filter(|&&inside| inside).count();
            let (a, b) = (Mask::from_bools(size, &a).unwrap(), Mask::from_bools(size, &b).unwrap());
            assert_eq!(a.intersection(&b).unwrap().to_bools(), both);
            assert_eq!(a.iou(&b).unwrap(), count as f64 / either as f64);
        }
        let empty = Mask::from_runs(size, vec![]).unwrap();
        assert_eq!(empty.iou(&empty).unwrap(), 0.0);
        assert!(empty.iou(&drawn(&["#"])).is_err());
    }

    #[test]
    fn the_centroid_is_the_mean_of_pixel_centres() {
        let at = |rows: &[&str]| drawn(rows).centroid();
        assert_eq!(at(&["#"]), Some(Point::new(0.5, 0.5)));
        assert_eq!(at(&["....", ".##.", ".##."]), Some(Point::new(2.0, 2.0)));
        assert_eq!(at(&["#..", "###"]), Some(Point::new(1.25, 1.25)));
        assert_eq!(at(&["..."]), None);
    }

    #[test]
    fn every_line_next_to_a_run_is_visited_once_in_order() {
        let mask = drawn(&["##.#", "....", "####", ".#.#"]);
        let mut lines = Vec::new();
        for_each_line(mask.runs(), |line, above, below| lines.push((line, above, below)));
        assert_eq!(lines, [(0, 0..0, 0..2), (1, 0..2, 2..2), (2, 2..2, 2..3), (3, 2..3, 3..5), (4, 3..5, 5..5)]);
        for_each_line(&[], |_, _, _| panic!("an empty mask has no line"));
    }
}

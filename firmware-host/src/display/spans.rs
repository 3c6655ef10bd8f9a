//! Masks at the size of a display.

use cutout_runtime::{Mask, Run};
use embedded_graphics::geometry::Size;

use crate::overlay::Span;

/// Scales masks run by run; keeps one row of sums and no picture.
#[derive(Debug, Default)]
pub(crate) struct SpanScaler {
    /// What each pixel of a row is covered by ends of runs, in parts of a pixel.
    ends: Vec<u64>,
    /// What the coverage by whole runs changes by from the pixel before.
    steps: Vec<i64>,
}

/// A pixel shows the mask from this share on. Less than half, so that thin parts keep together; edges move out by less
/// than an eighth of a pixel.
const SHARE: (u64, u64) = (3, 8);

impl SpanScaler {
    /// Replaces `spans` by the mask as a display of `size` shows it: pixels of which enough is inside. A mask that has
    /// pixels keeps at least one.
    pub(crate) fn scale(&mut self, mask: &Mask, size: Size, spans: &mut Vec<Span>) {
        spans.clear();
        let (from_width, from_height) = (mask.size().width as u64, mask.size().height as u64);
        let (width, height) = (u64::from(size.width), u64::from(size.height));
        if (from_width, from_height) == (width, height) {
            spans.extend(mask.runs().iter().map(|run| Span { y: run.y, x: run.x, len: run.len }));
            return;
        }
        self.ends.resize(width as usize + 1, 0);
        self.steps.resize(width as usize + 1, 0);
        // Lengths are in parts of a pixel, of the mask's or of the display's, both of which are whole numbers of them:
        // a display's pixel is from_width by from_height parts, one of the mask's width by height.
        let mut runs = mask.runs();
        for y in 0..height {
            let (top, bottom) = (y * from_height, (y + 1) * from_height);
            // Rows that end above the display's row are done with.
            let done = runs.iter().position(|run| (u64::from(run.y) + 1) * height > top).unwrap_or(runs.len());
            runs = &runs[done..];
            let within = runs.iter().take_while(|run| u64::from(run.y) * height < bottom);
            let mut touched: Option<(usize, usize)> = None;
            for run in within {
                let first = u64::from(run.y) * height;
                let rows = (first + height).min(bottom) - first.max(top);
                let (from, to) = self.add(run, rows, width, from_width);
                touched = Some(touched.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
            }
            if let Some(touched) = touched {
                self.take_row(y as u32, touched, from_width * from_height, spans);
            }
        }
        if spans.is_empty() && !mask.is_empty() && width > 0 && height > 0 {
            let middle = mask.runs()[mask.runs().len() / 2];
            let x = (u64::from(middle.x) * 2 + u64::from(middle.len)) * width / (2 * from_width);
            let y = (u64::from(middle.y) * 2 + 1) * height / (2 * from_height);
            spans.push(Span { y: y.min(height - 1) as u32, x: x.min(width - 1) as u32, len: 1 });
        }
    }

    /// Adds `rows` parts of a run, and says which pixels of the display it touches, the last included.
    fn add(&mut self, run: &Run, rows: u64, width: u64, pixel: u64) -> (usize, usize) {
        let (from, to) = (u64::from(run.x) * width, u64::from(run.end()) * width);
        let (first, last) = (from / pixel, (to - 1) / pixel);
        let (first_index, last_index) = (first as usize, last as usize);
        if first == last {
            self.ends[first_index] += (to - from) * rows;
        } else {
            self.ends[first_index] += ((first + 1) * pixel - from) * rows;
            self.ends[last_index] += (to - last * pixel) * rows;
            self.steps[first_index + 1] += (pixel * rows) as i64;
            self.steps[last_index] -= (pixel * rows) as i64;
        }
        (first_index, last_index)
    }

    /// Appends the spans of a row and forgets its sums.
    fn take_row(&mut self, y: u32, (from, to): (usize, usize), pixel: u64, spans: &mut Vec<Span>) {
        let (mut whole, mut open) = (0, None);
        for x in from..=to {
            whole += std::mem::take(&mut self.steps[x]);
            let covered = whole as u64 + std::mem::take(&mut self.ends[x]);
            match (covered * SHARE.1 >= pixel * SHARE.0, open) {
                (true, None) => open = Some(x),
                (false, Some(start)) => {
                    spans.push(Span { y, x: start as u32, len: (x - start) as u32 });
                    open = None;
                }
                _ => {}
            }
        }
        if let Some(start) = open {
            spans.push(Span { y, x: start as u32, len: (to + 1 - start) as u32 });
        }
    }
}

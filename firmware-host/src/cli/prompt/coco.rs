//! Masks as programs want them. The service's own COCO_RLE has no size, so that it cannot be read without the frame.

use cutout_runtime::{CocoRle, Mask, Run, Size};

use crate::overlay::Span;

/// COCO's compressed run lengths of a mask of so many columns and rows; `None` if it is no mask of that size.
pub(super) fn coco_rle((width, height): (u32, u32), spans: impl Iterator<Item = Span>) -> Option<CocoRle> {
    let mut runs: Vec<Run> = Vec::new();
    for Span { y, x, len } in spans.filter(|span| span.len > 0) {
        match runs.last_mut() {
            Some(last) if last.y == y && last.end() == x => last.len = last.len.saturating_add(len),
            _ => runs.push(Run { y, x, len }),
        }
    }
    let size = Size::new(width as usize, height as usize);
    Mask::from_runs(size, runs).ok().map(|mask| CocoRle::encode(&mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_its_pixels_and_one_that_is_none_is_told_apart() {
        let spans = [Span { y: 1, x: 0, len: 2 }, Span { y: 1, x: 2, len: 1 }, Span { y: 2, x: 3, len: 1 }];
        let rle = coco_rle((4, 3), spans.into_iter()).unwrap();
        assert_eq!(rle.size, [3, 4]);
        // Down the columns: row 1 of the first three, row 2 of the last.
        assert_eq!(rle.to_counts().unwrap(), [1, 1, 2, 1, 2, 1, 3, 1]);
        assert!(coco_rle((4, 2), spans.into_iter()).is_none());
        assert!(coco_rle((0, 3), std::iter::empty()).is_none());
    }
}

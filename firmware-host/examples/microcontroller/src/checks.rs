//! Checks of an answer: what one of its items says has to follow from another.

use core::fmt::{self, Write};

use cutout_protocol::body::{BBox, Centroid, Items, area_from_bytes};
use cutout_protocol::{AnswerFlags, ItemKind, ItemSet, Q4};

use crate::answer::Head;
use crate::mask::{self, Measured, Outline};
use crate::trouble::Trouble;

/// An error that says what is wrong, unless it is right.
pub(crate) fn check(is: bool, what: &'static str) -> Result<(), Trouble> {
    if is { Ok(()) } else { Err(Trouble::Wrong(what)) }
}

/// The bytes of an item of an answer.
///
/// # Errors
/// If it is not there.
pub(crate) fn item<'b>(body: &'b [u8], head: &Head, kind: ItemKind) -> Result<&'b [u8], Trouble> {
    for item in Items::new(body.get(..head.total as usize).unwrap_or_default()) {
        let item = item?;
        if item.kind == kind {
            return Ok(item.bytes);
        }
    }
    Err(Trouble::Wrong("an item that is said to be there"))
}

/// Bytes as digits.
pub(crate) struct Hexadecimal<'b>(pub(crate) &'b [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hundredths of a pixel.
fn hundredths(at: Q4) -> (u32, u32) {
    let hundredths = at.0 / 16 * 100 + at.0 % 16 * 100 / 16;
    (hundredths / 100, hundredths % 100)
}

/// Reads the items of an answer, checks them against each other and against the mask, where it is known, and tells of them; the box.
///
/// # Errors
/// If an item cannot be read, or is not what the others say.
pub(crate) fn agree(
    body: &[u8],
    head: &Head,
    measured: Option<Measured>,
    console: &mut impl Write,
) -> Result<BBox, Trouble> {
    let bbox = BBox::from_bytes(item(body, head, ItemKind::BBox)?)?;
    let centroid = Centroid::from_bytes(item(body, head, ItemKind::Centroid)?)?;
    let area = area_from_bytes(item(body, head, ItemKind::Area)?)?;
    let BBox { x, y, width, height } = bbox;
    let ((column, part_x), (row, part_y)) = (hundredths(centroid.x), hundredths(centroid.y));
    let _ = writeln!(
        console,
        "  box {x},{y} {width}x{height}, centroid {column}.{part_x:02},{row}.{part_y:02}, area {area}"
    );
    check(area > 0 && !head.flags.contains(AnswerFlags::EMPTY_MASK), "a mask that is not empty")?;
    if let Some(measured) = measured {
        check(measured.area == area, "the area, by the runs")?;
        check(measured.bbox == bbox, "the box, by the runs")?;
        let near = |a: Q4, b: Q4| a.0.abs_diff(b.0) <= 1;
        let mean = measured.centroid;
        check(near(mean.x, centroid.x) && near(mean.y, centroid.y), "the centroid, by the runs")?;
    }
    if head.included.contains(ItemSet::CONTOUR) {
        let Outline { rings, points, area: enclosed, iou, is_inside } =
            mask::outline(item(body, head, ItemKind::Contour)?, bbox)?;
        let _ = writeln!(console, "  contour of {points} points in {rings} rings, area {enclosed}, IoU {iou}/10000");
        check(is_inside, "a contour inside of the box")?;
        // An IoU bounds how much the areas differ; a hundredth for pixels that edges cut.
        let (small, large) = (enclosed.min(area), enclosed.max(area));
        let bound = u64::from(iou).saturating_sub(100);
        check(u64::from(small) * 10_000 >= bound * u64::from(large), "the contour's area, by its IoU")?;
    }
    Ok(bbox)
}

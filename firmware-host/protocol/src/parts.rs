//! What stands inside of messages.

use heapless::Vec;

use crate::field::{Field, Full, Malformed, Sink, Take, Type};
use crate::q4::Q4;
use crate::table::layout;

/// Most points of a prompt.
pub const MAX_POINTS: usize = 16;

layout! {
    /// A point of a prompt.
    #[derive(Copy)]
    Point {
        /// Column.
        x: Q4,
        /// Row.
        y: Q4,
        /// 1 for a point of the object, 0 for one beside it; nothing else is a good prompt.
        label: u8,
    }
}

layout! {
    /// A box of a prompt: its upper left and its lower right corner.
    #[derive(Copy)]
    Rect {
        /// Left edge.
        x0: Q4,
        /// Upper edge.
        y0: Q4,
        /// Right edge.
        x1: Q4,
        /// Lower edge.
        y1: Q4,
    }
}

/// A byte that is 0 or 1, then the rectangle if it is 1.
impl Field<'_> for Option<Rect> {
    const TYPE: Type = Type { name: "option", limit: 0, of: "Rect" };
    const MIN: usize = 1;
    const MAX: usize = 1 + <Rect as Field<'static>>::MAX;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        out.push(&[u8::from(self.is_some())])?;
        self.iter().try_for_each(|rect| rect.put(out))
    }
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let field = from.field;
        match u8::take(from)? {
            0 => Ok(None),
            1 => Rect::take(from).map(Some),
            _ => Err(Malformed::Value(field)),
        }
    }
}

/// A count in one byte, then so many points.
impl Field<'_> for Vec<Point, MAX_POINTS> {
    const TYPE: Type = Type { name: "list", limit: MAX_POINTS, of: "Point" };
    const MIN: usize = 1;
    const MAX: usize = 1 + MAX_POINTS * <Point as Field<'static>>::MAX;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        out.push(&[self.len() as u8])?;
        self.iter().try_for_each(|point| point.put(out))
    }
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let field = from.field;
        let count = u8::take(from)?;
        let mut points = Vec::new();
        for _ in 0..count {
            points.push(Point::take(from)?).map_err(|_| Malformed::Value(field))?;
        }
        Ok(points)
    }
}

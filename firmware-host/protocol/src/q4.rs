//! [`Q4`]: places in an image, finer than its pixels.

use crate::field::{Field, Full, Malformed, Sink, Take, Type};

/// A coordinate in sixteenths of an image pixel, from the left or upper edge of the image; the middle of the first pixel
/// is at 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Q4(pub u32);

impl Q4 {
    /// The nearest to `pixels`; 0 for what is negative or no number, the largest for what is beyond it.
    pub fn from_px(pixels: f32) -> Self {
        // A cast of floats saturates, and makes 0 of NaN.
        Q4((pixels * 16.0 + 0.5) as u32)
    }

    /// In pixels.
    pub fn to_px(self) -> f32 {
        self.0 as f32 / 16.0
    }
}

impl Field<'_> for Q4 {
    const TYPE: Type = Type::plain("q4");
    const MIN: usize = 4;
    const MAX: usize = 4;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        self.0.put(out)
    }
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        u32::take(from).map(Q4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_there_and_back() {
        assert_eq!(Q4::from_px(320.5), Q4(5128));
        assert_eq!(Q4(5128).to_px(), 320.5);
        assert_eq!(Q4::from_px(-3.0), Q4(0));
        assert_eq!(Q4::from_px(f32::NAN), Q4(0));
        assert_eq!(Q4::from_px(f32::INFINITY), Q4(u32::MAX));
        assert_eq!(Q4::from_px(1.03), Q4(16));
    }
}

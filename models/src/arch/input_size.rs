//! [`InputSize`]: the size of a network's input.

use std::fmt;

use crate::error::{Error, Result};

/// Height and width of a network's input, in model pixels.
///
/// A photo is scaled so that it fits and padded with zeros at the right and the bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct InputSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl InputSize {
    /// The longest side that a graph is built for, in model pixels.
    pub const MAX_SIDE: usize = 8192;

    /// An input of `height` rows and `width` columns.
    pub const fn new(height: usize, width: usize) -> Self {
        InputSize { height, width }
    }

    /// An input of `side` rows and columns.
    pub const fn square(side: usize) -> Self {
        InputSize { height: side, width: side }
    }

    /// Checks that both sides are multiples of `n`, and says how many.
    ///
    /// # Errors
    /// `Mismatch` if a side is zero, no multiple of `n`, or above [`MAX_SIDE`](Self::MAX_SIDE).
    pub fn multiple_of(self, n: usize) -> Result<InputSize> {
        let fits = |side: usize| (1..=Self::MAX_SIDE).contains(&side) && side.checked_rem(n) == Some(0);
        if !fits(self.height) || !fits(self.width) {
            return Err(Error::mismatch(format!(
                "input size {self} does not fit the architecture: height and width must be multiples of {n} from {n} to {}",
                Self::MAX_SIDE
            )));
        }
        Ok(InputSize { height: self.height / n, width: self.width / n })
    }
}

impl fmt::Display for InputSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::InputSize;

    #[test]
    fn counts_multiples() {
        assert_eq!(InputSize::new(576, 1024).multiple_of(16).unwrap(), InputSize::new(36, 64));
        assert_eq!(InputSize::square(InputSize::MAX_SIDE).multiple_of(32).unwrap(), InputSize::square(256));
    }

    #[test]
    fn refuses_what_does_not_divide_and_says_why() {
        let sizes = [(0, 512), (512, 0), (500, 512), (512, 8), (InputSize::MAX_SIDE + 16, 512), (512, usize::MAX)];
        for size in sizes.map(|(h, w)| InputSize::new(h, w)) {
            let message = size.multiple_of(16).unwrap_err().to_string();
            assert!(message.contains(&size.to_string()) && message.contains("multiples of 16"), "{message}");
        }
        assert!(InputSize::square(512).multiple_of(0).is_err());
    }
}

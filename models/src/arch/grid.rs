//! [`Grid`]: the cells of a feature map, as an image or as a list of tokens.

use crate::onnx::{GraphBuilder, Value};

use super::InputSize;

/// Height and width of a feature map, in cells.
///
/// A feature map is either an NCHW value `[1, channels, height, width]` or its tokens
/// `[height * width, channels]`, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Grid {
    /// Number of cells.
    pub(super) fn cells(self) -> usize {
        self.height * self.width
    }

    /// The grid behind a 3x3 convolution of stride 2 and padding 1.
    pub(super) fn halved(self) -> Grid {
        Grid { height: self.height.div_ceil(2), width: self.width.div_ceil(2) }
    }

    /// Tokens of an NCHW value.
    pub(super) fn tokens(self, g: &mut GraphBuilder, nchw: &Value, channels: usize) -> Value {
        let nhwc = g.transpose(nchw, &[0, 2, 3, 1]);
        g.reshape(&nhwc, &[self.cells() as i64, channels as i64])
    }

    /// NCHW value of tokens.
    pub(super) fn nchw(self, g: &mut GraphBuilder, tokens: &Value, channels: usize) -> Value {
        let nhwc = g.reshape(tokens, &[1, self.height as i64, self.width as i64, channels as i64]);
        g.transpose(&nhwc, &[0, 3, 1, 2])
    }
}

impl From<InputSize> for Grid {
    fn from(size: InputSize) -> Self {
        Grid { height: size.height, width: size.width }
    }
}

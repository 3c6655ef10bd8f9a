//! [`Tensor`]: what goes into a network and comes out of it; [`LevelImage`].

use crate::error::{Error, ErrorKind, Result};

/// An image of levels, as preprocessing gives it without normalisation: planes of the network's input size, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct LevelImage<'a> {
    /// The planes, row by row.
    pub levels: &'a [u8],
    /// Rows of the image, which lies at the top left of each plane; what is beside it does not count.
    pub height: usize,
    /// Pixels of a row of the image.
    pub width: usize,
}

/// A row-major float32 tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    /// A tensor of `shape` with row-major `values`.
    ///
    /// # Errors
    /// `Engine` if the number of values is not the product of the shape.
    pub fn new(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Result<Self> {
        let shape = shape.into();
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(values.len()) {
            return Err(Error::new(
                ErrorKind::Engine,
                format!("a tensor of shape {shape:?} cannot hold {} values", values.len()),
            ));
        }
        Ok(Tensor { shape, values })
    }

    /// Sizes of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The elements, without the shape.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

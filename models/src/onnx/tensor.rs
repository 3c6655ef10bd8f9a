//! Constants of a graph.

use ndarray::{ArrayD, ArrayViewD, Ix2};

use super::proto::TensorProto;
use crate::error::{Error, Result};

impl TensorProto {
    /// A float32 constant.
    pub(crate) fn of_f32(name: String, data: &ArrayViewD<'_, f32>) -> Self {
        let dims = data.shape().iter().map(|&d| d as i64).collect();
        TensorProto { dims, data_type: Self::FLOAT, name, raw_data: row_major(data), ..Default::default() }
    }

    /// A one-dimensional int64 constant.
    pub(super) fn of_i64(name: String, data: &[i64]) -> Self {
        let raw_data = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        TensorProto { dims: vec![data.len() as i64], data_type: Self::INT64, name, raw_data, ..Default::default() }
    }

    /// The shape.
    ///
    /// # Errors
    /// `Malformed` if a dimension is negative.
    pub(crate) fn shape(&self) -> Result<Vec<usize>> {
        let shape: Option<Vec<usize>> = self.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        shape.ok_or_else(|| Error::malformed(format!("constant '{}' has shape {:?}", self.name, self.dims)))
    }

    /// The values of a float32 constant.
    ///
    /// # Errors
    /// `Mismatch` if it is of another element type, `Malformed` if its elements do not fit its shape.
    pub(crate) fn to_f32(&self) -> Result<ArrayD<f32>> {
        if self.data_type != Self::FLOAT {
            return Err(Error::mismatch(format!("constant '{}' is no float32", self.name)));
        }
        let (numbers, rest) = self.raw_data.as_chunks();
        let values = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        ArrayD::from_shape_vec(self.shape()?, values).ok().filter(|_| rest.is_empty()).ok_or_else(|| {
            Error::malformed(format!("constant '{}' has {} bytes for {:?}", self.name, self.raw_data.len(), self.dims))
        })
    }
}

/// The elements in row-major order, little-endian.
fn row_major(data: &ArrayViewD<'_, f32>) -> Vec<u8> {
    const BYTES: usize = size_of::<f32>();
    const STRIP: usize = 16;
    match data.view().into_dimensionality::<Ix2>() {
        // Strips of rows keep the reads of a transposed weight within few cache lines.
        Ok(matrix) if !matrix.is_standard_layout() => {
            let (rows, columns) = matrix.dim();
            let mut raw = vec![0; BYTES * rows * columns];
            for strip in (0..rows).step_by(STRIP) {
                for column in 0..columns {
                    for row in strip..rows.min(strip + STRIP) {
                        let at = BYTES * (row * columns + column);
                        raw[at..at + BYTES].copy_from_slice(&matrix[[row, column]].to_le_bytes());
                    }
                }
            }
            raw
        }
        _ => {
            let mut raw = Vec::with_capacity(BYTES * data.len());
            data.iter().for_each(|v| raw.extend_from_slice(&v.to_le_bytes()));
            raw
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::TensorProto;

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    #[test]
    fn a_transposed_matrix_is_stored_row_by_row() {
        let rows = 19;
        let plain = ArrayD::from_shape_fn(vec![2, rows], |at| (100 * at[0] + at[1]) as f32);
        let tensor = TensorProto::of_f32("t".into(), &plain.view().reversed_axes());
        assert_eq!(tensor.dims, [rows as i64, 2]);
        let expected: Vec<f32> = (0..rows).flat_map(|r| [r as f32, (100 + r) as f32]).collect();
        assert_eq!(floats(&tensor.raw_data), expected);
    }

    #[test]
    fn higher_ranks_are_stored_in_logical_order() {
        let plain = ArrayD::from_shape_fn(vec![2, 3, 4], |at| (100 * at[0] + 10 * at[1] + at[2]) as f32);
        let tensor = TensorProto::of_f32("t".into(), &plain.view().permuted_axes(vec![1, 2, 0]));
        assert_eq!(tensor.dims, [3, 4, 2]);
        assert_eq!(floats(&tensor.raw_data)[..4], [0.0, 100.0, 1.0, 101.0]);
    }
}

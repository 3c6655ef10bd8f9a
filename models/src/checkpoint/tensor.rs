//! [`TensorData`]: one stored tensor, and how its elements become float32.

use std::borrow::Cow;
use std::fmt;

use half::{bf16, f16};
use ndarray::ArrayD;

use super::int8::ChannelScales;
use super::storage::Storage;
use crate::error::{Error, Result};

/// Most dimensions of a tensor; those of networks have up to 6.
pub(crate) const MAX_RANK: usize = 16;

/// Bytes that a tensor may grow to when it repeats elements of its storage (a stride of 0).
const MAX_EXPANDED_BYTES: usize = 64 << 20;

/// Element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE double.
    F64,
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// Brain float.
    Bf16,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 16-bit integer.
    I16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned byte.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// Whether this is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16)
    }

    /// Appends values as little-endian elements of half precision, or else single.
    ///
    /// # Errors
    /// `Mismatch` if a finite value is beyond the range of half precision.
    pub(super) fn encode(self, values: impl Iterator<Item = f32>, out: &mut Vec<u8>) -> Result<()> {
        for value in values {
            if self == Dtype::F16 {
                let half = f16::from_f32(value);
                if value.is_finite() && half.is_infinite() {
                    return Err(Error::mismatch(format!("{value} is beyond the range of half precision")));
                }
                out.extend_from_slice(&half.to_le_bytes());
            } else {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Little-endian elements as float32, rounded to nearest where float32 is narrower.
    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        fn map<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|b| one(*b)).collect()
        }
        match self {
            Dtype::F64 => map(bytes, |b| f64::from_le_bytes(b) as f32),
            Dtype::F32 => map(bytes, f32::from_le_bytes),
            Dtype::F16 => map(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::Bf16 => map(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::I64 => map(bytes, |b| i64::from_le_bytes(b) as f32),
            Dtype::I32 => map(bytes, |b| i32::from_le_bytes(b) as f32),
            Dtype::I16 => map(bytes, |b| i16::from_le_bytes(b).into()),
            Dtype::I8 => map(bytes, |b| i8::from_le_bytes(b).into()),
            Dtype::U8 | Dtype::Bool => map(bytes, |[b]| b.into()),
        }
    }
}

/// One stored tensor: element type, shape, strides (in elements) and storage, and what 8-bit numbers stand for.
#[derive(Clone)]
pub struct TensorData {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    /// First element, in elements from the start of the storage.
    pub(crate) offset: usize,
    pub(crate) storage: Storage,
    /// Of a quantised tensor, which is `I8`.
    pub(crate) scales: Option<ChannelScales>,
}

impl TensorData {
    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// A float32 tensor held in memory.
    pub(crate) fn from_f32(values: &ArrayD<f32>) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        TensorData::of_bytes(Dtype::F32, values.shape().to_vec(), bytes)
    }

    /// A half-precision tensor held in memory; values are rounded to nearest.
    ///
    /// # Errors
    /// `Mismatch` if a finite value is beyond the range of half precision.
    pub(crate) fn from_f32_as_f16(values: &ArrayD<f32>) -> Result<Self> {
        let mut bytes = Vec::with_capacity(values.len() * Dtype::F16.size());
        Dtype::F16.encode(values.iter().copied(), &mut bytes)?;
        Ok(TensorData::of_bytes(Dtype::F16, values.shape().to_vec(), bytes))
    }

    /// Number of elements; `usize::MAX` where it overflows.
    pub(crate) fn count(&self) -> usize {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().fold(1, |n: usize, d| n.saturating_mul(*d)) }
    }

    /// Checks that every element lies in the storage and that reading them all takes no more memory
    /// than the storage justifies: at most as many elements as the storage has, or 64 MiB of them.
    pub(crate) fn check(&self) -> Result<()> {
        let fail = |what: &str| {
            let (shape, strides) = (Preview(&self.shape), Preview(&self.strides));
            Err(Error::malformed(format!("shape {shape:?}, strides {strides:?}, offset {}: {what}", self.offset)))
        };
        if self.shape.len() > MAX_RANK || self.shape.len() != self.strides.len() {
            return fail("not a tensor's shape and strides");
        }
        let extent = self.shape.iter().filter(|d| **d != 0).try_fold(1usize, |n, d| n.checked_mul(*d));
        if extent.is_none_or(|n| n > isize::MAX as usize) {
            return fail("the size overflows");
        }
        let available = self.storage.len();
        match self.reach() {
            Some(reach) if reach <= available => {}
            Some(reach) => return fail(&format!("needs {reach} bytes of a storage of {available}")),
            None => return fail("the size overflows"),
        }
        if self.count().saturating_mul(self.dtype.size()) > available.max(MAX_EXPANDED_BYTES) {
            return fail("repeats its elements too often");
        }
        Ok(())
    }

    /// Bytes of storage that the last element reaches; `None` on overflow.
    fn reach(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let mut last = self.offset;
        for (d, s) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add((d - 1).checked_mul(*s)?)?;
        }
        last.checked_add(1)?.checked_mul(self.dtype.size())
    }

    fn is_row_major(&self) -> bool {
        let expected = row_major(&self.shape);
        self.shape.iter().zip(&self.strides).zip(&expected).all(|((d, s), e)| *d == 1 || s == e)
    }

    /// The elements in row-major order, little-endian; borrowed where the storage has that order.
    pub(crate) fn row_major_bytes(&self) -> Result<Cow<'_, [u8]>> {
        self.check()?;
        let (bytes, size, count) = (self.storage.bytes()?, self.dtype.size(), self.count());
        if count == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        if self.is_row_major() {
            let start = self.offset * size;
            return Ok(Cow::Borrowed(&bytes[start..start + count * size]));
        }
        let mut out = Vec::with_capacity(count * size);
        let mut index = vec![0usize; self.shape.len()];
        for _ in 0..count {
            let at = self.offset + index.iter().zip(&self.strides).map(|(i, s)| i * s).sum::<usize>();
            out.extend_from_slice(&bytes[at * size..][..size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(Cow::Owned(out))
    }

    /// The values as row-major float32.
    pub(crate) fn to_f32(&self) -> Result<ArrayD<f32>> {
        let bytes = self.row_major_bytes()?;
        let values = match &self.scales {
            Some(scales) => self.dequantized(&bytes, scales)?,
            None => self.dtype.decode(&bytes),
        };
        ArrayD::from_shape_vec(self.shape.clone(), values).map_err(|e| Error::malformed(e.to_string()))
    }
}

impl fmt::Debug for TensorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{:?}", self.dtype, self.shape)
    }
}

/// The first dimensions of a shape, so that a hostile one does not fill an error message.
struct Preview<'a>(&'a [usize]);

impl fmt::Debug for Preview<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.0.iter().take(8));
        if self.0.len() > 8 { list.finish_non_exhaustive() } else { list.finish() }
    }
}

/// Strides, in elements, of a contiguous row-major tensor.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(shape[i]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32], shape: &[usize], strides: &[usize], offset: usize) -> TensorData {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let (shape, strides) = (shape.to_vec(), strides.to_vec());
        TensorData { dtype: Dtype::F32, shape, strides, offset, storage: Storage::from_vec(bytes), scales: None }
    }

    #[test]
    fn strides_and_offset_select_the_elements() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let transposed = f32s(&values, &[3, 2], &[1, 3], 1).to_f32().unwrap();
        assert_eq!(transposed.iter().copied().collect::<Vec<_>>(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let repeated = f32s(&values, &[2, 2], &[0, 1], 3).to_f32().unwrap();
        assert_eq!(repeated.iter().copied().collect::<Vec<_>>(), [3.0, 4.0, 3.0, 4.0]);
        let scalar = f32s(&values, &[], &[], 6).to_f32().unwrap();
        assert_eq!(scalar.iter().copied().collect::<Vec<_>>(), [6.0]);
    }

    #[test]
    fn empty_tensors_read_nothing_wherever_they_point() {
        let empty = f32s(&[], &[0, 3], &[3, 1], usize::MAX).to_f32().unwrap();
        assert_eq!(empty.shape(), [0, 3]);
    }

    #[test]
    fn hostile_shapes_are_refused() {
        let values = [0.0; 4];
        assert!(f32s(&values, &[1 << 60], &[0], 0).check().is_err());
        assert!(f32s(&values, &[usize::MAX, usize::MAX], &[0, 0], 0).check().is_err());
        assert!(f32s(&values, &[0, usize::MAX, usize::MAX], &[1, 1, 1], 0).check().is_err());
        assert!(f32s(&values, &[2, 3], &[3, 1], 0).check().is_err());
        assert!(f32s(&values, &[4], &[1], 1).check().is_err());
        assert!(f32s(&values, &[2], &[usize::MAX], 1).check().is_err());
        assert!(f32s(&values, &[1; 17], &[1; 17], 0).check().is_err());
        assert!(f32s(&values, &[1 << 24], &[0], 0).check().is_ok());
        assert!(f32s(&values, &[(1 << 24) + 1], &[0], 0).check().is_err());
    }
}

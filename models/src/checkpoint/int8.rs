//! Tensors of 8-bit integers with a scale for each output channel.
//!
//! In a file, the scales of tensor `NAME` are the float32 tensor `NAME.scale`, of the same rank, with 1 in place of all
//! dimensions but that of the channels: the first, or the second for transposed convolutions.

use std::sync::Arc;

use ndarray::ArrayD;

use super::storage::Storage;
use super::tensor::{Dtype, TensorData, row_major};
use crate::error::{Error, Result};

/// The largest magnitude of a number.
const LIMIT: i8 = 127;

/// Axes that channels may lie along.
const AXES: usize = 2;

/// What the numbers of an 8-bit tensor stand for.
///
/// A number `q` of channel `c` stands for `q * scale[c]`. Numbers are -127..=127, and the largest magnitude of a channel is
/// 127, or 0 throughout, in which case the scale is 1. So whoever quantises the values again, by 127 for the largest
/// magnitude of each channel, gets the same numbers, also after each channel is multiplied by a factor of its own (as long as
/// that leaves the range of normal float32 numbers neither way); the scales may then differ in the last bit.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelScales {
    axis: usize,
    values: Arc<[f32]>,
}

impl ChannelScales {
    /// The axis of the output channels.
    pub fn axis(&self) -> usize {
        self.axis
    }

    /// One for each channel; finite and positive.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The companion that scales are stored as, beside a tensor of `rank` dimensions.
    pub(super) fn to_tensor(&self, rank: usize) -> TensorData {
        let mut shape = vec![1; rank];
        shape[self.axis] = self.values.len();
        TensorData::of_bytes(Dtype::F32, shape, self.values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Reads the companion of a tensor of that shape.
    pub(super) fn of_tensor(companion: &TensorData, shape: &[usize]) -> Result<Self> {
        let other = companion.shape();
        let alone = |axis: usize| other.iter().enumerate().all(|(i, n)| *n == if i == axis { shape[i] } else { 1 });
        let fits = companion.dtype() == Dtype::F32 && other.len() == shape.len();
        let axis = (0..shape.len().min(AXES)).find(|&axis| fits && alone(axis)).ok_or_else(|| {
            Error::malformed(format!("its scales are {companion:?}, which does not fit its shape {shape:?}"))
        })?;
        let values: Arc<[f32]> = companion.to_f32()?.iter().copied().collect();
        if let Some(bad) = values.iter().find(|v| !is_scale(**v)) {
            return Err(Error::malformed(format!(
                "one of its scales is {bad}, which is not a finite number above zero"
            )));
        }
        Ok(ChannelScales { axis, values })
    }
}

/// Whether a number may be a scale.
pub(crate) fn is_scale(value: f32) -> bool {
    value.is_normal() && value > 0.0
}

impl TensorData {
    /// Quantises float32 values to 8 bits, with one scale for each index of `axis`; see [`ChannelScales`] for what holds.
    ///
    /// A channel's scale is its largest magnitude by 127, or that of `scales` if it is less: what is beyond it is clipped.
    /// Rounding is to nearest, ties to even.
    ///
    /// # Errors
    /// `Mismatch` if the tensor has no such axis, or values or scales that are not finite, or another number of scales than
    /// channels, or scales that are not above zero.
    pub fn int8(values: &ArrayD<f32>, axis: usize, scales: Option<&[f32]>) -> Result<Self> {
        let shape = values.shape().to_vec();
        let channels = match shape.get(axis) {
            Some(&n) if axis < AXES => n,
            _ => return Err(Error::mismatch(format!("no channels along axis {axis} of shape {shape:?}"))),
        };
        if scales.is_some_and(|s| s.len() != channels || !s.iter().all(|s| is_scale(*s))) {
            return Err(Error::mismatch(format!("{channels} channels need as many scales, finite and above zero")));
        }
        let values = values.as_standard_layout();
        let runs = || runs(values.as_slice().unwrap_or_default(), &shape, axis);
        let mut largest = vec![0.0f32; channels];
        for (c, run) in runs() {
            // A magnitude that is not a number stays.
            let larger = |known: f32, value: &f32| if value.abs() <= known { known } else { value.abs() };
            largest[c] = run.iter().fold(largest[c], larger);
        }
        let mut chosen = Vec::with_capacity(channels);
        for (c, magnitude) in largest.into_iter().enumerate() {
            let scale = magnitude / f32::from(LIMIT);
            if !(scale * f32::from(LIMIT)).is_finite() {
                return Err(Error::mismatch(format!("channel {c} has a magnitude of {magnitude}")));
            }
            let scale = scales.map_or(scale, |s| s[c].min(scale));
            chosen.push(if is_scale(scale) { scale } else { 0.0 });
        }
        let mut bytes = Vec::with_capacity(values.len());
        for (c, run) in runs() {
            match chosen[c] {
                0.0 => bytes.resize(bytes.len() + run.len(), 0),
                scale => bytes.extend(run.iter().map(|value| quantized(*value, scale).cast_unsigned())),
            }
        }
        let values = chosen.iter().map(|&scale| if scale == 0.0 { 1.0 } else { scale }).collect();
        Ok(TensorData { scales: Some(ChannelScales { axis, values }), ..TensorData::of_bytes(Dtype::I8, shape, bytes) })
    }

    /// What the numbers stand for, if this is a quantised tensor.
    pub fn scales(&self) -> Option<&ChannelScales> {
        self.scales.as_ref()
    }

    /// The values that quantised numbers, in row-major order, stand for.
    ///
    /// # Errors
    /// `Malformed` if a channel's largest magnitude is neither 127 nor 0.
    pub(super) fn dequantized(&self, numbers: &[u8], scales: &ChannelScales) -> Result<Vec<f32>> {
        let mut largest = vec![0; scales.values.len()];
        let mut out = Vec::with_capacity(numbers.len());
        for (c, run) in runs(numbers, &self.shape, scales.axis) {
            let (run, scale) = (run.iter().map(|byte| byte.cast_signed()), scales.values[c]);
            largest[c] = run.clone().map(i8::unsigned_abs).fold(largest[c], u8::max);
            out.extend(run.map(|number| f32::from(number) * scale));
        }
        match largest.iter().find(|n| !matches!(**n, 0 | 127)) {
            None => Ok(out),
            Some(n) => Err(Error::malformed(format!("the largest magnitude of a channel is {n}, not 127 or 0"))),
        }
    }
}

/// The number of -127..=127 that is nearest to a value in units of a scale; of two, the even one.
pub(crate) fn quantized(value: f32, scale: f32) -> i8 {
    // The neighbours of 1.5 * 2^23 are one apart, so that the addition rounds. It is faster than rounding by itself.
    const UNIT: f32 = 12_582_912.0;
    let limit = f32::from(LIMIT);
    ((value / scale).clamp(-limit, limit) + UNIT - UNIT) as i8
}

/// Runs of neighbouring elements of one channel, in row-major order, each with its channel.
pub(crate) fn runs<'a, T>(elements: &'a [T], shape: &[usize], axis: usize) -> impl Iterator<Item = (usize, &'a [T])> {
    (0..shape[axis]).cycle().zip(elements.chunks(row_major(shape)[axis].max(1)))
}

impl TensorData {
    /// A row-major tensor held in memory.
    pub(crate) fn of_bytes(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        let strides = row_major(&shape);
        TensorData { dtype, shape, strides, offset: 0, storage: Storage::from_vec(bytes), scales: None }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, Axis};

    use super::{Dtype, TensorData};
    use crate::Error;
    use crate::standin;

    fn numbers(tensor: &TensorData) -> Vec<i8> {
        tensor.row_major_bytes().unwrap().iter().map(|b| b.cast_signed()).collect()
    }

    fn array(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
        ArrayD::from_shape_vec(shape, values.to_vec()).unwrap()
    }

    #[test]
    fn a_channel_is_scaled_by_its_largest_magnitude() {
        // Scales of 2 and 0.5: 254 / 127 and 63.5 / 127; 5 and 7 are halfway between two numbers.
        let tensor = TensorData::int8(&array(&[2, 3], &[5.0, -254.0, 7.0, 63.5, -0.5, 0.125]), 0, None).unwrap();
        assert_eq!(numbers(&tensor), [2, -127, 4, 127, -1, 0]);
        assert_eq!(tensor.scales().unwrap().values(), [2.0, 0.5]);
        assert_eq!(tensor.to_f32().unwrap(), array(&[2, 3], &[4.0, -254.0, 8.0, 63.5, -0.5, 0.0]));
    }

    #[test]
    fn rounding_is_to_nearest_and_to_even() {
        for quarters in -600i16..=600 {
            let value = f32::from(quarters) / 4.0;
            let expected = value.round_ties_even().clamp(-127.0, 127.0) as i8;
            assert_eq!(super::quantized(value * 0.5, 0.5), expected, "{value}");
        }
        assert_eq!([1e30, -1e30, f32::INFINITY].map(|v| super::quantized(v, 1.0)), [127, -127, 127]);
    }

    #[test]
    fn channels_of_transposed_convolutions_come_second() {
        let values = array(&[2, 2, 1, 2], &[127.0, 1.0, 254.0, 2.0, -3.0, 4.0, 100.0, -6.0]);
        let tensor = TensorData::int8(&values, 1, None).unwrap();
        assert_eq!(numbers(&tensor), [127, 1, 127, 1, -3, 4, 50, -3]);
        assert_eq!((tensor.scales().unwrap().axis(), tensor.scales().unwrap().values()), (1, [1.0, 2.0].as_slice()));
        assert_eq!(tensor.to_f32().unwrap(), values);
    }

    #[test]
    fn a_scale_clips_and_never_leaves_127_unused() {
        let values = array(&[2, 2], &[10.0, -254.0, 254.0, 3.0]);
        let tensor = TensorData::int8(&values, 0, Some(&[0.5, 100.0])).unwrap();
        assert_eq!(numbers(&tensor), [20, -127, 127, 2]);
        assert_eq!(tensor.scales().unwrap().values(), [0.5, 2.0]);
    }

    #[test]
    fn empty_and_tiny_channels_are_zero() {
        let values = array(&[4, 1], &[0.0, -0.0, 1e-40, 1e-37]);
        let tensor = TensorData::int8(&values, 0, None).unwrap();
        assert_eq!(numbers(&tensor), [0; 4]);
        assert_eq!(tensor.scales().unwrap().values(), [1.0; 4]);
        assert_eq!(tensor.to_f32().unwrap(), array(&[4, 1], &[0.0; 4]));
    }

    #[test]
    fn quantising_again_gives_the_same_numbers() {
        let factor = |c: usize| 10f32.powf(c as f32 / 5.0 - 3.0) * 1.37;
        for (seed, (shape, axis)) in
            [(vec![31, 40], 0), (vec![40, 1, 3, 3], 0), (vec![16, 32, 2, 2], 1)].into_iter().enumerate()
        {
            let mut values = standin::values("w", &shape, seed as u64);
            for (c, mut channel) in values.axis_iter_mut(Axis(axis)).enumerate() {
                channel *= factor(c);
            }
            let clips: Vec<f32> = (0..shape[axis]).map(|c| factor(c) / 300.0).collect();
            for scales in [None, Some(clips.as_slice())] {
                let once = TensorData::int8(&values, axis, scales).unwrap();
                let exact = once.to_f32().unwrap();
                assert_eq!(numbers(&TensorData::int8(&exact, axis, None).unwrap()), numbers(&once));
                let stored = once.scales().unwrap().values();
                assert_eq!(numbers(&TensorData::int8(&exact, axis, Some(stored)).unwrap()), numbers(&once));
                let mut rescaled = exact;
                for (c, mut channel) in rescaled.axis_iter_mut(Axis(axis)).enumerate() {
                    channel *= factor(c + 3) * 0.77;
                }
                assert_eq!(numbers(&TensorData::int8(&rescaled, axis, None).unwrap()), numbers(&once));
                for channel in rescaled.axis_iter(Axis(axis)) {
                    assert!(channel.iter().any(|v| *v != 0.0));
                }
            }
        }
    }

    #[test]
    fn what_has_no_scale_is_refused() {
        let values = array(&[2, 1], &[1.0, 2.0]);
        for (values, axis, scales) in [
            (array(&[2, 1], &[f32::NAN, 1.0]), 0, None),
            (array(&[2, 1], &[1.0, f32::INFINITY]), 0, None),
            (values.clone(), 2, None),
            (values.clone(), 0, Some([1.0].as_slice())),
            (values.clone(), 0, Some(&[1.0, 0.0])),
            (values, 0, Some(&[f32::NAN, 1.0])),
        ] {
            assert!(matches!(TensorData::int8(&values, axis, scales), Err(Error::Mismatch { .. })), "{values}");
        }
        assert_eq!(TensorData::of_bytes(Dtype::I8, vec![2], vec![1, 255]).to_f32().unwrap(), array(&[2], &[1.0, -1.0]));
    }

    #[test]
    fn channels_that_do_not_use_their_range_are_damaged() {
        for bytes in [[127, 100, 129, 128], [127, 0, 126, 0]] {
            let mut tensor = TensorData::int8(&array(&[2, 2], &[1.0; 4]), 0, None).unwrap();
            tensor.storage = super::Storage::from_vec(bytes.to_vec());
            assert!(matches!(tensor.to_f32(), Err(Error::Malformed { .. })));
        }
    }
}

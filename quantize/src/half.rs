//! Half precision: which layers might leave its range.

use std::collections::BTreeSet;

use ndarray::Axis;

use crate::Result;
use crate::int8::Quantizer;
use crate::points::Form;

/// The greatest finite number of half precision.
const GREATEST: f64 = 65504.0;
/// Sums may be so many times what pictures have shown.
const MARGIN: f64 = 4.0;

/// The layers (by node) whose input, weights or sums may leave the range of half precision. A sum is bounded by the greatest magnitude of
/// what is read, times the sum of the magnitudes of an output's weights, whatever the order that it is made in; a margin of 4 is for pictures
/// that calibration has not seen.
///
/// # Errors
/// [`Error::Bundle`](crate::Error::Bundle) where a tensor is missing.
pub fn beyond_range(quantizer: &Quantizer) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for layer in &quantizer.points.layers {
        let range = quantizer.statistics.values.get(&layer.input).and_then(|v| v.range());
        let Some((low, high)) = range else { continue };
        let most = f64::from(low.abs().max(high.abs()));
        let weights = quantizer.bundle.weights().to_f32(&layer.weight)?;
        let magnitudes = weights.mapv(|w| f64::from(w.abs()));
        let sums = magnitudes.axis_iter(Axis(layer.form.outputs())).map(|o| o.sum()).fold(0.0, f64::max);
        let sums = if layer.form == Form::Transposed { magnitudes.sum() } else { sums };
        let bias = match &layer.bias {
            Some(bias) => quantizer.bundle.weights().to_f32(bias)?.iter().fold(0.0_f32, |most, b| most.max(b.abs())),
            None => 0.0,
        };
        if MARGIN * (most * sums + f64::from(bias)).max(most) > GREATEST {
            found.insert(layer.node.clone());
        }
    }
    Ok(found)
}

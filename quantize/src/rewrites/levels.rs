//! Levels of the image that are bytes as they are.

use cutout_models::{Bundle, Normalization};
use ndarray::Axis;

use crate::Result;
use crate::points::{Form, Points};

/// Moves a mean that lies between two levels to the next level, so that zero is a level and each level a byte of its own. What that adds to the
/// numbers is taken into the biases of the layers that read the image. What is beside the image is that level then, which is half a level off.
///
/// Nothing is done where channels have different means or deviations, whose levels cannot all be bytes of one scale, or a layer has no bias.
///
/// # Errors
/// [`Error::Bundle`](crate::Error::Bundle) where a tensor is missing.
pub fn whole_levels(bundle: &mut Bundle, points: &Points) -> Result<()> {
    let Normalization { mean: [mean, ..], std: [std, ..] } = bundle.normalization();
    let alike = bundle.normalization() == Normalization { mean: [mean; 3], std: [std; 3] };
    let Some(image) = points.points.first().filter(|_| alike && mean.fract() != 0.0) else { return Ok(()) };
    let layers: Vec<_> = points.layers.iter().filter(|l| l.input == image.value).collect();
    if layers.iter().any(|l| l.bias.is_none() || l.form == Form::Transposed) {
        return Ok(());
    }
    let level = mean.ceil();
    let added = f64::from(level - mean) / f64::from(std);
    for layer in layers {
        let Some(name) = &layer.bias else { continue };
        let weights = bundle.weights().to_f32(&layer.weight)?;
        let mut bias = bundle.weights().to_f32(name)?;
        for (bias, output) in bias.iter_mut().zip(weights.axis_iter(Axis(0))) {
            let sum: f64 = output.iter().map(|w| f64::from(*w)).sum();
            *bias = (f64::from(*bias) + added * sum) as f32;
        }
        bundle.set(name, &bias)?;
    }
    bundle.set_normalization(Normalization { mean: [level; 3], std: [std; 3] });
    Ok(())
}

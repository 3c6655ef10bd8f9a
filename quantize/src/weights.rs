//! Weights as bytes: one scale for each output, and a rounding, chosen by the error of what they are multiplied with.
//!
//! A weight `w` of output `o` becomes `q`, near `w / scale`, within -127 and 127, and is read as `q * scale`. The error of an output is, with
//! `e = q - w / scale` and `v` the variance of the channel that a weight is multiplied with,
//!
//! ```text
//! scale^2 * sum over channels of v * ((1 - r) * sum over taps of e^2 + r * (sum over taps of e)^2)
//! ```
//!
//! where `r` is how much neighbouring pixels are alike: taps of a kernel that err to one side add up. Weights are rounded to nearest, and then
//! single ones to the other side as long as that makes the error less. The scale is the greatest magnitude of the output's weights by 127, or
//! less where the error is less if the greatest are cut. The greatest magnitude of each output is 127 in any case.

use ndarray::{ArrayD, Axis};
use rayon::prelude::*;

use crate::points::Form;

/// Scales tried, from the whole range inwards.
const STEPS: usize = 40;
/// The share of the range that is cut by each of them.
const STEP: f64 = 0.0125;
/// The correlation of neighbouring pixels of a channel.
const ALIKE: f64 = 0.9;

/// Weights as they are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The numbers that the bytes stand for.
    pub values: ArrayD<f32>,
    /// A scale for each output.
    pub scales: Vec<f32>,
}

/// Quantises a layer's weights. `importance` is the variance of each channel of what they are multiplied with, if it is known.
pub fn quantize(weights: &ArrayD<f32>, form: Form, importance: Option<&[f64]>) -> Kept {
    let outputs = Axis(form.outputs());
    let taps = weights.shape()[2..].iter().product::<usize>().max(1);
    let row = |o: usize| {
        let row: Vec<f32> = weights.index_axis(outputs, o).iter().copied().collect();
        let importance = importance.map(|all| form.of_inputs(weights.shape(), o, all));
        let importance = importance.filter(|i| i.len() == row.len()).unwrap_or_else(|| vec![1.0; row.len()]);
        best(&row, &importance, taps)
    };
    let rows: Vec<(f32, Vec<f32>)> = (0..weights.len_of(outputs)).into_par_iter().map(row).collect();
    let mut values = weights.clone();
    for (mut output, (scale, bytes)) in values.axis_iter_mut(outputs).zip(&rows) {
        output.iter_mut().zip(bytes).for_each(|(value, byte)| *value = byte * scale);
    }
    Kept { values, scales: rows.into_iter().map(|(scale, _)| scale).collect() }
}

/// What reading `read` instead of `weights` adds to each output on the average, where `means` are those of the channels that they are
/// multiplied with: to be taken out of the bias (Nagel et al. 2019). `None` where there is another number of channels.
pub fn mean_errors(weights: &ArrayD<f32>, read: &ArrayD<f32>, form: Form, means: &[f64]) -> Option<Vec<f64>> {
    let error = |o: usize| {
        let means = form.of_inputs(weights.shape(), o, means);
        let [was, is] = [weights, read].map(|w| w.index_axis(Axis(form.outputs()), o));
        let errors = was.iter().zip(is.iter()).zip(&means).map(|((w, q), mean)| (f64::from(*q) - f64::from(*w)) * mean);
        (means.len() == was.len()).then(|| errors.sum())
    };
    (0..weights.len_of(Axis(form.outputs()))).map(error).collect()
}

impl Form {
    /// The dimension of the outputs.
    pub fn outputs(self) -> usize {
        match self {
            Form::Convolution { .. } | Form::Linear => 0,
            Form::Transposed => 1,
        }
    }

    /// For each weight of an output, in order, the number of its input's channel in `all`; empty where there are not as many channels.
    fn of_inputs(self, shape: &[usize], output: usize, all: &[f64]) -> Vec<f64> {
        let taps: usize = shape[2..].iter().product();
        let (first, count) = match self {
            Form::Linear => (0, shape[1]),
            Form::Transposed => (0, shape[0]),
            Form::Convolution { groups } => (output / (shape[0] / groups).max(1) * shape[1], shape[1]),
        };
        let known = match self {
            Form::Convolution { groups } => all.len() == groups * shape[1],
            Form::Linear | Form::Transposed => all.len() == count,
        };
        if !known {
            return Vec::new();
        }
        all[first..first + count].iter().flat_map(|v| std::iter::repeat_n(*v, taps)).collect()
    }
}

/// The best scale of an output's weights, and their bytes.
fn best(row: &[f32], importance: &[f64], taps: usize) -> (f32, Vec<f32>) {
    let whole = row.iter().fold(0.0_f32, |most, w| most.max(w.abs())) / 127.0;
    if !whole.is_normal() {
        return (1.0, vec![0.0; row.len()]);
    }
    let mut bytes = vec![0.0; row.len()];
    let scales = (0..STEPS).map(|i| (f64::from(whole) * (1.0 - STEP * i as f64)) as f32);
    let losses = scales.map(|scale| (round(row, scale, importance, taps, &mut bytes), scale));
    let (_, scale) = losses.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, whole));
    round(row, scale, importance, taps, &mut bytes);
    (scale, bytes)
}

/// Rounds weights with a scale, and says the error.
fn round(row: &[f32], scale: f32, importance: &[f64], taps: usize, bytes: &mut [f32]) -> f64 {
    let mut errors = vec![0.0; taps];
    let mut loss = 0.0;
    for ((bytes, row), importance) in bytes.chunks_mut(taps).zip(row.chunks(taps)).zip(importance.chunks(taps)) {
        for ((byte, error), w) in bytes.iter_mut().zip(&mut errors).zip(row) {
            let exact = w / scale;
            *byte = exact.round_ties_even().clamp(-127.0, 127.0);
            *error = f64::from(*byte) - f64::from(exact);
        }
        let (squares, sum) =
            if taps == 1 { (errors[0] * errors[0], errors[0]) } else { round_together(bytes, &mut errors) };
        loss += importance[0] * ((1.0 - ALIKE) * squares + ALIKE * sum * sum);
    }
    loss * f64::from(scale).powi(2)
}

/// Rounds single taps of a kernel to the other side as long as that makes the error less. Gives the sums of the errors' squares and of the errors.
fn round_together(bytes: &mut [f32], errors: &mut [f64]) -> (f64, f64) {
    let mut sum: f64 = errors.iter().sum();
    loop {
        let by = -sum.signum();
        let gain = |e: f64| (1.0 - ALIKE) * ((e + by).powi(2) - e.powi(2)) + ALIKE * ((sum + by).powi(2) - sum.powi(2));
        // 127 stays, so that the greatest magnitude does.
        let movable = (0..bytes.len()).filter(|&t| bytes[t].abs() < 126.0);
        let best = movable.map(|t| (gain(errors[t]), t)).min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, t)) = best.filter(|(gained, _)| *gained < 0.0) else { break };
        bytes[t] += by as f32;
        errors[t] += by;
        sum += by;
    }
    (errors.iter().map(|e| e * e).sum(), sum)
}

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;

    use super::*;

    fn weights(shape: &[usize]) -> ArrayD<f32> {
        let mut state = 7_u32;
        ArrayD::from_shape_simple_fn(IxDyn(shape), || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let v = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            v * v * v
        })
    }

    /// The weights, rounded to nearest with the scale of the whole range.
    fn nearest(weights: &ArrayD<f32>, form: Form) -> ArrayD<f32> {
        let mut out = weights.clone();
        for mut output in out.axis_iter_mut(Axis(form.outputs())) {
            let scale = output.iter().fold(0.0_f32, |most, w| most.max(w.abs())) / 127.0;
            output.mapv_inplace(|w| (w / scale).round_ties_even() * scale);
        }
        out
    }

    /// The mean square error on inputs that are alike, as the module says.
    fn error(weights: &ArrayD<f32>, kept: &ArrayD<f32>) -> f64 {
        let taps = weights.shape()[2..].iter().product::<usize>().max(1);
        let errors: Vec<f64> = kept.iter().zip(weights).map(|(q, w)| f64::from(q - w)).collect();
        let group = |e: &[f64]| 0.1 * e.iter().map(|e| e * e).sum::<f64>() + 0.9 * e.iter().sum::<f64>().powi(2);
        errors.chunks(taps).map(group).sum()
    }

    #[test]
    fn the_error_is_below_that_of_the_nearest_and_127_is_used() {
        for (form, shape) in [
            (Form::Linear, &[5, 70][..]),
            (Form::Convolution { groups: 1 }, &[4, 3, 3, 3]),
            (Form::Convolution { groups: 6 }, &[6, 1, 5, 5]),
            (Form::Transposed, &[30, 4, 2, 2]),
        ] {
            let weights = weights(shape);
            let kept = quantize(&weights, form, None);
            assert_eq!(kept.scales.len(), shape[form.outputs()]);
            let (least, nearest) = (error(&weights, &kept.values), error(&weights, &nearest(&weights, form)));
            assert!(least <= nearest, "{form:?}: {least} {nearest}");
            if shape[2..].iter().product::<usize>() > 4 {
                assert!(least < 0.5 * nearest, "{form:?}: {least} {nearest}");
            }
            for (output, scale) in kept.values.axis_iter(Axis(form.outputs())).zip(&kept.scales) {
                let most = output.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
                assert_eq!(most, 127.0 * scale);
            }
        }
    }

    #[test]
    fn what_does_not_matter_is_cut() {
        let mut weights = weights(&[8, 64]);
        // One weight far beyond the others, on a channel of no importance.
        weights.index_axis_mut(Axis(1), 3).fill(9.0);
        let mut importance = vec![1.0; 64];
        importance[3] = 1e-9;
        let cut = quantize(&weights, Form::Linear, Some(&importance)).scales;
        assert!(cut.iter().all(|s| *s < 9.0 / 127.0 * 0.6), "{cut:?}");
        importance[3] = 1.0;
        let whole = quantize(&weights, Form::Linear, Some(&importance)).scales;
        assert!(whole.iter().all(|s| *s > 9.0 / 127.0 * 0.95), "{whole:?}");
    }

    #[test]
    fn an_output_without_weights_has_any_scale() {
        let kept = quantize(&ArrayD::zeros(IxDyn(&[2, 3])), Form::Linear, None);
        assert_eq!((kept.scales, kept.values), (vec![1.0; 2], ArrayD::zeros(IxDyn(&[2, 3]))));
    }

    #[test]
    fn mean_errors_are_those_of_the_outputs() {
        // Channels of a constant: the error of an output is exactly that of its sum.
        let weights = weights(&[6, 2, 3, 3]);
        let form = Form::Convolution { groups: 2 };
        let means = [1.0, -2.0, 3.0, 0.5];
        let read = nearest(&weights, form);
        let errors = mean_errors(&weights, &read, form, &means).unwrap();
        let sum = |w: &ArrayD<f32>, o: usize| -> f64 {
            let output = w.index_axis(Axis(0), o);
            (0..2).map(|i| means[o / 3 * 2 + i] * f64::from(output.index_axis(Axis(0), i).sum())).sum()
        };
        for (o, error) in errors.iter().enumerate() {
            assert!((error - (sum(&read, o) - sum(&weights, o))).abs() < 1e-5, "{o}");
        }
        assert!(mean_errors(&weights, &read, form, &means[..3]).is_none());
    }
}

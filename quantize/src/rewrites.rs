//! Exact changes of a network that make its values easier to quantise.
//!
//! A value whose channels are only ever multiplied by weights before and after may have each channel divided by a factor of its own: the
//! weights before are divided, those after are multiplied, and the network computes the same. Channels of very different ranges, which
//! share one scale, so come to share one range (Nagel et al. 2019, cross-layer equalisation; Xiao et al. 2022, SmoothQuant).

mod attention;
mod groups;
mod levels;

use std::collections::BTreeMap;

use cutout_models::Bundle;
use cutout_models::onnx::OnnxModel;
use ndarray::{ArrayD, Axis};
use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::points::Points;
use crate::statistics::{Statistics, ValueStatistics};
use crate::{Error, Result};

pub use levels::whole_levels;

/// One such change: what it divides or multiplies by the factors of its channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// The first value that it changes.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Values whose channels are divided (or multiplied).
    pub values: Vec<Side>,
    /// Tensors whose slices are divided (or multiplied).
    pub tensors: Vec<Side>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A value's channels against the weights that read them.
    Smoothing,
    /// Queries against keys, channel by channel.
    Balance,
}

/// A value's channels, or the slices of a tensor, one for each factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// The value or the tensor.
    pub name: String,
    /// Of a tensor: the dimension that is sliced.
    pub axis: usize,
    /// Which channel or slice the factors are for.
    pub index: Vec<usize>,
    /// Whether it is divided, or else multiplied.
    pub divided: bool,
}

impl Side {
    fn plain(name: &str, axis: usize, channels: usize, divided: bool) -> Self {
        Side { name: name.to_owned(), axis, index: (0..channels).collect(), divided }
    }

    fn factor(&self, factor: f32) -> f32 {
        if self.divided { factor.recip() } else { factor }
    }
}

/// Factors by the name of a rewrite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Factors(pub BTreeMap<String, Vec<f32>>);

/// The changes that a folded bundle's image encoder allows.
///
/// # Errors
/// [`Error::Graph`] where the graph is of no known form; [`Error::Bundle`] where a tensor is missing.
pub fn rewrites(model: &OnnxModel, points: &Points, bundle: &Bundle) -> Result<Vec<Rewrite>> {
    let graph = Graph::of(model)?;
    let mut found = groups::find(&graph, points, bundle)?;
    found.extend(attention::find(&graph, points, bundle)?);
    Ok(found)
}

impl Rewrite {
    /// Factors that make ranges alike: `range^strength / weight^(1 - strength)` of each channel, where `range` is the greatest magnitude of
    /// its numbers and `weight` that of the weights that read it; of queries and keys, the root of the ratio of their ranges. `None` where
    /// statistics are missing.
    ///
    /// # Errors
    /// [`Error::Bundle`] where a tensor is missing.
    pub fn factors(&self, statistics: &Statistics, bundle: &Bundle, strength: f64) -> Result<Option<Vec<f32>>> {
        let ranges = |side: &Side| -> Option<Vec<f64>> {
            let channels = &statistics.values.get(&side.name)?.channels;
            side.index.iter().map(|&i| Some(f64::from(channels.get(i)?.magnitude()))).collect()
        };
        let largest = |sides: Vec<Vec<f64>>| -> Vec<f64> {
            (0..self.channels).map(|c| sides.iter().map(|s| s[c]).fold(0.0, f64::max)).collect()
        };
        let of_values = |divided: bool| -> Option<Vec<f64>> {
            let sides = self.values.iter().filter(|s| s.divided == divided).map(ranges);
            Some(largest(sides.collect::<Option<Vec<_>>>()?))
        };
        let Some(ranges) = of_values(true) else { return Ok(None) };
        let raw: Vec<f64> = match self.kind {
            Kind::Balance => {
                let Some(others) = of_values(false) else { return Ok(None) };
                ranges.iter().zip(&others).map(|(q, k)| (q / k).sqrt()).collect()
            }
            Kind::Smoothing => {
                let mut weights = Vec::new();
                for side in self.tensors.iter().filter(|s| !s.divided) {
                    let tensor = bundle.weights().to_f32(&side.name)?;
                    let magnitude = |&i: &usize| {
                        let slice = tensor.index_axis(Axis(side.axis), i);
                        slice.iter().fold(0.0_f32, |most, w| most.max(w.abs()))
                    };
                    weights.push(side.index.iter().map(|i| f64::from(magnitude(i))).collect());
                }
                let weights = largest(weights);
                ranges.iter().zip(&weights).map(|(r, w)| r.powf(strength) / w.powf(1.0 - strength)).collect()
            }
        };
        Ok(Some(normalized(&raw)))
    }

    /// Those of `all` that make a difference.
    pub fn strengths<'s>(&self, all: &'s [f64]) -> &'s [f64] {
        if self.kind == Kind::Balance { &all[..1] } else { all }
    }

    /// Changes a folded bundle by factors.
    ///
    /// # Errors
    /// [`Error::Bundle`] where a tensor is missing or of another shape; [`Error::Calibration`] where there is another number of factors.
    pub fn apply(&self, bundle: &mut Bundle, factors: &[f32]) -> Result<()> {
        self.check(factors)?;
        for side in &self.tensors {
            let mut tensor = bundle.weights().to_f32(&side.name)?;
            scale(&mut tensor, side, factors);
            bundle.set(&side.name, &tensor)?;
        }
        Ok(())
    }

    /// Changes what is known of the values in the same way. Histograms, which do not tell channels apart, are dropped.
    ///
    /// # Errors
    /// [`Error::Calibration`] where there is another number of factors than channels.
    pub fn apply_to_statistics(&self, statistics: &mut Statistics, factors: &[f32]) -> Result<()> {
        self.check(factors)?;
        for side in &self.values {
            let Some(ValueStatistics { channels, histogram, .. }) = statistics.values.get_mut(&side.name) else {
                continue;
            };
            *histogram = None;
            for (&at, &factor) in side.index.iter().zip(factors) {
                let Some(channel) = channels.get_mut(at) else { continue };
                let by = side.factor(factor);
                (channel.min, channel.max) = (channel.min * by, channel.max * by);
                channel.sum *= f64::from(by);
                channel.squares *= f64::from(by) * f64::from(by);
            }
        }
        Ok(())
    }

    fn check(&self, factors: &[f32]) -> Result<()> {
        let good = factors.len() == self.channels && factors.iter().all(|f| f.is_normal() && *f > 0.0);
        let what = || format!("the factors of {} do not belong to this model: calibrate it anew", self.name);
        if good { Ok(()) } else { Err(Error::calibration(what())) }
    }
}

fn scale(tensor: &mut ArrayD<f32>, side: &Side, factors: &[f32]) {
    for (&at, &factor) in side.index.iter().zip(factors) {
        let by = side.factor(factor);
        tensor.index_axis_mut(Axis(side.axis), at).mapv_inplace(|w| w * by);
    }
}

/// Factors of mean 1, geometrically, and within a thousandth and a thousand; those that are no numbers are 1.
fn normalized(raw: &[f64]) -> Vec<f32> {
    let good = |v: &f64| v.is_finite() && *v > 0.0;
    let logs: Vec<f64> = raw.iter().filter(|v| good(v)).map(|v| v.ln()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
    raw.iter().map(|v| if good(v) { (v.ln() - mean).exp().clamp(1e-3, 1e3) as f32 } else { 1.0 }).collect()
}

//! What hurts least: trials on a few pictures.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use cutout_models::arch::InputSize;
use cutout_runtime::engine::{Network, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::calibrate::Watch;
use crate::encoder::{Bench, Sample, distance};
use crate::int8::{Changes, Methods, Quantizer};
use crate::points::Layer;
use crate::ranges::Method;
use crate::rewrites::{Factors, Rewrite};
use crate::statistics::Statistics;

/// How much of the ranges goes to the weights: strengths of smoothing that are tried.
const STRENGTHS: [f64; 4] = [0.35, 0.5, 0.75, 1.0];

/// Pictures to try changes on, and what the network in floats gives for them.
pub struct Trials {
    bench: Bench,
    samples: Vec<Sample>,
    reference: Vec<Vec<Tensor>>,
}

/// The error that a layer alone in bytes makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerError {
    /// Its node.
    pub layer: String,
    /// Distance of the outputs from those in floats, see [`distance`].
    pub error: f64,
}

impl Trials {
    /// `samples` are best of one input size: a network is built for each.
    ///
    /// # Errors
    /// As [`Bench::outputs`].
    pub fn new(bench: Bench, quantizer: &Quantizer, samples: Vec<Sample>) -> Result<Self> {
        let reference = bench.outputs(&quantizer.bundle, &samples)?;
        Ok(Trials { bench, samples, reference })
    }

    /// How far the outputs move by changes.
    ///
    /// # Errors
    /// [`Error::Bundle`](crate::Error::Bundle) or [`Error::Engine`](crate::Error::Engine) where they cannot be tried.
    pub fn error(&self, quantizer: &Quantizer, changes: &Changes) -> Result<f64> {
        let mut networks: BTreeMap<(usize, usize), Network> = BTreeMap::new();
        let mut outputs = Vec::with_capacity(self.samples.len());
        for sample in &self.samples {
            let InputSize { height, width } = sample.size;
            let network = match networks.entry((height, width)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let model = changes.image_encoder(&quantizer.bundle, sample.size)?;
                    new.insert(self.bench.network(model)?)
                }
            };
            outputs.push(self.bench.run(network, sample)?);
        }
        Ok(distance(&self.reference, &outputs))
    }

    /// The rewrites that make the error less, each tried for itself: the values that it changes as bytes, over all of what was seen, and the
    /// weights that it changes.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn choose_rewrites(
        &self,
        quantizer: &Quantizer,
        rewrites: &[Rewrite],
        watch: &mut dyn Watch,
    ) -> Result<Factors> {
        let mut chosen = Factors::default();
        watch.begin("rewrites", rewrites.len());
        for rewrite in rewrites {
            let mut best = (self.error(quantizer, &touched(quantizer, rewrite)?)?, None);
            for &strength in rewrite.strengths(&STRENGTHS) {
                let factors = rewrite.factors(&quantizer.statistics, &quantizer.bundle, strength)?;
                let Some(factors) = factors else { continue };
                let mut changed = quantizer.clone();
                rewrite.apply(&mut changed.bundle, &factors)?;
                rewrite.apply_to_statistics(&mut changed.statistics, &factors)?;
                let error = self.error(&changed, &touched(&changed, rewrite)?)?;
                if error < best.0 {
                    best = (error, Some(factors));
                }
            }
            if let Some(factors) = best.1 {
                chosen.0.insert(rewrite.name.clone(), factors);
            }
            watch.advance(1);
        }
        Ok(chosen)
    }

    /// For each value the range that makes the least error, each tried for itself.
    ///
    /// # Errors
    /// As [`error`](Self::error), and those of `keep`, which is called with what is chosen so far.
    pub fn choose_methods(
        &self,
        quantizer: &Quantizer,
        mut chosen: Methods,
        keep: &mut dyn FnMut(&Methods) -> Result<()>,
        watch: &mut dyn Watch,
    ) -> Result<Methods> {
        watch.begin("ranges of values", quantizer.points.points.len());
        for point in &quantizer.points.points {
            watch.advance(1);
            if chosen.contains_key(&point.value) {
                continue;
            }
            let candidates = quantizer.candidates(point);
            let mut errors = Vec::new();
            for (method, affine) in candidates.iter().filter(|_| candidates.len() > 1) {
                let activations = [(point.value.clone(), *affine)].into();
                let error = self.error(quantizer, &Changes { activations, ..Changes::default() })?;
                errors.push((error, *method));
            }
            let least = errors.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0));
            // Where nothing shows, as of a value that exists between fused steps only, the least square error is a good guess.
            let differ = least.is_some_and(|(least, _)| errors.iter().any(|(error, _)| *error > least));
            let best = least.filter(|_| differ).map_or(Method::Mse, |(_, method)| method);
            chosen.insert(point.value.clone(), best);
            keep(&chosen)?;
        }
        Ok(chosen)
    }

    /// The error of each layer alone in bytes, in the network's order.
    ///
    /// # Errors
    /// As [`choose_methods`](Self::choose_methods).
    pub fn sensitivity(
        &self,
        quantizer: &Quantizer,
        methods: &Methods,
        mut known: Vec<LayerError>,
        keep: &mut dyn FnMut(&[LayerError]) -> Result<()>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<LayerError>> {
        watch.begin("layers", quantizer.points.layers.len());
        for layer in &quantizer.points.layers {
            watch.advance(1);
            if known.iter().any(|k| k.layer == layer.node) {
                continue;
            }
            let error = self.error(quantizer, &quantizer.only(layer, methods)?)?;
            known.push(LayerError { layer: layer.node.clone(), error });
            keep(&known)?;
        }
        Ok(known)
    }
}

/// What a rewrite changes, as bytes.
fn touched(quantizer: &Quantizer, rewrite: &Rewrite) -> Result<Changes> {
    let mut changes = Changes::default();
    let changed = |layer: &&Layer| rewrite.tensors.iter().any(|side| side.name == layer.weight);
    for layer in quantizer.points.layers.iter().filter(changed) {
        changes.extend(quantizer.weights(layer)?);
    }
    for side in &rewrite.values {
        let seen = quantizer.statistics.values.get(&side.name).and_then(|v| v.range());
        let affine = seen.map(|(low, high)| crate::ranges::affine(f64::from(low), f64::from(high)));
        changes.activations.extend(affine.map(|affine| (side.name.clone(), affine)));
    }
    Ok(changes)
}

/// Statistics and bundle with the rewrites that were chosen.
///
/// # Errors
/// [`Error::Calibration`](crate::Error::Calibration) where factors are of another model.
pub fn apply(quantizer: &mut Quantizer, rewrites: &[Rewrite], factors: &Factors) -> Result<()> {
    for rewrite in rewrites {
        if let Some(factors) = factors.0.get(&rewrite.name) {
            rewrite.apply(&mut quantizer.bundle, factors)?;
            rewrite.apply_to_statistics(&mut quantizer.statistics, factors)?;
        }
    }
    Ok(())
}

/// The layers to keep in floats, of the most harmful first: the least number `n` for which `good(n most harmful)` holds, where more are
/// better. All, if none is enough.
///
/// # Errors
/// Those of `good`.
pub fn fewest(
    errors: &[LayerError],
    mut good: impl FnMut(&BTreeSet<String>) -> Result<bool>,
) -> Result<BTreeSet<String>> {
    let mut order: Vec<&LayerError> = errors.iter().collect();
    order.sort_by(|a, b| b.error.total_cmp(&a.error));
    let first = |n: usize| -> BTreeSet<String> { order[..n].iter().map(|e| e.layer.clone()).collect() };
    let (mut low, mut high) = (0, order.len());
    while low < high {
        let middle = (low + high) / 2;
        if good(&first(middle))? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(first(low))
}

/// The statistics of the values that are measured anew once rewrites are chosen: histograms.
pub fn without_histograms(mut statistics: Statistics) -> Statistics {
    statistics.values.values_mut().for_each(|v| v.histogram = None);
    statistics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_harmful_layers_are_kept_and_no_more() {
        let errors: Vec<LayerError> = [0.1, 0.5, 0.2, 0.9]
            .iter()
            .zip("abcd".chars())
            .map(|(e, n)| LayerError { layer: n.into(), error: *e })
            .collect();
        let set = |names: &str| names.chars().map(String::from).collect::<BTreeSet<_>>();
        let enough = |n: usize| fewest(&errors, |kept| Ok(kept.len() >= n)).unwrap();
        assert_eq!((enough(0), enough(1), enough(2)), (set(""), set("d"), set("bd")));
        assert_eq!((enough(4), enough(9)), (set("abcd"), set("abcd")));
    }
}

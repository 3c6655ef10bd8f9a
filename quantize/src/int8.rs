//! From statistics to a model of bytes.

use std::collections::{BTreeMap, BTreeSet};

use cutout_models::arch::InputSize;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::onnx::{Dim, OnnxModel};
use cutout_models::{Affine, Bundle, Quantization};
use ndarray::ArrayD;

use crate::graph::Graph;
use crate::points::{Form, Layer, Point, Points};
use crate::ranges::{self, Method};
use crate::statistics::Statistics;
use crate::weights;
use crate::{Error, Result};

/// Fewest numbers of a decoder's weights that are worth scales of their own.
const LARGE: usize = 4096;
/// A range is that of an activation if it comes this near to its bounds.
const NEAR: f64 = 0.97;

/// How each value's range is chosen; [`Method::Mse`] where nothing is said.
pub type Methods = BTreeMap<String, Method>;

/// What is changed of a model in floats.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Values that are kept as bytes.
    pub activations: BTreeMap<String, Affine>,
    /// Weights that are kept as bytes, with a scale for each output.
    pub weights: BTreeMap<String, Vec<f32>>,
    /// Tensors of floats that change: weights as their bytes will be read, biases without the mean error of their layer's weights.
    pub tensors: BTreeMap<String, ArrayD<f32>>,
}

impl Changes {
    /// Adds others.
    pub fn extend(&mut self, other: Changes) {
        self.activations.extend(other.activations);
        self.weights.extend(other.weights);
        self.tensors.extend(other.tensors);
    }

    /// The image encoder of a folded bundle with these changes.
    ///
    /// # Errors
    /// [`Error::Bundle`] where a name or a size does not fit.
    pub fn image_encoder(&self, bundle: &Bundle, size: InputSize) -> Result<OnnxModel> {
        let model = self.with_tensors(bundle)?.image_encoder_onnx(size)?;
        Ok(model.quantized(&self.activations, &self.weights)?)
    }

    fn with_tensors(&self, bundle: &Bundle) -> Result<Bundle> {
        let mut bundle = bundle.clone();
        for (name, values) in &self.tensors {
            bundle.set(name, values)?;
        }
        Ok(bundle)
    }
}

/// A network and what is known of its values.
#[derive(Clone, Debug)]
pub struct Quantizer {
    /// The network in floats: folded, and rewritten if it is to be.
    pub bundle: Bundle,
    /// Its values and layers.
    pub points: Points,
    /// What calibration found.
    pub statistics: Statistics,
}

impl Quantizer {
    /// How a value is kept; `None` where nothing is known of it.
    pub fn affine(&self, point: &Point, method: Method) -> Option<Affine> {
        if self.points.points.first().is_some_and(|image| image.value == point.value) {
            return Some(ranges::of_image(self.bundle.normalization()));
        }
        let value = self.statistics.values.get(&point.value)?;
        let (histogram, seen) = (value.histogram.as_ref()?, value.range()?);
        let chosen = method.choose(histogram, seen);
        let (low, high) = ranges::range(chosen);
        Some(match point.bounds {
            Some((from, to)) if high >= NEAR * f64::from(to) && low >= f64::from(from) => {
                ranges::affine(f64::from(from), f64::from(to))
            }
            _ => chosen,
        })
    }

    /// The range of a value as the methods choose it, each once.
    pub fn candidates(&self, point: &Point) -> Vec<(Method, Affine)> {
        let mut found: Vec<(Method, Affine)> = Vec::new();
        for method in Method::ALL {
            if let Some(affine) = self.affine(point, method)
                && found.iter().all(|(_, known)| *known != affine)
            {
                found.push((method, affine));
            }
        }
        found
    }

    /// A layer's weights as bytes, and its bias without their mean error.
    ///
    /// # Errors
    /// [`Error::Bundle`] where a tensor is missing.
    pub fn weights(&self, layer: &Layer) -> Result<Changes> {
        let known = self.statistics.values.get(&layer.input);
        let values = self.bundle.weights().to_f32(&layer.weight)?;
        let variances = known.map(|k| k.variances());
        let kept = weights::quantize(&values, layer.form, variances.as_deref());
        let mut changes = Changes::default();
        if let (Some(known), Some(bias)) = (known, &layer.bias)
            && let Some(errors) = weights::mean_errors(&values, &kept.values, layer.form, &known.means())
        {
            let mut bias_values = self.bundle.weights().to_f32(bias)?;
            bias_values.iter_mut().zip(errors).for_each(|(b, error)| *b = (f64::from(*b) - error) as f32);
            changes.tensors.insert(bias.clone(), bias_values);
        }
        changes.tensors.insert(layer.weight.clone(), kept.values);
        changes.weights.insert(layer.weight.clone(), kept.scales);
        Ok(changes)
    }

    /// One layer in bytes: what it reads, and its weights.
    ///
    /// # Errors
    /// [`Error::Bundle`] where a tensor is missing.
    pub fn only(&self, layer: &Layer, methods: &Methods) -> Result<Changes> {
        let mut changes = self.weights(layer)?;
        changes.activations.extend(self.kept(&layer.input, methods));
        Ok(changes)
    }

    fn kept(&self, value: &str, methods: &Methods) -> Option<(String, Affine)> {
        let method = methods.get(value).copied().unwrap_or(Method::Mse);
        Some((value.to_owned(), self.affine(self.points.point(value)?, method)?))
    }

    /// The image encoder in bytes, but for the layers (by node) that stay in floats.
    ///
    /// # Errors
    /// [`Error::Calibration`] where nothing is known of a value; [`Error::Bundle`] where a tensor is missing.
    pub fn encoder(&self, methods: &Methods, floats: &BTreeSet<String>) -> Result<Changes> {
        let mut changes = Changes::default();
        for layer in self.points.layers.iter().filter(|l| !floats.contains(&l.node)) {
            changes.extend(self.weights(layer)?);
        }
        let model = self.bundle.image_encoder_onnx(self.bundle.input_size())?;
        for value in self.values_in_bytes(&Graph::of(&model)?, floats) {
            let kept = self.kept(&value, methods).ok_or_else(|| {
                Error::calibration(format!("the calibration says nothing of {value}: it belongs to another model"))
            })?;
            changes.activations.extend([kept]);
        }
        Ok(changes)
    }

    /// The values that are kept as bytes where some layers stay in floats: what a layer in bytes reads; of others what such a layer makes; and
    /// sums and the like where such a layer makes what they are of, or reads what becomes of them.
    fn values_in_bytes(&self, graph: &Graph<'_>, floats: &BTreeSet<String>) -> Vec<String> {
        let layers = &self.points.layers;
        let kept = |layer: &Layer| !floats.contains(&layer.node);
        let readers_of = |value: &str| -> Vec<&Layer> {
            let (readers, _) = graph.readers_through_views(value);
            layers.iter().filter(|l| readers.iter().any(|r| r.name == l.node)).collect()
        };
        let maker_of = |value: &str| layers.iter().find(|l| l.output == value);
        let in_bytes = |point: &&Point| {
            let value = point.value.as_str();
            let readers = readers_of(value);
            if !readers.is_empty() {
                return readers.into_iter().any(kept);
            }
            if let Some(maker) = maker_of(value) {
                return kept(maker);
            }
            let before = graph.maker(value).into_iter().flat_map(|n| &n.input).map(|i| graph.root(i));
            let after = graph.readers_through_views(value).0.into_iter().flat_map(|n| &n.output);
            before.filter_map(maker_of).any(kept) || after.flat_map(|o| readers_of(o)).any(kept)
        };
        self.points.points.iter().filter(in_bytes).map(|p| p.value.clone()).collect()
    }

    /// The model of bytes: the image encoder with `changes`, and the large weights of the mask decoder as bytes too, whose arithmetic stays
    /// in floats.
    ///
    /// # Errors
    /// [`Error::Bundle`] where a tensor is missing or beyond the range of its precision.
    pub fn quantized(&self, changes: &Changes, method: BTreeMap<String, String>) -> Result<Bundle> {
        let mut changes = changes.clone();
        let mut scales: BTreeMap<String, Option<Vec<f32>>> =
            changes.weights.iter().map(|(name, scales)| (name.clone(), Some(scales.clone()))).collect();
        for layer in decoder_layers(&self.bundle)? {
            let values = self.bundle.weights().to_f32(&layer.weight)?;
            if values.len() < LARGE {
                continue;
            }
            // Transposed convolutions have a scale for each input, as all tensors of a bundle along the first dimension.
            let kept = (layer.form != Form::Transposed).then(|| weights::quantize(&values, layer.form, None));
            scales.insert(layer.weight.clone(), kept.as_ref().map(|k| k.scales.clone()));
            changes.tensors.extend(kept.map(|k| (layer.weight, k.values)));
        }
        let quantization = Quantization { activations: changes.activations.clone(), method };
        Ok(changes.with_tensors(&self.bundle)?.to_int8(&scales, quantization)?)
    }
}

/// The products of the mask decoder with weights of their own.
fn decoder_layers(bundle: &Bundle) -> Result<Vec<Layer>> {
    let InputSize { height, width } = bundle.input_size();
    let shape = DecoderShape { prompts: Dim::Fixed(1), points: Dim::Fixed(2), embedding: (height / 16, width / 16) };
    let mut layers = Points::layers_of(&bundle.mask_decoder_onnx(shape)?)?;
    layers.retain(|l| bundle.weights().contains(&l.weight));
    layers.dedup_by(|a, b| a.weight == b.weight);
    Ok(layers)
}

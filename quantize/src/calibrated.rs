//! [`Calibrated`]: a calibration as it is kept and shipped, so that a model can be quantised without pictures.

use std::path::Path;

use cutout_models::checkpoint::{Dtype, StateDict};
use ndarray::ArrayD;

use crate::int8::Methods;
use crate::points::Points;
use crate::rewrites::Factors;
use crate::statistics::{BINS, Channel, Histogram, Statistics, ValueStatistics};
use crate::{Error, Result};

/// Bins that a histogram is kept with: four of a calibration's in one.
const KEPT_BINS: usize = BINS / 4;
/// Key of the metadata that names the model.
const MODEL: &str = "model";
/// Key of the metadata that says how many pictures there were.
const PICTURES: &str = "pictures";
/// Key of the metadata that says how ranges are chosen.
const METHODS: &str = "methods";
/// Key of the metadata that says what the file is.
const FORMAT: &str = "calibration";

/// What quantising a model needs to know of its values, after its rewrites.
///
/// In a file (safetensors, half precision where all fits): `VALUE/range` `[2]`, `VALUE/histogram` (shares), and of what layers read
/// `VALUE/mean` and `VALUE/square` (of each channel); `factors/NAME` of each rewrite; metadata `calibration` (1), `model` (the id of the
/// model in floats), `pictures` (their number) and `methods` (JSON, value to method).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibrated {
    /// The id of the model that it was made for.
    pub model: String,
    /// Factors of its rewrites.
    pub factors: Factors,
    /// Statistics of the rewritten network.
    pub statistics: Statistics,
    /// How ranges are chosen, where pictures have shown what is best.
    pub methods: Methods,
}

impl Calibrated {
    /// Writes the file.
    ///
    /// # Errors
    /// [`Error::Bundle`] where it cannot be written.
    pub fn write(&self, path: &Path, points: &Points) -> Result<()> {
        let mut tensors = StateDict::new();
        let mut insert = |name: String, values: Vec<f64>| {
            let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
            tensors.insert(name, &ArrayD::from_shape_vec(vec![values.len()], values).unwrap_or_default());
        };
        for (name, value) in &self.statistics.values {
            let Some((low, high)) = value.range() else { continue };
            insert(format!("{name}/range"), vec![f64::from(low), f64::from(high)]);
            if let Some(histogram) = &value.histogram {
                let total = histogram.total().max(1.0);
                let bins = histogram.counts.chunks(histogram.counts.len().div_ceil(KEPT_BINS));
                insert(format!("{name}/histogram"), bins.map(|b| b.iter().sum::<f64>() / total).collect());
            }
            if points.layers.iter().any(|l| l.input == *name) {
                insert(format!("{name}/mean"), value.means());
                insert(format!("{name}/square"), value.mean_squares());
            }
        }
        for (name, factors) in &self.factors.0 {
            insert(format!("factors/{name}"), factors.iter().map(|f| f64::from(*f)).collect());
        }
        let methods = serde_json::to_string(&self.methods).map_err(|e| Error::calibration(e.to_string()))?;
        for (key, text) in [
            (FORMAT, "1"),
            (MODEL, &self.model),
            (PICTURES, &self.statistics.pictures.to_string()),
            (METHODS, &methods),
        ] {
            tensors.insert_metadata(key, text);
        }
        // Numbers beyond the range of half precision take single.
        tensors.write_safetensors(Dtype::F16, path).or_else(|_| tensors.write_safetensors(Dtype::F32, path))?;
        Ok(())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Bundle`] where it cannot be read, [`Error::Calibration`] where it is no calibration.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&StateDict::open(path)?).map_err(|what| Error::calibration(format!("{}: {what}", path.display())))
    }

    /// Reads the bytes of a file that is part of the program.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_static(bytes: &'static [u8]) -> Result<Self> {
        Self::of(&StateDict::from_safetensors_static(bytes)?).map_err(Error::calibration)
    }

    fn of(tensors: &StateDict) -> Result<Self, String> {
        let text = |key: &str| {
            tensors
                .metadata()
                .get(key)
                .map(String::as_str)
                .ok_or_else(|| format!("it is no calibration: it has no '{key}'"))
        };
        if text(FORMAT)? != "1" {
            return Err("it was made by another version of this program: calibrate anew".into());
        }
        let numbers = |name: &str| -> Result<Vec<f32>, String> {
            Ok(tensors.to_f32(name).map_err(|e| e.to_string())?.iter().copied().collect())
        };
        let mut found = Calibrated { model: text(MODEL)?.to_owned(), ..Calibrated::default() };
        found.statistics.pictures = text(PICTURES)?.parse().map_err(|_| "the number of its pictures is none")?;
        found.methods = serde_json::from_str(text(METHODS)?).map_err(|e| format!("its methods: {e}"))?;
        for name in tensors.names() {
            if let Some(rewrite) = name.strip_prefix("factors/") {
                found.factors.0.insert(rewrite.to_owned(), numbers(name)?);
            } else if let Some(value) = name.strip_suffix("/range") {
                let read = |what: &str| {
                    let name = format!("{value}/{what}");
                    if tensors.contains(&name) { numbers(&name) } else { Ok(Vec::new()) }
                };
                let &[low, high] = numbers(name)?.as_slice() else { return Err(format!("{name} is no range")) };
                let statistics = value_of((low, high), read("histogram")?, &read("mean")?, &read("square")?);
                found.statistics.values.insert(value.to_owned(), statistics.ok_or_else(|| format!("{name}: damaged"))?);
            }
        }
        Ok(found)
    }
}

/// What a file tells of a value: its channels have the range of all.
fn value_of(range: (f32, f32), histogram: Vec<f32>, means: &[f32], squares: &[f32]) -> Option<ValueStatistics> {
    let (min, max) = range;
    let good = min.is_finite() && max.is_finite() && min <= max && means.len() == squares.len();
    let channel = |(sum, squares): (&f32, &f32)| Channel { min, max, sum: (*sum).into(), squares: (*squares).into() };
    let mut channels: Vec<Channel> = means.iter().zip(squares).map(channel).collect();
    if channels.is_empty() {
        channels.push(Channel { min, max, sum: 0.0, squares: 0.0 });
    }
    let counts: Vec<f64> = histogram.into_iter().map(f64::from).collect();
    let histogram = (!counts.is_empty()).then_some(Histogram { low: min, high: max, counts });
    good.then_some(ValueStatistics { count: 1.0, channels, histogram })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::{Channels, Form, Layer};
    use crate::ranges::Method;

    #[test]
    fn a_calibration_survives_its_file() {
        let mut value = ValueStatistics::default();
        let numbers: Vec<f32> =
            (0..4000).map(|i| (i as f32 / 4000.0).powi(3) * if i % 2 == 0 { 2.0 } else { -1.0 }).collect();
        value.observe(&[1, 2, 2000], &numbers, Channels::Second).unwrap();
        let (low, high) = value.range().unwrap();
        let mut histogram = Histogram::new(low, high);
        histogram.add(&numbers);
        value.histogram = Some(histogram);
        let layer = Layer {
            node: "l".into(),
            weight: "w".into(),
            bias: None,
            form: Form::Linear,
            input: "a/Conv".into(),
            output: "o".into(),
        };
        let points = Points { points: Vec::new(), layers: vec![layer] };
        let calibrated = Calibrated {
            model: "m@1".into(),
            factors: Factors([("a/Conv".to_owned(), vec![0.5, 2.0])].into()),
            statistics: Statistics { values: [("a/Conv".to_owned(), value.clone())].into(), pictures: 7 },
            methods: [("a/Conv".to_owned(), Method::Entropy)].into(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calibration.safetensors");
        calibrated.write(&path, &points).unwrap();
        let read = Calibrated::open(&path).unwrap();
        assert_eq!(
            (&read.model, &read.factors, &read.methods),
            (&calibrated.model, &calibrated.factors, &calibrated.methods)
        );
        let back = &read.statistics.values["a/Conv"];
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs() + 1e-6);
        assert!(near(&back.means(), &value.means()) && near(&back.mean_squares(), &value.mean_squares()));
        for method in Method::ALL {
            let [was, is] = [&value, back].map(|v| method.choose(v.histogram.as_ref().unwrap(), v.range().unwrap()));
            assert!((was.scale / is.scale - 1.0).abs() < 0.03, "{method}: {was:?} {is:?}");
        }
        std::fs::write(&path, b"no tensors").unwrap();
        assert!(Calibrated::open(&path).is_err());
    }
}

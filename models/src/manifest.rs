//! [`Manifest`]: `manifest.json` of a bundle, everything about a model but its weights.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::arch::InputSize;
use crate::error::{Error, Result};
use crate::quantization::{Affine, Quantization};
use crate::spec::{Architecture, ModelSpec, Normalization, Precision};

/// Version of the bundle format that this crate reads and writes.
pub const FORMAT: u32 = 1;
/// Name of the manifest in a bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the weights in a bundle's folder.
pub const WEIGHTS_FILE: &str = "weights.safetensors";

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the bundle format, [`FORMAT`].
    pub format: u32,
    /// Short name of the model.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Which network the weights belong to.
    pub architecture: Architecture,
    /// Input size that the model was made for, in model pixels.
    pub input_size: InputSize,
    /// What the image is normalised with.
    pub normalization: Normalization,
    /// How the weights are stored.
    pub precision: Precision,
    /// What is quantised beside the weights; of [`Precision::Int8`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// Number of elements in all tensors of the weights.
    pub parameters: u64,
    /// Licence of the weights, as an SPDX expression.
    pub licence: String,
    /// Where the weights came from.
    pub source: Provenance,
    /// Program and version that wrote the bundle.
    pub created_by: String,
    /// Measured figures by name, such as the mean IoU from a box; their protocol is that of `cutout eval`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Layers, by their nodes, whose numbers may leave the range of half precision: they stay in single where arithmetic is in halves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub f16_arithmetic_excluded: Vec<String>,
    /// The files beside the manifest. Empty for a bundle that was never written.
    #[serde(default)]
    pub files: Vec<FileEntry>,
}

/// Where weights came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The publisher's address or page, or what made the weights.
    pub from: String,
    /// SHA-256 of the checkpoint that was converted, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether that hash is the one that the registry expects.
    #[serde(default)]
    pub verified: bool,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the bundle's folder; never a path.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// The manifest of a model of the registry, in single precision and without files yet.
    pub fn of(spec: &ModelSpec) -> Self {
        Manifest {
            format: FORMAT,
            name: spec.name.into(),
            title: spec.title.into(),
            architecture: spec.architecture,
            input_size: spec.input_size,
            normalization: spec.normalization,
            precision: Precision::F32,
            quantization: None,
            parameters: spec.parameters,
            licence: spec.licence.into(),
            source: Provenance {
                from: spec.download().map_or("trained by models/train", |d| d.url).into(),
                ..Provenance::default()
            },
            created_by: concat!("cutout ", env!("CARGO_PKG_VERSION")).into(),
            metrics: BTreeMap::new(),
            f16_arithmetic_excluded: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Reads and checks the text of a manifest.
    ///
    /// # Errors
    /// `Malformed` if it is not a manifest of this format, names a file outside its folder, or holds numbers that no
    /// model can have.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let bad = |e: serde_json::Error| Error::malformed(format!("{MANIFEST_FILE}: {e}"));
        let Version { format } = serde_json::from_slice(text).map_err(bad)?;
        if format != FORMAT {
            return Err(Error::malformed(format!(
                "{MANIFEST_FILE} has format {format}, this program reads format {FORMAT}"
            )));
        }
        let manifest: Manifest = serde_json::from_slice(text).map_err(bad)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The text of `manifest.json`.
    ///
    /// # Errors
    /// `Malformed` if a number has no JSON form.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::malformed(format!("{MANIFEST_FILE}: {e}")))?;
        Ok(text + "\n")
    }

    /// The entry of a file, if the manifest has one.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|f| f.name == name)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::malformed(format!("{MANIFEST_FILE}: {what}")));
        if self.name.is_empty() || self.name.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
            return bad(format!("{:?} is no name for a model", self.name));
        }
        let Normalization { mean, std } = self.normalization;
        if mean.iter().any(|v| !v.is_finite()) || std.iter().any(|v| !v.is_finite() || *v <= 0.0) {
            return bad("the normalisation must be finite, with positive deviations".into());
        }
        if self.input_size.height == 0 || self.input_size.width == 0 {
            return bad("the input size must not be zero".into());
        }
        if let Some(quantization) = &self.quantization {
            if self.precision != Precision::Int8 {
                return bad(format!("weights of {} are not quantised", self.precision));
            }
            if let Some((name, Affine { scale, .. })) = quantization.first_bad() {
                return bad(format!("the scale of {name:?} is {scale}, which is not a finite number above zero"));
            }
        }
        for file in &self.files {
            let plain = Path::new(&file.name).file_name().is_some_and(|n| n == file.name.as_str());
            if !plain {
                return bad(format!("{:?} is not a plain file name", file.name));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return bad(format!("the sha256 of '{}' is not 64 lower-case hexadecimal digits", file.name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MOBILE_SAM;

    fn with_file(name: &str, sha256: &str) -> Manifest {
        let mut manifest = Manifest::of(&MOBILE_SAM);
        manifest.files.push(FileEntry { name: name.into(), bytes: 1, sha256: sha256.into() });
        manifest
    }

    fn reread(manifest: &Manifest) -> Result<Manifest> {
        Manifest::from_json(manifest.to_json()?.as_bytes())
    }

    #[test]
    fn survives_its_text() {
        let mut manifest = with_file(WEIGHTS_FILE, &"0a".repeat(32));
        manifest.metrics.insert("box".into(), 0.75);
        assert_eq!(reread(&manifest).unwrap(), manifest);
    }

    #[test]
    fn quantization_survives_and_is_checked() {
        let mut manifest = with_file(WEIGHTS_FILE, &"0a".repeat(32));
        manifest.precision = Precision::Int8;
        let activations = [("a/Conv", (0.1, 3)), ("b/Add.1", (f32::MIN_POSITIVE, 255))];
        let activations = activations.map(|(name, affine)| (name.to_owned(), Affine::from(affine))).into();
        manifest.quantization = Some(Quantization { activations, method: [("set".into(), "32 images".into())].into() });
        assert_eq!(reread(&manifest).unwrap(), manifest);
        let text = manifest.to_json().unwrap();
        for (part, broken) in [
            ("0.1", "0.0"),
            ("0.1", "-0.1"),
            ("0.1", "1e39"),
            ("0.1", "null"),
            ("255", "256"),
            ("255", "-1"),
            ("255", "2.5"),
            ("\"int8\"", "\"f16\""),
        ] {
            let text = text.replacen(part, broken, 1);
            assert!(matches!(Manifest::from_json(text.as_bytes()), Err(Error::Malformed { .. })), "{part}: {broken}");
        }
    }

    #[test]
    fn refuses_paths_bad_hashes_and_other_formats() {
        let hash = "0".repeat(64);
        for name in ["../weights", "/etc/passwd", "a/b", "..", "."] {
            assert!(reread(&with_file(name, &hash)).is_err(), "{name} was accepted");
        }
        assert!(reread(&with_file("a", "00")).is_err());
        assert!(reread(&with_file("a", &"G".repeat(64))).is_err());
        let text = Manifest::of(&MOBILE_SAM).to_json().unwrap().replacen("\"format\": 1", "\"format\": 2", 1);
        let message = Manifest::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("format 2") && message.contains("format 1"), "{message}");
        let mut zero = Manifest::of(&MOBILE_SAM);
        zero.normalization.std[1] = 0.0;
        assert!(reread(&zero).is_err());
    }
}

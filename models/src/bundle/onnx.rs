//! Bundles that are two ONNX files.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::{Bundle, Origin, check_size, read_manifest};
use crate::checkpoint::TensorData;
use crate::digest::{sha256, sha256_file};
use crate::error::{Error, Result};
use crate::manifest::{FORMAT, FileEntry, MANIFEST_FILE, Manifest, Provenance};
use crate::onnx::OnnxModel;
use crate::pair::{DECODER_FILE, ENCODER_FILE, OnnxPair};
use crate::quantization::Quantization;
use crate::spec::{Architecture, Normalization, Precision};

impl Bundle {
    /// Whether a folder holds a model of two ONNX files: one of them is there, and no manifest that says otherwise.
    pub fn is_onnx_folder(folder: &Path) -> bool {
        let is_there = [ENCODER_FILE, DECODER_FILE].iter().any(|name| folder.join(name).is_file());
        is_there
            && match std::fs::read(folder.join(MANIFEST_FILE)) {
                Ok(text) => match serde_json::from_slice::<Value>(&text) {
                    Ok(manifest) => manifest.get("architecture").is_none_or(|name| name == Architecture::Onnx.as_str()),
                    Err(_) => false,
                },
                Err(_) => true,
            }
    }

    /// Opens a folder of two ONNX files. A manifest beside them may say as much as it likes of what a bundle's says; what it does not say
    /// is as in Segment Anything's models, or taken from the files.
    pub(super) fn open_onnx(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST_FILE);
        let said: Map<String, Value> = match path.is_file() {
            true => serde_json::from_slice(&read_manifest(&path)?)
                .map_err(|e| Error::malformed(format!("{}: {e}", path.display())))?,
            false => Map::new(),
        };
        let (pair, weights) = OnnxPair::read(folder)?;
        let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let known = Manifest {
            format: FORMAT,
            name: name.unwrap_or_else(|| "onnx".into()),
            title: format!("ONNX files of {}", folder.display()),
            architecture: Architecture::Onnx,
            input_size: pair.size(),
            normalization: Normalization::SEGMENT_ANYTHING,
            precision: if pair.is_quantized() { Precision::Int8 } else { Precision::F32 },
            quantization: None,
            parameters: weights.parameter_count() as u64,
            licence: "unknown".into(),
            source: Provenance { from: folder.display().to_string(), ..Provenance::default() },
            created_by: "unknown".into(),
            metrics: BTreeMap::new(),
            f16_arithmetic_excluded: Vec::new(),
            files: Vec::new(),
        };
        let manifest = known.with(said).map_err(|e| e.in_file(folder))?;
        if manifest.input_size != pair.size() {
            return Err(Error::mismatch(format!(
                "{}: the input size is {} (height x width), but {ENCODER_FILE} takes {}",
                path.display(),
                manifest.input_size,
                pair.size()
            )));
        }
        for file in &manifest.files {
            check_size(&folder.join(&file.name), file)?;
        }
        let (origin, onnx) = (Origin::Folder(folder.into()), Some(Arc::new(pair)));
        Ok(Bundle { manifest, weights, origin, digest: OnceLock::new(), onnx })
    }

    /// A bundle of two graphs in memory.
    fn from_graphs(mut manifest: Manifest, encoder: OnnxModel, decoder: OnnxModel) -> Result<Self> {
        let (pair, weights) = OnnxPair::of(encoder, decoder)?;
        manifest.files.clear();
        Ok(Bundle { manifest, weights, origin: Origin::Memory, digest: OnceLock::new(), onnx: Some(Arc::new(pair)) })
    }

    /// SHA-256 of the graphs and their constants: by the files' hashes where the manifest has them.
    pub(super) fn onnx_digest(&self, pair: &OnnxPair) -> String {
        let hash = |name: &str| Some(self.manifest.file(name)?.sha256.as_str());
        match (hash(ENCODER_FILE), hash(DECODER_FILE)) {
            (Some(_), Some(_)) => {
                let hashes: Vec<&str> = self.manifest.files.iter().map(|file| file.sha256.as_str()).collect();
                sha256(hashes.join(" ").as_bytes())
            }
            // Tensors are missing only where a graph cannot be given either.
            _ => pair.digest(&self.weights).unwrap_or_default(),
        }
    }

    /// [`to_int8`](Self::to_int8) of two ONNX graphs: the graphs themselves have the 8-bit numbers then, and all else as it was.
    pub(super) fn onnx_to_int8(
        &self,
        pair: &OnnxPair,
        weights: &BTreeMap<String, Option<Vec<f32>>>,
        quantization: Quantization,
    ) -> Result<Bundle> {
        let transposed = |name: &str| {
            let mut nodes = pair.encoder_nodes().iter().chain(pair.decoder_nodes());
            nodes.any(|node| node.op_type == "ConvTranspose" && node.input.get(1).is_some_and(|weight| weight == name))
        };
        let mut scales = BTreeMap::new();
        for (name, given) in weights {
            let values = self.weights.to_f32(name)?;
            let (axis, given) = if transposed(name) { (1, None) } else { (0, given.as_deref()) };
            let tensor = TensorData::int8(&values, axis, given).map_err(|e| e.about_tensor(name))?;
            scales.extend(tensor.scales().map(|scales| (name.clone(), scales.values().to_vec())));
        }
        let quantized = |model: OnnxModel| {
            let graph = model.proto().graph.iter();
            let own: HashSet<&str> = graph.flat_map(|g| &g.initializer).map(|t| t.name.as_str()).collect();
            let own = scales.iter().filter(|(name, _)| own.contains(name.as_str()));
            let own = own.map(|(name, scales)| (name.clone(), scales.clone())).collect();
            model.quantized(&quantization.activations, &own)
        };
        let [encoder, decoder] = pair.both(&self.weights)?;
        let (encoder, decoder) = (quantized(encoder)?, quantized(decoder)?);
        let mut manifest = self.manifest.clone();
        (manifest.precision, manifest.quantization) = (Precision::Int8, Some(quantization));
        manifest.check()?;
        let bundle = Bundle::from_graphs(manifest, encoder, decoder)?;
        bundle.check_architecture()?;
        Ok(bundle)
    }
}

impl Manifest {
    /// What a manifest for two ONNX files in a folder says that were made of this model, with the hashes of these files and of weights
    /// beside them.
    ///
    /// # Errors
    /// `Io` if a file cannot be read.
    pub fn for_onnx(&self, folder: &Path, encoder: &OnnxModel) -> Result<Manifest> {
        let mut manifest = self.clone();
        manifest.architecture = Architecture::Onnx;
        manifest.precision = match self.precision {
            Precision::Int8 => Precision::Int8,
            Precision::F32 | Precision::F16 => Precision::F32,
        };
        manifest.input_size = crate::pair::input_size(encoder)?;
        manifest.files.clear();
        let mut names = [ENCODER_FILE, DECODER_FILE].map(|name| [name.to_owned(), format!("{name}.data")]).concat();
        names.retain(|name| folder.join(name).is_file());
        for name in names {
            let path = folder.join(&name);
            let bytes = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
            manifest.files.push(FileEntry { name, bytes, sha256: sha256_file(&path)? });
        }
        Ok(manifest)
    }

    /// The same with what a file says of it instead.
    fn with(&self, said: Map<String, Value>) -> Result<Manifest> {
        let bad = |e: serde_json::Error| Error::malformed(format!("{MANIFEST_FILE}: {e}"));
        let mut all = serde_json::to_value(self).map_err(bad)?;
        if let Value::Object(all) = &mut all {
            all.extend(said);
        }
        Manifest::from_json(&serde_json::to_vec(&all).map_err(bad)?)
    }
}

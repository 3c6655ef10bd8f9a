//! [`Bundle`]: a model ready for use, its manifest and its weights.

mod convert;
mod fold;
mod int8;
mod onnx;
mod shipped;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::arch::mask_decoder::{DecoderShape, mask_decoder};
use crate::arch::{InputSize, cutout_s, sam_vit, tiny_vit};
use crate::checkpoint::{Dtype, StateDict};
use crate::compiled::CompiledModel;
use crate::digest::{Sha256Stream, sha256, sha256_file};
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, MANIFEST_FILE, Manifest, WEIGHTS_FILE};
use crate::onnx::{Dim, OnnxModel};
use crate::pair::{OnnxPair, STRIDE};
use crate::quantization::{Affine, Quantization};
use crate::spec::{Architecture, Normalization};

/// Largest manifest that is read, in bytes.
const MANIFEST_LIMIT: u64 = 1 << 20;
/// Digits of the weights' hash in a bundle's id.
const ID_DIGITS: usize = 12;

/// A model ready for use: a folder with `manifest.json` and `weights.safetensors`, or the same two built into the
/// program, or weights in memory, or a model that was compiled to one file, or a folder with two ONNX files.
///
/// Weights in a folder are read by memory map: opening costs no more than the headers, whatever the size.
#[derive(Clone)]
pub struct Bundle {
    manifest: Manifest,
    weights: StateDict,
    origin: Origin,
    digest: OnceLock<String>,
    /// The graphs, if they are not built of the weights.
    onnx: Option<Arc<OnnxPair>>,
}

/// Where the bytes of a bundle are.
#[derive(Clone)]
enum Origin {
    Folder(PathBuf),
    BuiltIn(&'static [u8]),
    Memory,
    Compiled(Arc<CompiledModel>),
}

impl Bundle {
    /// Opens the bundle in a folder, or the two ONNX files ([`ENCODER_FILE`](crate::ENCODER_FILE), [`DECODER_FILE`](crate::DECODER_FILE))
    /// in it, with what a manifest says of them, if there is one. Sizes of files are checked, hashes are not: that is [`verify`](Self::verify).
    ///
    /// # Errors
    /// `Io` if a file cannot be read, `Malformed` if the manifest or the weights are damaged or of another size than the
    /// manifest says; `Mismatch` if ONNX files have other inputs or outputs than Segment Anything's.
    pub fn open(folder: &Path) -> Result<Self> {
        if Bundle::is_onnx_folder(folder) {
            return Bundle::open_onnx(folder);
        }
        let text = read_manifest(&folder.join(MANIFEST_FILE))?;
        let manifest =
            Manifest::from_json(&text).map_err(|e| Error::malformed(format!("{}: {e}", folder.display())))?;
        for file in &manifest.files {
            check_size(&folder.join(&file.name), file)?;
        }
        weights_entry(&manifest).map_err(|e| Error::malformed(format!("{}: {e}", folder.display())))?;
        let path = folder.join(WEIGHTS_FILE);
        let weights = StateDict::open(&path)?;
        check_scales(&weights).map_err(|e| e.in_file(&path))?;
        Ok(Bundle { manifest, weights, origin: Origin::Folder(folder.into()), digest: OnceLock::new(), onnx: None })
    }

    /// Opens a manifest and weights that are built into the program.
    ///
    /// # Errors
    /// `Malformed` as [`open`](Self::open).
    pub fn from_static(manifest: &'static [u8], weights: &'static [u8]) -> Result<Self> {
        let manifest = Manifest::from_json(manifest)?;
        let entry = weights_entry(&manifest)?;
        if entry.bytes != weights.len() as u64 {
            return Err(wrong_size(WEIGHTS_FILE, weights.len() as u64, entry.bytes));
        }
        let state = StateDict::from_safetensors_static(weights)?;
        check_scales(&state)?;
        Ok(Bundle { manifest, weights: state, origin: Origin::BuiltIn(weights), digest: OnceLock::new(), onnx: None })
    }

    /// Opens a model that was compiled to one file. Its weights are there in the layout of the kernels only: it runs, but gives no
    /// tensors and no ONNX graphs.
    ///
    /// # Errors
    /// As [`CompiledModel::open`].
    pub fn open_compiled(path: &Path) -> Result<Self> {
        let compiled = Arc::new(CompiledModel::open(path)?);
        let (manifest, digest) = (compiled.manifest().clone(), compiled.weights_sha256().to_owned().into());
        Ok(Bundle { manifest, weights: StateDict::new(), origin: Origin::Compiled(compiled), digest, onnx: None })
    }

    /// The compiled model, if this is one.
    pub fn compiled(&self) -> Option<&Arc<CompiledModel>> {
        if let Origin::Compiled(compiled) = &self.origin { Some(compiled) } else { None }
    }

    /// A bundle of weights in memory, such as stand-in weights. What a checkpoint holds beside the network's own tensors
    /// (training counters, pixel statistics) is left out.
    pub fn from_parts(mut manifest: Manifest, weights: &StateDict) -> Result<Self> {
        let weights = convert::network_tensors(weights)?;
        manifest.files.clear();
        manifest.parameters = weights.parameter_count() as u64;
        Ok(Bundle { manifest, weights, origin: Origin::Memory, digest: OnceLock::new(), onnx: None })
    }

    /// Checks every file against the manifest's hashes, reading all bytes.
    ///
    /// # Errors
    /// `Malformed` if a size or hash differs, naming the file and both hashes; `Io` if a file cannot be read.
    pub fn verify(&self) -> Result<()> {
        let check = |name: &str, actual: String, entry: &FileEntry| {
            if actual == entry.sha256 {
                return Ok(());
            }
            Err(Error::malformed(format!("{name}: sha256 is {actual}, the manifest says {}", entry.sha256)))
        };
        match &self.origin {
            Origin::Folder(folder) => self.manifest.files.iter().try_for_each(|entry| {
                let path = folder.join(&entry.name);
                check_size(&path, entry)?;
                check(&path.display().to_string(), sha256_file(&path)?, entry)
            }),
            Origin::BuiltIn(bytes) => check(WEIGHTS_FILE, sha256(bytes), weights_entry(&self.manifest)?),
            Origin::Memory => Ok(()),
            Origin::Compiled(compiled) => compiled.verify(),
        }
    }

    /// Checks that the weights are complete and of the right shapes, by building both graphs, and that all values with scales are in
    /// them. A compiled model was checked so when it was made.
    ///
    /// # Errors
    /// `Mismatch`, naming the tensor or the value.
    pub fn check_architecture(&self) -> Result<()> {
        if self.compiled().is_some() {
            return Ok(());
        }
        self.check_activations(&self.graphs()?)
    }

    /// Both graphs, at the model's own input size.
    fn graphs(&self) -> Result<[OnnxModel; 2]> {
        let InputSize { height, width } = self.input_size();
        let shape = DecoderShape {
            prompts: Dim::Fixed(1),
            points: Dim::Fixed(1),
            embedding: (height / STRIDE, width / STRIDE),
        };
        Ok([self.image_encoder_onnx(self.input_size())?, self.mask_decoder_onnx(shape)?])
    }

    /// Everything about the model but its weights.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Adds a measured figure to the manifest.
    pub fn insert_metric(&mut self, name: impl Into<String>, value: f64) {
        self.manifest.metrics.insert(name.into(), value);
    }

    /// Changes what the image is normalised with, for weights that have been changed to suit.
    pub fn set_normalization(&mut self, normalization: Normalization) {
        self.manifest.normalization = normalization;
    }

    /// Says which layers, by their nodes, must not be computed in half precision.
    pub fn set_f16_arithmetic_excluded(&mut self, layers: Vec<String>) {
        self.manifest.f16_arithmetic_excluded = layers;
    }

    /// Short name of the model.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// `NAME@` and the first 12 digits of the hash of the weights, and of the scales of activations where there are any: equal ids
    /// give equal answers.
    ///
    /// For weights in memory the hash is of names, shapes and values, and is computed at the first call.
    pub fn id(&self) -> String {
        let mut digest = self.weights_sha256().to_owned();
        if let Some(Quantization { activations, .. }) = &self.manifest.quantization {
            for (name, Affine { scale, zero }) in activations {
                digest.push_str(&format!(" {name} {scale:e} {zero}"));
            }
            digest = sha256(digest.as_bytes());
        }
        format!("{}@{}", self.manifest.name, digest.get(..ID_DIGITS).unwrap_or(&digest))
    }

    /// SHA-256 of the weights: of their file, or for weights in memory of names, shapes and values, computed at the first call.
    pub fn weights_sha256(&self) -> &str {
        self.digest.get_or_init(|| match (&self.onnx, self.manifest.file(WEIGHTS_FILE)) {
            (Some(pair), _) => self.onnx_digest(pair),
            (None, Some(entry)) => entry.sha256.clone(),
            (None, None) => content_digest(&self.weights),
        })
    }

    /// Which network the weights belong to.
    pub fn architecture(&self) -> Architecture {
        self.manifest.architecture
    }

    /// What the image is normalised with.
    pub fn normalization(&self) -> Normalization {
        self.manifest.normalization
    }

    /// Input size that the model was made for, in model pixels.
    pub fn input_size(&self) -> InputSize {
        self.manifest.input_size
    }

    /// The weights, under the names of the official state dict.
    pub fn weights(&self) -> &StateDict {
        &self.weights
    }

    /// The folder that the bundle was opened from, if it was.
    pub fn folder(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    /// The image encoder as ONNX, for one input size. Inputs and outputs are those of its builder in
    /// [`arch`](crate::arch). Of a quantised bundle it is the quantised graph, see [`OnnxModel::quantized`]. A model of two ONNX files has
    /// one size.
    ///
    /// # Errors
    /// `Mismatch` if the architecture cannot be built at that size or a tensor is missing or of another shape; `Refused` by a compiled
    /// model.
    pub fn image_encoder_onnx(&self, input: InputSize) -> Result<OnnxModel> {
        self.plain()?;
        let model = match self.architecture() {
            Architecture::MobileSam => tiny_vit::image_encoder(&self.weights, input),
            Architecture::SamVit => sam_vit::image_encoder(&self.weights, input),
            Architecture::CutoutS => cutout_s::image_encoder(&self.weights, input),
            Architecture::Onnx => return self.pair()?.image_encoder(&self.weights, input),
        };
        self.quantize(model?)
    }

    /// The prompt encoder and mask decoder as one ONNX graph, see [`mask_decoder`]; quantised as the image encoder is.
    ///
    /// # Errors
    /// `Mismatch` if a tensor is missing or of another shape; `Refused` by a compiled model.
    pub fn mask_decoder_onnx(&self, shape: DecoderShape) -> Result<OnnxModel> {
        self.plain()?;
        if self.architecture() == Architecture::Onnx {
            return self.pair()?.mask_decoder(&self.weights, shape);
        }
        self.quantize(mask_decoder(&self.weights, shape)?)
    }
}

impl Bundle {
    /// The graphs of a model that is two ONNX files.
    fn pair(&self) -> Result<&OnnxPair> {
        self.onnx.as_deref().ok_or_else(|| Error::mismatch("a model of architecture onnx is two ONNX files"))
    }

    /// Refuses a compiled model.
    fn plain(&self) -> Result<()> {
        match self.compiled() {
            None => Ok(()),
            Some(_) => Err(Error::refused(format!(
                "to take plain weights from the compiled model {}: use the model that it was made from",
                self.name()
            ))),
        }
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("manifest", &self.manifest)
            .field("tensors", &self.weights.len())
            .finish_non_exhaustive()
    }
}

/// Refuses 8-bit numbers that stand for nothing.
fn check_scales(weights: &StateDict) -> Result<()> {
    let plain = |name: &&str| weights.get(name).is_some_and(|t| t.dtype() == Dtype::I8 && t.scales().is_none());
    match weights.names().find(plain) {
        None => Ok(()),
        Some(name) => Err(Error::malformed("it is of 8-bit integers and has no scales").about_tensor(name)),
    }
}

fn read_manifest(path: &Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if length > MANIFEST_LIMIT {
        return Err(Error::malformed(format!("{}: {length} bytes are too many for a manifest", path.display())));
    }
    std::fs::read(path).map_err(|e| Error::io(path, e))
}

fn weights_entry(manifest: &Manifest) -> Result<&FileEntry> {
    manifest.file(WEIGHTS_FILE).ok_or_else(|| Error::malformed(format!("{MANIFEST_FILE} does not list {WEIGHTS_FILE}")))
}

fn check_size(path: &Path, entry: &FileEntry) -> Result<()> {
    let actual = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if actual == entry.bytes { Ok(()) } else { Err(wrong_size(&path.display().to_string(), actual, entry.bytes)) }
}

fn wrong_size(name: &str, actual: u64, expected: u64) -> Error {
    Error::malformed(format!("{name} has {actual} bytes, the manifest says {expected}"))
}

/// SHA-256 over names, shapes and float32 values. A tensor that cannot be read contributes its name only.
fn content_digest(weights: &StateDict) -> String {
    let mut digest = Sha256Stream::new();
    if weights.is_folded() {
        digest.update(b"folded");
    }
    for name in weights.names() {
        digest.update(name.as_bytes());
        let Ok(values) = weights.to_f32(name) else { continue };
        digest.update(format!("{:?}", values.shape()).as_bytes());
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        digest.update(&bytes);
    }
    digest.finish()
}

//! [`StateDict`]: the named tensors of a model, wherever they came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ndarray::ArrayD;

use super::int8::ChannelScales;
use super::refusal::shown;
use super::storage::Storage;
use super::tensor::{Dtype, TensorData};
use super::{safetensors, torch};
use crate::error::{Error, Result};

/// Key of the metadata that says that weights are folded.
const FOLDED: &str = "folded";

/// Named tensors of a model, under the names of the official state dict.
///
/// A quantised tensor is one tensor with its scales, though a file has two.
///
/// Cheap to clone: tensors share their storage, which for files is a read-only memory map.
#[derive(Clone, Default)]
pub struct StateDict {
    tensors: BTreeMap<String, TensorData>,
    metadata: BTreeMap<String, String>,
}

impl StateDict {
    /// An empty state dict.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the tensors of a checkpoint file: what `torch.save` writes since PyTorch 1.6 (a zip archive)
    /// or `.safetensors`, told apart by content.
    ///
    /// The file is mapped into memory, not read: opening takes no time that grows with the tensors, and
    /// a page of weights is fetched when it is first used. The file must not be changed or shortened
    /// while any clone of the result lives; where it is, reading a tensor may end the process, as with
    /// every memory map.
    ///
    /// Of a training checkpoint, a dict of dicts, the tensors below `model`, `state_dict`,
    /// `model_state_dict` or `ema` (the first that has any) are taken; otherwise those of the top level.
    /// A prefix `module.` that every name has is removed.
    ///
    /// # Errors
    /// `Io` if the file cannot be opened, `Refused` if it names code to run, `Malformed` if it is
    /// damaged or of another kind. The message names the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&Storage::open(path)?).map_err(|e| e.in_file(path))
    }

    /// Reads a checkpoint file held in memory, of the same formats as [`StateDict::open`].
    ///
    /// # Errors
    /// `Refused` if it names code to run, `Malformed` if it is damaged or of another kind.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::read(&Storage::from_vec(bytes))
    }

    /// Reads a `.safetensors` file that is built into the program; its tensors are used in place.
    ///
    /// # Errors
    /// `Malformed` if it is damaged or of another kind.
    pub fn from_safetensors_static(bytes: &'static [u8]) -> Result<Self> {
        safetensors::read(&Storage::from_static(bytes))
    }

    fn read(file: &Storage) -> Result<Self> {
        let bytes = file.bytes()?;
        // The length that a safetensors file begins with may look like the magic of another format.
        if safetensors::has_header(bytes) {
            safetensors::read(file)
        } else if torch::is_archive(bytes) {
            torch::read(file)
        } else {
            Err(torch::bare_pickle(bytes).unwrap_or_else(safetensors::other_kind))
        }
    }

    /// Adds or replaces a float32 tensor held in memory.
    pub fn insert(&mut self, name: impl Into<String>, values: &ArrayD<f32>) {
        self.tensors.insert(name.into(), TensorData::from_f32(values));
    }

    /// Adds or replaces a stored tensor, after checking that all its elements lie in its storage and
    /// that reading it takes no more memory than the storage justifies.
    ///
    /// # Errors
    /// `Malformed` if shape, strides and offset do not fit the storage.
    pub(crate) fn insert_stored(&mut self, name: String, data: TensorData) -> Result<()> {
        data.check().map_err(|e| e.about_tensor(&shown(&name)))?;
        self.tensors.insert(name, data);
        Ok(())
    }

    /// Gives each quantised tensor its scales, which come as tensors of their own.
    ///
    /// # Errors
    /// `Malformed` if scales do not fit their tensor or are not finite and above zero.
    pub(super) fn pair_scales(&mut self) -> Result<()> {
        let quantized = self.tensors.iter().filter(|(_, tensor)| tensor.dtype == Dtype::I8);
        let names: Vec<String> = quantized.map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(companion) = self.tensors.remove(&safetensors::scales_of(&name)) else { continue };
            if let Some(tensor) = self.tensors.get_mut(&name) {
                let scales = ChannelScales::of_tensor(&companion, &tensor.shape);
                tensor.scales = Some(scales.map_err(|e| e.about_tensor(&shown(&name)))?);
            }
        }
        Ok(())
    }

    /// Names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Whether a tensor of that name exists.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The stored form of a tensor.
    pub fn get(&self, name: &str) -> Option<&TensorData> {
        self.tensors.get(name)
    }

    /// Total number of elements.
    pub fn parameter_count(&self) -> usize {
        self.tensors.values().fold(0, |n, t| n.saturating_add(t.count()))
    }

    /// The key-value pairs that the file carries beside its tensors (`__metadata__` of `.safetensors`).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Adds or replaces a key-value pair.
    pub fn insert_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    /// Whether the tensors are the constants of the graphs instead of those of the official code: batch norms are part
    /// of the convolutions before them, the scale of attention is in its projections, and kernels that are applied as
    /// matrices are `[outputs, inputs]`. The metadata `folded` says so.
    pub fn is_folded(&self) -> bool {
        self.metadata.contains_key(FOLDED)
    }

    /// Says that the tensors are folded.
    pub(crate) fn mark_folded(&mut self) {
        self.insert_metadata(FOLDED, "1");
    }

    /// Gives the memory of tensors in mapped files back to the system: they are read from the file again when they are next used.
    pub fn release(&self) {
        self.tensors.values().for_each(|tensor| tensor.storage.release());
    }

    /// The values of a tensor as row-major float32.
    ///
    /// # Errors
    /// `Mismatch` if there is no such tensor, `Malformed` if its storage cannot be read.
    pub fn to_f32(&self, name: &str) -> Result<ArrayD<f32>> {
        let tensor = self.get(name).ok_or_else(|| Error::mismatch(format!("tensor '{name}' is missing")))?;
        tensor.to_f32().map_err(|e| e.about_tensor(name))
    }

    /// Writes a `.safetensors` file with the metadata and all tensors: floating-point ones as `dtype`,
    /// the others as they are, and beside quantised ones their scales. Equal contents give equal bytes.
    ///
    /// The file appears under `path` when it is complete, or not at all.
    ///
    /// # Errors
    /// `Mismatch` if `dtype` is neither `F32` nor `F16` or a finite value is beyond its range, `Io` if
    /// the file cannot be written.
    pub fn write_safetensors(&self, dtype: Dtype, path: impl AsRef<Path>) -> Result<()> {
        safetensors::write_state_dict(self, Some(dtype), path.as_ref())
    }

    /// [`write_safetensors`](Self::write_safetensors) with every tensor in its own precision.
    ///
    /// # Errors
    /// `Io` if the file cannot be written.
    pub(crate) fn write_as_stored(&self, path: &Path) -> Result<()> {
        safetensors::write_state_dict(self, None, path)
    }
}

impl fmt::Debug for StateDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.tensors).finish()
    }
}

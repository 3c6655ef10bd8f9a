//! Reads and writes `.safetensors` (format: <https://github.com/huggingface/safetensors>): a length, a
//! JSON header, then the tensors, row-major and little-endian.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::tensor::Metadata;
use serde::Serialize;

use super::refusal::shown;
use super::state_dict::StateDict;
use super::storage::Storage;
use super::tensor::{Dtype, TensorData, row_major};
use crate::error::{Error, Result};
use crate::part_file::PartFile;

/// Bytes of the length before the header.
const LENGTH: usize = 8;
/// Longest header that the format allows.
const MAX_HEADER: usize = 100_000_000;
const METADATA: &str = "__metadata__";

/// Reads the header; the tensors stay ranges of `file`.
///
/// # Errors
/// `Malformed` if the file is damaged, has element types that Cutout does not read, or is of another
/// kind.
pub(crate) fn read(file: &Storage) -> Result<StateDict> {
    let (header, data) = split(file.bytes()?).ok_or_else(other_kind)?;
    let first = LENGTH + header.len();
    let header: Metadata = serde_json::from_slice(header)
        .map_err(|e| Error::malformed(format!("the safetensors header is damaged: {e}")))?;
    if header.data_len() != data.len() {
        return Err(Error::malformed(format!(
            "the file is incomplete or damaged: its header describes {} bytes of tensors, it has {}",
            header.data_len(),
            data.len()
        )));
    }
    let mut out = StateDict::new();
    for (name, info) in header.tensors() {
        let dtype = dtype(info.dtype).ok_or_else(|| {
            Error::malformed(format!("element type {} is not supported", info.dtype)).about_tensor(&shown(&name))
        })?;
        let (start, end) = info.data_offsets;
        let range = first.checked_add(start).zip(first.checked_add(end));
        let storage = range.and_then(|(start, end)| file.slice(start..end));
        let storage =
            storage.ok_or_else(|| Error::malformed("reaches outside the file").about_tensor(&shown(&name)))?;
        let (shape, strides) = (info.shape.clone(), row_major(&info.shape));
        out.insert_stored(name, TensorData { dtype, shape, strides, offset: 0, storage, scales: None })?;
    }
    for (key, value) in header.metadata().iter().flatten() {
        out.insert_metadata(key, value);
    }
    out.pair_scales()?;
    Ok(out)
}

/// Whether a file begins with a safetensors header.
pub(crate) fn has_header(bytes: &[u8]) -> bool {
    split(bytes).is_some()
}

/// The header and the tensors.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok().filter(|n| *n <= MAX_HEADER)?;
    rest.split_at_checked(len).filter(|(header, _)| header.first() == Some(&b'{'))
}

/// The error for a file of an unknown format.
pub(crate) fn other_kind() -> Error {
    Error::malformed("the file is neither a checkpoint of torch.save (zip) nor safetensors, or it is incomplete")
}

fn dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    Some(match dtype {
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::Bf16,
        safetensors::Dtype::I64 => Dtype::I64,
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I16 => Dtype::I16,
        safetensors::Dtype::I8 => Dtype::I8,
        safetensors::Dtype::U8 => Dtype::U8,
        safetensors::Dtype::BOOL => Dtype::Bool,
        _ => return None,
    })
}

fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F64 => "F64",
        Dtype::F32 => "F32",
        Dtype::F16 => "F16",
        Dtype::Bf16 => "BF16",
        Dtype::I64 => "I64",
        Dtype::I32 => "I32",
        Dtype::I16 => "I16",
        Dtype::I8 => "I8",
        Dtype::U8 => "U8",
        Dtype::Bool => "BOOL",
    }
}

/// Writes tensors of half or single precision, each a name, a shape and its row-major values, as a
/// `.safetensors` file of `dtype`. Equal contents give equal bytes, whatever the order of the tensors.
///
/// The file appears under `path` when it is complete, or not at all.
///
/// # Errors
/// `Mismatch` if `dtype` is neither `F32` nor `F16`, two tensors have the same name, a shape does not
/// fit its values, or a finite value is beyond the range of `dtype`; `Io` if the file cannot be written.
pub fn write_safetensors<'a, T: Copy + Into<f32> + 'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [T])>,
    metadata: &BTreeMap<String, String>,
    dtype: Dtype,
    path: &Path,
) -> Result<()> {
    check_dtype(dtype)?;
    let mut entries = Vec::new();
    for (name, shape, values) in tensors {
        if shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) != Some(values.len()) {
            let what = format!("shape {shape:?} does not fit {} values", values.len());
            return Err(Error::mismatch(what).about_tensor(name));
        }
        entries.push(Entry { name, dtype, shape, content: values });
    }
    write(entries, metadata, path, |values, dtype, out| dtype.encode(values.iter().map(|v| (*v).into()), out))
}

/// Writes a state dict; floating-point tensors as `floats`, or in their own precision where it is `None`.
pub(crate) fn write_state_dict(weights: &StateDict, floats: Option<Dtype>, path: &Path) -> Result<()> {
    if let Some(dtype) = floats {
        check_dtype(dtype)?;
    }
    let named = |name| weights.get(name).map(|tensor| (name, tensor));
    let quantized = weights
        .names()
        .filter_map(named)
        .filter_map(|(name, tensor)| Some((scales_of(name), tensor.scales()?.to_tensor(tensor.shape().len()))));
    let companions: Vec<(String, TensorData)> = quantized.collect();
    let dtype = |tensor: &TensorData| match (tensor.dtype(), floats) {
        (own, _) if !own.is_float() => own,
        (_, Some(dtype)) => dtype,
        (Dtype::F16, None) => Dtype::F16,
        _ => Dtype::F32,
    };
    let own = weights.names().filter_map(named).map(|(name, tensor)| (name, tensor, dtype(tensor)));
    let scales = companions.iter().map(|(name, tensor)| (name.as_str(), tensor, Dtype::F32));
    let entry = |(name, tensor, dtype)| Entry { name, dtype, shape: TensorData::shape(tensor), content: tensor };
    write(own.chain(scales).map(entry).collect(), weights.metadata(), path, |tensor, dtype, out| {
        if dtype.is_float() {
            return dtype.encode(tensor.to_f32()?.iter().copied(), out);
        }
        out.extend_from_slice(&tensor.row_major_bytes()?);
        Ok(())
    })
}

/// The name of the scales of a quantised tensor.
pub(crate) fn scales_of(name: &str) -> String {
    format!("{name}.scale")
}

fn check_dtype(dtype: Dtype) -> Result<()> {
    match dtype {
        Dtype::F32 | Dtype::F16 => Ok(()),
        _ => Err(Error::mismatch(format!("weights are written as F32 or F16, not {dtype:?}"))),
    }
}

struct Entry<'a, C> {
    name: &'a str,
    dtype: Dtype,
    shape: &'a [usize],
    content: C,
}

/// One entry of the header, in the order and under the names of the format.
#[derive(Serialize)]
#[serde(untagged)]
enum HeaderEntry<'a> {
    Metadata(&'a BTreeMap<String, String>),
    Tensor { dtype: &'static str, shape: &'a [usize], data_offsets: [usize; 2] },
}

fn write<C: Copy>(
    mut entries: Vec<Entry<'_, C>>,
    metadata: &BTreeMap<String, String>,
    path: &Path,
    content: impl Fn(C, Dtype, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    // Wide elements first, so that each tensor is aligned to its element.
    entries.sort_by(|a, b| b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(b.name)));
    let mut header = BTreeMap::new();
    if !metadata.is_empty() {
        header.insert(METADATA, HeaderEntry::Metadata(metadata));
    }
    let mut end = 0usize;
    for entry in &entries {
        let start = end;
        end += entry.shape.iter().product::<usize>() * entry.dtype.size();
        let (dtype, shape, data_offsets) = (dtype_name(entry.dtype), entry.shape, [start, end]);
        let described = HeaderEntry::Tensor { dtype, shape, data_offsets };
        if entry.name == METADATA || header.insert(entry.name, described).is_some() {
            return Err(Error::mismatch("the name is taken").about_tensor(entry.name));
        }
    }
    let mut header = serde_json::to_vec(&header).map_err(|e| Error::io(path, e.into()))?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');

    let part = PartFile::create(path)?;
    let mut file = BufWriter::new(part.file());
    let failed = |e| Error::io(part.path(), e);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    file.write_all(&header).map_err(failed)?;
    let mut buffer = Vec::new();
    for entry in &entries {
        buffer.clear();
        content(entry.content, entry.dtype, &mut buffer).map_err(|e| e.about_tensor(entry.name))?;
        file.write_all(&buffer).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    drop(file);
    part.publish(path)
}

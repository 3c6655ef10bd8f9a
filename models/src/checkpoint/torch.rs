//! Reads what `torch.save` writes since PyTorch 1.6: a zip archive with a pickle of descriptions and one
//! stored entry per storage (format: `torch/serialization.py` and `caffe2/serialize/inline_container.cc`
//! of PyTorch).

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::ops::Range;

use zip::read::{ArchiveOffset, Config, ZipArchive};
use zip::result::ZipError;

use super::pickle::{Id, Object, Pickle};
use super::rebuild::TensorRef;
use super::refusal::shown;
use super::state_dict::StateDict;
use super::storage::Storage;
use super::tensor::TensorData;
use crate::error::{Error, Result};

const ZIP_ENTRY: &[u8] = b"PK\x03\x04";
const ZIP_END: &[u8] = b"PK\x05\x06";
const PICKLE_PROTO: u8 = 0x80;
/// The integer 0x1950a86a20f9469cfc6c, with which a checkpoint before PyTorch 1.6 begins, as pickled.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Keys under which training scripts put the state dict.
const WRAPPERS: [&str; 4] = ["model", "state_dict", "model_state_dict", "ema"];
/// How many such keys may lie above the state dict.
const MAX_WRAPPERS: usize = 2;
/// What data-parallel training puts before every name.
const PARALLEL_PREFIX: &str = "module.";

/// Whether a file is a zip archive.
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP_ENTRY) || bytes.starts_with(ZIP_END)
}

/// What to say about a file that is a pickle without an archive around it, as PyTorch wrote before 1.6.
pub(crate) fn bare_pickle(bytes: &[u8]) -> Option<Error> {
    if bytes.first() != Some(&PICKLE_PROTO) {
        return None;
    }
    let head = &bytes[..bytes.len().min(32)];
    Some(Error::malformed(if head.windows(LEGACY_MAGIC.len()).any(|w| w == LEGACY_MAGIC) {
        "the checkpoint has the format of PyTorch before 1.6; \
         load it with a modern PyTorch and save it again with torch.save"
    } else {
        "the file is a bare pickle, not a checkpoint of torch.save"
    }))
}

/// Reads the tensors of an archive; they stay ranges of `file`.
///
/// # Errors
/// As [`StateDict::open`], except `Io`.
pub(crate) fn read(file: &Storage) -> Result<StateDict> {
    let mut archive = Archive::open(file.bytes()?)?;
    archive.check_kind()?;
    let pickle = archive.record("data.pkl")?.ok_or_else(|| Error::malformed("the archive has no data.pkl"))?;
    let pickle = Pickle::load(&file.bytes()?[pickle])?;
    let named = tensors_below(&pickle, pickle.root(), MAX_WRAPPERS)
        .ok_or_else(|| Error::malformed(format!("no tensors in the checkpoint, {}", outline(&pickle))))?;
    let prefix = if named.keys().all(|name| name.starts_with(PARALLEL_PREFIX)) { PARALLEL_PREFIX.len() } else { 0 };
    let mut storages = HashMap::new();
    let mut out = StateDict::new();
    for (name, tensor) in named {
        let data = archive.tensor(file, &pickle, tensor, &mut storages).map_err(|e| e.about_tensor(&shown(name)))?;
        out.insert_stored(name[prefix..].to_owned(), data)?;
    }
    Ok(out)
}

/// The tensors of a dict, or of the first dict below one of [`WRAPPERS`] that has any.
fn tensors_below<'p>(pickle: &'p Pickle<'_>, id: Id, wrappers: usize) -> Option<BTreeMap<&'p str, &'p TensorRef>> {
    if wrappers > 0 {
        let mut inner = [None; WRAPPERS.len()];
        for (name, id) in named_entries(pickle, id) {
            if let Some(at) = WRAPPERS.iter().position(|key| *key == name) {
                inner[at] = Some(id);
            }
        }
        if let Some(found) = inner.into_iter().flatten().find_map(|id| tensors_below(pickle, id, wrappers - 1)) {
            return Some(found);
        }
    }
    let tensors = named_entries(pickle, id).filter_map(|(name, id)| match pickle.get(id) {
        Object::Tensor(tensor) => Some((name, tensor.as_ref())),
        _ => None,
    });
    let tensors: BTreeMap<_, _> = tensors.collect();
    (!tensors.is_empty()).then_some(tensors)
}

/// The entries of a dict whose keys are text; none if it is something else.
fn named_entries<'p>(pickle: &'p Pickle<'_>, id: Id) -> impl Iterator<Item = (&'p str, Id)> {
    let entries = match pickle.get(id) {
        Object::Dict { entries, .. } => entries.as_slice(),
        _ => &[],
    };
    entries.iter().filter_map(|(key, value)| match pickle.get(*key) {
        Object::Str(name) => Some((*name, *value)),
        _ => None,
    })
}

/// What the checkpoint holds instead of tensors, for an error message.
fn outline(pickle: &Pickle<'_>) -> String {
    let Object::Dict { .. } = pickle.get(pickle.root()) else { return "which is not a dict".to_owned() };
    let names: Vec<_> =
        named_entries(pickle, pickle.root()).take(8).map(|(name, _)| format!("'{}'", shown(name))).collect();
    format!("whose keys are: {}", names.join(", "))
}

/// The entries of a checkpoint.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    bytes: &'a [u8],
    /// The one folder that all entries lie in, named after the file at saving.
    folder: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        // A fixed offset keeps the search for a displaced directory away from gigabytes of weights.
        let zip = ZipArchive::with_config(Config { archive_offset: ArchiveOffset::Known(0) }, Cursor::new(bytes))
            .map_err(damaged)?;
        if zip.has_duplicate_names() {
            return Err(Error::malformed("the archive has two entries of the same name"));
        }
        let mut folders = zip.file_names_raw().filter_map(|name| name.strip_suffix(b"/data.pkl"));
        let folder = match (folders.next(), folders.next()) {
            (Some(folder), None) => std::str::from_utf8(folder).ok().map(str::to_owned),
            _ => None,
        };
        drop(folders);
        let folder = folder.ok_or_else(|| {
            Error::malformed("the file is a zip archive but not a checkpoint of torch.save: it has no data.pkl")
        })?;
        Ok(Archive { zip, bytes, folder })
    }

    /// Tells archives of other kinds apart.
    fn check_kind(&mut self) -> Result<()> {
        let inside = |kind: &str| format!("{}/{kind}", self.folder).into_bytes();
        let (constants, code) = (inside("constants.pkl"), inside("code/"));
        if self.zip.file_names_raw().any(|name| name == constants || name.starts_with(&code)) {
            return Err(Error::refused(
                "the file is a TorchScript archive, which holds code; save model.state_dict() with torch.save instead",
            ));
        }
        if let Some(range) = self.record("byteorder")?
            && self.bytes[range].trim_ascii() != b"little"
        {
            return Err(Error::refused(
                "the checkpoint was written on a big-endian machine; save it on a little-endian one",
            ));
        }
        Ok(())
    }

    /// The range of an entry in the file, if there is one of that name.
    fn record(&mut self, name: &str) -> Result<Option<Range<usize>>> {
        let path = format!("{}/{name}", self.folder);
        let Some(index) = self.zip.index_for_name_raw(path.as_bytes()) else { return Ok(None) };
        let fail = |what: &str| Error::malformed(format!("archive entry '{}' {what}", shown(name)));
        let entry = self.zip.by_index_raw(index).map_err(damaged)?;
        if entry.encrypted() {
            return Err(fail("is encrypted"));
        }
        if entry.compression() != zip::CompressionMethod::Stored || entry.compressed_size() != entry.size() {
            return Err(fail("is compressed; torch.save stores entries as they are, save the checkpoint again"));
        }
        let start = entry.data_start().ok_or_else(|| fail("cannot be found"))?;
        let end = start.checked_add(entry.size()).filter(|end| *end <= self.bytes.len() as u64);
        let end = end.ok_or_else(|| fail("reaches past the end of the file"))?;
        Ok(Some(start as usize..end as usize))
    }

    /// Finds the bytes of a tensor; `storages` are those already found, by key.
    fn tensor<'p>(
        &mut self,
        file: &Storage,
        pickle: &'p Pickle<'_>,
        tensor: &TensorRef,
        storages: &mut HashMap<&'p str, Storage>,
    ) -> Result<TensorData> {
        let Object::Storage(of) = pickle.get(tensor.storage) else {
            return Err(Error::malformed("its storage is missing"));
        };
        let whole = match storages.get(of.key) {
            Some(known) => known.clone(),
            None => {
                let range = self.record(&format!("data/{}", of.key))?;
                let found = range.and_then(|range| file.slice(range));
                let found = found
                    .ok_or_else(|| Error::malformed(format!("the archive has no entry 'data/{}'", shown(of.key))))?;
                storages.insert(of.key, found.clone());
                found
            }
        };
        let len = of.count.checked_mul(of.dtype.size());
        let storage = len.and_then(|len| whole.slice(0..len)).ok_or_else(|| {
            Error::malformed(format!(
                "entry 'data/{}' has {} bytes, too few for {} elements",
                shown(of.key),
                whole.len(),
                of.count
            ))
        })?;
        let (shape, strides) = (tensor.shape.clone(), tensor.strides.clone());
        Ok(TensorData { dtype: of.dtype, shape, strides, offset: tensor.offset, storage, scales: None })
    }
}

fn damaged(error: ZipError) -> Error {
    Error::malformed(format!("the archive is damaged or incomplete: {error}"))
}

//! [`CompiledModel`]: a model in one file, prepared for one SIMD level and a few input sizes, which is used where it lies.
//!
//! `docs/flat-file.md` has the layout. This module knows the container; what is in the networks and how their numbers lie is up to the
//! crate that runs them.

mod write;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::write::CompiledWriter;
use crate::arch::InputSize;
use crate::checkpoint::Storage;
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::manifest::{FORMAT, Manifest};

/// Version of the layout that this crate reads and writes.
pub const VERSION: u32 = 1;
/// Parts start at multiples of this, in bytes: a cache line.
pub const ALIGNMENT: u64 = 64;

const MAGIC: [u8; 8] = *b"CUTOUT\x1a\n";
/// Bytes before the first part.
const HEADER: usize = 128;
/// Most bytes of an index.
const MAX_INDEX: usize = 16 << 20;
const REMEDY: &str = "make it again with `cutout models compile`";

/// A range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

impl Part {
    /// The range, if this machine can address it.
    pub fn range(self) -> Option<Range<usize>> {
        Some(usize::try_from(self.offset).ok()?..usize::try_from(self.offset.checked_add(self.bytes)?).ok()?)
    }
}

/// What the file says of its other contents, at its end.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    manifest: Manifest,
    weights_sha256: String,
    /// Name of the SIMD level.
    level: String,
    /// Name of the precision of weights that are floats.
    precision: String,
    networks: Vec<NetworkEntry>,
    /// Of everything between the header and the index.
    data_sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct NetworkEntry {
    name: String,
    input: InputSize,
    part: Part,
    sha256: String,
}

/// A compiled model, mapped into memory.
#[derive(Debug)]
pub struct CompiledModel {
    path: PathBuf,
    storage: Storage,
    index: Index,
    data: Range<usize>,
}

impl CompiledModel {
    /// Whether a file begins as compiled models do.
    pub fn is(path: &Path) -> bool {
        let mut start = [0; MAGIC.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MAGIC
    }

    /// Opens a file. Its header and its index are checked, the rest only for its length: that is [`verify`](Self::verify).
    ///
    /// The file must not be changed or shortened while the result lives, as with every memory map; `cutout models compile` replaces
    /// files as a whole.
    ///
    /// # Errors
    /// `Io` if it cannot be read, `Malformed` if it is no compiled model, of another version, incomplete, or damaged in its header or
    /// index.
    pub fn open(path: &Path) -> Result<Self> {
        let storage = Storage::open(path)?;
        let (index, data) = storage.bytes().and_then(read).map_err(|e| e.in_file(path))?;
        Ok(CompiledModel { path: path.into(), storage, index, data })
    }

    /// Checks every byte against the hashes, reading the whole file.
    ///
    /// # Errors
    /// `Malformed` if a hash differs, naming both.
    pub fn verify(&self) -> Result<()> {
        let (actual, expected) = (sha256(&self.storage.bytes()?[self.data.clone()]), &self.index.data_sha256);
        if actual == *expected {
            return Ok(());
        }
        Err(Error::malformed(format!("the sha256 of its data is {actual}, its index says {expected}: {REMEDY}"))
            .in_file(&self.path))
    }

    /// Everything about the model but its weights.
    pub fn manifest(&self) -> &Manifest {
        &self.index.manifest
    }

    /// SHA-256 of the weights that it was made from.
    pub fn weights_sha256(&self) -> &str {
        &self.index.weights_sha256
    }

    /// Name of the SIMD level that its weights are packed for.
    pub fn level(&self) -> &str {
        &self.index.level
    }

    /// Name of the precision that its weights are packed in; of a quantised model, those that are floats.
    pub fn precision(&self) -> &str {
        &self.index.precision
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The input sizes that it was made for, as they were named.
    pub fn sizes(&self) -> Vec<InputSize> {
        let mut sizes = Vec::new();
        for entry in &self.index.networks {
            if !sizes.contains(&entry.input) {
                sizes.push(entry.input);
            }
        }
        sizes
    }

    /// What the file says of a network, checked by its hash; `None` if it has none of that name for that input size.
    ///
    /// # Errors
    /// `Malformed` if the hash differs.
    pub fn network(&self, name: &str, input: InputSize) -> Result<Option<&[u8]>> {
        let Some(entry) = self.index.networks.iter().find(|n| n.name == name && n.input == input) else {
            return Ok(None);
        };
        let bytes = entry.part.range().and_then(|range| self.as_ref().get(range)).unwrap_or_default();
        if sha256(bytes) != entry.sha256 {
            let what = format!("the sha256 of its {name} for {input} is not the one in its index: {REMEDY}");
            return Err(Error::malformed(what).in_file(&self.path));
        }
        Ok(Some(bytes))
    }

    /// The error for contents that cannot be what was written.
    pub fn damaged(&self, what: &str) -> Error {
        Error::malformed(format!("{what}: {REMEDY}")).in_file(&self.path)
    }
}

/// All bytes of the file, in which parts are ranges.
impl AsRef<[u8]> for CompiledModel {
    fn as_ref(&self) -> &[u8] {
        // It was read when it was opened.
        self.storage.bytes().unwrap_or_default()
    }
}

/// Reads header and index; also gives the range of the data between them.
fn read(file: &[u8]) -> Result<(Index, Range<usize>)> {
    let bad = |what: String| Err(Error::malformed(format!("{what}: {REMEDY}")));
    let Some((header, _)) = file.split_first_chunk::<HEADER>().filter(|(header, _)| header.starts_with(&MAGIC)) else {
        return bad("it is no compiled model, or it is incomplete".into());
    };
    let mut rest = &header[MAGIC.len()..];
    let mut number = |size: usize| {
        let (field, others) = rest.split_at(size);
        rest = others;
        field.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte))
    };
    let (version, reserved) = (number(4), number(4));
    if version != u64::from(VERSION) {
        return bad(format!("it has version {version} of the layout, this program reads version {VERSION}"));
    }
    let (length, part) = (number(8), Part { offset: number(8), bytes: number(8) });
    if length != file.len() as u64 {
        return bad(format!("it has {} bytes, its header says {length}", file.len()));
    }
    let (hash, zeros) = rest.split_at(32);
    let index = part.range().filter(|r| r.start >= HEADER && r.len() <= MAX_INDEX && r.end == file.len());
    let (Some(place), true) = (index, reserved == 0 && zeros.iter().all(|byte| *byte == 0)) else {
        return bad("its header is damaged".into());
    };
    let text = &file[place.clone()];
    let (actual, expected) = (sha256(text), hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    if actual != expected {
        return bad(format!("the sha256 of its index is {actual}, its header says {expected}"));
    }
    let index: Index = match serde_json::from_slice(text) {
        Ok(index) => index,
        Err(e) => return bad(format!("its index cannot be read ({e})")),
    };
    if index.manifest.format != FORMAT {
        return bad(format!("its manifest has format {}, this program reads format {FORMAT}", index.manifest.format));
    }
    index.manifest.check()?;
    let data = HEADER..place.start;
    let inside = |part: Part| part.range().is_some_and(|r| r.start >= data.start && r.end <= data.end);
    if index.networks.is_empty() || !index.networks.iter().all(|n| inside(n.part) && n.input.multiple_of(1).is_ok()) {
        return bad("its index names no networks, or such as lie outside".into());
    }
    Ok((index, data))
}

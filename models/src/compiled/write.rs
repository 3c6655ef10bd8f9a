//! [`CompiledWriter`].

use std::collections::HashMap;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{ALIGNMENT, HEADER, Index, MAGIC, NetworkEntry, Part, VERSION};
use crate::arch::InputSize;
use crate::bundle::Bundle;
use crate::digest::{Sha256Stream, sha256};
use crate::error::{Error, Result};
use crate::part_file::PartFile;

/// Writes a compiled model part by part. The file appears when it is complete, or not at all.
pub struct CompiledWriter {
    destination: PathBuf,
    part: PartFile,
    file: BufWriter<std::fs::File>,
    /// Bytes so far.
    length: u64,
    data: Sha256Stream,
    /// Parts that are there already, by their hashes.
    known: HashMap<String, Part>,
    networks: Vec<NetworkEntry>,
}

impl CompiledWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// `Io` if it cannot be made.
    pub fn create(destination: &Path) -> Result<Self> {
        let part = PartFile::create(destination)?;
        let own = part.file().try_clone().map_err(|e| Error::io(part.path(), e))?;
        let mut writer = CompiledWriter {
            destination: destination.into(),
            part,
            file: BufWriter::new(own),
            length: 0,
            data: Sha256Stream::new(),
            known: HashMap::new(),
            networks: Vec::new(),
        };
        writer.put(&[0; HEADER])?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io(self.part.path(), e))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn put_data(&mut self, bytes: &[u8]) -> Result<()> {
        self.data.update(bytes);
        self.put(bytes)
    }

    /// Adds a part; what is there already is not written twice.
    ///
    /// # Errors
    /// `Io` if the disk is full or not writable.
    pub fn add(&mut self, bytes: &[u8]) -> Result<Part> {
        let hash = sha256(bytes);
        if let Some(part) = self.known.get(&hash) {
            return Ok(*part);
        }
        let gap = self.length.next_multiple_of(ALIGNMENT) - self.length;
        self.put_data(&[0; ALIGNMENT as usize][..gap as usize])?;
        let part = Part { offset: self.length, bytes: bytes.len() as u64 };
        self.put_data(bytes)?;
        self.known.insert(hash, part);
        Ok(part)
    }

    /// Adds a network for an input size.
    ///
    /// # Errors
    /// `Io` as [`add`](Self::add).
    pub fn add_network(&mut self, name: &str, input: InputSize, described: &[u8]) -> Result<()> {
        let (part, sha256) = (self.add(described)?, sha256(described));
        self.networks.push(NetworkEntry { name: name.into(), input, part, sha256 });
        Ok(())
    }

    /// Completes the file of a model whose weights are packed for the SIMD level and in the precision of these names.
    ///
    /// # Errors
    /// `Io` as [`add`](Self::add).
    pub fn finish(mut self, bundle: &Bundle, level: &str, precision: &str) -> Result<()> {
        let index = Index {
            manifest: bundle.manifest().clone(),
            weights_sha256: bundle.weights_sha256().to_owned(),
            level: level.to_owned(),
            precision: precision.to_owned(),
            networks: std::mem::take(&mut self.networks),
            data_sha256: std::mem::take(&mut self.data).finish(),
        };
        let text = serde_json::to_vec(&index).map_err(|e| Error::io(self.part.path(), e.into()))?;
        let offset = self.length;
        self.put(&text)?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend([0; 4]);
        [self.length, offset, text.len() as u64].iter().for_each(|n| header.extend(n.to_le_bytes()));
        header.extend(hash_bytes(&sha256(&text)));
        let failed = |e| Error::io(self.part.path(), e);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.file.write_all(&header).and_then(|()| self.file.flush()).map_err(failed)?;
        self.part.publish(&self.destination)
    }
}

/// The bytes of a hash from its digits.
fn hash_bytes(digits: &str) -> impl Iterator<Item = u8> {
    digits.as_bytes().chunks(2).map(|pair| {
        let value = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
        pair.iter().fold(0, |byte, digit| byte << 4 | value(*digit))
    })
}

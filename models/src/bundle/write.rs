//! From a bundle to a folder, all at once or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Bundle;
use crate::checkpoint::Dtype;
use crate::digest::sha256_file;
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, MANIFEST_FILE, Manifest, WEIGHTS_FILE};
use crate::pair::{DECODER_FILE, ENCODER_FILE, OnnxPair};
use crate::spec::Precision;

impl Bundle {
    /// Writes the bundle to a folder, in the precision asked for, and opens it there. A model of two ONNX files is written as such. A quantised bundle is written as it is, in
    /// `Precision::Int8`, and no other can be.
    ///
    /// The files are written to a folder beside it, which then takes its name: `folder` holds a whole bundle or what it
    /// held before. An earlier bundle there is replaced.
    ///
    /// # Errors
    /// `Refused` if `folder` exists and is no bundle, or only one of bundle and `precision` is quantised; `Mismatch` if a weight does not fit the precision, `Io` if the disk
    /// is full or not writable. Nothing is left behind then.
    pub fn write(&self, folder: &Path, precision: Precision) -> Result<Bundle> {
        self.plain()?;
        if (precision == Precision::Int8) != (self.manifest.precision == Precision::Int8) {
            let own = self.manifest.precision;
            return Err(Error::refused(format!(
                "to write weights of {own} as {precision}: quantising is a step of its own"
            )));
        }
        if folder.exists() && !folder.join(MANIFEST_FILE).is_file() && !is_empty_folder(folder) {
            return Err(Error::Refused { what: format!("to replace {}, which is no bundle", folder.display()) });
        }
        let staging = Staging::beside(folder)?;
        let manifest = match &self.onnx {
            Some(pair) => self.write_onnx(pair, precision, &staging.path)?,
            None => self.write_weights(precision, &staging.path)?,
        };
        let manifest_path = staging.path.join(MANIFEST_FILE);
        fs::write(&manifest_path, manifest.to_json()?).map_err(|e| Error::io(&manifest_path, e))?;
        sync(&manifest_path)?;
        staging.take_place_of(folder)?;
        Bundle::open(folder)
    }

    fn write_weights(&self, precision: Precision, folder: &Path) -> Result<Manifest> {
        let path = folder.join(WEIGHTS_FILE);
        match precision {
            Precision::F32 => self.weights.write_safetensors(Dtype::F32, &path)?,
            Precision::F16 => self.weights.write_safetensors(Dtype::F16, &path)?,
            Precision::Int8 => self.weights.write_as_stored(&path)?,
        }
        let files = vec![FileEntry { name: WEIGHTS_FILE.into(), bytes: sync(&path)?, sha256: sha256_file(&path)? }];
        Ok(Manifest { precision, files, ..self.manifest.clone() })
    }

    fn write_onnx(&self, pair: &OnnxPair, precision: Precision, folder: &Path) -> Result<Manifest> {
        if precision == Precision::F16 {
            return Err(Error::refused(
                "to write a model of two ONNX files in f16: they are kept in f32 or int8 (`--precision f16` keeps weights so while it runs)",
            ));
        }
        let [encoder, decoder] = pair.both(&self.weights)?;
        encoder.write(&folder.join(ENCODER_FILE))?;
        decoder.write(&folder.join(DECODER_FILE))?;
        let manifest = self.manifest.for_onnx(folder, &encoder)?;
        manifest.files.iter().try_for_each(|file| sync(&folder.join(&file.name)).map(drop))?;
        Ok(manifest)
    }
}

/// Puts a file's bytes on the disk and returns their number.
fn sync(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    file.sync_all().and_then(|()| file.metadata()).map(|m| m.len()).map_err(|e| Error::io(path, e))
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// A new folder that is removed again unless it takes its place.
struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Beside `folder`, so that a rename moves it; the parent is made if need be.
    fn beside(folder: &Path) -> Result<Self> {
        let path = sibling(folder, "new")?;
        fs::create_dir_all(&path).map_err(|e| Error::io(&path, e))?;
        Ok(Staging { path })
    }

    fn take_place_of(self, folder: &Path) -> Result<()> {
        let failed = |e| Error::io(folder, e);
        if !folder.exists() {
            return fs::rename(&self.path, folder).map_err(failed);
        }
        let old = sibling(folder, "old")?;
        fs::rename(folder, &old).map_err(failed)?;
        if let Err(e) = fs::rename(&self.path, folder) {
            // Puts the earlier bundle back; the first error is the one to report.
            let _ = fs::rename(&old, folder);
            return Err(failed(e));
        }
        fs::remove_dir_all(&old).map_err(|e| Error::io(&old, e))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a success there is no such folder; after a failure the first error is the one to report.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A name of its own beside `folder`: `.NAME.ROLE-PROCESS-COUNT`.
fn sibling(folder: &Path, role: &str) -> Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = folder
        .file_name()
        .ok_or_else(|| Error::io(folder, io::Error::new(io::ErrorKind::InvalidInput, "is not a name for a folder")))?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(folder.with_file_name(format!(".{}.{role}-{}-{count}", name.to_string_lossy(), std::process::id())))
}

//! From a bundle to a folder, all at once or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Bundle;
use crate::checkpoint::Dtype;
use crate::digest::sha256_file;
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, MANIFEST_FILE, WEIGHTS_FILE};
use crate::spec::Precision;

impl Bundle {
    /// Writes the bundle to a folder, in the precision asked for, and opens it there.
    ///
    /// The files are written to a folder beside it, which then takes its name: `folder` holds a whole bundle or what it
    /// held before. An earlier bundle there is replaced.
    ///
    /// # Errors
    /// `Refused` if `folder` exists and is no bundle, `Mismatch` if a weight does not fit the precision, `Io` if the disk
    /// is full or not writable. Nothing is left behind then.
    pub fn write(&self, folder: &Path, precision: Precision) -> Result<Bundle> {
        self.plain()?;
        if folder.exists() && !folder.join(MANIFEST_FILE).is_file() && !is_empty_folder(folder) {
            return Err(Error::Refused { what: format!("to replace {}, which is no bundle", folder.display()) });
        }
        let staging = Staging::beside(folder)?;
        let weights_path = staging.path.join(WEIGHTS_FILE);
        let dtype = match precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
        };
        self.weights.write_safetensors(dtype, &weights_path)?;
        let mut manifest = self.manifest.clone();
        manifest.precision = precision;
        let bytes = sync(&weights_path)?;
        manifest.files = vec![FileEntry { name: WEIGHTS_FILE.into(), bytes, sha256: sha256_file(&weights_path)? }];
        let manifest_path = staging.path.join(MANIFEST_FILE);
        fs::write(&manifest_path, manifest.to_json()?).map_err(|e| Error::io(&manifest_path, e))?;
        sync(&manifest_path)?;
        staging.take_place_of(folder)?;
        Bundle::open(folder)
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

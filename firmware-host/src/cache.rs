//! [`Cache`]: where pulled models live.

#[cfg(feature = "pull")]
use std::fs::File;
use std::path::{Path, PathBuf};

#[cfg(feature = "pull")]
use anyhow::Context;
use anyhow::{Result, bail};

/// Environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "CUTOUT_CACHE";

/// The folder of pulled models: `models/NAME/` holds a bundle, `downloads/` what is on its way.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The user's cache: `$CUTOUT_CACHE` if set, or else the place that the system has for such files.
    ///
    /// # Errors
    /// If neither is known.
    pub fn of_user() -> Result<Self> {
        match std::env::var_os(CACHE_VARIABLE) {
            Some(root) if !root.is_empty() => Ok(Cache::at(PathBuf::from(root))),
            _ => match directories::ProjectDirs::from("", "", "cutout") {
                Some(folders) => Ok(Cache::at(folders.cache_dir())),
                None => bail!("no home folder is known to keep models in: set {CACHE_VARIABLE} to a folder"),
            },
        }
    }

    /// The cache in a given folder, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Cache { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the bundle of a model is, if it is pulled.
    pub fn bundle(&self, name: &str) -> PathBuf {
        self.root.join("models").join(name)
    }

    /// Where a checkpoint is kept between its download and its conversion.
    pub fn download(&self, file_name: &str) -> PathBuf {
        self.root.join("downloads").join(file_name)
    }

    /// Makes the folders, and waits until no other process works on this model. `waiting` is called if it must wait.
    ///
    /// The lock ends with the value; the operating system ends it with the process.
    ///
    /// # Errors
    /// If the folders or the lock file cannot be made.
    #[cfg(feature = "pull")]
    pub(crate) fn lock(&self, name: &str, waiting: impl FnOnce()) -> Result<Lock> {
        let locks = self.root.join("locks");
        for folder in [self.root.join("models"), self.root.join("downloads"), locks.clone()] {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let path = locks.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(std::fs::TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Lock { _file: file })
    }

    /// Removes what a killed process left of an unfinished conversion. Call it with the lock held.
    #[cfg(feature = "pull")]
    pub(crate) fn sweep(&self, name: &str) {
        let prefix = format!(".{name}.");
        let Ok(entries) = std::fs::read_dir(self.root.join("models")) else { return };
        for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(&prefix)) {
            // What cannot be removed now is tried again by the next pull.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Exclusive work on one model of the cache.
#[cfg(feature = "pull")]
pub(crate) struct Lock {
    _file: File,
}

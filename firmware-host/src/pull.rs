//! `cutout models pull`: from a published checkpoint to a bundle in the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use cutout_models::digest::sha256_file;
use cutout_models::{Bundle, Download, ModelSpec, Precision};

use crate::cache::Cache;
use crate::disk::{free_bytes, human_bytes};
use crate::download::{Downloader, Request, Retry, is_disk_full};
use crate::progress::Progress;

/// Room that is left on the disk beyond what the files take.
const SPARE_BYTES: u64 = 16 << 20;

/// How to pull.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Address of a folder that holds the checkpoint under its published name, instead of the publisher's.
    pub mirror: Option<String>,
    /// A checkpoint that is already on this machine: nothing is downloaded, and the file stays.
    pub from: Option<PathBuf>,
    /// Precision to keep the weights in. Without it: half, or whatever an earlier pull has chosen.
    pub precision: Option<Precision>,
    /// Pull again even if the model is there.
    pub force: bool,
    /// Keep the downloaded checkpoint beside the bundle.
    pub keep: bool,
}

/// What a pull did.
#[derive(Debug)]
pub enum Pulled {
    /// The model is part of the program.
    BuiltIn,
    /// An earlier pull had done it.
    AlreadyThere(Bundle),
    /// It is there now.
    New {
        /// The bundle in the cache, its hashes checked.
        bundle: Bundle,
        /// Whether the checkpoint had the hash that the registry expects; false also where none is known.
        verified: bool,
    },
}

/// Pulls models into a cache.
pub struct Puller {
    cache: Cache,
    downloader: Downloader,
    free_bytes: fn(&Path) -> Option<u64>,
}

impl Puller {
    /// A puller with sensible patience.
    pub fn new(cache: Cache) -> Self {
        Puller::with(cache, Downloader::new(Retry::default(), Duration::from_secs(30)), free_bytes)
    }

    /// A puller with a downloader and a measure of free disk space of the caller's own.
    pub fn with(cache: Cache, downloader: Downloader, free_bytes: fn(&Path) -> Option<u64>) -> Self {
        Puller { cache, downloader, free_bytes }
    }

    /// Pulls a model: download, check, convert, check again. The cache holds the whole bundle then, or none.
    ///
    /// # Errors
    /// If the checkpoint cannot be had, is not the one expected, does not fit on the disk or cannot be converted. Nothing
    /// is left behind but, after a broken connection, the bytes from which the next pull goes on.
    pub fn pull(&self, spec: &ModelSpec, options: &PullOptions, progress: &Progress) -> Result<Pulled> {
        let Some(download) = spec.download() else { return Ok(Pulled::BuiltIn) };
        let folder = self.cache.bundle(spec.name);
        let waiting = || progress.note(&format!("waiting for another pull of {} to end", spec.name));
        let _lock = self.cache.lock(spec.name, waiting)?;
        self.cache.sweep(spec.name);
        let mut precision = options.precision;
        if folder.exists() {
            match Bundle::open(&folder) {
                Ok(bundle) if !options.force && precision.is_none_or(|p| p == bundle.manifest().precision) => {
                    return Ok(Pulled::AlreadyThere(bundle));
                }
                Ok(bundle) => precision = precision.or(Some(bundle.manifest().precision)),
                Err(e) => progress.note(&format!("the model in the cache is damaged and is pulled again: {e}")),
            }
        }
        let precision = precision.unwrap_or(Precision::F16);
        self.check_space(spec, download, options, precision)?;
        let checkpoint = match &options.from {
            Some(file) => Checkpoint::given(file, download)?,
            None => self.fetch(download, options, progress)?,
        };
        progress.start("converting");
        let converted = checkpoint.convert(spec, &folder, precision);
        progress.done();
        let removed = match options.from {
            // A checkpoint that turns out useless must not meet the next pull.
            None if converted.is_err() || !options.keep => remove(&checkpoint.path),
            _ => Ok(()),
        };
        let bundle = converted?;
        removed?;
        let verified = bundle.manifest().source.verified;
        Ok(Pulled::New { bundle, verified })
    }

    /// Downloads the checkpoint into the cache, or finds it there.
    fn fetch(&self, download: &Download, options: &PullOptions, progress: &Progress) -> Result<Checkpoint> {
        let target = self.cache.download(download.file_name);
        let expected = download.checksum.sha256();
        progress.start(download.file_name);
        if target.is_file() {
            let actual = sha256_file(&target)?;
            if expected.is_some_and(|expected| expected == actual) {
                return Ok(Checkpoint { path: target, sha256: actual });
            }
            remove(&target)?;
        }
        let url = match &options.mirror {
            Some(base) => format!("{}/{}", base.trim_end_matches('/'), download.file_name),
            None => download.url.into(),
        };
        let request = Request { url: &url, target: &target, bytes: Some(download.bytes), sha256: expected };
        let fetched = self.downloader.fetch(&request, progress);
        progress.done();
        let fetched = fetched.with_context(|| {
            format!("cannot download {}; `--mirror URL` or `--from FILE` takes it from elsewhere", download.file_name)
        })?;
        if fetched.resumed_from > 0 {
            progress.note(&format!("went on from {} of an earlier run", human_bytes(fetched.resumed_from)));
        }
        Ok(Checkpoint { path: target, sha256: fetched.sha256 })
    }

    /// Refuses to start what cannot end well.
    fn check_space(
        &self,
        spec: &ModelSpec,
        download: &Download,
        options: &PullOptions,
        precision: Precision,
    ) -> Result<()> {
        let Some(free) = (self.free_bytes)(self.cache.root()) else { return Ok(()) };
        let arrived = |suffix: &str| {
            let path = self.cache.download(&format!("{}{suffix}", download.file_name));
            std::fs::metadata(path).map_or(0, |m| m.len())
        };
        let to_fetch = match options.from {
            Some(_) => 0,
            None => download.bytes.saturating_sub(arrived("").max(arrived(".part"))),
        };
        let needed = to_fetch + spec.parameters * precision.bytes() + SPARE_BYTES;
        if free < needed {
            bail!(
                "the disk of {} is too full for {}: {} are needed, {} are free; {} names another place",
                self.cache.root().display(),
                spec.name,
                human_bytes(needed),
                human_bytes(free),
                crate::cache::CACHE_VARIABLE
            );
        }
        Ok(())
    }
}

/// A checkpoint file on this machine, and its hash.
struct Checkpoint {
    path: PathBuf,
    sha256: String,
}

impl Checkpoint {
    /// A file that the user has, if it is the published one.
    fn given(file: &Path, download: &Download) -> Result<Self> {
        let name = file.display();
        let size = std::fs::metadata(file).with_context(|| format!("cannot read {name}"))?.len();
        if size != download.bytes {
            bail!("{name} is another file: it has {size} bytes, {} has {}", download.file_name, download.bytes);
        }
        let sha256 = sha256_file(file)?;
        match download.checksum.sha256() {
            Some(expected) if expected != sha256 => {
                bail!("{name} is another or a damaged file: sha256 is {sha256}, expected {expected}")
            }
            _ => Ok(Checkpoint { path: file.into(), sha256 }),
        }
    }

    fn convert(&self, spec: &ModelSpec, folder: &Path, precision: Precision) -> Result<Bundle> {
        let bundle = Bundle::from_hashed_checkpoint(&self.path, spec, self.sha256.clone())
            .with_context(|| format!("{} is not a checkpoint of {}", self.path.display(), spec.title))?;
        let bundle = bundle.write(folder, precision).map_err(|e| match e {
            cutout_models::Error::Io { path, source } if is_disk_full(&source) => anyhow!(source)
                .context(format!("the disk of {} is full; the unfinished model was deleted", path.display())),
            e @ cutout_models::Error::Mismatch { .. } if precision == Precision::F16 => {
                anyhow!(e).context("the weights do not fit half precision: `--precision f32` keeps them as they are")
            }
            other => anyhow!(other).context(format!("cannot write the model to {}", folder.display())),
        })?;
        bundle.verify().context("the model that was just written cannot be read back")?;
        Ok(bundle)
    }
}

fn remove(file: &Path) -> Result<()> {
    std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))
}

//! From a published checkpoint to a bundle.

use std::path::Path;

use super::Bundle;
use crate::checkpoint::StateDict;
use crate::digest::sha256_file;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, Provenance};
use crate::registry::{CUTOUT_S, MOBILE_SAM, SAM_VIT_B, SAM_VIT_H, SAM_VIT_L};
use crate::spec::ModelSpec;

impl Bundle {
    /// Reads the official checkpoint of a model, `.pt`, `.pth` or `.safetensors`, and checks that it is complete.
    ///
    /// The manifest records the file's hash, and whether it is the one that the registry expects; refusing a file for a
    /// wrong hash is up to the caller.
    ///
    /// # Errors
    /// `Io`, `Malformed` or `Refused` if the file cannot be read; `Mismatch` if a tensor is missing or of another shape.
    pub fn from_checkpoint(path: &Path, spec: &ModelSpec) -> Result<Self> {
        Bundle::from_hashed_checkpoint(path, spec, sha256_file(path)?)
    }

    /// [`from_checkpoint`](Self::from_checkpoint) for a caller that has the file's hash already.
    ///
    /// # Errors
    /// As [`from_checkpoint`](Self::from_checkpoint).
    pub fn from_hashed_checkpoint(path: &Path, spec: &ModelSpec, sha256: String) -> Result<Self> {
        let weights = StateDict::open(path)?;
        let mut manifest = Manifest::of(spec);
        manifest.source.verified = spec.download().and_then(|d| d.checksum.sha256()) == Some(sha256.as_str());
        manifest.source.sha256 = Some(sha256);
        let bundle = Bundle::from_parts(manifest, &weights)?;
        bundle.check_architecture()?;
        Ok(bundle)
    }

    /// Reads a checkpoint of one's own, in any known architecture, which is told from the names of its tensors. The model
    /// takes the name of the file; input size and normalisation are those of the architecture's official model.
    ///
    /// # Errors
    /// As [`from_checkpoint`](Self::from_checkpoint); `Mismatch` too if no architecture has such tensors.
    pub fn from_unknown_checkpoint(path: &Path) -> Result<Self> {
        let weights = StateDict::open(path)?;
        let base = recognise(&weights).ok_or_else(|| {
            Error::mismatch(format!("{}: its tensors belong to no known architecture", path.display()))
        })?;
        let mut manifest = Manifest::of(base);
        manifest.name = path.file_stem().map_or_else(|| base.name.into(), |s| s.to_string_lossy().into_owned());
        manifest.title = format!("{} weights of {}", base.title, path.display());
        manifest.licence = "unknown".into();
        manifest.source = Provenance { from: path.display().to_string(), ..Provenance::default() };
        let bundle = Bundle::from_parts(manifest, &weights)?;
        bundle.check_architecture()?;
        Ok(bundle)
    }
}

/// The official model whose network the tensors belong to.
fn recognise(weights: &StateDict) -> Option<&'static ModelSpec> {
    if weights.contains("image_encoder.patch_embed.seq.0.c.weight") {
        return Some(&MOBILE_SAM);
    }
    if weights.contains("image_encoder.skip_s0.weight") {
        return Some(&CUTOUT_S);
    }
    match weights.get("image_encoder.patch_embed.proj.weight")?.shape().first()? {
        768 => Some(&SAM_VIT_B),
        1024 => Some(&SAM_VIT_L),
        1280 => Some(&SAM_VIT_H),
        _ => None,
    }
}

/// The tensors of the network: all but what training and preprocessing leave in a checkpoint.
pub(super) fn network_tensors(weights: &StateDict) -> Result<StateDict> {
    let mut out = StateDict::new();
    for name in weights.names() {
        let foreign = name.ends_with(".num_batches_tracked")
            || name.ends_with(".attention_bias_idxs")
            || matches!(name, "pixel_mean" | "pixel_std");
        if !foreign && let Some(tensor) = weights.get(name) {
            out.insert_stored(name.into(), tensor.clone())?;
        }
    }
    if weights.is_folded() {
        out.mark_folded();
    }
    Ok(out)
}

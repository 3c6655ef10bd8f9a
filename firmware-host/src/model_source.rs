//! From what a user calls a model to the model.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cutout_models::compiled::CompiledModel;
use cutout_models::manifest::MANIFEST_FILE;
use cutout_models::{Bundle, DECODER_FILE, ENCODER_FILE, Normalization, registry};

use crate::cache::Cache;

/// The model that `--model` means:
///
/// - nothing: the shipped one;
/// - a folder: the bundle in it, or the two ONNX files;
/// - a `.pt`, `.pth` or `.safetensors` file: the checkpoint in it, converted in memory;
/// - a file that `cutout models compile` has made: the model in it;
/// - a name of the registry: the shipped one, or the bundle that `cutout models pull` has put into the user's cache.
///
/// # Errors
/// If there is no such model, if it is not pulled yet (the message says how), or if its files are damaged.
pub fn load_bundle(model: Option<&str>) -> Result<Bundle> {
    match model {
        None => Bundle::shipped().context("the shipped model is damaged"),
        Some(name) => load_named(name, &Cache::of_user()?),
    }
}

/// [`load_bundle`], with a cache of the caller's choice.
pub(crate) fn load_named(model: &str, cache: &Cache) -> Result<Bundle> {
    if let Ok(spec) = registry::find(model) {
        if spec.download().is_none() {
            return load_bundle(None);
        }
        let folder = cache.bundle(spec.name);
        if !folder.exists() {
            if cfg!(feature = "pull") {
                bail!("{model} is not pulled yet: run `cutout models pull {model}` once");
            }
            bail!("{model} is not here: pull it on another machine, and copy its folder to {}", folder.display());
        }
        return Bundle::open(&folder)
            .with_context(|| format!("{model} is damaged: run `cutout models pull --force {model}`"));
    }
    let path = Path::new(model);
    if path.is_dir() {
        let has_manifest = path.join(MANIFEST_FILE).exists();
        if !has_manifest && !Bundle::is_onnx_folder(path) {
            bail!(
                "{model} is a folder, but no model: it has no {MANIFEST_FILE}, and no {ENCODER_FILE} with {DECODER_FILE}"
            );
        }
        let bundle = Bundle::open(path).with_context(|| format!("cannot open the model in {model}"))?;
        if !has_manifest {
            warn_of_defaults(&bundle);
        }
        return Ok(bundle);
    }
    if CompiledModel::is(path) {
        return Bundle::open_compiled(path).with_context(|| format!("cannot use the compiled model {model}"));
    }
    if path.is_file() {
        return Bundle::from_unknown_checkpoint(path).with_context(|| format!("cannot use the checkpoint {model}"));
    }
    let known: Vec<_> = registry::ALL.iter().map(|spec| spec.name).collect();
    bail!("there is no model '{model}': it is no file, no folder, and none of {}", known.join(", "));
}

/// Says what is assumed of ONNX files that come without a manifest.
fn warn_of_defaults(bundle: &Bundle) {
    let Normalization { mean, std } = bundle.normalization();
    let size = bundle.input_size();
    // Nobody who could be told is there if this fails.
    let _ = writeln!(
        std::io::stderr().lock(),
        "warning: {} has no {MANIFEST_FILE}: images are normalised as for Segment Anything, mean {mean:?} and deviation {std:?} in grey \
         levels, at the encoder's own size, {size} (height x width); docs/onnx.md says how to say otherwise",
        bundle.name()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutout_models::Precision;
    use cutout_models::checkpoint::Dtype;

    #[test]
    fn a_model_is_a_name_a_folder_or_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let shipped = load_bundle(None).unwrap();
        assert_eq!(load_named("cutout-s", &cache).unwrap().id(), shipped.id());

        let written = shipped.write(&folder.path().join("bundle"), Precision::F32).unwrap();
        assert_eq!(load_named(&path("bundle"), &cache).unwrap().id(), written.id());
        shipped.write(&cache.bundle("mobile_sam"), Precision::F16).unwrap();
        assert!(load_named("mobile_sam", &cache).is_ok());

        shipped.weights().write_safetensors(Dtype::F32, path("mine.safetensors")).unwrap();
        assert_eq!(load_named(&path("mine.safetensors"), &cache).unwrap().name(), "mine");
    }

    #[test]
    fn what_is_not_there_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let told = |model: &str| format!("{:#}", load_named(model, &cache).unwrap_err());
        assert!(told("sam_vit_b").contains("`cutout models pull sam_vit_b`"));
        assert!(told("no-such-model").contains("mobile_sam"));
        assert!(told(folder.path().to_str().unwrap()).contains("manifest.json"));
        std::fs::create_dir_all(cache.bundle("sam_vit_b")).unwrap();
        assert!(told("sam_vit_b").contains("`cutout models pull --force sam_vit_b`"));
    }
}

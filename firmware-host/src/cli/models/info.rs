//! `cutout info`, which is `cutout models info`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use cutout_models::arch::InputSize;
use cutout_models::checkpoint::TensorData;
use cutout_models::{Architecture, Bundle, Manifest, ModelSpec, Normalization, registry};
use cutout_runtime::engine::Layer;
use cutout_runtime::{ImageView, Model, Predictor, Prompt, Size};
use serde::Serialize;

use super::{State, kept_in, millions};
use crate::cache::Cache;
use crate::cli::compute::Compute;
use crate::cli::{layers, print_json};
use crate::disk::human_bytes;
use crate::model_source::load_bundle;

const MORE: &str = "\
With --layers the model is run on a picture of one colour at its own input size, and each step of its image encoder and of its \
mask decoder is listed as it really ran on this machine: in which precision, by which instruction, how long (the median of a few \
rounds), and how many multiply-accumulates that is per second. A step that a model for int8 keeps in floating point shows up \
here.

Examples:
  cutout info cutout-s
  cutout info cutout-s-int8 --layers --threads 1
  cutout info cutout-s-int8 --layers --json";

/// Tell everything about a model
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct InfoArgs {
    /// Name of a model, folder (a bundle, or two ONNX files), checkpoint or compiled file
    #[arg(value_name = "NAME|DIR|FILE")]
    model: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List the tensors too
    #[arg(long)]
    tensors: bool,
    /// List the steps too, as they run on this machine
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    compute: Compute,
}

/// The steps of both networks.
#[derive(Serialize)]
struct Steps {
    image_encoder: Vec<Layer>,
    mask_decoder: Vec<Layer>,
}

impl Steps {
    /// Rounds of which the median counts.
    const ROUNDS: usize = 5;

    /// Runs a model at its own input size.
    fn of(bundle: &Bundle, compute: Compute) -> anyhow::Result<Self> {
        let InputSize { width, height } = bundle.input_size();
        let picture = Size::new(width, height);
        let model = Model::load(bundle.clone(), compute.options(None))?;
        let image_encoder = model.profile_encoder(model.input_for(picture), Self::ROUNDS)?;
        let mut predictor = Predictor::new(model);
        predictor.set_image(&ImageView::rgb8(&vec![150; 3 * picture.pixels()], picture)?)?;
        let prompt = Prompt::new().with_point(width as f32 / 2.0, height as f32 / 2.0, true);
        Ok(Steps { image_encoder, mask_decoder: predictor.profile_decoder(&prompt, Self::ROUNDS)? })
    }
}

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let (spec, bundle, state) = match registry::find(&args.model) {
        Ok(spec) => {
            let state = State::of(spec, &Cache::of_user()?);
            let note = match &state {
                State::Damaged(e) => format!("damaged: {e}"),
                State::NotPulled => format!("not pulled: `cutout models pull {}`", spec.name),
                other => other.name().to_owned(),
            };
            (Some(spec), state.bundle().cloned(), note)
        }
        Err(_) => (None, Some(load_bundle(Some(&args.model))?), "a model of your own".to_owned()),
    };
    let steps = match bundle.as_ref().filter(|_| args.layers) {
        Some(bundle) => Some(Steps::of(bundle, args.compute)?),
        None => None,
    };
    let mut out = io::stdout().lock();
    if args.json {
        let bundle = bundle.as_ref().map(|b| Stored::of(b, args.tensors));
        print_json(&mut out, &Info { state, published: spec.map(Published::of), bundle, layers: steps })?;
    } else {
        if let Some(spec) = spec {
            tell_spec(&mut out, spec)?;
        }
        field(&mut out, "state", state)?;
        if let Some(bundle) = &bundle {
            tell_bundle(&mut out, bundle)?;
            if args.tensors {
                tell_tensors(&mut out, bundle)?;
            }
        }
        if let Some(Steps { image_encoder, mask_decoder }) = &steps {
            for (what, layers) in [("image encoder", image_encoder), ("mask decoder", mask_decoder)] {
                out.write_all(layers::table(what, layers).as_bytes())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn field(out: &mut impl Write, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
    writeln!(out, "{name:<14} {value}")
}

fn tell_spec(out: &mut impl Write, spec: &ModelSpec) -> io::Result<()> {
    field(out, "name", spec.name)?;
    field(out, "title", spec.title)?;
    field(out, "good for", spec.purpose)?;
    field(out, "architecture", spec.architecture)?;
    field(out, "parameters", format!("{} ({})", millions(spec.parameters), spec.parameters))?;
    tell_input(out, spec.input_size, spec.normalization)?;
    field(out, "licence", spec.licence)?;
    field(out, "more at", spec.homepage)?;
    if let Some(download) = spec.download() {
        field(out, "checkpoint", download.url)?;
        field(out, "", format!("{} ({} bytes)", human_bytes(download.bytes), download.bytes))?;
        field(out, "", download.checksum)?;
    }
    Ok(())
}

fn tell_input(out: &mut impl Write, size: InputSize, normalization: Normalization) -> io::Result<()> {
    field(out, "input", format!("{} wide, {} high unless chosen otherwise", size.width, size.height))?;
    let Normalization { mean, std } = normalization;
    field(out, "normalisation", format!("(grey level - {mean:?}) / {std:?}, per channel R, G, B"))
}

fn tell_bundle(out: &mut impl Write, bundle: &Bundle) -> io::Result<()> {
    let manifest = bundle.manifest();
    writeln!(out)?;
    field(out, "id", bundle.id())?;
    if let Some(folder) = bundle.folder() {
        field(out, "folder", folder.display())?;
    }
    field(out, "title", &manifest.title)?;
    field(out, "architecture", manifest.architecture)?;
    match bundle.compiled() {
        None => field(out, "tensors", format!("{} with {} elements", bundle.weights().len(), manifest.parameters))?,
        Some(model) => {
            field(out, "elements", manifest.parameters)?;
            let sizes: Vec<String> = model.sizes().iter().map(InputSize::to_string).collect();
            field(
                out,
                "compiled for",
                format!(
                    "{}, {}, inputs of {} (height x width)",
                    model.level(),
                    kept_in(bundle, model.precision()),
                    sizes.join(", ")
                ),
            )?;
        }
    }
    field(out, "precision", manifest.precision)?;
    for (name, value) in manifest.quantization.iter().flat_map(|q| &q.method) {
        field(out, "quantised", format!("{name}: {value}"))?;
    }
    for layer in &manifest.f16_arithmetic_excluded {
        field(out, "f32 arithmetic", layer)?;
    }
    tell_input(out, manifest.input_size, manifest.normalization)?;
    field(out, "licence", &manifest.licence)?;
    field(out, "made from", &manifest.source.from)?;
    if let Some(sha256) = &manifest.source.sha256 {
        let verified = if manifest.source.verified { "verified" } else { "not compared with a published hash" };
        field(out, "", format!("sha256 {sha256}, {verified}"))?;
    }
    field(out, "made by", &manifest.created_by)?;
    for file in &manifest.files {
        field(out, "file", format!("{}, {} bytes, sha256 {}", file.name, file.bytes, file.sha256))?;
    }
    for (name, value) in &manifest.metrics {
        field(out, "measured", format!("{name} {value}"))?;
    }
    Ok(())
}

fn tell_tensors(out: &mut impl Write, bundle: &Bundle) -> io::Result<()> {
    writeln!(out)?;
    for name in bundle.weights().names() {
        let Some(tensor) = bundle.weights().get(name) else { continue };
        writeln!(out, "{name} {:?} {:?}", tensor.dtype(), tensor.shape())?;
    }
    Ok(())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Info<'a> {
    state: String,
    published: Option<Published>,
    bundle: Option<Stored<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Steps>,
}

#[derive(Serialize)]
struct Published {
    name: &'static str,
    title: &'static str,
    purpose: &'static str,
    architecture: Architecture,
    parameters: u64,
    input_size: InputSize,
    normalization: Normalization,
    licence: &'static str,
    homepage: &'static str,
    checkpoint: Option<PublishedFile>,
}

#[derive(Serialize)]
struct PublishedFile {
    url: &'static str,
    bytes: u64,
    sha256: Option<&'static str>,
    checksum: String,
}

#[derive(Serialize)]
struct Stored<'a> {
    id: String,
    folder: Option<&'a Path>,
    manifest: &'a Manifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<StoredTensor<'a>>>,
}

#[derive(Serialize)]
struct StoredTensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
}

impl Published {
    fn of(spec: &ModelSpec) -> Self {
        Published {
            name: spec.name,
            title: spec.title,
            purpose: spec.purpose,
            architecture: spec.architecture,
            parameters: spec.parameters,
            input_size: spec.input_size,
            normalization: spec.normalization,
            licence: spec.licence,
            homepage: spec.homepage,
            checkpoint: spec.download().map(|d| PublishedFile {
                url: d.url,
                bytes: d.bytes,
                sha256: d.checksum.sha256(),
                checksum: d.checksum.to_string(),
            }),
        }
    }
}

impl<'a> Stored<'a> {
    fn of(bundle: &'a Bundle, with_tensors: bool) -> Self {
        let weights = bundle.weights();
        let tensor = |name| {
            let tensor: &TensorData = weights.get(name)?;
            Some(StoredTensor { name, dtype: format!("{:?}", tensor.dtype()), shape: tensor.shape() })
        };
        Stored {
            id: bundle.id(),
            folder: bundle.folder(),
            manifest: bundle.manifest(),
            tensors: with_tensors.then(|| weights.names().filter_map(tensor).collect()),
        }
    }
}

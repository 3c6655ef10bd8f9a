//! `cutout quantize MODEL -o DIR`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cutout_models::manifest::{MANIFEST_FILE, WEIGHTS_FILE};
use cutout_models::{Bundle, Precision};
use cutout_quantize::calibrate::{Choice, Pictures, Watch, choose};
use cutout_quantize::calibrated::Calibrated;
use cutout_quantize::half;
use cutout_quantize::recipe::{Chosen, Prepared, Recipe, Settings};
use cutout_quantize::search::LayerError;
use cutout_runtime::engine::Operators;
use serde::Serialize;

use super::{MakeArgs, Target};
use crate::cli::print_json;
use crate::disk::human_bytes;
use crate::model_source::load_bundle;
use crate::pictures;
use crate::progress::Steps;

/// What was learnt of the model's values.
const CALIBRATION: &str = "calibration.safetensors";
/// What each layer does by itself.
pub(super) const SENSITIVITY: &str = "sensitivity.json";

/// Where statistics come from.
enum Source {
    Pictures(Box<dyn Pictures>, Choice),
    Known(Box<Calibrated>),
}

#[derive(Serialize)]
struct Summary {
    model: String,
    folder: PathBuf,
    precision: &'static str,
    bytes: u64,
    bytes_before: u64,
    pictures: usize,
    layers: usize,
    float_layers: BTreeSet<String>,
    warnings: Vec<String>,
}

pub(super) fn run(args: &MakeArgs) -> Result<ExitCode> {
    let bundle = load_bundle(Some(&args.model))?;
    if bundle.compiled().is_some() || bundle.manifest().precision == Precision::Int8 {
        bail!("{} cannot be quantised: give the model in f32 or f16 that it was made from", args.model);
    }
    check_arguments(args, &bundle)?;
    let part = part_of(&args.output)?;
    let settings = Settings {
        method: args.method.0,
        trials: args.trials as usize,
        operators: Operators::default(),
        threads: args.threads,
        part,
    };
    let mut bar = Steps::on_stderr();
    let result = make(args, &bundle, &settings, &mut bar);
    bar.done();
    let summary = result?;
    let mut out = std::io::stdout().lock();
    if args.json {
        print_json(&mut out, &summary)?;
    } else {
        let Summary { folder, precision, bytes, bytes_before, .. } = &summary;
        let share = 100.0 * *bytes as f64 / (*bytes_before).max(1) as f64;
        writeln!(out, "{} ({precision}): {}, {share:.0} % of f32", folder.display(), human_bytes(*bytes))?;
        match summary.float_layers.len() {
            0 => {}
            count => {
                writeln!(out, "{count} of {} layers stay in floats: {}", summary.layers, list(&summary.float_layers))?
            }
        }
        writeln!(out, "next: cutout quantize report {} {} --data ANNOTATED", args.model, folder.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a quantised model's folder holds.
const FILES: [&str; 4] = [MANIFEST_FILE, WEIGHTS_FILE, CALIBRATION, SENSITIVITY];

/// Refuses at once what could only fail, or do harm, at the end of a long calibration.
fn check_arguments(args: &MakeArgs, bundle: &Bundle) -> Result<()> {
    let wants_trials = args.max_loss.is_some() || args.max_ms.is_some() || args.sensitivity;
    if wants_trials && args.precision == Target::F16 {
        bail!("--max-loss, --max-ms and --sensitivity are about int8: leave them out with --precision f16");
    }
    let output = &args.output;
    let shown = output.display();
    if !output.exists() {
        return Ok(());
    }
    if let (Some(own), Ok(to)) = (bundle.folder(), output.canonicalize())
        && own.canonicalize().is_ok_and(|own| own == to)
    {
        bail!("{shown} holds the model itself: name another folder for the new one");
    }
    let entries = if output.is_dir() { std::fs::read_dir(output) } else { bail!("{shown} is a file: name a folder") };
    for entry in entries.with_context(|| format!("{shown} cannot be read"))? {
        let name = entry.with_context(|| format!("{shown} cannot be read"))?.file_name();
        if !FILES.iter().any(|file| name == *file) {
            bail!("{shown} holds more than a model, such as {}: name another folder", name.to_string_lossy());
        }
    }
    Ok(())
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn make(args: &MakeArgs, bundle: &Bundle, settings: &Settings, bar: &mut Steps) -> Result<Summary> {
    let mut recipe = Recipe::new(bundle, settings)?;
    let mut warnings = Vec::new();
    let source = source(args, bundle, &recipe, bar, &mut warnings)?;
    warnings.iter().for_each(|w| bar.note(&format!("warning: {w}")));
    let wants_trials = args.max_loss.is_some() || args.max_ms.is_some() || args.sensitivity;
    let prepared = match (&source, args.precision) {
        (Some(Source::Pictures(pictures, choice)), _) => {
            Some(recipe.calibrate(Chosen { pictures: &**pictures, choice }, bar)?)
        }
        (Some(Source::Known(calibrated)), _) => Some(recipe.from_calibrated((**calibrated).clone())?),
        (None, Target::F16) => None,
        (None, Target::Int8) => bail!(
            "{} comes without a calibration: give --calibration a folder of pictures, 32 to 500, such as the camera will see, \
             or a recording (.y4m, .mjpeg)",
            args.model
        ),
    };
    let mut errors = Vec::new();
    let mut floats = BTreeSet::new();
    if let (true, Target::Int8, Some(prepared)) = (wants_trials, args.precision, &prepared) {
        let Some(Source::Pictures(pictures, choice)) = &source else {
            bail!("layers are tried on pictures: give --calibration a folder of them or a recording");
        };
        let chosen = Chosen { pictures: &**pictures, choice };
        errors = recipe.sensitivity(prepared, chosen, bar)?;
        if let Some(loss) = args.max_loss {
            floats = recipe.within_loss(prepared, &errors, loss, chosen, bar)?;
        } else if let Some(ms) = args.max_ms {
            floats = recipe.within_time(prepared, &errors, ms, bar)?;
        }
    }
    let (written, excluded) = match args.precision {
        Target::Int8 => {
            let Some(prepared) = &prepared else { bail!("nothing is known of the model's values") };
            let quantized = recipe.quantized(prepared, &floats)?;
            (quantized.write(&args.output, Precision::Int8)?, floats)
        }
        Target::F16 => write_f16(bundle, prepared.as_ref(), &args.output)?,
    };
    if let (Some(prepared), Target::Int8) = (&prepared, args.precision) {
        prepared.calibrated.write(&args.output.join(CALIBRATION), &prepared.quantizer.points)?;
    }
    if !errors.is_empty() {
        write_sensitivity(&args.output.join(SENSITIVITY), &errors)?;
    }
    recipe.finish();
    let layers = prepared.as_ref().map_or(0, |p| p.quantizer.points.layers.len());
    Ok(Summary {
        model: written.id(),
        folder: args.output.clone(),
        precision: written.manifest().precision.as_str(),
        bytes: written.manifest().files.iter().map(|f| f.bytes).sum(),
        bytes_before: bundle.manifest().parameters * Precision::F32.bytes(),
        pictures: prepared.as_ref().map_or(0, |p| p.quantizer.statistics.pictures),
        layers,
        float_layers: excluded,
        warnings,
    })
}

/// What --calibration means, or what the model ships with.
fn source(
    args: &MakeArgs,
    bundle: &Bundle,
    recipe: &Recipe<'_>,
    bar: &mut Steps,
    warnings: &mut Vec<String>,
) -> Result<Option<Source>> {
    let Some(path) = &args.calibration else {
        let shipped = Calibrated::from_static(Bundle::shipped_calibration())?;
        return Ok((shipped.model == bundle.id()).then(|| Source::Known(Box::new(shipped))));
    };
    if path.extension().is_some_and(|e| e == "safetensors") {
        let calibrated = Calibrated::open(path).with_context(|| format!("{} is no calibration", path.display()))?;
        return Ok(Some(Source::Known(Box::new(calibrated))));
    }
    let pictures = pictures::open(path)?;
    let choice = choose(&*pictures, recipe.bench(), args.images as usize, path, bar)?;
    warnings.extend(choice.warnings());
    Ok(Some(Source::Pictures(pictures, choice)))
}

fn write_f16(bundle: &Bundle, prepared: Option<&Prepared>, folder: &Path) -> Result<(Bundle, BTreeSet<String>)> {
    let excluded = match prepared {
        Some(prepared) => half::beyond_range(&prepared.quantizer)?,
        None => BTreeSet::new(),
    };
    let mut bundle = bundle.clone();
    bundle.set_f16_arithmetic_excluded(excluded.iter().cloned().collect());
    Ok((bundle.write(folder, Precision::F16)?, excluded))
}

fn write_sensitivity(path: &Path, errors: &[LayerError]) -> Result<()> {
    let text = serde_json::to_string_pretty(errors)?;
    std::fs::write(path, text + "\n").with_context(|| format!("{} cannot be written", path.display()))
}

/// The folder for what was found so far: beside the output.
fn part_of(output: &Path) -> Result<PathBuf> {
    let name = output.file_name().with_context(|| format!("{} names no folder", output.display()))?;
    let mut name = name.to_owned();
    name.push(".part");
    Ok(output.with_file_name(name))
}

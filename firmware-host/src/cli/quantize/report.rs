//! `cutout quantize report`: what fewer bits lose, and gain.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use cutout_models::Bundle;
use cutout_quantize::calibrate::Watch;
use cutout_quantize::eval::{Comparison, Dataset, Progress, compare};
use cutout_quantize::search::LayerError;
use cutout_runtime::engine::Precision;
use cutout_runtime::{Model, ModelOptions, Predictor};
use serde::Serialize;
use serde_json::Value;

use super::make::SENSITIVITY;
use crate::cli::objects::Objects;
use crate::cli::{eval, print_json};
use crate::disk::human_bytes;
use crate::model_source::load_bundle;
use crate::progress::Steps;
use crate::sheet;

const MORE: &str = "\
Each object of the annotated images is asked about by its exact box (one mask) and by the point deepest inside it (three masks). \
The table gives means over sources of the intersection over union:

  box, best, chosen   with the annotated mask: from the box; from the point, the truly best of three and the one that the model chooses
  = box, = point      with the mask that the model in f32 gives: how much the answers are the same
  size                bytes of the model's files, for f32 four for each weight
  encode, decode, ms  medians on this machine, from `cutout bench` in a process of its own
  memory              the most that that process has held

--picture draws the objects that the first DIR and f32 agree least about: the truth, both masks and where they differ. If `cutout quantize \
--sensitivity` (or --max-loss, --max-ms) has tried layers one by one, it also draws the error of each layer alone in int8.

Example:
  cutout quantize report cutout-s cutout-s-int8 cutout-s-f16 --data data --limit 40 --picture report.png";

/// Say what fewer bits lose, and gain
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(super) struct ReportArgs {
    /// The model that the others were made from: name, folder or checkpoint file
    #[arg(value_name = "NAME|DIR|FILE")]
    model: String,
    /// Folders of models in fewer bits, the one to look at closely first
    #[arg(value_name = "DIR", required = true, num_args = 1..=4)]
    others: Vec<String>,
    /// Folder of annotated images, see `cutout eval --help`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    objects: Objects,
    /// Threads to compute on; 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also draw the worst cases and the error by layer to this PNG file
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// One form of the model.
#[derive(Debug, Serialize)]
struct Form {
    model: String,
    precision: String,
    bytes: u64,
    stages: Vec<(String, f64)>,
    peak_memory_mb: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    forms: Vec<Form>,
    accuracy: Comparison,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<LayerError>,
}

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let dataset = Dataset::open(&args.data, args.objects.clone().into())?;
    // What is looked at closely comes last: worst cases are the last model's.
    let names: Vec<&String> = std::iter::once(&args.model).chain(args.others.iter().rev()).collect();
    let mut bar = Bar(Steps::on_stderr());
    bar.0.begin("time and memory", names.len());
    let mut forms = Vec::new();
    for (number, name) in names.iter().enumerate() {
        forms.push(measure(name, number == 0, args.threads)?);
        bar.0.advance(1);
    }
    bar.0.begin("objects", dataset.objects());
    let mut predictors = Vec::new();
    for name in &names {
        let options = ModelOptions { threads: args.threads, ..ModelOptions::default() };
        predictors.push(Predictor::new(Model::load(load_bundle(Some(name))?, options)?));
    }
    let accuracy = compare(&dataset, &mut predictors, &eval::decode, &mut bar)?;
    drop(predictors);
    bar.0.done();
    let report = Report { forms, accuracy, layers: sensitivity(Path::new(&args.others[0]))? };
    if let Some(path) = &args.picture {
        let precision = report.forms.last().map_or("", |f| &f.precision);
        sheet::draw(path, precision, &report.accuracy.worst, &report.layers)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        print_json(&mut out, &report)?;
    } else {
        write!(out, "{}", table(&report)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What `cutout quantize` found of the layers, if it was asked to.
fn sensitivity(folder: &Path) -> Result<Vec<LayerError>> {
    let path = folder.join(SENSITIVITY);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// Time and memory of a model, in a process of its own.
fn measure(name: &str, in_floats: bool, threads: usize) -> Result<Form> {
    let bundle = load_bundle(Some(name))?;
    let program = std::env::current_exe().context("this program's own file is unknown")?;
    let precision = if bundle.manifest().precision == cutout_models::Precision::F16 && !in_floats {
        Precision::F16
    } else {
        Precision::F32
    };
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--rounds", "15", "--model", name]);
    command.args(["--threads", &threads.to_string(), "--precision", precision.name()]);
    let output = command.output().context("cannot start this program again")?;
    if !output.status.success() {
        bail!("`cutout bench --model {name}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let table: Value = serde_json::from_slice(&output.stdout).context("`cutout bench` gave no JSON")?;
    let stages = table["stages"].as_array().into_iter().flatten();
    let stage = |s: &Value| Some((s["name"].as_str()?.to_owned(), s["median_ms"].as_f64()?));
    Ok(Form {
        model: bundle.id(),
        precision: if in_floats { "f32".to_owned() } else { bundle.manifest().precision.as_str().to_owned() },
        bytes: bytes(&bundle, in_floats),
        stages: stages.filter_map(stage).collect(),
        peak_memory_mb: table["board"]["peak_memory_mb"].as_f64(),
    })
}

fn bytes(bundle: &Bundle, in_floats: bool) -> u64 {
    let files = bundle.manifest().files.iter().map(|f| f.bytes).sum();
    if in_floats { bundle.manifest().parameters * cutout_models::Precision::F32.bytes() } else { files }
}

fn table(report: &Report) -> Result<String> {
    let mut out = String::new();
    let Report { forms, accuracy, .. } = report;
    let stage = |form: &Form, name: &str| {
        let found = form.stages.iter().find(|(n, _)| n == name);
        found.map_or("-".to_owned(), |(_, ms)| format!("{ms:.1}"))
    };
    writeln!(
        out,
        "precision  size      box    best   chosen  = box   = point  preprocess  encode  first  next   memory"
    )?;
    for (form, o) in forms.iter().zip(&accuracy.forms) {
        writeln!(
            out,
            "{:<9}  {:<8}  {:.3}  {:.3}  {:.3}   {:.4}  {:.4}   {:<10}  {:<6}  {:<5}  {:<5}  {}",
            form.precision,
            human_bytes(form.bytes),
            o.bbox,
            o.point_best,
            o.point_chosen,
            o.box_agreement,
            o.point_agreement,
            stage(form, "preprocess"),
            stage(form, "encode"),
            stage(form, "decode, first prompt"),
            stage(form, "decode, next prompts"),
            form.peak_memory_mb.map_or("-".to_owned(), |mb| format!("{mb:.0} MB")),
        )?;
    }
    writeln!(out, "\n{} objects; size against f32:", accuracy.objects)?;
    for form in &forms[1..] {
        writeln!(out, "  {} {:.1} %", form.precision, 100.0 * form.bytes as f64 / forms[0].bytes.max(1) as f64)?;
    }
    if accuracy.left_out > 0 {
        writeln!(out, "{} images could not be read and are left out", accuracy.left_out)?;
    }
    writeln!(out, "\nleast agreement of {} with f32:", forms.last().map_or("-", |f| &f.precision))?;
    for case in &accuracy.worst {
        let by = if case.by_box { "box" } else { "point" };
        let image = case.image.display();
        writeln!(
            out,
            "  {:.3} by {by}; with the truth {:.3}, f32 {:.3}: {image}",
            case.agreement, case.own, case.first
        )?;
    }
    if !report.layers.is_empty() {
        let mut worst: Vec<&LayerError> = report.layers.iter().collect();
        worst.sort_by(|a, b| b.error.total_cmp(&a.error));
        writeln!(out, "\nlayers that do most harm by themselves:")?;
        worst.iter().take(8).try_for_each(|e| writeln!(out, "  {:.5} {}", e.error, e.layer))?;
    }
    Ok(out)
}

struct Bar(Steps);

impl Progress for Bar {
    fn advance(&mut self, objects: usize) {
        self.0.advance(objects);
    }
}

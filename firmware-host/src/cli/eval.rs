//! `cutout eval`: the accuracy of a model on annotated images.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use cutout_quantize::eval::{Dataset, FilledBox, Progress, Report, Zoomed, evaluate};
use cutout_runtime::engine::Precision;
use cutout_runtime::{InputShape, Model, Predictor, Size, Zoom};
use indicatif::{ProgressBar, ProgressStyle};

use super::compute::Compute;
use super::objects::Objects;
use super::print_json;
use super::values::{SizeArg, parse_size};
use crate::model_source::load_bundle;
use crate::photo::Photo;

/// What `cutout eval --help` says after the options.
const MORE: &str = "\
The folder:
  DIR/<source>/annotations.jsonl.gz   (or annotations.jsonl), one JSON object per image:
      {\"file\": \"images/a.jpg\", \"width\": 640, \"height\": 480, \"split\": \"heldout\",
       \"segments\": [{\"rle\": {\"size\": [480, 640], \"counts\": \"...\"}}, ...]}
  DIR/<source>/images/...             JPEG, PNG, WebP, BMP or PNM
  DIR may be a single source, too. rle is COCO's, compressed or not. A line without a split
  belongs to every split. Bad lines, images and masks are left out, counted and named.

The figures, mean intersection over union (IoU, 0 to 1) with the annotated mask:
  box           prompted by the exact box of the mask, one mask asked for
  point_best    prompted by the point deepest inside the mask, three masks asked for: the truly best
  point_chosen  the same three: the one that the model itself thinks best
  clicks3       after three clicks: that point, then each time the deepest point of what is wrong,
                whichever is larger, the missed or the superfluous part; the last answer goes along
  clicks5       after five such clicks
  Each source counts the mean over its objects; overall is the mean over sources.

Examples:
  cutout eval data                            everything held out, the default model
  cutout eval data --limit 40                 forty objects a source, a first impression
  cutout eval data --source coco --json       one source, for a program to read
  cutout eval data --zoom                     what --zoom gains: compare the rows by size of object
  cutout eval data --baseline                 the filled box: what a model has to beat";

/// Measure a model's accuracy on a folder of annotated images.
///
/// Asks the model about every annotated object by box, by point and by corrective clicks, and prints the mean IoU per
/// source and overall. Results go to standard output, progress to standard error.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = MORE)]
pub(super) struct EvalArgs {
    /// Folder with one folder per source, or a single source
    dir: PathBuf,
    /// Model by name, folder (a bundle, or two ONNX files), checkpoint or compiled file [default: the shipped model]
    #[arg(long, value_name = "NAME|DIR|FILE")]
    model: Option<String>,
    /// Longest side of the model's input in pixels, or its height and width [default: the model's own]
    #[arg(long, value_name = "SIDE|HxW", value_parser = parse_size)]
    size: Option<SizeArg>,
    /// Zoom in on small objects, as `cutout segment --zoom` does; such an answer runs the image encoder once more
    #[arg(long)]
    zoom: bool,
    #[command(flatten)]
    objects: Objects,
    /// Print JSON: {"overall": {...}, "sources": {NAME: {...}}, ...}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: Compute,
    /// Score the filled box instead of a model (a point or click is answered by the whole image)
    #[arg(long, conflicts_with_all = ["model", "size", "threads", "zoom"])]
    baseline: bool,
}

/// Runs the command.
///
/// # Errors
/// Where the folder is no data set or holds nothing of what is asked for, the model cannot be loaded or fails, or no
/// object could be scored.
pub(super) fn run(args: EvalArgs) -> anyhow::Result<ExitCode> {
    let dataset = Dataset::open(&args.dir, args.objects.into())?;
    let mut bar = Bar::new(dataset.objects());
    let (evaluation, name) = if args.baseline {
        (evaluate(&dataset, &mut FilledBox::default(), &decode, &mut bar)?, "filled box".to_owned())
    } else {
        let bundle = load_bundle(args.model.as_deref())?;
        let input = args.size.map(|size| size.shape(bundle.architecture()));
        let model = Model::load(bundle, args.compute.options(input))?;
        let at = match model.input_shape() {
            InputShape::Fixed(size) => size.to_string(),
            InputShape::Fit(side) => format!("{side}, fitted"),
        };
        let name = match args.compute.precision {
            Precision::F32 => format!("{} at {at}", model.id()),
            precision => format!("{} at {at}, {precision}", model.id()),
        };
        let mut predictor = Predictor::new(model);
        if args.zoom {
            let zoom = Zoom::default();
            let name = format!("{name}, zoomed (context {}, below {})", zoom.context, zoom.below);
            (evaluate(&dataset, &mut Zoomed::new(predictor, zoom), &decode, &mut bar)?, name)
        } else {
            (evaluate(&dataset, &mut predictor, &decode, &mut bar)?, name)
        }
    };
    bar.0.finish_and_clear();
    if args.json {
        // The table tells these itself.
        let mut stderr = std::io::stderr().lock();
        for (reason, count, examples) in evaluation.skipped.iter() {
            writeln!(stderr, "left out: {count} {}; for instance {}", reason.describe(), examples.join("; "))?;
        }
    }
    let report = Report::new(&evaluation, &dataset.selection, name).with_context(|| {
        let first = evaluation.skipped.iter().find_map(|(_, _, examples)| examples.first().cloned());
        format!("no object could be scored; the first left out: {}", first.unwrap_or_default())
    })?;
    let mut stdout = std::io::stdout().lock();
    if args.json {
        print_json(&mut stdout, &report)?;
    } else {
        writeln!(stdout, "{report}")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn decode(path: &Path) -> Result<(Vec<u8>, Size), Box<dyn std::error::Error + Send + Sync>> {
    let photo = Photo::open(path)?;
    Ok((photo.pixels().to_vec(), photo.size()))
}

/// A bar on standard error; it draws nothing where that is no terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(objects: usize) -> Self {
        let bar = ProgressBar::new(objects as u64);
        let template = "{msg:16} [{bar:32}] {pos}/{len} objects, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn source(&mut self, name: &str, _objects: usize) {
        self.0.set_message(name.to_owned());
    }

    fn advance(&mut self, objects: usize) {
        self.0.inc(objects as u64);
    }
}

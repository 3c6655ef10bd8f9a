//! `cutout models export`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use cutout_models::arch::InputSize;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::manifest::MANIFEST_FILE;
use cutout_models::onnx::{Dim, OnnxModel};
use cutout_models::{Bundle, DECODER_FILE, ENCODER_FILE};

use super::example;
use crate::cli::values::{SizeArg, parse_size};
use crate::disk::human_bytes;
use crate::model_source::load_bundle;

const MORE: &str = "\
Writes two graphs, float32, for any ONNX runtime of opset 17:

  image_encoder.onnx
      in   image [1,3,H,W]: normalised, zeros at the right and the bottom
      out  image_embeddings [1,256,H/16,W/16]
  mask_decoder.onnx
      in   image_embeddings
           point_coords [B,N,2]: x, y in pixels of the padded image
           point_labels [B,N]: 1 foreground, 0 background, 2 and 3 the
               corners of a box, -1 the padding point where there is no box
           mask_input [B,1,H/4,W/4], has_mask_input [1]
      out  low_res_masks [B,4,H/4,W/4]: logits of the single mask, then three
           iou_predictions [B,4]

and manifest.json, which says what the graphs do not: name, normalisation, input size, licence, sha256 of the files. The folder \
is a model like any other: `--model DIR`, `cutout quantize DIR`.

cutout-s has two more between them: high_res_s0 [1,32,H/4,W/4] and high_res_s1 [1,64,H/8,W/8]. The metadata says \
model, licence, input size and normalisation. Weights above 1.5 GB go to a file beside the graph.

Examples:
  cutout models export mobile_sam -o onnx
  cutout models export cutout-s -o onnx --size 384x640 --points 2";

/// Write a model as ONNX files, for other runtimes
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct ExportArgs {
    /// Name of a model, folder (a bundle, or two ONNX files), or checkpoint file
    #[arg(value_name = "NAME|DIR|FILE")]
    model: String,
    /// Folder to write to; made if need be
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Input size in pixels: height and width, or one number for both [default: the model's own]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<SizeArg>,
    /// Points per prompt, or `dynamic`; the two corners of a box, or the padding point in their place, count
    #[arg(long, value_name = "N|dynamic", default_value = "dynamic", value_parser = parse_count)]
    points: Count,
    /// Prompts per run, or `dynamic`
    #[arg(long, value_name = "N|dynamic", default_value = "1", value_parser = parse_count)]
    prompts: Count,
    /// Also write one run of both graphs, inputs and outputs, to DIR/example, to check another runtime against
    #[arg(long)]
    example: bool,
}

#[derive(Clone, Copy, Debug)]
enum Count {
    Fixed(usize),
    Dynamic,
}

impl Count {
    /// The size that stands for it in the example.
    fn example(self) -> usize {
        match self {
            Count::Fixed(n) => n,
            Count::Dynamic => 2,
        }
    }

    fn dim(self, symbol: &'static str) -> Dim {
        match self {
            Count::Fixed(n) => Dim::Fixed(n),
            Count::Dynamic => Dim::Symbol(symbol),
        }
    }
}

fn parse_count(text: &str) -> Result<Count, String> {
    match text {
        "dynamic" => Ok(Count::Dynamic),
        _ => text.parse().map(Count::Fixed).map_err(|_| "give a number or `dynamic`".into()),
    }
}

pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let bundle = load_bundle(Some(&args.model))?;
    let size = args.size.map_or_else(|| bundle.input_size(), SizeArg::largest);
    let encoder = bundle.image_encoder_onnx(size)?;
    let shape = DecoderShape {
        prompts: args.prompts.dim("prompts"),
        points: args.points.dim("points"),
        embedding: (size.height / 16, size.width / 16),
    };
    let decoder = bundle.mask_decoder_onnx(shape)?;

    if args.output.join(MANIFEST_FILE).exists() && !Bundle::is_onnx_folder(&args.output) {
        bail!("{} holds a model already: choose another folder", args.output.display());
    }
    fs::create_dir_all(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    // Files take their names one by one, but only when all are written.
    let staging = tempfile::Builder::new()
        .prefix(".cutout-export-")
        .tempdir_in(&args.output)
        .with_context(|| format!("cannot write to {}", args.output.display()))?;
    if args.example {
        let counts = [args.prompts.example(), args.points.example()];
        example::write(&args.output.join("example"), [&encoder, &decoder], size, counts)?;
    }
    let encoder = with_metadata(encoder, &bundle, size);
    encoder.write(&staging.path().join(ENCODER_FILE))?;
    with_metadata(decoder, &bundle, size).write(&staging.path().join(DECODER_FILE))?;
    let manifest = bundle.manifest().for_onnx(staging.path(), &encoder)?;
    fs::write(staging.path().join(MANIFEST_FILE), manifest.to_json()?)?;
    let mut out = std::io::stdout().lock();
    for (path, bytes) in publish(staging.path(), &args.output)? {
        writeln!(out, "{} ({})", path.display(), human_bytes(bytes))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Moves all files of one folder to another; returns where they are and their sizes.
fn publish(from: &Path, to: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut moved = Vec::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let bytes = entry.metadata()?.len();
        let target = to.join(entry.file_name());
        fs::rename(entry.path(), &target).with_context(|| format!("cannot write {}", target.display()))?;
        moved.push((target, bytes));
    }
    moved.sort();
    Ok(moved)
}

fn with_metadata(model: OnnxModel, bundle: &Bundle, size: InputSize) -> OnnxModel {
    let per_channel = |v: [f32; 3]| format!("{} {} {}", v[0], v[1], v[2]);
    let normalization = bundle.normalization();
    model
        .with_metadata("cutout.model", &bundle.id())
        .with_metadata("cutout.title", &bundle.manifest().title)
        .with_metadata("cutout.architecture", bundle.architecture().as_str())
        .with_metadata("cutout.licence", &bundle.manifest().licence)
        .with_metadata("cutout.source", &bundle.manifest().source.from)
        .with_metadata("cutout.input_height", &size.height.to_string())
        .with_metadata("cutout.input_width", &size.width.to_string())
        .with_metadata("cutout.mean_rgb", &per_channel(normalization.mean))
        .with_metadata("cutout.std_rgb", &per_channel(normalization.std))
}

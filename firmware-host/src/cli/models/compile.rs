//! `cutout models compile`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use cutout_runtime::engine::{Operators, Precision};
use cutout_runtime::{InputShape, Model};

use super::kept_in;
use crate::cli::values::{SizeArg, parse_size};
use crate::disk::human_bytes;
use crate::model_source::load_bundle;

const MORE: &str = "\
The file holds the model prepared for this machine: weights in the order in which its instructions read them. It is mapped \
into memory and used in place, so that the model starts faster and needs less memory. Name it wherever a model is named: \
`--model FILE`.

It serves one SIMD level and the sizes given here; another machine or another size is refused. The size of an input that \
follows the image stands for the usual shapes (1:1, 4:3, 3:2, 16:9, lying and upright); an image of another shape takes the \
size that shows it largest. `cutout models verify FILE` checks every byte.

Examples:
  cutout models compile cutout-s -o cutout-s.cutout
  cutout models compile mobile_sam -o mobile_sam.cutout --size 1024 --size 576x1024";

/// Prepare a model for this machine, in one file that is used in place
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct CompileArgs {
    /// Name of a model, folder (a bundle, or two ONNX files), or checkpoint file
    #[arg(value_name = "NAME|DIR|FILE")]
    model: String,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Input size in pixels: longest side, or height and width; may be given several times [default: the model's own]
    #[arg(long = "size", value_name = "SIDE|HxW", value_parser = parse_size)]
    sizes: Vec<SizeArg>,
    /// What it is to run on: 'auto' or a SIMD level ('scalar', 'avx2', 'avx512', 'neon', 'neon-dot', 'neon-i8mm')
    #[arg(long, value_name = "NAME", default_value_t = Operators::default(), hide_default_value = true)]
    operators: Operators,
    /// How weights are kept: 'f32', 'f16' or 'f16-arithmetic', see `cutout segment --help`; of an int8 model, those that are floats
    #[arg(long, value_name = "NAME", default_value_t)]
    precision: Precision,
}

pub(crate) fn run(args: &CompileArgs) -> Result<ExitCode> {
    let bundle = load_bundle(Some(&args.model))?;
    let mut shapes: Vec<InputShape> = args.sizes.iter().map(|size| size.shape(bundle.architecture())).collect();
    if shapes.is_empty() {
        shapes.push(InputShape::of_bundle(&bundle));
    }
    let mut sizes: Vec<_> = shapes.into_iter().flat_map(InputShape::usual_sizes).collect();
    sizes.sort_unstable_by_key(|size| (size.height, size.width));
    sizes.dedup();
    Model::compile(&bundle, &sizes, (args.operators, args.precision), &args.output)
        .with_context(|| format!("cannot compile {}", args.model))?;
    let bytes = std::fs::metadata(&args.output).map_or(0, |m| m.len());
    let inputs: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    let mut out = std::io::stdout().lock();
    let (operators, precision) = (args.operators, kept_in(&bundle, args.precision.name()));
    let file = args.output.display();
    writeln!(out, "{file} ({}): {operators}, {precision}, inputs of {}", human_bytes(bytes), inputs.join(", "))?;
    Ok(ExitCode::SUCCESS)
}

//! `cutout quantize`: a model in fewer bits.

mod make;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use cutout_quantize::ranges::Method;

use self::report::ReportArgs;

const MORE: &str = "\
A model has weights and, while it runs, values. In int8 both are bytes: the model is a quarter of the size, and its image \
encoder multiplies whole numbers, which takes half the time or less. A byte is one of 256 steps, so each value needs to be \
known: how large do its numbers get? Pictures show that. This is calibration:

  the shipped model   knows already: `cutout quantize cutout-s -o DIR` needs no pictures
  any other model     give --calibration a folder of pictures, 32 to 500, such as the camera will see; or a recording of
                      the camera (.y4m or .mjpeg)

What is done, in this order; docs/quantization.md has the formulas:
  1. The pictures are run, and ranges of all values noted.
  2. Channels of very different ranges are brought nearer to each other, where the network allows to do so without change.
  3. The pictures are run again, and numbers are counted.
  4. Each value gets the range that hurts the answers least (--method auto), of everything seen, the percentiles 99.9 and
     99.99, least divergence (entropy) and least square error.
  5. Weights get a scale for each output; biases are freed of the mean error that is left.
  6. With --max-loss or --max-ms, layers are tried one by one, and the most harmful stay in floats.
The mask decoder's weights become bytes as well; it goes on computing in floats.

Interrupted, the same command goes on where it was: what was found is kept in DIR.part until the model is there. \
DIR/calibration.safetensors then holds what was learnt: give it as --calibration to quantise the same model again without pictures.

--precision f16 halves the size and changes masks hardly at all. With pictures (or the shipped model) it also finds the layers \
whose numbers might leave the range of half precision, and names them in the manifest: they stay in single precision where \
arithmetic is in halves (`--precision f16-arithmetic`).

Then:
  cutout segment photo.jpg --model DIR --point 320,240
  cutout quantize report MODEL DIR --data ANNOTATED        what was lost, and what was gained

Examples:
  cutout quantize cutout-s -o cutout-s-int8
  cutout quantize mobile_sam -o mobile_sam-int8 --calibration photos --images 64
  cutout quantize mobile_sam -o mobile_sam-int8 --calibration camera.y4m --max-loss 0.01";

/// Make a model smaller and faster: int8 or f16
#[derive(Debug, Args)]
#[command(after_long_help = MORE, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct QuantizeArgs {
    #[command(subcommand)]
    command: Option<QuantizeCommand>,
    #[command(flatten)]
    make: Option<MakeArgs>,
}

#[derive(Debug, Subcommand)]
enum QuantizeCommand {
    Report(ReportArgs),
}

#[derive(Debug, Args)]
struct MakeArgs {
    /// Name of a model, folder (a bundle in f32 or f16, or two ONNX files), or checkpoint file
    #[arg(value_name = "NAME|DIR|FILE", required = true)]
    model: String,
    /// Folder for the new model; made if need be
    #[arg(short, long, value_name = "DIR", required = true)]
    output: PathBuf,
    /// What the new model is of
    #[arg(long, value_enum, default_value_t = Target::Int8)]
    precision: Target,
    /// Folder of pictures, recording (.y4m, .mjpeg), or calibration.safetensors of an earlier run [default: that of the shipped model]
    #[arg(long, value_name = "DIR|FILE")]
    calibration: Option<PathBuf>,
    /// At most N pictures, spread evenly over all
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    images: u32,
    /// How ranges are chosen: auto (for each value what hurts least), minmax, percentile, percentile99.99, entropy or mse
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = parse_method)]
    method: MethodArg,
    /// Pictures that changes are tried on; more take longer and choose better
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    trials: u32,
    /// Keep the most harmful layers in floats until masks lose no more than this of their overlap with those in f32, such as 0.01; needs
    /// pictures
    #[arg(long, value_name = "LOSS", conflicts_with = "max_ms", value_parser = parse_positive)]
    max_loss: Option<f64>,
    /// Keep as many harmful layers in floats as the image encoder may take milliseconds for, on this machine; needs pictures
    #[arg(long, value_name = "MS", value_parser = parse_positive)]
    max_ms: Option<f64>,
    /// Also try each layer by itself and write what it does to DIR/sensitivity.json, which the report draws; needs pictures
    #[arg(long)]
    sensitivity: bool,
    /// Threads to compute on; 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Weights and values of the image encoder in bytes
    Int8,
    /// Weights in half precision
    F16,
}

#[derive(Clone, Copy, Debug)]
struct MethodArg(Option<Method>);

fn parse_method(name: &str) -> Result<MethodArg, String> {
    match name {
        "auto" => Ok(MethodArg(None)),
        name => name.parse().map(|m| MethodArg(Some(m))).map_err(|e| format!("{e}, or auto")),
    }
}

fn parse_positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    number.ok_or_else(|| "give a number above zero".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Where the model cannot be read or quantised, pictures are no use, or the folder cannot be written.
pub(super) fn run(args: QuantizeArgs) -> anyhow::Result<ExitCode> {
    match (args.command, args.make) {
        (Some(QuantizeCommand::Report(args)), _) => report::run(&args),
        (None, Some(args)) => make::run(&args),
        (None, None) => anyhow::bail!("name a model and, with -o, a folder: see `cutout quantize --help`"),
    }
}

//! `cutout models parity`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::super::compute::Compute;
use crate::cli::{CHECK_FAILED, print_json};
use crate::parity::check_parity;
use crate::progress::Progress;

const MORE: &str = "\
DIR holds what the official PyTorch code of Segment Anything or MobileSAM answered, on weights made from a seed by a \
published formula:

  cases.json          model (vit_t, vit_b, vit_l, vit_h), seed, prompts, scores
  state_dict.json     names and shapes of all parameters
  image.png           the input
  resized.png         what the official preprocessing makes of it
  embedding.npy       float32 [1,256,h,w]
  CASE.low_res.npy    float32 [4,4h,4w]: logits of the single mask and the three
  CASE.mask1.png      the first of the three masks, at the size of the image

Everything is computed anew from the image, by the very code that `cutout segment` runs. Allowed are differences of 1 \
grey level in the resized image, 0.001 in the embedding, 0.01 in the logits and 0.001 in predicted IoUs; masks must \
agree to an IoU of 0.999. Beyond that the exit status is 3.";

/// Compare with answers that the official code gave
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct ParityArgs {
    /// Folder of reference answers
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: Compute,
}

pub(crate) fn run(args: &ParityArgs) -> Result<ExitCode> {
    let progress = Progress::on_stderr();
    let checked = check_parity(&args.dir, args.compute.options(None), |what| progress.start(what));
    progress.done();
    let report = checked.with_context(|| format!("cannot compare with {}", args.dir.display()))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        print_json(&mut out, &report)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(CHECK_FAILED) })
}

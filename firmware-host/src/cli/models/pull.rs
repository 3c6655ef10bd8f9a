//! `cutout models pull`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use cutout_models::{Checksum, Precision, registry};

use super::stored_bytes;
use crate::cache::Cache;
use crate::disk::human_bytes;
use crate::progress::Progress;
use crate::pull::{PullOptions, Pulled, Puller};

const MORE: &str = "\
The checkpoint comes from its publisher, or from a mirror that has it under the same file name. Its size and sha256 \
are checked; `cutout models info NAME` shows them, and says so where no sha256 is known. Then it is converted and \
stored in the cache (CUTOUT_CACHE, or the user's cache folder). A pull that breaks off goes on where it stopped when \
it is run again.

Examples:
  cutout models pull mobile_sam
  cutout models pull sam_vit_b --mirror http://10.0.0.2/checkpoints
  cutout models pull mobile_sam --from mobile_sam.pt
      without a network, from a file that you have";

/// Download a model once and keep it
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct PullArgs {
    /// Name of the model, see `cutout models list`
    name: String,
    /// Take the checkpoint from this file; nothing is downloaded
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Address of a folder that has the checkpoint, instead of the publisher's
    #[arg(long, value_name = "URL", env = "CUTOUT_MIRROR")]
    mirror: Option<String>,
    /// How to store the weights: half the size, or every bit [default: f16]
    #[arg(long, value_enum)]
    precision: Option<StoredPrecision>,
    /// Pull again even if the model is there
    #[arg(long)]
    force: bool,
    /// Keep the downloaded checkpoint too
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StoredPrecision {
    F16,
    F32,
}

pub(crate) fn run(args: PullArgs) -> anyhow::Result<ExitCode> {
    let spec = registry::find(&args.name)?;
    let options = PullOptions {
        mirror: args.mirror.filter(|m| !m.is_empty()),
        from: args.from,
        precision: args.precision.map(|p| match p {
            StoredPrecision::F16 => Precision::F16,
            StoredPrecision::F32 => Precision::F32,
        }),
        force: args.force,
        keep: args.keep,
    };
    let pulled = Puller::new(Cache::of_user()?).pull(spec, &options, &Progress::on_stderr())?;
    let mut out = std::io::stdout().lock();
    match pulled {
        Pulled::BuiltIn => writeln!(out, "{} is part of the program: there is nothing to pull", spec.name)?,
        Pulled::AlreadyThere(bundle) => {
            writeln!(out, "{} is there already: {} (--force pulls it again)", spec.name, bundle.id())?;
        }
        Pulled::New { bundle, verified } => {
            let checked = match spec.download().map(|d| d.checksum) {
                Some(Checksum::Sha256 { .. }) if verified => "sha256 verified",
                _ => "unverified: no sha256 is known for this checkpoint",
            };
            let (size, precision) = (human_bytes(stored_bytes(&bundle)), bundle.manifest().precision);
            writeln!(out, "{} is ready: {}, {checked}, {size} in {precision}", spec.name, bundle.id())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

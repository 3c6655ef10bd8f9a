//! `cutout models`: what models there are, and what to do with their files.

mod compile;
mod example;
mod export;
mod info;
mod list;
mod parity;
#[cfg(feature = "pull")]
mod pull;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use cutout_models::{Bundle, ModelSpec, Precision};

use crate::cache::Cache;

/// List, pull, check and convert models
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    List(list::ListArgs),
    #[cfg(feature = "pull")]
    Pull(pull::PullArgs),
    Verify(verify::VerifyArgs),
    Info(InfoArgs),
    Export(export::ExportArgs),
    Compile(compile::CompileArgs),
    Parity(parity::ParityArgs),
}

pub(crate) use info::{InfoArgs, run as info};

pub(crate) fn run(command: ModelsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelsCommand::List(args) => list::run(&args),
        #[cfg(feature = "pull")]
        ModelsCommand::Pull(args) => pull::run(args),
        ModelsCommand::Verify(args) => verify::run(&args),
        ModelsCommand::Info(args) => info(&args),
        ModelsCommand::Export(args) => export::run(&args),
        ModelsCommand::Compile(args) => compile::run(&args),
        ModelsCommand::Parity(args) => parity::run(&args),
    }
}

/// What of a model of the registry is on this machine.
enum State {
    Shipped(Bundle),
    Pulled(Bundle),
    NotPulled,
    Damaged(cutout_models::Error),
}

impl State {
    fn of(spec: &ModelSpec, cache: &Cache) -> Self {
        let opened = match spec.download() {
            None => Bundle::shipped().map(State::Shipped),
            Some(_) => {
                let folder = cache.bundle(spec.name);
                if !folder.exists() {
                    return State::NotPulled;
                }
                Bundle::open(&folder).map(State::Pulled)
            }
        };
        opened.unwrap_or_else(State::Damaged)
    }

    fn name(&self) -> &'static str {
        match self {
            State::Shipped(_) => "shipped",
            State::Pulled(_) => "pulled",
            State::NotPulled => "not pulled",
            State::Damaged(_) => "damaged",
        }
    }

    fn bundle(&self) -> Option<&Bundle> {
        match self {
            State::Shipped(bundle) | State::Pulled(bundle) => Some(bundle),
            State::NotPulled | State::Damaged(_) => None,
        }
    }
}

/// A number of parameters for people.
fn millions(parameters: u64) -> String {
    let millions = parameters as f64 / 1e6;
    if millions < 99.95 { format!("{millions:.1} M") } else { format!("{millions:.0} M") }
}

/// What weights are kept in where those that are floats are kept in `floats`.
fn kept_in(bundle: &Bundle, floats: &str) -> String {
    match bundle.manifest().precision {
        Precision::Int8 => format!("int8 and {floats}"),
        Precision::F32 | Precision::F16 => floats.to_owned(),
    }
}

/// Size of a bundle's files, in bytes.
fn stored_bytes(bundle: &Bundle) -> u64 {
    bundle.manifest().files.iter().map(|f| f.bytes).sum()
}

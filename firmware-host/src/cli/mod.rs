//! The command line: one file per subcommand, each with its arguments and `run`.

mod bench;
mod compute;
#[cfg(feature = "quantize")]
mod eval;
mod layers;
mod models;
#[cfg(feature = "quantize")]
mod objects;
mod prompt;
#[cfg(feature = "quantize")]
mod quantize;
mod segment;
mod serve;
mod values;

use std::io::Write;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use cutout_models::Bundle;
use serde::Serialize;

/// Exit status of a command whose check found a fault: damaged files, differences beyond tolerance.
pub(crate) const CHECK_FAILED: u8 = 3;

const ABOUT: &str = "Segment anything in a photo, from a point or a box, on the machine at hand";

// One line per paragraph: clap wraps them to the terminal.
const LONG_ABOUT: &str = "\
Cutout turns a prompt into a mask: point at something in a photo, or draw a box around it, and get its outline. It \
runs promptable segmentation models of the Segment Anything family on the CPU at hand. One small model is part of \
the program; larger ones are pulled once and kept.";

const MORE: &str = "\
Examples:
  cutout segment photo.jpg --point 320,240 -o out
      what is at x = 320, y = 240?
  cutout segment photo.jpg --box 40,60,300,410 -o out
      what is in this box?
  cutout serve --source camera --tcp 7700
      answer clients, over serial lines and sockets
  cutout prompt --tcp robot.local:7700 --point 320,240
      what is there in the robot's newest frame? (`cutout serve` runs on it)
  cutout models list
      which models are there?
  cutout models pull mobile_sam
      get another one, once; then add `--model mobile_sam`
  cutout eval data --limit 40
      how good is a model on annotated images?
  cutout quantize cutout-s -o small
      make a model smaller and faster; `cutout quantize report` says what was lost
  cutout bench
      how fast is a model on this machine?

Coordinates are pixels of the photo, counted from its top left corner. `cutout COMMAND --help` tells more.

Exit status:
  0  done
  1  failed; the reason is on standard error
  2  the command line was not understood
  3  a check found a fault (models verify, models parity)
  4  the service answered with an error (prompt)

Environment:
  CUTOUT_CACHE   folder for pulled models
  CUTOUT_MIRROR  address of a folder to pull checkpoints from
  CUTOUT_TOKEN   what clients of `cutout serve` from other machines have to know
  CUTOUT_LOG     how much `cutout serve` logs, as --log-level";

/// The command line of `cutout`.
#[derive(Debug, Parser)]
#[command(
    name = "cutout",
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_long_help = MORE,
    after_help = "Try `cutout --help` for examples, exit status and environment.",
    version,
    long_version = LONG_VERSION.as_str(),
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Segment(segment::SegmentArgs),
    Serve(serve::ServeArgs),
    Prompt(prompt::PromptArgs),
    Bench(bench::BenchArgs),
    #[cfg(feature = "quantize")]
    Eval(eval::EvalArgs),
    #[cfg(feature = "quantize")]
    Quantize(quantize::QuantizeArgs),
    Info(models::InfoArgs),
    #[command(subcommand)]
    Models(models::ModelsCommand),
}

/// Prints JSON, a reader that has gone away being an error of input and output like any other.
pub(crate) fn print_json(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(out, "{text}")?;
    Ok(())
}

/// Runs a command. Results go to standard output, all else to standard error.
///
/// # Errors
/// If the command fails; a check that finds a fault is no error but the exit status 3.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Segment(args) => segment::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Prompt(args) => prompt::run(&args),
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "quantize")]
        Command::Eval(args) => eval::run(args),
        #[cfg(feature = "quantize")]
        Command::Quantize(args) => quantize::run(args),
        Command::Info(args) => models::info(&args),
        Command::Models(command) => models::run(command),
    }
}

/// Version, machine and shipped model: what a report of a fault should say.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let shipped = Bundle::shipped().map_or_else(|e| format!("damaged: {e}"), |b| b.id());
    format!(
        "{}\nmachine: {} {}\nshipped model: {shipped}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS
    )
});

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

//! The program `cutout`. What it does is in the library; this file parses, runs and reports.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use cutout::cli::{Cli, run};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        // The reader of our output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = io::stderr().lock();
            let mut told = format!("error: {error}");
            // With standard error closed, the exit status has to tell.
            let _ = writeln!(stderr, "{told}");
            for cause in error.chain().skip(1).map(ToString::to_string) {
                // Some errors quote their cause.
                if !told.contains(&cause) {
                    let _ = writeln!(stderr, "  because: {cause}");
                    told = cause;
                }
            }
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

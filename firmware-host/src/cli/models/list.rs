//! `cutout models list`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use cutout_models::registry;
use serde_json::json;

use super::{State, millions, stored_bytes};
use crate::cache::Cache;
use crate::cli::print_json;
use crate::disk::human_bytes;

/// List the models and say which of them are here
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let cache = Cache::of_user()?;
    let models: Vec<_> = registry::ALL.iter().map(|spec| (spec, State::of(spec, &cache))).collect();
    let mut out = std::io::stdout().lock();
    if args.json {
        let list: Vec<_> = models
            .iter()
            .map(|(spec, state)| {
                json!({
                    "name": spec.name,
                    "title": spec.title,
                    "architecture": spec.architecture,
                    "parameters": spec.parameters,
                    "download_bytes": spec.download().map(|d| d.bytes),
                    "state": state.name(),
                    "stored_bytes": state.bundle().map(stored_bytes),
                    "precision": state.bundle().map(|b| b.manifest().precision),
                    "id": state.bundle().map(|b| b.id()),
                    "licence": spec.licence,
                    "purpose": spec.purpose,
                })
            })
            .collect();
        print_json(&mut out, &list)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{:<11} {:>10} {:>9}  {:<11} {:<23} good for", "name", "parameters", "download", "state", "licence")?;
    for (spec, state) in &models {
        let download = spec.download().map_or_else(|| "-".into(), |d| human_bytes(d.bytes));
        let (name, parameters, state) = (spec.name, millions(spec.parameters), state.name());
        writeln!(out, "{name:<11} {parameters:>10} {download:>9}  {state:<11} {:<23} {}", spec.licence, spec.purpose)?;
    }
    Ok(ExitCode::SUCCESS)
}

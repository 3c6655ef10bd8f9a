//! `cutout models verify`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use cutout_models::{Bundle, ModelSpec, registry};

use super::State;
use crate::cache::Cache;
use crate::cli::CHECK_FAILED;
use crate::model_source::load_bundle;

/// Check every byte of a model's files against its manifest, and that its weights are complete
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Names or folders of models [default: all that are here]
    #[arg(value_name = "NAME|DIR|FILE")]
    models: Vec<String>,
}

pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let cache = Cache::of_user()?;
    let found: Vec<(&str, Result<Bundle>)> = if args.models.is_empty() {
        registry::ALL.iter().filter_map(|spec| Some((spec.name, here(spec, &cache)?))).collect()
    } else {
        args.models.iter().map(|model| Ok((model.as_str(), find(model, &cache)?))).collect::<Result<_>>()?
    };
    let mut out = std::io::stdout().lock();
    let mut sound = true;
    for (model, bundle) in found {
        match bundle.and_then(|bundle| check(&bundle).map(|()| bundle.id())) {
            Ok(id) => writeln!(out, "{model}: ok, {id}")?,
            Err(e) => {
                sound = false;
                writeln!(out, "{model}: DAMAGED, {e:#}")?;
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(CHECK_FAILED) })
}

/// A model of the registry, if it is on this machine; an error of its own if its files cannot be opened.
fn here(spec: &ModelSpec, cache: &Cache) -> Option<Result<Bundle>> {
    match State::of(spec, cache) {
        State::Shipped(bundle) | State::Pulled(bundle) => Some(Ok(bundle)),
        State::Damaged(e) => Some(Err(e.into())),
        State::NotPulled => None,
    }
}

/// A model by name or folder. That there is none is an error; that its files cannot be opened is a finding.
fn find(model: &str, cache: &Cache) -> Result<Result<Bundle>> {
    match registry::find(model) {
        Ok(spec) => here(spec, cache).with_context(|| format!("{model} is not pulled: there is nothing to verify")),
        Err(_) if Path::new(model).exists() => Ok(load_bundle(Some(model))),
        Err(_) => load_bundle(Some(model)).map(Ok),
    }
}

fn check(bundle: &Bundle) -> Result<()> {
    bundle.verify()?;
    bundle.check_architecture().context("the files are as they were written, but the weights are not complete")
}

//! The token, from where it was put.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result, bail};

use super::{Misuse, PromptArgs};

/// Longest token.
const LONGEST: usize = 64;

/// What is read of a file at most: its first line is no longer.
const MOST: u64 = 4096;

/// The token of the command line, of the file that it names, or of the environment; empty if there is none.
pub(super) fn token(args: &PromptArgs) -> Result<String> {
    let (token, from) = match (&args.token, &args.token_file) {
        (Some(token), _) => (token.clone(), "--token".to_owned()),
        (None, Some(path)) => {
            let name = path.display().to_string();
            let mut bytes = Vec::new();
            let read = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
            read.with_context(|| format!("cannot read the token in {name}"))?;
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let token = String::from_utf8_lossy(line).trim().to_owned();
            if token.is_empty() {
                bail!("{name} holds no token in its first line");
            }
            (token, name)
        }
        (None, None) => {
            let token = std::env::var_os("CUTOUT_TOKEN").unwrap_or_default();
            (token.to_string_lossy().into_owned(), "CUTOUT_TOKEN".to_owned())
        }
    };
    // The token itself stays unsaid.
    if token.len() > LONGEST {
        let what = format!("the token of {from} has {} bytes: tokens have 16 to {LONGEST}", token.len());
        return Err(Misuse(what).into());
    }
    Ok(token)
}

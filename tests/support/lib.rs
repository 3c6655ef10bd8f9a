//! What the tests share: where things are, and how to say that something was not checked.
#![forbid(unsafe_code)]

pub mod noise;
pub mod qdq;
mod sample;
pub mod scene;
pub mod serial;
pub mod service;

use std::io::Write;
use std::path::{Path, PathBuf};

pub use sample::{SceneObject, scene_objects, scene_path, scene_photo, senseless_prompts, shipped_int8, shipped_model};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Data of others, which is not part of the repository: `CUTOUT_SHARED`, or `../shared` beside the clone.
///
/// Where it is missing, says on standard error what is not checked, past the capture of the test harness, and
/// returns `None`.
pub fn shared(path: &str, what: &str) -> Option<PathBuf> {
    let base = std::env::var_os("CUTOUT_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let full = base.join(path);
    if full.exists() {
        return Some(full);
    }
    not_checked(&format!("{what} (shared/{path} is not here)"));
    None
}

/// Says that something was not checked, so that `.ci/run` can repeat it.
pub fn not_checked(what: &str) {
    // A raw write: the harness captures print macros of tests that pass.
    let _ = writeln!(std::io::stderr().lock(), "NOT CHECKED: {what}");
}

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

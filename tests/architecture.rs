//! The invariants of ARCHITECTURE.md, held by reading the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longest file that can still be read in one sitting.
const MAX_LINES: usize = 400;
/// The one file outside of the kernels that has `unsafe` code.
const BARE_METAL: &str = "firmware-host/examples/microcontroller/src/board.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file of the repository with the given extension, relative to its root, with its text.
fn sources(extension: &str) -> BTreeMap<String, String> {
    fn walk(dir: &Path, root: &Path, extension: &str, out: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | "out") {
                    walk(&path, root, extension, out);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                out.insert(relative, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(&root(), &root(), extension, &mut out);
    assert!(!out.is_empty(), "no .{extension} file found: the walk is broken");
    out
}

/// The line without its `//` comment. String literals that hold `//` do not occur next to the words looked for.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

fn offenders(
    sources: &BTreeMap<String, String>,
    allowed: impl Fn(&str) -> bool,
    bad: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut out = Vec::new();
    for (path, text) in sources {
        if allowed(path) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if bad(code(line)) {
                out.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    out
}

fn uses_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

#[test]
fn tract_is_named_only_inside_the_engine() {
    let rust = sources("rs");
    let inside = |path: &str| path.starts_with("runtime/src/engine/") || path == "tests/architecture.rs";
    let crates = ["tract_onnx", "tract_core", "tract_hir", "tract_linalg", "tract_data", "tract_nnef"];
    let names_tract = |line: &str| crates.iter().any(|name| uses_word(line, name));
    let bad = offenders(&rust, inside, names_tract);
    assert!(bad.is_empty(), "tract is named outside runtime/src/engine:\n{}", bad.join("\n"));
    assert!(
        rust.iter().any(|(path, text)| path.starts_with("runtime/src/engine/") && text.contains("tract_onnx::")),
        "the engine does not name tract: this test looks in the wrong place"
    );
}

#[test]
fn unsafe_stays_in_the_kernels_and_is_argued() {
    let rust = sources("rs");
    // Registers of a microcontroller are reached no other way; its example is no part of the product.
    let in_kernels = |path: &str| path.starts_with("runtime/kernels/src/") || path == BARE_METAL;
    let allowed = |path: &str| in_kernels(path) || path == "tests/architecture.rs";
    let bad = offenders(&rust, allowed, |line| uses_word(line, "unsafe"));
    assert!(bad.is_empty(), "unsafe outside runtime/kernels:\n{}", bad.join("\n"));
    for (path, text) in rust.iter().filter(|(path, _)| in_kernels(path)) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, l)| code(l).contains("unsafe {")) {
            let argued = lines[number.saturating_sub(4)..=number].iter().any(|l| l.contains("SAFETY:"));
            assert!(argued, "{path}:{}: an unsafe block without a SAFETY line: {line}", number + 1);
        }
    }
    for krate in ["models", "runtime", "quantize", "firmware-host", "firmware-host/protocol"] {
        let text = &rust[&format!("{krate}/src/lib.rs")];
        assert!(text.contains("#![forbid(unsafe_code)]"), "{krate}/src/lib.rs must forbid unsafe code");
    }
}

/// Product crates, and which of them each may depend on.
const DEPENDENCIES: [(&str, &[&str]); 6] = [
    ("models", &[]),
    ("runtime/kernels", &[]),
    ("runtime", &["cutout-kernels", "cutout-models"]),
    ("quantize", &["cutout-kernels", "cutout-models", "cutout-runtime"]),
    ("firmware-host/protocol", &[]),
    ("firmware-host", &["cutout-models", "cutout-runtime", "cutout-quantize", "cutout-protocol"]),
];

#[test]
fn crates_depend_in_one_direction() {
    for (krate, allowed) in DEPENDENCIES {
        let manifest = std::fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("\n[").find(|s| s.starts_with("dependencies]")).unwrap();
        for line in dependencies.lines().filter(|l| l.starts_with("cutout")) {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&name), "{krate} must not depend on {name}");
        }
    }
}

#[test]
fn runtime_opens_model_files_and_nothing_else() {
    let manifest = std::fs::read_to_string(root().join("runtime/Cargo.toml")).unwrap();
    for word in ["image", "serialport", "v4l", "tokio", "ureq", "embedded-graphics"] {
        let declared = manifest.lines().any(|l| l.split(['.', ' ', '=']).next() == Some(word));
        assert!(!declared, "runtime must not depend on {word}");
    }
    let inside = |path: &str| !path.starts_with("runtime/src/");
    let bad = offenders(&sources("rs"), inside, |line| line.contains("std::net") || line.contains("std::process"));
    assert!(bad.is_empty(), "runtime reaches beyond model files:\n{}", bad.join("\n"));
}

#[test]
fn overlays_know_no_runtime_types() {
    let outside = |path: &str| !path.starts_with("firmware-host/src/overlay/");
    let bad =
        offenders(&sources("rs"), outside, |line| line.contains("cutout_runtime") || line.contains("cutout_models"));
    assert!(bad.is_empty(), "an overlay must stay generic over DrawTarget and runs:\n{}", bad.join("\n"));
}

#[test]
fn two_files_see_the_wire_and_the_runtime() {
    let names = |text: &str, krate: &str| text.lines().any(|line| uses_word(code(line), krate));
    let mut both: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(path, _)| path.starts_with("firmware-host/src/") && !path.contains("/tests"))
        .filter(|(_, text)| names(text, "cutout_protocol") && names(text, "cutout_runtime"))
        .map(|(path, _)| path)
        .collect();
    both.sort();
    assert_eq!(both, ["firmware-host/src/service/convert.rs"], "wire types and runtime types meet in one file");
}

#[test]
fn the_wire_needs_no_allocator_and_no_system() {
    let rust = sources("rs");
    assert!(rust["firmware-host/protocol/src/lib.rs"].contains("#![no_std]"));
    let outside = |path: &str| !path.starts_with("firmware-host/protocol/src/") || path.contains("tests");
    let product: BTreeMap<String, String> = rust
        .into_iter()
        .map(|(path, text)| (path, text.split("#[cfg(test)]").next().unwrap_or("").to_owned()))
        .collect();
    let bad =
        offenders(&product, outside, |line| ["alloc", "std"].iter().any(|name| line.contains(&format!("{name}::"))));
    assert!(bad.is_empty(), "the wire crate reaches for an allocator or a system:\n{}", bad.join("\n"));
    let manifest = std::fs::read_to_string(root().join("firmware-host/protocol/Cargo.toml")).unwrap();
    let dependencies = manifest.split("\n[").find(|s| s.starts_with("dependencies]")).unwrap();
    let names: Vec<&str> = dependencies
        .lines()
        .skip(1)
        .filter_map(|l| l.split(['.', ' ', '=']).next())
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(names, ["crc", "heapless"]);
}

#[test]
fn transports_and_clients_know_no_masks() {
    let outside = |path: &str| {
        !["transport", "client", "mavlink"].iter().any(|part| path.starts_with(&format!("firmware-host/src/{part}/")))
    };
    let bad =
        offenders(&sources("rs"), outside, |line| line.contains("cutout_runtime") || line.contains("cutout_models"));
    assert!(bad.is_empty(), "these carry bytes and questions, not images:\n{}", bad.join("\n"));
}

#[test]
fn model_pixels_stay_inside() {
    let home = ["geometry.rs", "prompt.rs", "postprocess.rs", "mask_decoder.rs", "mask_prompt.rs", "predictor.rs"];
    let allowed = |path: &str| !path.starts_with("runtime/src/") || home.iter().any(|f| path.ends_with(f));
    let bad = offenders(&sources("rs"), allowed, |line| uses_word(line, "ModelPrompt") || line.contains(".to_model("));
    assert!(bad.is_empty(), "model pixels leave geometry, prompt and post-processing:\n{}", bad.join("\n"));
    let elsewhere = |path: &str| path.starts_with("runtime/src/") || path == "tests/architecture.rs";
    let bad = offenders(&sources("rs"), elsewhere, |line| uses_word(line, "ModelPrompt"));
    assert!(bad.is_empty(), "ModelPrompt is not public:\n{}", bad.join("\n"));
}

#[test]
fn files_stay_readable_in_one_sitting() {
    for extension in ["rs", "py"] {
        for (path, text) in sources(extension) {
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{path} has {lines} lines; above {MAX_LINES} two things live in one file");
        }
    }
}

#[test]
fn no_machine_path_is_committed() {
    // Built from parts so that this file does not name them.
    let words = [["/ro", "ot/"].concat(), ["/wo", "rk/"].concat(), ["/ho", "me/"].concat()];
    for extension in ["rs", "py", "toml", "md", "json"] {
        for (path, text) in sources(extension) {
            for word in &words {
                assert!(!text.contains(word.as_str()), "{path} names the machine path {word}");
            }
        }
    }
}

//! `cutout models` as a user types it.

use std::path::Path;
use std::process::{Command, Output};

use cutout_models::Precision;
use cutout_models::registry::ALL;

use crate::server::{Answer, Server};

fn cutout(cache: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cutout"))
        .args(arguments)
        .env("CUTOUT_CACHE", cache)
        .env_remove("CUTOUT_MIRROR")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn list_names_every_model_and_its_state() {
    let cache = tempfile::tempdir().unwrap();
    let output = cutout(cache.path(), &["models", "list"]);
    assert!(output.status.success());
    let text = out(&output);
    for spec in ALL {
        let line = text.lines().find(|l| l.split(' ').next() == Some(spec.name)).unwrap();
        let state = if spec.download().is_some() { "not pulled" } else { "shipped" };
        assert!(line.contains(state), "{line}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&out(&cutout(cache.path(), &["models", "list", "--json"]))).unwrap();
    assert_eq!(json.as_array().unwrap().len(), ALL.len());
    assert_eq!(json[1]["download_bytes"], 40_728_226);
}

#[test]
fn info_tells_address_hash_and_tensors() {
    let cache = tempfile::tempdir().unwrap();
    let text = out(&cutout(cache.path(), &["models", "info", "mobile_sam"]));
    for part in
        ["mobile_sam.pt", "40728226", "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f", "Apache-2.0"]
    {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let text = out(&cutout(cache.path(), &["models", "info", "cutout-s", "--json", "--tensors"]));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["bundle"]["tensors"].as_array().unwrap().len(), 261);
    assert_eq!(json["published"]["normalization"]["mean"][0], 127.5);
}

#[test]
fn exit_status_tells_usage_failure_and_fault_apart() {
    let cache = tempfile::tempdir().unwrap();
    let status = |arguments: &[&str]| cutout(cache.path(), arguments).status.code();
    assert_eq!(status(&["models", "verify"]), Some(0));
    assert_eq!(status(&["models", "frobnicate"]), Some(2));
    assert_eq!(status(&["models", "info", "no-such-model"]), Some(1));
    assert_eq!(status(&["models", "verify", "mobile_sam"]), Some(1));

    let folder = cache.path().join("copy");
    cutout_models::Bundle::shipped().unwrap().write(&folder, Precision::F16).unwrap();
    let folder = folder.to_str().unwrap();
    assert_eq!(status(&["models", "verify", folder]), Some(0));
    let weights = cache.path().join("copy/weights.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let output = cutout(cache.path(), &["models", "verify", folder]);
    assert_eq!(output.status.code(), Some(3));
    assert!(out(&output).contains("DAMAGED"), "{}", out(&output));
}

#[test]
fn errors_are_lines_that_say_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let text = err(&cutout(cache.path(), &["models", "export", "mobile_sam", "-o", "nowhere"]));
    assert!(text.contains("cutout models pull mobile_sam"), "{text}");
    let server = Server::start(|_, _| Answer::status(404));
    let text = err(&cutout(cache.path(), &["models", "pull", "mobile_sam", "--mirror", &server.url("x")]));
    assert!(text.contains("/x/mobile_sam.pt") && text.contains("404") && text.contains("--from FILE"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn export_writes_two_graphs_that_say_what_they_are() {
    let cache = tempfile::tempdir().unwrap();
    let target = cache.path().join("onnx");
    let folder = target.to_str().unwrap();
    let output = cutout(cache.path(), &["models", "export", "cutout-s", "-o", folder, "--size", "64x96"]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(crate::server::entries(&target), ["image_encoder.onnx", "manifest.json", "mask_decoder.onnx"]);
    for file in ["image_encoder.onnx", "mask_decoder.onnx"] {
        let bytes = std::fs::read(target.join(file)).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(has("cutout.mean_rgb") && has("127.5 127.5 127.5") && has("cutout.model"), "{file}");
    }
    let output = cutout(cache.path(), &["models", "export", "cutout-s", "-o", folder, "--size", "65"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("multiples of 32"), "{}", err(&output));
}

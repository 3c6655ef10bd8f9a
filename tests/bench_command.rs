//! `cutout bench` says what ran and how long each stage took, for people and for machines, and refuses what makes no sense.

use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cutout")).arg("bench").args(arguments).output().unwrap()
}

fn bench(arguments: &[&str]) -> Output {
    run(&[&["--size", "96", "--picture", "160x120", "--rounds", "3"], arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_stage_has_its_time_and_the_encoder_its_rate_and_its_steps() {
    let table = json(&["--operators", "scalar", "--threads", "1", "--layers"]);
    assert!(table["model"].as_str().unwrap().starts_with("cutout-s@"));
    assert_eq!(
        (&table["operators"], &table["threads"], &table["input"]),
        (&"scalar".into(), &1.into(), &"96x96".into())
    );
    let stages = table["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names[5..], ["decode, 64 prompts, each", "mask, 64 prompts, each"]);
    for stage in stages {
        let [median, p99] = ["median_ms", "p99_ms"].map(|key| stage[key].as_f64().unwrap());
        assert!(0.0 < median && median <= p99, "{stage}");
    }
    let layers = table["layers"].as_array().unwrap();
    let macs: u64 = layers.iter().map(|l| l["macs"].as_u64().unwrap()).sum();
    // The model card: 2.86 G at 512x512.
    let expected = 2.86e9 * (96.0 * 96.0) / (512.0 * 512.0);
    assert!((macs as f64 / expected - 1.0).abs() < 0.02, "{macs} multiply-accumulates, not {expected}");
    let rate = &stages[1];
    let time = rate["median_ms"].as_f64().unwrap() / 1e3;
    assert!((rate["gmac_per_s"].as_f64().unwrap() * 1e9 * time / macs as f64 - 1.0).abs() < 1e-6);
    assert!(table["board"]["peak_memory_mb"].as_f64().unwrap() > 10.0);
}

#[test]
fn the_table_can_be_pasted_and_tract_has_no_steps_of_ours() {
    let output = bench(&["--operators", "tract"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    assert_eq!(rows.len(), 2 + 7, "{text}");
    assert!(rows.iter().all(|row| row.matches('|').count() == 6), "{text}");
    assert!(text.starts_with("cutout-s@") && text.contains(", tract, "), "{text}");
    assert!(json(&["--operators", "tract", "--layers"]).get("layers").is_none());
}

#[test]
fn foreign_levels_and_pictures_without_pixels_are_refused() {
    for (arguments, said) in
        [(["--operators", "mmx"], "scalar"), (["--picture", "0x4"], "1280x720"), (["--rounds", "0"], "1..")]
    {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn the_precision_that_runs_is_named() {
    assert_eq!(json(&[])["precision"], "f32");
    let half = json(&["--precision", "f16", "--layers"]);
    assert_eq!(half["precision"], "f16");
    let layers = half["layers"].as_array().unwrap();
    assert!(layers.iter().any(|l| l["precision"] == "f16") && layers.iter().any(|l| l["precision"] == "f32"));
    let refused = run(&["--precision", "half"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("f16-arithmetic"));
    let refused = bench(&["--precision", "f16", "--operators", "tract"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("tract computes in f32"));
}

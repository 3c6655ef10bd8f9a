//! `cutout quantize` as a user types it: the shipped model without data, a folder of pictures, folders of no use.

use std::path::Path;
use std::process::{Command, Output};

use cutout::output::write_rgb_png;
use cutout_models::{Bundle, Precision};
use cutout_runtime::Size;

fn cutout(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cutout")).args(arguments).output().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Stripes of two colours, `number` pixels wide.
fn picture(folder: &Path, number: usize) {
    let size = Size::new(96, 64);
    let value = |i: usize| {
        if ((i / 3 % size.width + i / 3 / size.width) / number).is_multiple_of(2) { 40 } else { 200 - i % 3 * 30 }
    };
    let pixels: Vec<u8> = (0..3 * size.pixels()).map(|i| value(i) as u8).collect();
    write_rgb_png(&folder.join(format!("{number}.png")), size, &pixels).unwrap();
}

#[test]
fn the_shipped_model_needs_no_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let [int8, f16] = ["int8", "f16"].map(|name| folder.path().join(name));
    let output = cutout(&["quantize", "cutout-s", "-o", text(&int8), "--json"]);
    assert!(output.status.success(), "{}", err(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (bytes, before) = (summary["bytes"].as_u64().unwrap(), summary["bytes_before"].as_u64().unwrap());
    assert!(bytes * 100 < before * 27, "{bytes} of {before}");
    let bundle = Bundle::open(&int8).unwrap();
    bundle.verify().unwrap();
    assert_eq!(bundle.manifest().precision, Precision::Int8);
    // Its own calibration makes the same model again.
    let again = folder.path().join("again");
    let calibration = int8.join("calibration.safetensors");
    let output = cutout(&["quantize", "cutout-s", "-o", text(&again), "--calibration", text(&calibration)]);
    assert!(output.status.success(), "{}", err(&output));
    let scales = |folder: &Path| Bundle::open(folder).unwrap().manifest().quantization.clone().unwrap().activations;
    assert_eq!(scales(&int8).len(), scales(&again).len());
    // Bytes are not quantised again.
    let output = cutout(&["quantize", text(&int8), "-o", text(&again)]);
    assert!(!output.status.success() && err(&output).contains("f32 or f16"), "{}", err(&output));

    let output = cutout(&["quantize", "cutout-s", "-o", text(&f16), "--precision", "f16"]);
    assert!(output.status.success(), "{}", err(&output));
    let manifest = Bundle::open(&f16).unwrap().manifest().clone();
    assert_eq!((manifest.precision, manifest.f16_arithmetic_excluded.len()), (Precision::F16, 0));
}

#[test]
fn pictures_are_run_and_folders_of_no_use_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [photos, out] = ["photos", "out"].map(|name| folder.path().join(name));
    std::fs::create_dir(&photos).unwrap();
    let quantize = |more: &[&str]| {
        let mut arguments = vec!["quantize", "cutout-s", "-o", text(&out), "--calibration", text(&photos)];
        arguments.extend(more);
        cutout(&arguments)
    };
    let output = quantize(&[]);
    assert!(!output.status.success() && err(&output).contains("holds no picture"), "{}", err(&output));
    std::fs::write(photos.join("broken.jpg"), b"no picture").unwrap();
    let output = quantize(&[]);
    assert!(!output.status.success() && err(&output).contains("broken.jpg"), "{}", err(&output));
    picture(&photos, 5);
    picture(&photos, 9);
    let output = quantize(&["--method", "percentile", "--trials", "1"]);
    assert!(output.status.success(), "{}", err(&output));
    for words in ["1 picture left out that cannot be read", "2 pictures may be too few"] {
        assert!(err(&output).contains(words), "{}", err(&output));
    }
    let methods = Bundle::open(&out).unwrap().manifest().quantization.clone().unwrap().method;
    assert!(methods["ranges"].starts_with("percentile "), "{methods:?}");
    assert!(!folder.path().join("out.part").exists());
    let output = quantize(&["--method", "best"]);
    assert!(!output.status.success() && err(&output).contains("auto"), "{}", err(&output));
}

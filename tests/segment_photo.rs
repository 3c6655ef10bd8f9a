//! The program as a stranger types it: a photo and a prompt in, a mask and a picture out, or one clear error.

use std::path::Path;
use std::process::{Command, Output};

use cutout::photo::Photo;
use cutout_runtime::{BBox, CocoRle};
use cutout_tests::{scene_objects, scene_path};
use serde_json::Value;

fn cutout(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutout"));
    command.args(arguments).current_dir(folder).env("CUTOUT_CACHE", folder.join("cache"));
    command.output().unwrap()
}

fn scene() -> String {
    scene_path().to_str().unwrap().to_owned()
}

#[test]
fn a_point_gives_a_mask_a_picture_and_the_same_mask_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let object = &scene_objects()[0];
    let point = format!("{},{}", object.point.x, object.point.y);
    let output = cutout(&["segment", &scene(), "--point", &point, "-o", "out", "--json"], folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["model"].as_str().unwrap().starts_with("cutout-s@"));
    for stage in ["preprocess_ms", "encode_ms", "decode_ms", "postprocess_ms"] {
        assert!(answer["timings"][stage].as_f64().unwrap() > 0.0, "{stage}");
    }
    let crc = answer["embedding_crc32"].as_str().unwrap();
    assert!(crc.len() == 8 && u32::from_str_radix(crc, 16).is_ok(), "{crc}");
    let masks = answer["masks"].as_array().unwrap();
    assert_eq!(masks.len(), 1);
    let rle: CocoRle = serde_json::from_value(masks[0]["rle"].clone()).unwrap();
    let mask = rle.decode().unwrap();
    assert_eq!(masks[0]["area"].as_u64().unwrap(), mask.area());
    let (x, y, w, h) = mask.bbox().unwrap();
    assert_eq!(masks[0]["bbox"], serde_json::json!([x, y, w, h]));

    let png = Photo::open(&folder.path().join("out/scene.mask.png")).unwrap();
    assert_eq!(png.size(), mask.size());
    let grey: Vec<u8> = png.pixels().chunks_exact(3).map(|p| p[0]).collect();
    assert_eq!(grey, mask.to_bytes());
    let overlay = Photo::open(&folder.path().join("out/scene.overlay.png")).unwrap();
    assert_eq!(overlay.size(), mask.size());
    assert_ne!(overlay.pixels(), Photo::open(&scene_path()).unwrap().pixels());
}

#[test]
fn three_masks_are_numbered_best_first_and_their_logits_refine_them() {
    let folder = tempfile::tempdir().unwrap();
    let object = &scene_objects()[0];
    let point = format!("{},{}", object.point.x, object.point.y);
    let arguments = ["segment", &scene(), "-p", &point, "--multimask", "--logits", "--json"];
    let output = cutout(&arguments, folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ious: Vec<f64> =
        answer["masks"].as_array().unwrap().iter().map(|m| m["predicted_iou"].as_f64().unwrap()).collect();
    assert_eq!(ious.len(), 3);
    assert!(ious.is_sorted_by(|a, b| a >= b), "{ious:?}");
    for number in 1..=3 {
        for kind in ["mask.png", "overlay.png", "logits.npy"] {
            assert!(folder.path().join(format!("scene.{number}.{kind}")).is_file(), "{number} {kind}");
        }
    }
    for mask in ["scene.1.logits.npy", "scene.1.mask.png"] {
        let output = cutout(&["segment", &scene(), "-p", &point, "--mask", mask, "-o", "refined"], folder.path());
        assert!(output.status.success(), "{mask}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn zoom_says_which_part_of_the_photo_was_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    let object = &scene_objects()[0];
    let BBox { x0, y0, x1, y1 } = object.bbox;
    let small = format!("{x0},{y0},{x1},{y1}");
    let run = |more: &[&str]| {
        let output = cutout(&[&["segment", &scene(), "--box"], more].concat(), folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let answer: Value = serde_json::from_str(&run(&[&small, "--zoom", "--json"])).unwrap();
    let region: [f32; 4] = serde_json::from_value(answer["zoom"].clone()).unwrap();
    assert!(region[0] <= x0 && region[1] <= y0 && x1 <= region[2] && y1 <= region[3], "{region:?}");
    let mask = serde_json::from_value::<CocoRle>(answer["masks"][0]["rle"].clone()).unwrap().decode().unwrap();
    assert!(mask.iou(&object.mask).unwrap() > 0.5);
    let png = Photo::open(&folder.path().join("scene.mask.png")).unwrap();
    assert_eq!(png.pixels().chunks_exact(3).map(|p| p[0]).collect::<Vec<_>>(), mask.to_bytes());

    let plain: Value = serde_json::from_str(&run(&[&small, "--json"])).unwrap();
    assert_eq!(plain["zoom"], Value::Null);
    assert!(plain.as_object().unwrap().contains_key("zoom"));
    let text = run(&[&small, "--zoom"]);
    assert!(
        text.contains(&format!("zoomed in on {},{},{},{}\n", region[0], region[1], region[2], region[3])),
        "{text}"
    );
    assert!(run(&["0,0,960,640", "--zoom"]).contains("not zoomed"));
    assert!(!run(&[&small]).contains("zoomed"));
}

#[test]
fn a_zoomed_evaluation_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(scene_path(), folder.path().join("scene.jpg")).unwrap();
    let segments: Vec<Value> =
        scene_objects().iter().map(|o| serde_json::json!({"rle": CocoRle::encode(&o.mask)})).collect();
    let line = serde_json::json!({"file": "scene.jpg", "width": 960, "height": 640, "segments": segments});
    std::fs::write(folder.path().join("annotations.jsonl"), line.to_string()).unwrap();
    let run = |more: &[&str]| {
        let output = cutout(&[&["eval", ".", "--limit", "2"], more].concat(), folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&run(&["--zoom", "--json"])).unwrap();
    assert!(report["model"].as_str().unwrap().contains("zoomed"), "{}", report["model"]);
    assert_eq!(report["overall"]["objects"], 2);
    assert!(report["overall"]["box"].as_f64().unwrap() > 0.5, "{report}");
    let plain: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert!(!plain["model"].as_str().unwrap().contains("zoomed"));
    assert_ne!(plain["overall"]["box"], report["overall"]["box"]);
    assert!(run(&["--zoom"]).lines().next().unwrap().contains("zoomed"));
}

#[test]
fn what_cannot_be_done_is_one_clear_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty.jpg"), b"").unwrap();
    std::fs::write(path("noise.png"), [7u8; 300]).unwrap();
    let photo = std::fs::read(scene_path()).unwrap();
    std::fs::write(path("half.jpg"), &photo[..photo.len() / 2]).unwrap();
    std::fs::write(path("file"), b"not a folder").unwrap();
    std::fs::write(path("bad.npy"), b"\x93NUMPY\x01\x00").unwrap();
    let scene = scene();
    // Arguments, exit status, and a word that the message must hold.
    let cases: [(&[&str], i32, &str); 14] = [
        (&["segment", "missing.jpg", "-p", "1,1"], 1, "missing.jpg"),
        (&["segment", "empty.jpg", "-p", "1,1"], 1, "empty"),
        (&["segment", "noise.png", "-p", "1,1"], 1, "noise.png"),
        (&["segment", "half.jpg", "-p", "1,1"], 1, "half.jpg"),
        (&["segment", &scene], 1, "--point"),
        (&["segment", &scene, "-p", "5000,1"], 1, "outside"),
        (&["segment", &scene, "-p", "-3,1"], 1, "outside"),
        (&["segment", &scene, "-p", "nan,1"], 1, "outside"),
        (&["segment", &scene, "-b", "50,50,50,90"], 1, "box"),
        (&["segment", &scene, "-p", "1,1", "--model", "no-such-model"], 1, "no-such-model"),
        (&["segment", &scene, "-p", "1,1", "--size", "100"], 1, "multiples of 32"),
        (&["segment", &scene, "-p", "1,1", "-m", "bad.npy"], 1, "bad.npy"),
        (&["segment", &scene, "-p", "1,1", "-o", "file/below"], 1, "file/below"),
        (&["segment", &scene, "-p", "1;1"], 2, "320,240"),
    ];
    for (arguments, status, word) in cases {
        let output = cutout(arguments, folder.path());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {message}");
        assert!(message.contains(word), "{arguments:?} should say '{word}': {message}");
        assert!(!message.contains("panicked"), "{message}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["bad.npy", "empty.jpg", "file", "half.jpg", "noise.png"]);
}

#[test]
fn an_exported_folder_answers_as_the_model_that_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let size = ["--size", "256x384"];
    let export = cutout(&[&["models", "export", "cutout-s", "-o", "pair"], &size[..]].concat(), folder.path());
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let object = &scene_objects()[0];
    let point = format!("{},{}", object.point.x, object.point.y);
    let masks = |model: &[&str]| {
        let output = cutout(&[&["segment", &scene(), "-p", &point, "--json"], model].concat(), folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["masks"].clone()
    };
    assert_eq!(masks(&["--model", "pair"]), masks(&["--model", "cutout-s", "--size", "256x384"]));

    // Another size is refused, and a folder without a manifest says what it takes for granted.
    let other = cutout(&["segment", &scene(), "-p", &point, "--model", "pair", "--size", "512"], folder.path());
    let told = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && told.contains("256x384") && told.contains("export"), "{told}");
    std::fs::remove_file(folder.path().join("pair/manifest.json")).unwrap();
    let bare = cutout(&["segment", &scene(), "-p", &point, "--model", "pair"], folder.path());
    let told = String::from_utf8_lossy(&bare.stderr).into_owned();
    assert!(bare.status.success() && told.contains("123.675") && told.contains("manifest.json"), "{told}");
}

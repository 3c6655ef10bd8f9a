//! The architecture, the preprocessing and the prompt handling are those of the official code.

use cutout::parity::check_parity;
use cutout_runtime::ModelOptions;
use cutout_tests::shared;

fn holds(folder: &str) {
    let Some(path) = shared(&format!("reference/{folder}"), "parity with the official code") else { return };
    let report = check_parity(&path, ModelOptions::default(), |_| {}).unwrap();
    assert!(report.cases > 0 && report.ok, "{report}");
}

#[test]
fn mobile_sam_answers_as_the_official_code() {
    holds("mobile_sam_seed1");
}

#[test]
fn sam_vit_b_answers_as_the_official_code() {
    holds("sam_vit_b_seed2");
}

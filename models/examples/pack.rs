//! Makes the bundle of Cutout's own model from a trained checkpoint.
//!
//! ```text
//! cargo run --release -p cutout-models --example pack -- CHECKPOINT FOLDER [NAME=VALUE ...]
//! ```
//!
//! CHECKPOINT is the state dict that `models/train` exports, FOLDER is `models/weights/cutout-s`, and the pairs are the
//! measured figures for its manifest, such as `box=0.71`.

use std::error::Error;
use std::path::Path;

use cutout_models::{Bundle, Precision, registry};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, folder, metrics @ ..] = arguments.as_slice() else {
        return Err("give a checkpoint and a folder".into());
    };
    let mut bundle = Bundle::from_checkpoint(Path::new(checkpoint), registry::find("cutout-s")?)?;
    for pair in metrics {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("'{pair}' is not NAME=VALUE"))?;
        bundle.insert_metric(name, value.parse()?);
    }
    bundle.write(Path::new(folder), Precision::F16)?;
    Ok(())
}

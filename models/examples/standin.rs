//! Makes a checkpoint with stand-in weights, to time a network whose trained weights are not at hand.
//!
//! ```text
//! cargo run --release -p cutout-models --example standin -- REFERENCE FILE
//! ```
//!
//! REFERENCE is a folder of reference answers, as `cutout models parity` takes it: its `state_dict.json` has the parameters' names and
//! shapes, its `cases.json` the seed. FILE will be a `.safetensors` file, which `--model` takes.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use cutout_models::checkpoint::Dtype;
use cutout_models::standin;
use serde::de::DeserializeOwned;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reference, file] = arguments.as_slice() else {
        return Err("give a folder of reference answers and a file to write".into());
    };
    let shapes: BTreeMap<String, Vec<usize>> = json(&Path::new(reference).join("state_dict.json"))?;
    let cases: serde_json::Value = json(&Path::new(reference).join("cases.json"))?;
    let seed = cases["seed"].as_u64().ok_or("cases.json has no seed")?;
    let parameters = shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
    standin::state_dict(parameters, seed).write_safetensors(Dtype::F32, file)?;
    Ok(())
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Box<dyn Error>> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(serde_json::from_reader(BufReader::new(file))?)
}

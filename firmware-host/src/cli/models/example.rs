//! One run of the exported graphs, inputs and outputs, so that another runtime can be checked against this one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cutout_models::arch::InputSize;
use cutout_models::onnx::OnnxModel;
use cutout_runtime::engine::{Inputs, Network, Operators, Precision, Tensor, Threads};
use ndarray::ArrayD;
use ndarray_npy::WriteNpyExt;

/// Runs both graphs on made-up inputs and writes every input and output as `FOLDER/<graph>/<name>.npy`.
///
/// `prompts` and `points` are the sizes of the decoder's batch.
pub(super) fn write(
    folder: &Path,
    [image_encoder, mask_decoder]: [&OnnxModel; 2],
    size: InputSize,
    [prompts, points]: [usize; 2],
) -> Result<()> {
    let (height, width) = (size.height, size.width);
    let threads = Threads::new(0)?;
    let image = Tensor::new([1, 3, height, width], pattern(3 * height * width))?;
    let embeddings = run(&folder.join("image_encoder"), image_encoder, vec![("image".into(), image)], &threads)?;

    let mut coords = Vec::new();
    let mut labels = Vec::new();
    for index in 0..prompts * points {
        let across = (index + 1) as f32 / (prompts * points + 1) as f32;
        coords.extend([across * width as f32, (1.0 - across) * height as f32]);
        // The last of a prompt's points stands for the absence of a box, the others are on the object and off it.
        labels.push(if index % points == points - 1 { -1.0 } else { ((index + 1) % 2) as f32 });
    }
    let mut inputs = embeddings;
    inputs.extend([
        ("point_coords".to_owned(), Tensor::new([prompts, points, 2], coords)?),
        ("point_labels".to_owned(), Tensor::new([prompts, points], labels)?),
        (
            "mask_input".to_owned(),
            Tensor::new([prompts, 1, height / 4, width / 4], pattern(prompts * height * width / 16))?,
        ),
        ("has_mask_input".to_owned(), Tensor::new([1], vec![1.0])?),
    ]);
    run(&folder.join("mask_decoder"), mask_decoder, inputs, &threads)?;
    Ok(())
}

/// Runs a graph, writes its inputs and outputs to `folder`, and returns the outputs.
fn run(
    folder: &Path,
    graph: &OnnxModel,
    inputs: Vec<(String, Tensor)>,
    threads: &Threads,
) -> Result<Vec<(String, Tensor)>> {
    let named: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let results =
        Network::load("example", graph.clone(), Inputs::default(), Operators::default(), Precision::F32, threads)?
            .run(&named)?;
    let outputs: Vec<_> = graph.output_names().map(str::to_owned).zip(results).collect();
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, tensor) in inputs.iter().chain(&outputs) {
        let mut bytes = Vec::new();
        ArrayD::from_shape_vec(tensor.shape(), tensor.values().to_vec())?.write_npy(&mut bytes)?;
        let path = folder.join(format!("{name}.npy"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(outputs)
}

/// Values between -2 and 2 that vary slowly and a little quickly, as normalised pictures and logits do.
fn pattern(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.013).sin() * 1.5 + (i as f32 * 1.7).sin() * 0.5).collect()
}

//! The prompt encoder: points, boxes and masks to tokens and to a change of the image's tokens
//! (`PromptEncoder` of the official Segment Anything code).

use std::f32::consts::TAU;

use ndarray::{Array, ArrayD, Axis, Ix2, concatenate};

use super::Params;
use super::layers::{SAM_EPSILON, layer_norm};
use super::two_way_transformer::WIDTH;
use crate::error::{Error, Result};
use crate::onnx::{Attr, GraphBuilder, Value};

/// Model pixels per cell of the embedding's grid.
const CELL: usize = 16;

/// Channels in front of the last convolution of `mask_downscaling`.
const MASK_CHANNELS: usize = 16;

/// ONNX's number for float32 in `Cast`.
const TO_FLOAT: i64 = 1;

/// Labels in the order of the rows of [`label_table`].
const LABELS: [f32; 5] = [-1.0, 0.0, 1.0, 2.0, 3.0];

/// Appends the embedding of points and box corners.
///
/// `coords` is (prompts, points, 2), x then y in model pixels of a `16 h` x `16 w` input, without the
/// half pixel that leads to the pixel's centre; `labels` is (prompts, points). A point of label -1
/// becomes `not_a_point_embed` wherever it lies. The result is (prompts, points, 256).
pub(super) fn embed_points(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    coords: &Value,
    labels: &Value,
    (h, w): (usize, usize),
) -> Result<Value> {
    let frequencies = frequencies(p)?.into_dyn();
    let table = label_table(p)?;
    let position = g.scoped("pe_layer", |g| {
        let [half, one, two, tau] = [0.5, 1.0, 2.0, TAU].map(|v| g.scalar(v));
        let size = [(CELL * w) as f32, (CELL * h) as f32];
        let size = g.constant(&ndarray::arr1(&size).into_dyn().view());
        let frequencies = g.constant(&frequencies.view());
        let centre = g.add(coords, &half);
        let unit = g.node("Div", &[&centre, &size], &[]);
        let doubled = g.mul(&unit, &two);
        let signed = g.node("Sub", &[&doubled, &one], &[]);
        let turns = g.matmul(&signed, &frequencies);
        let angle = g.mul(&turns, &tau);
        let sin = g.node("Sin", &[&angle], &[]);
        let cos = g.node("Cos", &[&angle], &[]);
        g.concat(&[&sin, &cos], -1)
    });
    Ok(g.scoped("point_embeddings", |g| {
        let labels = g.reshape(labels, &[0, 0, 1]);
        let known = g.constant(&ndarray::arr1(&LABELS).into_dyn().view());
        let table = g.constant(&table.view());
        let zero = g.scalar(0.0);
        let is_label = g.node("Equal", &[&labels, &known], &[]);
        let one_hot = g.node("Cast", &[&is_label], &[("to", Attr::Int(TO_FLOAT))]);
        let kind = g.matmul(&one_hot, &table);
        let padding = g.scalar(LABELS[0]);
        let is_padding = g.node("Equal", &[&labels, &padding], &[]);
        let position = g.node("Where", &[&is_padding, &zero, &position], &[]);
        g.add(&position, &kind)
    }))
}

/// Appends the embedding of the mask prompt, added to the image's tokens.
///
/// `mask` is (prompts, 1, 4 h, 4 w) logits; `has_mask`, of one element, is 1 to use it and 0 to use
/// `no_mask_embed` instead; `image` is (1, h w, 256). The result is (prompts, h w, 256).
///
/// Both convolutions of `mask_downscaling` have kernel 2 and stride 2, so each of their outputs is
/// a linear map of its own 2 x 2 inputs: the mask is cut into the 4 x 4 patches of the grid's cells
/// once, and stays channel-last from there.
pub(super) fn add_mask(
    g: &mut GraphBuilder,
    p: &Params<'_>,
    mask: &Value,
    has_mask: &Value,
    image: &Value,
    (h, w): (usize, usize),
) -> Result<Value> {
    let no_mask = p.parameter("no_mask_embed.weight", &[1, WIDTH])?;
    let down = p.sub("mask_downscaling");
    let quarter = MASK_CHANNELS / 4;
    let flat = |name, shape: [usize; 4]| {
        let [outputs, inputs, height, width] = shape;
        down.folded(name, &shape, &[outputs, inputs * height * width], flat_kernel)
    };
    let first = flat("0.weight", [quarter, 1, 2, 2])?;
    let second = flat("3.weight", [MASK_CHANNELS, quarter, 2, 2])?;
    let third = flat("6.weight", [WIDTH, MASK_CHANNELS, 1, 1])?;
    let (cells, h, w) = ((h * w) as i64, h as i64, w as i64);

    let features = g.scoped("mask_downscaling", |g| -> Result<Value> {
        let x = g.reshape(mask, &[0, h, 2, 2, w, 2, 2]);
        let mut x = g.transpose(&x, &[0, 1, 4, 2, 5, 3, 6]);
        let stages = [(&first, 4 * cells, 0, 1, quarter), (&second, cells, 3, 4, MASK_CHANNELS)];
        for (weight, rows, conv, norm, channels) in stages {
            let bias = down.parameter(&format!("{conv}.bias"), &[channels])?;
            x = g.reshape(&x, &[0, rows, weight.values.shape()[1] as i64]);
            x = g.scoped(conv.to_string(), |g| g.linear(&x, weight, Some(&bias)));
            x = g.scoped(norm.to_string(), |g| layer_norm(g, &down.sub(norm), &x, channels, SAM_EPSILON))?;
            x = g.scoped((norm + 1).to_string(), |g| g.gelu(&x));
        }
        Ok(x)
    })?;

    // has (W x + b) + (1 - has) n, summed so that only one pass runs over all prompts' tokens.
    let third_bias = down.parameter("6.bias", &[WIDTH])?;
    Ok(g.scoped("dense", |g| {
        let one = g.scalar(1.0);
        let no_mask = g.parameter(&no_mask);
        let third_bias = g.parameter(&third_bias);
        let absent = g.node("Sub", &[&one, has_mask], &[]);
        let without = g.mul(&absent, &no_mask);
        let with = g.mul(has_mask, &third_bias);
        let constant = g.add(&without, &with);
        let base = g.add(image, &constant);
        let gated = g.mul(&features, has_mask);
        let mask = g.linear(&gated, &third, None);
        g.add(&base, &mask)
    }))
}

/// The positional encoding of the centres of all cells of an `h` x `w` grid, (1, h w, 256).
pub(super) fn grid_positional_encoding(p: &Params<'_>, (h, w): (usize, usize)) -> Result<ArrayD<f32>> {
    let frequencies = frequencies(p)?;
    let half = WIDTH / 2;
    let signed = |i: usize, n: usize| 2.0 * ((i as f32 + 0.5) / n as f32) - 1.0;
    Ok(Array::from_shape_fn((1, h * w, WIDTH), |(_, cell, channel)| {
        let (x, y) = (signed(cell % w, w), signed(cell / w, h));
        let [fx, fy] = [0, 1].map(|axis| frequencies[[axis, channel % half]]);
        let angle = f64::from(TAU * (x * fx + y * fy));
        (if channel < half { angle.sin() } else { angle.cos() }) as f32
    })
    .into_dyn())
}

fn frequencies(p: &Params<'_>) -> Result<Array<f32, Ix2>> {
    let matrix = p.get("pe_layer.positional_encoding_gaussian_matrix", &[2, WIDTH / 2])?;
    matrix.into_dimensionality::<Ix2>().map_err(|e| Error::mismatch(e.to_string()))
}

/// The embeddings of [`LABELS`], one row each.
fn label_table(p: &Params<'_>) -> Result<ArrayD<f32>> {
    let mut rows = vec![p.get("not_a_point_embed.weight", &[1, WIDTH])?];
    for i in 0..LABELS.len() - 1 {
        rows.push(p.get(&format!("point_embeddings.{i}.weight"), &[1, WIDTH])?);
    }
    let views: Vec<_> = rows.iter().map(|r| r.view()).collect();
    concatenate(Axis(0), &views).map_err(|e| Error::mismatch(e.to_string()))
}

/// A convolution kernel (out, in, y, x) as the linear map (out, y x in) of a channel-last patch.
fn flat_kernel(weight: ArrayD<f32>) -> Result<ArrayD<f32>> {
    let outputs = weight.shape()[0];
    let inputs = weight.len() / outputs;
    let channel_last = weight.permuted_axes(vec![0, 2, 3, 1]);
    let flat = Array::from_iter(channel_last.iter().copied()).into_shape_with_order(vec![outputs, inputs]);
    flat.map_err(|e| Error::mismatch(e.to_string()))
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::{flat_kernel, grid_positional_encoding};
    use crate::arch::Params;
    use crate::checkpoint::StateDict;

    // Frequency 1/2 in x (channel 0) and in y (channel 1) turns the centres of two cells, -1/2 and
    // 1/2 in signed coordinates, into angles of -pi/2 and pi/2; of four, into odd multiples of pi/4.
    #[test]
    fn grid_encoding_has_its_own_scale_per_axis() {
        let mut matrix = ArrayD::zeros(IxDyn(&[2, 128]));
        matrix[[0, 0]] = 0.5;
        matrix[[1, 1]] = 0.5;
        let mut weights = StateDict::new();
        weights.insert("pe_layer.positional_encoding_gaussian_matrix", &matrix);

        let (h, w) = (4, 2);
        let pe = grid_positional_encoding(&Params::root(&weights), (h, w)).unwrap();
        assert_eq!(pe.shape(), [1, h * w, 256]);
        let quarter = std::f32::consts::FRAC_PI_4;
        for y in 0..h {
            for x in 0..w {
                let at = |channel: usize| pe[[0, y * w + x, channel]];
                let (ax, ay) = ([-2.0, 2.0][x] * quarter, [-3.0, -1.0, 1.0, 3.0][y] * quarter);
                for (got, expected) in [
                    (at(0), ax.sin()),
                    (at(1), ay.sin()),
                    (at(2), 0.0),
                    (at(128), ax.cos()),
                    (at(129), ay.cos()),
                    (at(130), 1.0),
                ] {
                    assert!((got - expected).abs() < 1e-6, "cell ({x}, {y}): {got} for {expected}");
                }
            }
        }
    }

    #[test]
    fn flat_kernel_reads_patches_channel_last() {
        // One output, two inputs; element = 100 in + 10 y + x.
        let kernel = ArrayD::from_shape_fn(IxDyn(&[1, 2, 2, 2]), |i| (100 * i[1] + 10 * i[2] + i[3]) as f32);
        let flat = flat_kernel(kernel).unwrap();
        assert_eq!(flat.shape(), [1, 8]);
        assert_eq!(flat.as_slice().unwrap(), [0.0, 100.0, 1.0, 101.0, 10.0, 110.0, 11.0, 111.0]);
    }
}

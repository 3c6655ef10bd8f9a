//! Deterministic stand-in weights, so that parity with the official code can be checked without a
//! trained checkpoint.
//!
//! Every parameter is drawn from a SplitMix64 stream that is seeded by the FNV-1a hash of its name;
//! the scale follows its role, so that activations stay near unit variance through the network.

use ndarray::ArrayD;

use crate::checkpoint::StateDict;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const FREE: [&str; 5] = ["point_embeddings", "not_a_point_embed", "no_mask_embed", "iou_token", "mask_tokens"];

/// A state dict of stand-in weights for parameters of the given names and shapes.
///
/// `pixel_mean` and `pixel_std` are left out: they belong to preprocessing.
pub fn state_dict<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a [usize])>, seed: u64) -> StateDict {
    let mut out = StateDict::new();
    for (name, shape) in parameters {
        if !matches!(name, "pixel_mean" | "pixel_std") {
            out.insert(name, &values(name, shape, seed));
        }
    }
    out
}

/// The stand-in values of one parameter.
pub fn values(name: &str, shape: &[usize], seed: u64) -> ArrayD<f32> {
    let count: usize = shape.iter().product();
    let fan_in = count as f64 / shape.first().copied().unwrap_or(1) as f64;
    let scale: Box<dyn Fn(f64) -> f64> = if name.ends_with("num_batches_tracked") {
        Box::new(|_| 0.0)
    } else if name.ends_with("running_var") {
        Box::new(|u| 0.5 + u)
    } else if name.ends_with("running_mean") {
        Box::new(|u| 0.2 * signed(u))
    } else if FREE.iter().any(|k| name.contains(k)) {
        Box::new(signed)
    } else if name.contains("positional_encoding_gaussian_matrix") {
        Box::new(|u| 1.5 * signed(u))
    } else if name.ends_with("attention_biases") || name.contains("rel_pos") || name.contains("pos_embed") {
        Box::new(|u| 0.5 * signed(u))
    } else if shape.len() == 1 && name.ends_with("weight") {
        Box::new(|u| 1.0 + 0.1 * signed(u))
    } else if shape.len() == 1 {
        Box::new(|u| 0.1 * signed(u))
    } else {
        Box::new(move |u| signed(u) * (3.0 / fan_in).sqrt())
    };
    let mut state = fnv1a(name) ^ seed.wrapping_mul(GOLDEN);
    ArrayD::from_shape_simple_fn(shape, || {
        state = state.wrapping_add(GOLDEN);
        scale((mix(state) >> 40) as f64 * 2f64.powi(-24)) as f32
    })
}

fn signed(u: f64) -> f64 {
    2.0 * u - 1.0
}

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::excessive_precision, reason = "vectors as they were printed")]
mod tests {
    use super::values;

    // Vectors printed by the published formula's numpy implementation, in full.
    #[test]
    fn matches_published_vectors() {
        let a = values("a.weight", &[2, 3], 1);
        let expected = [
            0.4972721338272095,
            0.4876512289047241,
            0.9491713047027588,
            -0.5817219018936157,
            0.902732253074646,
            0.24019336700439453,
        ];
        assert_eq!(a.as_slice().unwrap(), expected);
        let b = values("b.running_var", &[4], 1);
        assert_eq!(
            b.as_slice().unwrap(),
            [0.5188612937927246, 1.4936397075653076, 1.0246315002441406, 1.0619122982025146]
        );
        let c = values("c.bias", &[3], 1);
        assert_eq!(c.as_slice().unwrap(), [0.0025963305961340666, 0.056471943855285645, 0.03629211336374283]);
    }
}

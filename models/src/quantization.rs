//! [`Quantization`]: which values of a network are bytes, and what the bytes stand for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::is_scale;

/// What the bytes of a value stand for: byte `q` for `(q - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f32, u8)", into = "(f32, u8)")]
pub struct Affine {
    /// Distance of neighbouring bytes; finite and positive.
    pub scale: f32,
    /// The byte of 0.
    pub zero: u8,
}

impl From<(f32, u8)> for Affine {
    fn from((scale, zero): (f32, u8)) -> Self {
        Affine { scale, zero }
    }
}

impl From<Affine> for (f32, u8) {
    fn from(Affine { scale, zero }: Affine) -> Self {
        (scale, zero)
    }
}

/// What a manifest says of a quantised bundle: the scales of its activations. Those of its weights are with the weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// The values that are quantised, by their names in the graphs of both networks; `[scale, zero]` each.
    pub activations: BTreeMap<String, Affine>,
    /// How the scales were found, in free words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub method: BTreeMap<String, String>,
}

impl Quantization {
    /// The first value whose scale is not finite and above zero.
    pub(crate) fn first_bad(&self) -> Option<(&str, Affine)> {
        self.activations
            .iter()
            .map(|(name, affine)| (name.as_str(), *affine))
            .find(|(_, affine)| !is_scale(affine.scale))
    }
}

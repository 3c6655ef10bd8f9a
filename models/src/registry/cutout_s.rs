//! Cutout's own shipped model.

use crate::arch::InputSize;
use crate::spec::{Architecture, ModelSpec, Normalization, Source};

/// The default: small, convolutional, indifferent to input size, built into the program.
pub const CUTOUT_S: ModelSpec = ModelSpec {
    name: "cutout-s",
    title: "Cutout S",
    architecture: Architecture::CutoutS,
    licence: "non-commercial research",
    homepage: "models/cards/cutout-s.md",
    source: Source::BuiltIn,
    input_size: InputSize { height: 512, width: 512 },
    normalization: Normalization::SIGNED_UNIT,
    parameters: 6_397_168,
    purpose: "the default: needs no download and answers fast; best from a box, weak from a single point",
};

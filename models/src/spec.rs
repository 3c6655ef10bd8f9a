//! [`ModelSpec`]: what a model is, as constant data. The models themselves are in [`registry`](crate::registry).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arch::{self, InputSize};
use crate::pair::STRIDE;

/// The network that the weights of a model belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// MobileSAM: a TinyViT-5M image encoder before Segment Anything's prompt encoder and mask decoder.
    MobileSam,
    /// Segment Anything with a plain vision transformer: ViT-B, ViT-L or ViT-H, told apart by the weights.
    SamVit,
    /// Cutout's own: a convolutional image encoder of any input size, Segment Anything's prompt encoder, and its mask
    /// decoder with two high-resolution skips.
    CutoutS,
    /// Whatever two ONNX files compute that have Segment Anything's inputs and outputs, see [`Bundle::open`](crate::Bundle::open).
    Onnx,
}

impl Architecture {
    /// The name in manifests and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Architecture::MobileSam => "mobile_sam",
            Architecture::SamVit => "sam_vit",
            Architecture::CutoutS => "cutout_s",
            Architecture::Onnx => "onnx",
        }
    }

    /// Both sides of the input are multiples of this, in model pixels.
    pub const fn size_multiple(self) -> usize {
        match self {
            Architecture::MobileSam => arch::tiny_vit::SIZE_MULTIPLE,
            Architecture::SamVit => arch::sam_vit::SIZE_MULTIPLE,
            Architecture::CutoutS => arch::cutout_s::SIZE_MULTIPLE,
            Architecture::Onnx => STRIDE,
        }
    }

    /// Whether the network was trained on inputs of many shapes, so that the input may follow the image instead of
    /// being padded to a square.
    pub const fn fits_images(self) -> bool {
        match self {
            Architecture::MobileSam | Architecture::SamVit | Architecture::Onnx => false,
            Architecture::CutoutS => true,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision, as the official checkpoints have it.
    F32,
    /// Half precision: half the size; values are rounded once, to 11 significant bits.
    F16,
    /// Folded weights of 8-bit integers, with a scale for each output channel; biases and what else is small stay in single or half
    /// precision.
    Int8,
}

impl Precision {
    /// The name in manifests and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
        }
    }

    /// Bytes of one weight, of those that this is about.
    pub const fn bytes(self) -> u64 {
        match self {
            Precision::F32 => 4,
            Precision::F16 => 2,
            Precision::Int8 => 1,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Per-channel (R, G, B) mean and standard deviation, in grey levels 0 to 255. The network sees `(v - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Subtracted first.
    pub mean: [f32; 3],
    /// Divided by then.
    pub std: [f32; 3],
}

impl Normalization {
    /// The values that all models of the Segment Anything family were trained with (`pixel_mean` and `pixel_std` of the
    /// official `build_sam.py`; ImageNet's statistics).
    pub const SEGMENT_ANYTHING: Self = Normalization { mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] };

    /// Grey levels to -1..1.
    pub const SIGNED_UNIT: Self = Normalization { mean: [127.5; 3], std: [127.5; 3] };
}

/// What is known about the contents of a published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The file must have this hash.
    Sha256 {
        /// 64 lower-case hexadecimal digits.
        hex: &'static str,
        /// Who recorded it; the publishers of these checkpoints give none themselves.
        recorded_by: &'static str,
    },
    /// No hash is known: a download can be checked by its size and its structure only, and is reported as unverified.
    Unverified,
}

impl Checksum {
    /// The hash, if one is known.
    pub const fn sha256(&self) -> Option<&'static str> {
        match self {
            Checksum::Sha256 { hex, .. } => Some(hex),
            Checksum::Unverified => None,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checksum::Sha256 { hex, recorded_by } => write!(f, "sha256 {hex} (as recorded by {recorded_by})"),
            Checksum::Unverified => f.write_str("unverified: no sha256 is known for this file"),
        }
    }
}

/// A published checkpoint file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    /// Where its publisher keeps it.
    pub url: &'static str,
    /// Its name; a mirror is expected to have it under the same name.
    pub file_name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// What is known about its contents.
    pub checksum: Checksum,
}

/// Where the weights of a model come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// They are part of the program.
    BuiltIn,
    /// They are pulled once, by `cutout models pull`, and kept in the user's cache.
    Download(Download),
}

/// What a model is. Adding a model is adding one of these, see [`registry`](crate::registry).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelSpec {
    /// Short name, used on the command line and as a folder name.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Which network the weights belong to.
    pub architecture: Architecture,
    /// Licence of the weights, as an SPDX expression.
    pub licence: &'static str,
    /// The publisher's page.
    pub homepage: &'static str,
    /// Where the weights come from.
    pub source: Source,
    /// Input size that the model was made for, in model pixels.
    pub input_size: InputSize,
    /// What the image is normalised with.
    pub normalization: Normalization,
    /// Number of trained parameters.
    pub parameters: u64,
    /// What it is good for, in one sentence.
    pub purpose: &'static str,
}

impl ModelSpec {
    /// The checkpoint to pull; `None` if the model is built in.
    pub const fn download(&self) -> Option<&Download> {
        match &self.source {
            Source::BuiltIn => None,
            Source::Download(download) => Some(download),
        }
    }
}

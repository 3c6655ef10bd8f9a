//! [`Precision`]: in what numbers a network's weights are kept, and multiplied.

use std::fmt;
use std::str::FromStr;

use cutout_kernels::SimdLevel;
use cutout_kernels::linear::{Arithmetic, Storage, Weights};
use serde::{Serialize, Serializer};

/// How the weights of linear maps and of dense convolutions are kept, but for a convolution of the image's planes. All other weights
/// (of depthwise convolutions and of normalisations, biases) are few and stay in f32, as all activations between operators do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In f32.
    #[default]
    F32,
    /// In f16, multiplied in f32: half the memory for weights, and masks that hardly differ.
    F16,
    /// In f16, multiplied and summed in f16 where the processor can (FEAT_FP16 of ARM, twice as many in a cycle), else as
    /// [`F16`](Precision::F16). Nothing guards the range: numbers beyond 65504 become infinite, and masks wrong. Also the SIMD level
    /// `scalar` computes so, slowly and with the same sums: to try it on other machines.
    F16Arithmetic,
}

impl Precision {
    const ALL: [Precision; 3] = [Precision::F32, Precision::F16, Precision::F16Arithmetic];

    /// What runs at a level where this is asked for.
    pub fn at(self, level: SimdLevel) -> Precision {
        Precision::of(&Weights::scratch(level, self.storage()))
    }

    /// What packed weights run in.
    pub(super) fn of(weights: &Weights) -> Precision {
        match (weights.storage(), weights.arithmetic()) {
            (Storage::F32, _) => Precision::F32,
            (_, Arithmetic::F32) => Precision::F16,
            (_, Arithmetic::F16) => Precision::F16Arithmetic,
        }
    }

    /// How weights are packed for it.
    pub(super) fn storage(self) -> Storage {
        match self {
            Precision::F32 => Storage::F32,
            Precision::F16 => Storage::F16,
            Precision::F16Arithmetic => Storage::F16Arithmetic,
        }
    }

    /// Its name, as `--precision` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::F16Arithmetic => "f16-arithmetic",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    /// A precision by its name; else a sentence that lists them.
    fn from_str(name: &str) -> Result<Self, String> {
        let names = Precision::ALL.map(Precision::name).join(", ");
        let found = Precision::ALL.into_iter().find(|p| p.name() == name);
        found.ok_or_else(|| format!("there is no precision '{name}': give one of {names}"))
    }
}

impl Serialize for Precision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

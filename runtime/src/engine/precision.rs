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
    /// [`F16`](Precision::F16). Numbers beyond 65504 become infinite, and masks wrong: what a calibrated model's manifest names, and the
    /// mask decoder, stay in f32; nothing guards a model that was not calibrated. Also the SIMD level `scalar` computes so, slowly and
    /// with the same sums: to try it on other machines.
    F16Arithmetic,
    /// Weights and activations in integers of eight bits. It is the model that says which layers run so, see
    /// [`cutout_models::Precision`]; nobody asks for it.
    Int8,
}

impl Precision {
    /// Those that can be asked for.
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
            // Nobody asks for it: its weights are packed without a storage.
            Precision::Int8 => Storage::F32,
        }
    }

    /// The instruction that multiplies and adds in this precision at a level.
    pub(super) fn instruction(self, level: SimdLevel) -> &'static str {
        match (self, level) {
            (_, SimdLevel::Scalar) => "scalar",
            #[cfg(target_arch = "x86_64")]
            (Precision::Int8, SimdLevel::Avx2(_)) => "vpmaddwd ymm",
            #[cfg(target_arch = "x86_64")]
            (Precision::Int8, SimdLevel::Avx512(_)) => "vpdpbusd zmm",
            #[cfg(target_arch = "x86_64")]
            (Precision::F32 | Precision::F16 | Precision::F16Arithmetic, SimdLevel::Avx2(_)) => "vfmadd ymm",
            #[cfg(target_arch = "x86_64")]
            (Precision::F32 | Precision::F16 | Precision::F16Arithmetic, SimdLevel::Avx512(_)) => "vfmadd zmm",
            #[cfg(target_arch = "aarch64")]
            (Precision::Int8, SimdLevel::Neon(_)) => "smull, sadalp",
            #[cfg(target_arch = "aarch64")]
            (Precision::Int8, SimdLevel::NeonDot(_)) => "sdot",
            #[cfg(target_arch = "aarch64")]
            (Precision::Int8, SimdLevel::NeonI8mm(_)) => "usmmla",
            #[cfg(target_arch = "aarch64")]
            (Precision::F16Arithmetic, SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_)) => "fmla .8h",
            #[cfg(target_arch = "aarch64")]
            (
                Precision::F32 | Precision::F16 | Precision::F16Arithmetic,
                SimdLevel::Neon(_) | SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_),
            ) => "fmla .4s",
        }
    }

    /// Its name, as `--precision` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::F16Arithmetic => "f16-arithmetic",
            Precision::Int8 => "int8",
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

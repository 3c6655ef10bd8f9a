//! [`SimdLevel`]: what this processor can run, proven.

use std::fmt;
use std::str::FromStr;

/// A set of instructions, held as proof that this processor has it: each variant but `Scalar` carries a token that only detection makes.
///
/// It is a value and is passed in, so that one machine can run and test every level that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimdLevel {
    /// What the language itself gives: the specification.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// Any aarch64, such as Cortex-A72.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// aarch64 with FEAT_FP16 and FEAT_DotProd, such as Cortex-A76.
    #[cfg(target_arch = "aarch64")]
    NeonDot(NeonDot),
    /// aarch64 with FEAT_I8MM besides, such as Neoverse V1.
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(NeonI8mm),
}

/// A token type, and how it is earned.
macro_rules! tokens {
    ($arch:literal, $detect:ident: $($(#[$doc:meta])* $name:ident needs $($feature:tt),+;)*) => {$(
        $(#[$doc])*
        #[cfg(target_arch = $arch)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(());

        #[cfg(target_arch = $arch)]
        impl $name {
            /// The token, if this processor has the instructions.
            pub fn detect() -> Option<Self> {
                ($(std::arch::$detect!($feature))&&+).then_some($name(()))
            }
        }
    )*};
}

tokens! { "x86_64", is_x86_feature_detected:
    /// Proof of AVX2, FMA and F16C.
    Avx2 needs "avx2", "fma", "f16c";
    /// Proof of AVX-512 F, BW, DQ, VL and VNNI, and of all that [`Avx2`] proves.
    Avx512 needs "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx2", "fma", "f16c";
}

tokens! { "aarch64", is_aarch64_feature_detected:
    /// Proof of Advanced SIMD.
    Neon needs "neon";
    /// Proof of FEAT_FP16 and FEAT_DotProd.
    NeonDot needs "neon", "fp16", "dotprod";
    /// Proof of FEAT_I8MM, and of all that [`NeonDot`] proves.
    NeonI8mm needs "neon", "fp16", "dotprod", "i8mm";
}

#[cfg(target_arch = "aarch64")]
impl NeonDot {
    /// What it proves besides.
    pub fn neon(self) -> Neon {
        Neon(())
    }
}

#[cfg(target_arch = "aarch64")]
impl NeonI8mm {
    /// What it proves besides.
    pub fn neon(self) -> Neon {
        Neon(())
    }

    /// What it proves besides.
    pub fn neon_dot(self) -> NeonDot {
        NeonDot(())
    }
}

impl SimdLevel {
    /// Every level that this processor has, the plainest first.
    pub fn available() -> Vec<SimdLevel> {
        let mut levels = vec![SimdLevel::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(Avx2::detect().map(SimdLevel::Avx2));
            levels.extend(Avx512::detect().map(SimdLevel::Avx512));
        }
        #[cfg(target_arch = "aarch64")]
        {
            levels.extend(Neon::detect().map(SimdLevel::Neon));
            levels.extend(NeonDot::detect().map(SimdLevel::NeonDot));
            levels.extend(NeonI8mm::detect().map(SimdLevel::NeonI8mm));
        }
        levels
    }

    /// The best level that this processor has.
    pub fn best() -> SimdLevel {
        Self::available().pop().unwrap_or(SimdLevel::Scalar)
    }

    /// Its name, as `--simd` takes it.
    pub fn name(self) -> &'static str {
        match self {
            SimdLevel::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            SimdLevel::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonDot(_) => "neon-dot",
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonI8mm(_) => "neon-i8mm",
        }
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SimdLevel {
    type Err = String;

    /// The level of a name, if this processor has it; else a sentence that names those it has.
    fn from_str(name: &str) -> Result<Self, String> {
        let levels = Self::available();
        levels.iter().copied().find(|level| level.name() == name).ok_or_else(|| {
            let names: Vec<&str> = levels.iter().map(|level| level.name()).collect();
            format!("this processor has no SIMD level '{name}': it has {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CI names in `CUTOUT_EXPECT_SIMD` the levels that the machine under test must have run.
    #[test]
    #[allow(clippy::print_stdout, reason = "CI shows which levels ran")]
    fn every_expected_level_is_there() {
        let names: Vec<&str> = SimdLevel::available().into_iter().map(SimdLevel::name).collect();
        println!("SIMD levels run here: {}", names.join(" "));
        for expected in std::env::var("CUTOUT_EXPECT_SIMD").unwrap_or_default().split_whitespace() {
            assert!(names.contains(&expected), "{expected} was asked for, but this processor has {names:?}");
        }
    }

    #[test]
    fn names_come_back_and_foreign_ones_are_refused() {
        for level in SimdLevel::available() {
            assert_eq!(level.name().parse(), Ok(level));
        }
        assert!("mmx".parse::<SimdLevel>().unwrap_err().contains("scalar"));
    }
}

//! What the commands that run a model have in common.

use clap::Args;
use cutout_runtime::engine::{Operators, Precision};
use cutout_runtime::{InputShape, ModelOptions};

/// On what a model computes.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Compute {
    /// Threads to compute on; 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// What computes: 'auto', a SIMD level ('scalar', 'avx2', 'avx512', 'neon', 'neon-dot', 'neon-i8mm'), or 'tract'
    #[arg(long, value_name = "NAME", default_value_t = Operators::default(), hide_default_value = true)]
    pub(crate) operators: Operators,
    /// What weights are kept in: 'f32', 'f16' (half the memory, arithmetic in f32), or 'f16-arithmetic' (arithmetic in f16 too,
    /// where the processor can; but in layers that an f16 bundle of `cutout quantize` names as beyond its range)
    #[arg(long, value_name = "NAME", default_value_t = Precision::F32)]
    pub(crate) precision: Precision,
}

impl Compute {
    /// The options of a model with this input.
    pub(crate) fn options(self, input: Option<InputShape>) -> ModelOptions {
        let Compute { threads, operators, precision } = self;
        ModelOptions { input, threads, operators, precision }
    }
}

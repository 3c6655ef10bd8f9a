//! The arithmetic that runs once per pixel or per weight: one folder per operation.
//!
//! Each `mod.rs` is the operation's contract (formula, rounding, layout, tolerance) and chooses by [`SimdLevel`]; each `scalar.rs` is
//! its specification, which every other implementation must meet. Kernels return no errors: their callers have checked the shapes.
//! Integers are exact at every level. No value depends on the number of threads.

pub mod activation;
pub mod add_u8;
mod aligned;
pub mod attention;
pub mod attention_u8;
pub mod convolution;
pub mod depthwise;
pub mod depthwise_u8;
mod grid;
mod lanes;
pub mod layer_norm;
pub mod layer_norm_u8;
pub mod linear;
pub mod linear_u8;
pub mod mean_u8;
pub mod normalize;
pub mod pixels;
pub mod requantize;
pub mod resize;
mod shared;
mod simd;
pub mod softmax;
#[cfg(test)]
mod testing;
pub mod transpose;
pub mod upscale_logits;

pub use activation::Activation;
pub use aligned::Aligned;
pub use shared::{Bytes, Shared};
pub use simd::SimdLevel;

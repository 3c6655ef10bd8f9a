//! What a model is worth, and the same model in fewer bits.
//!
//! [`eval`] reads a folder of images with class-agnostic masks, asks a [`Segmenter`](eval::Segmenter) about every
//! object by box, by point and by corrective clicks, and reports mean IoU per source and overall.
//!
//! The other modules make a model of bytes of one in floats (docs/quantization.md says how):
//!
//! ```text
//! Bundle -> points (which values, which weights) -> calibrate (pictures -> Statistics) -> rewrites (same network, alike channels)
//!        -> ranges (scale and zero point of values), weights (scales, corrected biases) -> Bundle
//! ```
#![forbid(unsafe_code)]

pub mod agreement;
pub mod calibrate;
pub mod calibrated;
pub mod encoder;
mod error;
pub mod eval;
mod graph;
pub mod half;
pub mod int8;
pub mod points;
pub mod ranges;
pub mod recipe;
pub mod rewrites;
pub mod search;
pub mod statistics;
pub mod weights;

pub use error::{Error, Result};

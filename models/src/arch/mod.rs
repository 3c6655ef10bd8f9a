//! Graph builders, one file per architecture.
//!
//! Each builder takes a [`StateDict`](crate::checkpoint::StateDict) with the names of the official
//! code and emits ONNX. Names of inputs and outputs are those of the official ONNX export where it
//! has one.

mod attention;
pub mod cutout_s;
mod grid;
mod input_size;
mod layers;
pub mod mask_decoder;
mod params;
mod positions;
mod prompt_encoder;
pub mod sam_vit;
pub mod tiny_vit;
mod two_way_transformer;
mod windows;

use grid::Grid;
pub use input_size::InputSize;
pub use params::Params;

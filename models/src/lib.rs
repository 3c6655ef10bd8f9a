//! What a promptable segmentation model *is*.
#![forbid(unsafe_code)]

pub mod arch;
mod bundle;
pub mod checkpoint;
pub mod compiled;
pub mod digest;
mod error;
pub mod manifest;
pub mod onnx;
mod pair;
mod part_file;
mod quantization;
pub mod registry;
mod spec;
pub mod standin;

pub use bundle::Bundle;
pub use error::{Error, Result};
pub use manifest::Manifest;
pub use pair::{DECODER_FILE, ENCODER_FILE};
pub use quantization::{Affine, Quantization};
pub use spec::{Architecture, Checksum, Download, ModelSpec, Normalization, Precision, Source};

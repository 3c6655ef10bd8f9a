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
mod part_file;
pub mod registry;
mod spec;
pub mod standin;

pub use bundle::Bundle;
pub use error::{Error, Result};
pub use manifest::Manifest;
pub use spec::{Architecture, Checksum, Download, ModelSpec, Normalization, Precision, Source};

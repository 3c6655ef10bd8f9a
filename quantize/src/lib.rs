//! What a model is worth: accuracy on annotated images, with the protocol of the promptable segmentation papers.
//!
//! [`eval`] reads a folder of images with class-agnostic masks, asks a [`Segmenter`](eval::Segmenter) about every
//! object by box, by point and by corrective clicks, and reports mean IoU per source and overall.
#![forbid(unsafe_code)]

mod error;
pub mod eval;

pub use error::{Error, Result};

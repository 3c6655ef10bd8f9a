//! The model that is part of the program.

use super::Bundle;
use crate::error::Result;

const MANIFEST: &[u8] = include_bytes!("../../weights/cutout-s/manifest.json");
const WEIGHTS: &[u8] = include_bytes!("../../weights/cutout-s/weights.safetensors");

impl Bundle {
    /// The shipped model, `cutout-s`: always there, without a file or a download.
    ///
    /// # Errors
    /// `Malformed` if the two files under `models/weights/cutout-s` do not belong together; a test sees to it that they
    /// do.
    pub fn shipped() -> Result<Self> {
        Bundle::from_static(MANIFEST, WEIGHTS)
    }
}

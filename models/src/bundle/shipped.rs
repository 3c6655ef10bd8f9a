//! The model that is part of the program.

use super::Bundle;
use crate::error::Result;

const MANIFEST: &[u8] = include_bytes!("../../weights/cutout-s/manifest.json");
const WEIGHTS: &[u8] = include_bytes!("../../weights/cutout-s/weights.safetensors");
const CALIBRATION: &[u8] = include_bytes!("../../weights/cutout-s/calibration.safetensors");

impl Bundle {
    /// The shipped model, `cutout-s`: always there, without a file or a download.
    ///
    /// # Errors
    /// `Malformed` if the two files under `models/weights/cutout-s` do not belong together; a test sees to it that they
    /// do.
    pub fn shipped() -> Result<Self> {
        Bundle::from_static(MANIFEST, WEIGHTS)
    }

    /// What quantising the shipped model needs to know of its values, as a file of `cutout quantize`.
    pub fn shipped_calibration() -> &'static [u8] {
        CALIBRATION
    }
}

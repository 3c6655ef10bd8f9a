//! [`StageTimings`]: where the time of an answer went.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Wall-clock time of each stage. A stage that did not run is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageTimings {
    /// Resizing, normalising and padding the image. Milliseconds when serialised, as all others.
    #[serde(rename = "preprocess_ms", serialize_with = "milliseconds")]
    pub preprocess: Duration,
    /// The image encoder: once per image, and once more where an answer zoomed in.
    #[serde(rename = "encode_ms", serialize_with = "milliseconds")]
    pub encode: Duration,
    /// Prompt encoder and mask decoder: once per prompt.
    #[serde(rename = "decode_ms", serialize_with = "milliseconds")]
    pub decode: Duration,
    /// Upscaling, thresholding and scoring the masks.
    #[serde(rename = "postprocess_ms", serialize_with = "milliseconds")]
    pub postprocess: Duration,
}

impl StageTimings {
    /// Sum of all stages.
    pub fn total(&self) -> Duration {
        self.preprocess + self.encode + self.decode + self.postprocess
    }
}

impl AddAssign for StageTimings {
    fn add_assign(&mut self, other: Self) {
        self.preprocess += other.preprocess;
        self.encode += other.encode;
        self.decode += other.decode;
        self.postprocess += other.postprocess;
    }
}

pub(crate) fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e3)
}

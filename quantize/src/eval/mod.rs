//! Accuracy on annotated images.
//!
//! ```text
//! folder -> Dataset -> evaluate(Segmenter, the protocol) -> Evaluation -> Report (JSON, table)
//! ```
//!
//! [`dataset`] says what a folder looks like, [`protocol`] what an object is asked and how the answer scores.

mod annotations;
mod baseline;
mod bootstrap;
mod compare;
pub mod dataset;
mod distance;
mod evaluate;
mod groups;
pub mod protocol;
mod report;
mod rng;
mod segmenter;
mod skipped;
#[cfg(test)]
mod testing;

pub use baseline::FilledBox;
pub use bootstrap::Interval;
pub use compare::{Case, Comparison, Overlaps, compare};
pub use dataset::{AnnotatedImage, Dataset, Selection, Source};
pub use distance::{deepest_pixel, deepest_point, squared_distances};
pub use evaluate::{DecodeImage, Evaluation, ObjectScores, Progress, SourceScores, evaluate};
pub use groups::{Aspect, Bucket};
pub use protocol::{Scores, correction, score_objects};
pub use report::{Figures, Report};
pub use segmenter::{Segmenter, Zoomed};
pub use skipped::{Reason, Skipped};

//! [`Skipped`]: counts frames that could not be used, and says so without filling the log.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of frames that were passed over. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Skipped(Arc<AtomicU64>);

impl Skipped {
    /// One more. A warning is written for the 1st, 2nd, 4th, 8th and so on.
    pub(super) fn count(&self, frame: impl Display, why: impl Display) {
        let skipped = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if skipped.is_power_of_two() {
            tracing::warn!(skipped, "{frame} is passed over: {why}");
        }
    }

    /// How many so far.
    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

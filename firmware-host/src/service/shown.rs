//! What of the service's answers is shown on a display.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use cutout_runtime::{BBox, Point, Prompt, ScoredMask, Tracked};

use super::frames::KeptFrame;

/// An answer with the frame that it is about.
pub(crate) struct Shown {
    pub(crate) frame: Arc<KeptFrame>,
    pub(crate) mask: Arc<ScoredMask>,
    pub(crate) prompt: Prompt,
    /// From the prompt's arrival to the mask.
    pub(crate) took: Duration,
    /// Of an object that is followed: how that goes, and where it was seen last.
    pub(crate) track: Option<(Tracked, BBox, Point)>,
}

/// Holds one value, the newest: who is slow skips what came in between.
pub(crate) struct Latest<T> {
    state: Mutex<(Option<T>, bool)>,
    changed: Condvar,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Latest { state: Mutex::new((None, false)), changed: Condvar::new() }
    }
}

impl<T> Latest<T> {
    /// Replaces the value.
    pub(crate) fn put(&self, value: T) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(value);
        self.changed.notify_one();
    }

    /// Takes the value, waiting for one; `None` after [`close`](Self::close).
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.1 {
                return None;
            }
            if let Some(value) = state.0.take() {
                return Some(value);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets who waits go.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }
}

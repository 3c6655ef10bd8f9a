//! [`Described`]: what a source is, said by the thread that knows it.

use std::sync::{Arc, Mutex, PoisonError};

/// A text that changes. Clones are the same text.
#[derive(Clone, Debug, Default)]
pub(super) struct Described(Arc<Mutex<String>>);

impl Described {
    pub(super) fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    pub(super) fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

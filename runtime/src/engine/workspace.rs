//! [`Workspace`]: the memory that networks compute in.

use std::sync::{Arc, Mutex, PoisonError};

use cutout_kernels::Aligned;

/// Arenas that the stages of a model take turns with, so that they need no more memory than the largest of them. Grows to as many as
/// there are runs at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Workspace(Arc<Mutex<Vec<Aligned<f32>>>>);

impl Workspace {
    /// Runs `work` in an arena of `len` numbers, which hold whatever was there.
    pub(super) fn with<T>(&self, len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
        let spare = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut arena = spare().pop().unwrap_or_default();
        let result = work(arena.resize(len));
        spare().push(arena);
        result
    }
}

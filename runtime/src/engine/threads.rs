//! [`Threads`]: the one pool that a model computes on, and the memory that it computes in.

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::workspace::Workspace;
use crate::error::{Error, ErrorKind, Result};

/// A pool of worker threads and working memory, shared by all stages of a model.
#[derive(Clone, Debug)]
pub struct Threads {
    pool: Arc<ThreadPool>,
    workspace: Workspace,
}

impl Threads {
    /// A pool of `count` threads; 0 means one for each core that this process may use.
    ///
    /// # Errors
    /// `Engine` if the operating system refuses to start them.
    pub fn new(count: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|n| format!("cutout-{n}"))
            .build()
            .map_err(|e| Error::new(ErrorKind::Engine, "cannot start worker threads").with_source(e))?;
        Ok(Threads { pool: Arc::new(pool), workspace: Workspace::default() })
    }

    /// Number of threads.
    pub fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on the pool, so that rayon's parallel iterators inside it use these threads.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    pub(super) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    #[cfg(feature = "tract")]
    pub(super) fn pool(&self) -> Arc<ThreadPool> {
        Arc::clone(&self.pool)
    }
}

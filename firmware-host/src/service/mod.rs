//! `cutout serve`: prompts in, masks out, for many clients at once.
//!
//! ```text
//! source -> Hub <- Session <- connection <- transport
//!            |        ^
//!            v        | outcomes
//!          Engine ----+---> display
//! ```
//!
//! One thread, the `engine`, owns the model. What it is to do next is for the `hub` to say: clients take turns, deadlines that cannot be
//! kept are refused at once, and of a source's frames the newest is the one that counts. Each client has a `session` that decides,
//! without doing any input or output itself.

mod camera;
mod connection;
mod convert;
mod display;
mod drawing;
mod engine;
mod estimates;
mod frames;
mod hub;
pub mod logs;
mod memory;
pub mod metrics;
mod picture;
mod queue;
pub mod readiness;
mod session;
pub mod settings;
mod shown;
mod start;
mod status;
mod tracks;
mod work;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cutout_protocol::Precision;

use crate::transport::Stop;
use hub::Hub;
use memory::Memories;
use metrics::Metrics;
use session::ClientMemory;
pub use start::{Service, ServiceError};

/// What does not change while the service runs.
pub(crate) struct Facts {
    /// Id of the model.
    pub(crate) model: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) precision: Precision,
    /// Largest width and height of the model's input.
    pub(crate) input: (u16, u16),
    pub(crate) has_source: bool,
    /// Bytes of an upload at most.
    pub(crate) max_upload: u32,
    /// Encoded frames that are kept.
    pub(crate) ring: u8,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) facts: Facts,
    /// What clients from elsewhere have to know.
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) most_clients: usize,
    pub(crate) started: Instant,
    stop: Stop,
    memories: Memories<cutout_protocol::message::Result<'static>>,
    next_client: AtomicU64,
    clients: AtomicUsize,
}

/// A client's place, for as long as it is held.
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// A place for one more client, if there is one. A quarter of them is for those of this machine: strangers cannot take all.
    pub(crate) fn place(&self, is_trusted: bool) -> Option<Place<'_>> {
        let most = if is_trusted { self.most_clients } else { self.most_clients - self.most_clients / 4 };
        let place =
            self.clients.fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < most).then_some(taken + 1));
        place.is_ok().then_some(Place(&self.clients))
    }

    /// Clients that are connected.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    /// A number for a connection. 0 is nobody's.
    pub(crate) fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is remembered of a client.
    pub(crate) fn memory_of(&self, client: u64) -> Arc<Mutex<ClientMemory>> {
        self.memories.of(client, |gone| self.hub.forget(gone))
    }

    /// Whether the service is about to end.
    pub(crate) fn stopping(&self) -> bool {
        self.stop.is_set()
    }
}

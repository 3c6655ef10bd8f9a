//! [`Listener`], and what all listeners share: places for clients, and their threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use super::{Connection, Endpoint, TransportError};

/// What is done with a client.
pub(super) type Accept = Arc<dyn Fn(Connection) + Send + Sync>;

/// An endpoint that waits for clients in threads of its own.
#[derive(Debug)]
pub struct Listener {
    local: Endpoint,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Starts the thread of a listener.
    pub(super) fn start(
        local: Endpoint,
        mut clients: Clients,
        serve: impl FnOnce(Clients) + Send + 'static,
    ) -> Result<Self, TransportError> {
        clients.label = label(&local);
        match spawn(&label(&local), move || serve(clients)) {
            Ok(thread) => Ok(Listener { local, thread }),
            Err(error) => Err(TransportError::listen(&local, error)),
        }
    }

    /// Where it really is: the port that the system chose if 0 was asked for.
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Waits until it has ended: [`Stop`](super::Stop) is set, and every `accept` that it called has returned.
    pub fn join(self) {
        // A panic was told when it happened.
        let _ = self.thread.join();
    }
}

/// The clients of one endpoint.
pub(super) struct Clients {
    /// What its threads and logs are called.
    label: String,
    accept: Accept,
    places: Arc<Places>,
    threads: Vec<JoinHandle<()>>,
    /// Whether it was told that all places are taken.
    told: bool,
}

impl Clients {
    pub(super) fn new(most: usize, accept: Accept) -> Self {
        let places = Arc::new(Places { most, taken: AtomicUsize::new(0) });
        Clients { label: String::new(), accept, places, threads: Vec::new(), told: false }
    }

    /// A place for a client, if one is free; nothing is told if not.
    pub(super) fn admit_quietly(&self) -> Option<Place> {
        self.places.take()
    }

    /// A place for a client, if one is free.
    pub(super) fn admit(&mut self) -> Option<Place> {
        let place = self.places.take();
        if place.is_none() && !self.told {
            tracing::warn!(
                "{}: all {} places are taken; further clients are turned away",
                self.label,
                self.places.most
            );
        }
        self.told = place.is_none();
        place
    }

    /// Makes a connection in a thread of the client's own, and gives it to `accept` there.
    pub(super) fn serve(&mut self, greet: impl FnOnce() -> Option<Connection> + Send + 'static) {
        self.threads.retain(|thread| !thread.is_finished());
        let accept = Arc::clone(&self.accept);
        let thread = spawn(&self.label, move || {
            if let Some(connection) = greet() {
                let name = connection.peer.name.clone();
                tracing::debug!("{name}: connected");
                accept(connection);
                tracing::debug!("{name}: served");
            }
        });
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) => tracing::warn!("{}: a client is turned away, as no thread can be had: {error}", self.label),
        }
    }

    /// Waits until all are served.
    pub(super) fn join(self) {
        for thread in self.threads {
            // A panic was told when it happened, and ends one client only.
            let _ = thread.join();
        }
    }
}

fn spawn(label: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(label.into()).spawn(work)
}

/// A name that fits into the 15 bytes that systems keep of a thread's name.
fn label(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Serial { path, .. } | Endpoint::Unix(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().replace('\0', "");
            format!("{}:{name}", endpoint.kind())
        }
        Endpoint::Tcp(address) | Endpoint::Udp(address) => format!("{}:{}", endpoint.kind(), address.port()),
        Endpoint::WebSocket(address) => format!("ws:{}", address.port()),
    }
}

struct Places {
    most: usize,
    taken: AtomicUsize,
}

impl Places {
    fn take(self: &Arc<Self>) -> Option<Place> {
        let one_more = |taken: usize| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

/// A client's place, free again when this is dropped.
pub(super) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

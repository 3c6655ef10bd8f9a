//! [`Endpoint`]: the port at which `/metrics` and `/healthz` are read.
//!
//! It answers one request per connection, takes no body, and gives each client a few seconds for everything. When more
//! clients come than it serves at once, the oldest is let go: who asks and waits for nothing else is never shut out by
//! clients that are merely connected.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Metrics;

/// Clients served at once.
const MAX_CLIENTS: usize = 8;

/// Longest request that is read.
const MAX_REQUEST: usize = 8 << 10;

/// Time for a request and its answer together.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics at {address}")]
pub struct EndpointError {
    /// The address asked for.
    pub address: SocketAddr,
    /// The cause.
    pub source: io::Error,
}

/// A port that answers `GET /metrics` with the page, and `GET /healthz` with 200 or, with the reason, 503. It is closed
/// when the value is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Clients being served, the oldest first.
    clients: Mutex<VecDeque<(u64, TcpStream)>>,
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, VecDeque<(u64, TcpStream)>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the service is well; if not, why.
type Health = dyn Fn() -> Result<(), String> + Send + Sync;

impl Endpoint {
    /// Binds the address and serves in threads of its own. `health` says whether the service is well; if not, why.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn start(
        address: SocketAddr,
        metrics: Arc<Metrics>,
        health: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Self, EndpointError> {
        let failed = |source| EndpointError { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::default());
        let health: Arc<Health> = Arc::new(health);
        let accepting = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("metrics".into())
            .spawn(move || accept(&listener, &accepting, &metrics, &health))
            .map_err(failed)?;
        Ok(Endpoint { address: bound, shared, thread: Some(thread) })
    }

    /// The address that it has; with the port that the system chose, if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for (_, client) in self.shared.clients().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
        // The thread waits for a client; one comes.
        let mut own = self.address;
        match own.ip() {
            ip if !ip.is_unspecified() => {}
            ip if ip.is_ipv4() => own.set_ip(Ipv4Addr::LOCALHOST.into()),
            _ => own.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
        if TcpStream::connect_timeout(&own, Duration::from_secs(1)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, metrics: &Arc<Metrics>, health: &Arc<Health>) {
    for id in 0.. {
        let accepted = listener.accept();
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // Most likely there are no more file descriptors.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let Ok(kept) = stream.try_clone() else { continue };
        {
            let mut clients = shared.clients();
            if clients.len() >= MAX_CLIENTS
                && let Some((_, oldest)) = clients.pop_front()
            {
                let _ = oldest.shutdown(Shutdown::Both);
            }
            clients.push_back((id, kept));
        }
        let (serving, metrics, health) = (Arc::clone(shared), Arc::clone(metrics), Arc::clone(health));
        let served = thread::Builder::new().name("metrics client".into()).spawn(move || {
            // A client that goes away, or takes too long, is no fault of the service.
            let _ = Client { stream, deadline: Instant::now() + PATIENCE }.serve(&metrics, &*health);
            serving.clients().retain(|(other, _)| *other != id);
        });
        if served.is_err() {
            shared.clients().retain(|(other, _)| *other != id);
        }
    }
}

struct Client {
    stream: TcpStream,
    deadline: Instant,
}

impl Client {
    fn serve(mut self, metrics: &Metrics, health: &Health) -> io::Result<()> {
        let Some(head) = self.read_head()? else {
            return self.answer("431 Request Header Fields Too Large", "", "the request is too long\n", true);
        };
        let line = head.lines().next().unwrap_or_default();
        let mut words = line.split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some("HTTP/1.0" | "HTTP/1.1"), None) = (method, target, version, words.next())
        else {
            return self.answer("400 Bad Request", "", "this is no HTTP/1 request\n", true);
        };
        let body = match method {
            "GET" => true,
            "HEAD" => false,
            _ => return self.answer("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "only GET and HEAD\n", true),
        };
        match target.split('?').next().unwrap_or_default() {
            "/metrics" => self.answer("200 OK", "", &metrics.render(), body),
            "/healthz" => match health() {
                Ok(()) => self.answer("200 OK", "", "ok\n", body),
                Err(reason) => self.answer("503 Service Unavailable", "", &format!("{reason}\n"), body),
            },
            _ => self.answer("404 Not Found", "", "there are /metrics and /healthz\n", body),
        }
    }

    /// Time that is left.
    fn patience(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }

    /// The request up to its first empty line; `None` if that is too far.
    fn read_head(&mut self) -> io::Result<Option<String>> {
        let mut head = Vec::new();
        let mut chunk = [0; 1024];
        while head.len() < MAX_REQUEST {
            self.stream.set_read_timeout(self.patience()?)?;
            let n = match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            // The end may have begun in an earlier chunk.
            let from = head.len().saturating_sub(3);
            head.extend_from_slice(chunk.get(..n).unwrap_or_default());
            if let Some(at) = head.get(from..).and_then(|new| new.windows(4).position(|four| four == b"\r\n\r\n")) {
                head.truncate(from + at);
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
        }
        Ok(None)
    }

    fn answer(mut self, status: &str, headers: &str, body: &str, with_body: bool) -> io::Result<()> {
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{headers}\r\n",
            body.len()
        );
        if with_body {
            answer.push_str(body);
        }
        let mut rest = answer.as_bytes();
        while !rest.is_empty() {
            self.stream.set_write_timeout(self.patience()?)?;
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.stream.shutdown(Shutdown::Write)?;
        // What the client still sends is read a little, or closing would destroy the answer on its way.
        let mut unread = MAX_REQUEST;
        let mut chunk = [0; 1024];
        while unread > 0 {
            self.stream.set_read_timeout(self.patience()?)?;
            match self.stream.read(&mut chunk)? {
                0 => break,
                n => unread = unread.saturating_sub(n),
            }
        }
        Ok(())
    }
}

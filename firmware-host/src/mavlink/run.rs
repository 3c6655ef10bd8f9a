//! [`run`]: a thread that serves a line, and opens it again when it is gone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Camera;
use super::component::{Component, Options, OptionsError};
use super::link::Link;
use super::port::Port;

/// Longest wait without a look at whether to stop.
const TURN: Duration = Duration::from_millis(100);

/// Waits before a line is opened again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long a line has to last to count as back.
const SETTLED: Duration = Duration::from_secs(2);

/// Why a line is not served.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The component cannot be.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The address is taken, or none of this machine.
    #[error("cannot listen for MAVLink at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("no thread for MAVLink")]
    Thread(#[source] io::Error),
}

/// A line that is served.
#[derive(Debug)]
pub struct Running {
    address: Option<SocketAddr>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Where it listens, with the port that the system chose if 0 was asked for; `None` if it does not listen.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Waits until the thread has ended, which it does soon after it was told to stop.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

/// Serves a line until `stop` is set. A port to listen at is bound at once; a line that is not there yet, or goes away,
/// is opened again and again.
///
/// # Errors
/// If the component cannot be, or the port cannot be bound.
pub fn run(link: Link, options: Options, camera: Arc<dyn Camera>, stop: Arc<AtomicBool>) -> Result<Running, RunError> {
    let component = Component::new(options, Arc::clone(&camera), Instant::now())?;
    let port = match &link {
        Link::UdpListen(address) => {
            let listen = |source| RunError::Listen { address: *address, source };
            Some(Port::open(&link).map_err(listen)?)
        }
        _ => None,
    };
    let address = port.as_ref().and_then(Port::address);
    let serve = move || Server { link, component, camera, stop }.run(port);
    let thread = thread::Builder::new().name("mavlink".into()).spawn(serve).map_err(RunError::Thread)?;
    Ok(Running { address, thread })
}

struct Server {
    link: Link,
    component: Component,
    camera: Arc<dyn Camera>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn run(mut self, mut open: Option<Port>) {
        let mut wait = FIRST_WAIT;
        // Once is enough for a device that is away for an hour, or that opens and breaks again and again.
        let mut told = false;
        while !self.is_stopped() {
            let ended = match open.take().map_or_else(|| Port::open(&self.link), Ok) {
                Ok(mut port) => {
                    if !told {
                        tracing::info!(line = %self.link, "MAVLink is open");
                    }
                    let opened = Instant::now();
                    let ended = self.serve(&mut port, told);
                    if opened.elapsed() > SETTLED {
                        (wait, told) = (FIRST_WAIT, false);
                    }
                    ended
                }
                Err(e) => Err(e),
            };
            let Err(error) = ended else { return };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(line = %self.link, %error, "MAVLink is away; it is tried again");
            }
            let until = Instant::now() + wait;
            while Instant::now() < until && !self.is_stopped() {
                thread::sleep(TURN.min(until.saturating_duration_since(Instant::now())));
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Serves an open line. If it was told to be away, that it is back is told when it has lasted for a while.
    fn serve(&mut self, port: &mut Port, mut away: bool) -> io::Result<()> {
        let opened = Instant::now();
        let mut ended = Ok(());
        while ended.is_ok() && !self.is_stopped() {
            if away && opened.elapsed() > SETTLED {
                tracing::info!(line = %self.link, "MAVLink is back");
                away = false;
            }
            let due = self.component.due().saturating_duration_since(Instant::now());
            ended = port.serve(&mut self.component, due.min(TURN)).and_then(|()| {
                let now = Instant::now();
                let messages = self.component.tick(now);
                port.send_all(&self.component, &messages, now)
            });
            self.camera.traffic(port.take_traffic());
        }
        ended
    }
}

//! Serial ports: opened as soon as they are there, and again when they come back.

mod latency;
mod port;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use port::Port;

use super::listener::Clients;
use super::stream;
use super::wait::either_readable;
use super::{Connection, Endpoint, Kind, Listener, Peer, Stop, TransportError};

/// Time before a port is opened again: at first, and the longest after doubling.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A port that lasted as long is sound, so that the next try comes soon.
const SOUND: Duration = Duration::from_secs(2);

/// What a port is set to.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) baud: u32,
    pub(super) rts_cts: bool,
}

impl Settings {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Serial { path: self.path.clone(), baud: self.baud, rts_cts: self.rts_cts }
    }

    fn peer(&self) -> Peer {
        let name = format!("{} {}", Kind::Serial, self.path.display());
        Peer { kind: Kind::Serial, name, trusted: true, baud: Some(self.baud) }
    }
}

pub(super) fn listen(settings: Settings, stop: Stop, clients: Clients) -> Result<Listener, TransportError> {
    let first = match open(&settings) {
        Ok(opened) => Some(opened),
        Err(error) if error.is_absence() => {
            tracing::warn!("{error}; it is opened when it is");
            None
        }
        Err(error) => return Err(error),
    };
    Listener::start(settings.endpoint(), clients, move |clients| watch(&settings, first, &stop, clients))
}

pub(super) fn connect(settings: &Settings) -> Result<Connection, TransportError> {
    let (port, _) = open(settings)?;
    Ok(stream::connection(settings.peer(), port, None))
}

/// A port, and a socket that is readable once the port has been closed.
type Opened = (Port, UnixStream);

fn open(settings: &Settings) -> Result<Opened, TransportError> {
    let (watched, held) = UnixStream::pair().map_err(|e| TransportError::port(&settings.path, e))?;
    let port = Port::open(settings, held)?;
    latency::shorten(&settings.path);
    Ok((port, watched))
}

/// Makes a connection of the port each time that it is there, until `stop`.
fn watch(settings: &Settings, mut opened: Option<Opened>, stop: &Stop, mut clients: Clients) {
    let (mut pause, longest) = RETRY;
    let mut missed = opened.is_none();
    while !stop.is_set() {
        match opened.take().map_or_else(|| open(settings), Ok) {
            Ok((port, watched)) => {
                if std::mem::take(&mut missed) {
                    tracing::info!("the serial port {} is there", settings.path.display());
                }
                let since = Instant::now();
                let peer = settings.peer();
                clients.serve(move || Some(stream::connection(peer, port, None)));
                // It can be opened again when both halves of the connection are dropped.
                while !stop.is_set() && either_readable(&watched, stop, None).is_err() {
                    stop.wait(longest);
                }
                if since.elapsed() >= SOUND {
                    pause = RETRY.0;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut missed, true) {
                    tracing::warn!("{error}; it is opened again when it can be");
                }
            }
        }
        stop.wait(pause);
        pause = (pause * 2).min(longest);
    }
    clients.join();
}

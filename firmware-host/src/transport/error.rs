//! [`TransportError`]: why there is no connection, and who must do what.

use std::io;
use std::path::{Path, PathBuf};

use super::Endpoint;

/// Why an endpoint cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The text names no endpoint.
    #[error("`{text}` is no {what}: {hint}")]
    Endpoint {
        /// What was given.
        text: String,
        /// What it should have been.
        what: &'static str,
        /// What to write.
        hint: String,
    },
    /// Nobody can listen there.
    #[error("cannot listen at {endpoint}{}", listen_hint(.source))]
    Listen {
        /// Where.
        endpoint: String,
        /// The cause.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {endpoint}{}", connect_hint(.source))]
    Connect {
        /// Where.
        endpoint: String,
        /// The cause.
        source: io::Error,
    },
    /// A serial port cannot be opened.
    #[error("cannot open the serial port {}{}", .path.display(), port_hint(.source))]
    Port {
        /// The port.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another program has the serial port.
    #[error("the serial port {} is in use: end the program that has it (`fuser {0}` names it)", .path.display())]
    PortInUse {
        /// The port.
        path: PathBuf,
    },
    /// The file is no terminal device.
    #[error("{} is no serial port: give the device of one, such as /dev/ttyUSB0 or /dev/ttyS0", .path.display())]
    NoPort {
        /// The file.
        path: PathBuf,
    },
    /// The serial port cannot do the speed.
    #[error("the serial port {} cannot do {wanted} baud{}: choose another speed", .path.display(), nearest(*.actual))]
    Baud {
        /// The port.
        path: PathBuf,
        /// The speed asked for.
        wanted: u32,
        /// What it does instead, if it said.
        actual: Option<u32>,
    },
    /// There is a file of another kind where the socket should be.
    #[error("{} is there already and is no socket: remove it, or choose another path", .path.display())]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// The other side speaks, but no WebSocket.
    #[error("{endpoint} refuses a WebSocket: {reason}")]
    Upgrade {
        /// Where.
        endpoint: String,
        /// What it said.
        reason: String,
    },
}

impl TransportError {
    pub(super) fn listen(endpoint: &Endpoint, source: io::Error) -> Self {
        TransportError::Listen { endpoint: endpoint.to_string(), source }
    }

    pub(super) fn connect(endpoint: &Endpoint, source: io::Error) -> Self {
        TransportError::Connect { endpoint: endpoint.to_string(), source }
    }

    pub(super) fn port(path: &Path, source: io::Error) -> Self {
        TransportError::Port { path: path.into(), source }
    }

    /// Whether it can pass by itself, as when a port is plugged in.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, TransportError::Port { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

fn listen_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": another program does; end it, or choose another",
        io::ErrorKind::AddrNotAvailable => ": this machine has no such address; 0.0.0.0 stands for all it has",
        io::ErrorKind::PermissionDenied => ": it is not allowed here; ports below 1024 are root's",
        io::ErrorKind::NotFound => ": its folder does not exist; make it first",
        _ => "",
    }
}

fn connect_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            ": nobody listens there; is `cutout serve` running, with this endpoint?"
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ": no answer; is the address right, and the device on?",
        io::ErrorKind::PermissionDenied => ": it is not allowed; the socket file's mode says who may",
        _ => "",
    }
}

fn port_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ": it is not there; is it plugged in?",
        io::ErrorKind::PermissionDenied => {
            ": it is not allowed; add the user to the group that owns it, often `dialout`"
        }
        _ => "",
    }
}

fn nearest(actual: Option<u32>) -> String {
    actual.map(|baud| format!(", and does {baud} instead")).unwrap_or_default()
}

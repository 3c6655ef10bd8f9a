//! How clients reach the service: serial lines and sockets.
//!
//! A [`Connection`] is one client, however it came: a [`Reader`] that gives bytes as they arrive and a [`Writer`] that
//! sends packets, to be used from two threads at once. [`listen`] makes connections of those who call, [`connect`] is
//! the caller's side. Nothing here knows what the bytes mean.
//!
//! | kind | a packet travels as | trusted | ends when |
//! |---|---|---|---|
//! | serial | bytes, 8N1 | yes | the port vanishes; it is opened again when it is back |
//! | tcp | bytes | from loopback | closed, or silent to keep-alive probes for half a minute |
//! | unix | bytes | yes: the file's mode decides who may connect | closed |
//! | udp | one datagram | from loopback | no datagram came for [`Options::udp_idle`] |
//! | websocket | one binary message; lines as text messages | from loopback, and a page of this host if it is a page | closed |
//!
//! Waiting is done in `poll`, never in a lock: a reader that waits holds up no writer.

mod endpoint;
mod error;
mod listener;
mod serial;
mod stop;
mod stream;
mod tcp;
mod udp;
mod unix;
mod wait;
mod websocket;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use endpoint::{DEFAULT_BAUD, Endpoint};
pub use error::TransportError;
pub use listener::Listener;
pub use stop::Stop;

/// One client, however it came.
pub struct Connection {
    /// Who it is.
    pub peer: Peer,
    /// What it sends.
    pub reader: Box<dyn Reader>,
    /// What it is sent.
    pub writer: Box<dyn Writer>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Who is at the other end of a [`Connection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The way it came.
    pub kind: Kind,
    /// What logs call it, such as `tcp 127.0.0.1:50211`.
    pub name: String,
    /// Whether it needs no token: it came over a serial line, a Unix socket or from this machine.
    pub trusted: bool,
    /// Bits per second of a serial line, from which its times are computed; `None` where there is no line to wait for.
    /// It is the speed that the connection began with.
    pub baud: Option<u32>,
}

/// The ways that clients come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A serial line.
    Serial,
    /// A TCP socket.
    Tcp,
    /// A Unix domain socket.
    Unix,
    /// UDP datagrams.
    Udp,
    /// A WebSocket.
    WebSocket,
}

impl Kind {
    /// All of them, in the order of their declaration.
    pub const ALL: [Kind; 5] = [Kind::Serial, Kind::Tcp, Kind::Unix, Kind::Udp, Kind::WebSocket];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Serial => "serial",
            Kind::Tcp => "tcp",
            Kind::Unix => "unix",
            Kind::Udp => "udp",
            Kind::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The receiving half of a [`Connection`].
pub trait Reader: Send {
    /// Waits at most `patience` for bytes and puts what is there at the start of `into`. `Ok(0)`: nothing came.
    ///
    /// How bytes are cut into reads means nothing, but that a UDP datagram's end always ends a read.
    ///
    /// # Errors
    /// If no more bytes will ever come. `UnexpectedEof`: the client has said all it will; it may still be reading.
    /// `ConnectionAborted`: this side has given the client up. Others: the connection broke.
    fn read(&mut self, into: &mut [u8], patience: Duration) -> io::Result<usize>;
}

/// The sending half of a [`Connection`].
pub trait Writer: Send {
    /// Sends all of a packet, and waits at most `patience` for a client that is slow to read.
    ///
    /// What ends in a newline instead of a packet's delimiter is a line of text mode: a WebSocket sends it as a text
    /// message, without that newline. All others send the bytes as they are.
    ///
    /// # Errors
    /// `TimedOut` if the client did not read in time. If a part of the packet was sent by then, a socket is of no more use
    /// and closed; on a serial line the next packet has to begin with a delimiter. Others: the client is gone.
    fn write(&mut self, packet: &[u8], patience: Duration) -> io::Result<()>;

    /// Changes the speed of a serial line, both ways, once what was written has left.
    ///
    /// # Errors
    /// `Unsupported` if this is no serial line, or the port cannot do this speed and keeps the old one; `TimedOut` if
    /// what was written does not leave.
    fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        let _ = baud;
        Err(io::Error::new(io::ErrorKind::Unsupported, "only serial lines have a speed"))
    }

    /// Ends the connection: what was written is still delivered, the reader ends, later writes fail.
    ///
    /// Dropping both halves does the same, unannounced.
    fn close(&mut self);
}

/// How to treat clients.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most clients of this endpoint at a time. Who comes when all places are taken is closed at once.
    pub max_clients: usize,
    /// Longest time that a WebSocket's client may take to ask for it.
    pub handshake: Duration,
    /// Origins, beside this machine's own, whose web pages may connect by WebSocket: `https://example.org`, `null` for pages
    /// opened from a file, or `*`.
    pub origins: Vec<String>,
    /// After how long a UDP client that sends nothing is forgotten.
    pub udp_idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_clients: 64,
            handshake: Duration::from_secs(5),
            origins: Vec::new(),
            udp_idle: Duration::from_secs(60),
        }
    }
}

/// Waits for clients at an endpoint and gives each to `accept`, in a thread of the client's own, which `accept` may keep
/// for as long as it likes. A client keeps its place (see [`Options::max_clients`]) until both halves are dropped.
///
/// The endpoint is there when this returns, so that errors are told at the start; only a serial port that is not plugged
/// in yet is waited for. It ends when `stop` is set: no further client comes, and UDP's clients end. Those of the other kinds
/// live on until they are dropped.
///
/// # Errors
/// If there can be no such endpoint, with what to do about it.
pub fn listen(
    endpoint: &Endpoint,
    options: &Options,
    stop: Stop,
    accept: impl Fn(Connection) + Send + Sync + Clone + 'static,
) -> Result<Listener, TransportError> {
    let clients = listener::Clients::new(options.max_clients, Arc::new(accept));
    match endpoint {
        Endpoint::Serial { path, baud, rts_cts } => {
            let line = serial::Settings { path: path.clone(), baud: *baud, rts_cts: *rts_cts };
            serial::listen(line, stop, clients)
        }
        Endpoint::Tcp(address) => tcp::listen(*address, stop, clients),
        Endpoint::Unix(path) => unix::listen(path, stop, clients),
        Endpoint::Udp(address) => udp::listen(*address, options.udp_idle, stop, clients),
        Endpoint::WebSocket(address) => websocket::listen(*address, options, stop, clients),
    }
}

/// The client's side: a connection to whoever serves at the endpoint, waited for at most `patience`.
///
/// # Errors
/// If nobody serves there, or not in time.
pub fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Connection, TransportError> {
    match endpoint {
        Endpoint::Serial { path, baud, rts_cts } => {
            serial::connect(&serial::Settings { path: path.clone(), baud: *baud, rts_cts: *rts_cts })
        }
        Endpoint::Tcp(address) => tcp::connect(*address, patience),
        Endpoint::Unix(path) => unix::connect(path, patience),
        Endpoint::Udp(address) => udp::connect(*address),
        Endpoint::WebSocket(address) => websocket::connect(*address, patience),
    }
}

#[cfg(test)]
mod tests;

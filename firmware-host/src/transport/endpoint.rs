//! [`Endpoint`]: where clients and service meet, and how it is written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Kind, TransportError};

/// Speed of a serial line of which none is said.
pub const DEFAULT_BAUD: u32 = 115_200;

/// A place where clients and service meet.
///
/// Written with its kind before it, as [`Display`](fmt::Display) does, or without where the text tells:
///
/// | text | is |
/// |---|---|
/// | `serial:/dev/ttyUSB0:921600`, `/dev/ttyUSB0` | a serial port; 115200 baud if none are given |
/// | `/dev/ttyAMA0:3000000,rtscts` | one that holds back by its RTS and CTS lines |
/// | `tcp:127.0.0.1:7700`, `7700`, `[::1]:7700`, `localhost:7700` | TCP; a port alone is on this machine |
/// | `unix:/run/cutout.sock`, `/run/cutout.sock` | a Unix domain socket |
/// | `udp:0.0.0.0:7701` | UDP, here on all addresses of the machine |
/// | `websocket:7702`, `ws:7702`, `ws://127.0.0.1:7702` | a WebSocket |
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A serial port: 8 data bits, no parity, 1 stop bit.
    Serial {
        /// Its device.
        path: PathBuf,
        /// Bits per second.
        baud: u32,
        /// Whether each side holds the other back by the lines RTS and CTS.
        rts_cts: bool,
    },
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
    /// A UDP address.
    Udp(SocketAddr),
    /// The TCP address of WebSockets.
    WebSocket(SocketAddr),
}

impl Endpoint {
    /// What kind of clients come there.
    pub const fn kind(&self) -> Kind {
        match self {
            Endpoint::Serial { .. } => Kind::Serial,
            Endpoint::Tcp(_) => Kind::Tcp,
            Endpoint::Unix(_) => Kind::Unix,
            Endpoint::Udp(_) => Kind::Udp,
            Endpoint::WebSocket(_) => Kind::WebSocket,
        }
    }

    /// Whether only this machine can reach it. Serial lines and Unix sockets count as such.
    pub fn is_loopback(&self) -> bool {
        match self {
            Endpoint::Serial { .. } | Endpoint::Unix(_) => true,
            Endpoint::Tcp(address) | Endpoint::Udp(address) | Endpoint::WebSocket(address) => {
                address.ip().to_canonical().is_loopback()
            }
        }
    }

    /// An endpoint whose kind is known, as from `--tcp 7700`.
    ///
    /// # Errors
    /// If the text does not say where, with what to write.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, TransportError> {
        match kind {
            Kind::Serial => serial(text),
            Kind::Unix => unix(text),
            Kind::Tcp => socket(kind, text).map(Endpoint::Tcp),
            Kind::Udp => socket(kind, text).map(Endpoint::Udp),
            Kind::WebSocket => {
                let address = text.strip_prefix("ws://").map_or(text, |rest| rest.trim_end_matches('/'));
                socket(kind, address).map(Endpoint::WebSocket)
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("ws://") {
            return Endpoint::parse(Kind::WebSocket, text);
        }
        if let Some(rest) = text.strip_prefix("ws:") {
            return Endpoint::parse(Kind::WebSocket, rest);
        }
        for kind in Kind::ALL {
            if let Some(rest) = text.strip_prefix(kind.name()).and_then(|rest| rest.strip_prefix(':')) {
                return Endpoint::parse(kind, rest);
            }
        }
        let has_speed = text.rsplit_once(':').is_some_and(|(_, end)| end.starts_with(|c: char| c.is_ascii_digit()));
        let kind = match text.contains('/') {
            true if text.starts_with("/dev/") || has_speed => Kind::Serial,
            true => Kind::Unix,
            false => Kind::Tcp,
        };
        Endpoint::parse(kind, text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Endpoint::Serial { path, baud, rts_cts } => {
                write!(f, "{kind}:{}:{baud}{}", path.display(), if *rts_cts { ",rtscts" } else { "" })
            }
            Endpoint::Unix(path) => write!(f, "{kind}:{}", path.display()),
            Endpoint::Tcp(address) | Endpoint::Udp(address) | Endpoint::WebSocket(address) => {
                write!(f, "{kind}:{address}")
            }
        }
    }
}

fn error(kind: Kind, text: &str, hint: impl Into<String>) -> TransportError {
    let what = match kind {
        Kind::Serial => "serial port",
        Kind::Tcp => "TCP address",
        Kind::Unix => "path of a Unix socket",
        Kind::Udp => "UDP address",
        Kind::WebSocket => "address of a WebSocket",
    };
    TransportError::Endpoint { text: text.into(), what, hint: hint.into() }
}

fn serial(text: &str) -> Result<Endpoint, TransportError> {
    let (rest, rts_cts) = match text.strip_suffix(",rtscts") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (path, baud) = match rest.rsplit_once(':') {
        // Names of devices may hold colons: those in /dev/serial/by-path do.
        Some((path, baud)) if !baud.contains('/') && !Path::new(rest).exists() => match baud.parse() {
            Ok(baud) if baud > 0 => (path, baud),
            _ => return Err(error(Kind::Serial, text, "write its speed as in /dev/ttyUSB0:115200")),
        },
        _ => (rest, DEFAULT_BAUD),
    };
    if path.is_empty() {
        return Err(error(Kind::Serial, text, "write it as in /dev/ttyUSB0:115200"));
    }
    Ok(Endpoint::Serial { path: path.into(), baud, rts_cts })
}

/// Longest path that fits into a socket address on all systems, its final zero left out.
const MAX_UNIX_PATH: usize = 103;

fn unix(text: &str) -> Result<Endpoint, TransportError> {
    match text.len() {
        0 => Err(error(Kind::Unix, text, "write a path such as /run/cutout.sock")),
        1..=MAX_UNIX_PATH if !text.contains('\0') => Ok(Endpoint::Unix(text.into())),
        _ => Err(error(Kind::Unix, text, format!("a path of at most {MAX_UNIX_PATH} bytes is needed"))),
    }
}

fn socket(kind: Kind, text: &str) -> Result<SocketAddr, TransportError> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let form = "write HOST:PORT as in 127.0.0.1:7700, or a PORT alone for this machine";
    let Some((host, port)) = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
    else {
        return Err(error(kind, text, form));
    };
    if host.is_empty() || host.contains(['/', ':', '[', ' ']) {
        return Err(error(kind, text, form));
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let found = (host, port).to_socket_addrs().map_err(|e| error(kind, text, format!("{host} is not known ({e})")))?;
    let found: Vec<SocketAddr> = found.collect();
    // A name in a local network often has an IPv6 address as well that only works with a scope.
    let address = found.iter().find(|address| address.is_ipv4()).or(found.first());
    address.copied().ok_or_else(|| error(kind, text, format!("{host} has no address")))
}

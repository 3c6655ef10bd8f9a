//! [`Link`]: a line over which MAVLink is spoken, as it is written on the command line.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Baud rate of a serial line that names none: what telemetry ports have.
const BAUD: u32 = 57_600;

/// Fastest line that is believed.
const MAX_BAUD: u32 = 12_000_000;

/// A line over which MAVLink is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// `udp:ADDRESS:PORT`: waits there for others, and answers whoever comes.
    UdpListen(SocketAddr),
    /// `udpout:HOST:PORT`: sends there, and hears only what comes from there.
    UdpSend(String),
    /// `tcp:HOST:PORT`: connects there.
    Tcp(String),
    /// `serial:PATH:BAUD`, or `serial:PATH` for 57600 baud.
    Serial {
        /// The device.
        path: String,
        /// Its speed.
        baud: u32,
    },
}

/// What is wrong with the text of a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is of no known kind.
    #[error(
        "{0:?} is no MAVLink line: write udp:127.0.0.1:14550, udpout:HOST:PORT, tcp:HOST:PORT or serial:/dev/ttyS0:57600"
    )]
    Unknown(String),
    /// There is no address of this machine in it.
    #[error("{0:?} is no address to listen at: write one of this machine and a port, such as 127.0.0.1:14550")]
    Address(String),
    /// There is no host and port in it.
    #[error("{0:?} is no host and port: write HOST:PORT, such as 192.168.1.10:14550")]
    Host(String),
    /// The baud rate is none.
    #[error("{0:?} is no baud rate: write a number such as 57600")]
    Baud(String),
    /// The path is missing.
    #[error("the device is missing: write serial:/dev/ttyS0:57600")]
    Path,
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let (kind, rest) = text.split_once(':').ok_or_else(|| LinkError::Unknown(text.into()))?;
        let host = || host_and_port(rest).then(|| rest.to_owned()).ok_or_else(|| LinkError::Host(rest.into()));
        match kind {
            "udp" => rest.parse().map(Link::UdpListen).map_err(|_| LinkError::Address(rest.into())),
            "udpout" => Ok(Link::UdpSend(host()?)),
            "tcp" => Ok(Link::Tcp(host()?)),
            "serial" => {
                let (path, baud) = match rest.rsplit_once(':') {
                    // A path may have colons of its own, as those of /dev/serial/by-path have.
                    Some((_, end)) if end.contains('/') => (rest, BAUD),
                    Some((path, baud)) => {
                        let known = baud.parse().ok().filter(|baud| (1..=MAX_BAUD).contains(baud));
                        (path, known.ok_or_else(|| LinkError::Baud(baud.into()))?)
                    }
                    None => (rest, BAUD),
                };
                if path.is_empty() { Err(LinkError::Path) } else { Ok(Link::Serial { path: path.into(), baud }) }
            }
            _ => Err(LinkError::Unknown(text.into())),
        }
    }
}

/// Whether the text is a host and, behind the last colon, a port. An IPv6 address stands in brackets.
fn host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = !host.is_empty() && !host.contains(|c: char| c == ':' || c == '/' || c.is_whitespace());
        (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::UdpListen(address) => write!(f, "udp:{address}"),
            Link::UdpSend(host) => write!(f, "udpout:{host}"),
            Link::Tcp(host) => write!(f, "tcp:{host}"),
            Link::Serial { path, baud } => write!(f, "serial:{path}:{baud}"),
        }
    }
}

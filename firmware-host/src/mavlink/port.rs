//! [`Port`]: an open line, with those who are on it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use mavlink::MAVLinkV2MessageRaw;
use serialport::SerialPort;

use super::Traffic;
use super::channel::Channel;
use super::component::Component;
use super::link::Link;
use super::message::Outgoing;

/// Peers of a UDP port that waits for others.
const MAX_PEERS: usize = 16;

/// Silence after which a peer is forgotten, and the shorter one after which it makes room for another.
const FORGOTTEN: Duration = Duration::from_secs(300);
const REPLACED: Duration = Duration::from_secs(10);

/// Longest wait for a connection, and for a peer that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Silence after which a TCP connection is taken for dead: every autopilot and router sends a heartbeat each second.
const DEAD: Duration = Duration::from_secs(30);

/// Longest wait for a serial line to take a packet.
const SERIAL_PATIENCE: Duration = Duration::from_millis(500);

/// Bytes read at once: a datagram of any size that MAVLink is sent in.
const CHUNK: usize = 4096;

/// An open line.
pub(super) struct Port {
    wire: Wire,
    /// On all lines but a UDP port that waits for others there is one.
    peers: Vec<Peer>,
    traffic: Traffic,
}

enum Wire {
    Listening(UdpSocket),
    Sending(UdpSocket),
    Tcp(TcpStream),
    Serial(Box<dyn SerialPort>),
}

struct Peer {
    /// Where it is, if the line has several.
    address: Option<SocketAddr>,
    channel: Channel,
    heard: Instant,
}

impl Peer {
    fn new(address: Option<SocketAddr>, now: Instant) -> Self {
        Peer { address, channel: Channel::default(), heard: now }
    }
}

impl Port {
    /// Opens a line.
    pub(super) fn open(link: &Link) -> io::Result<Self> {
        let wire = match link {
            Link::UdpListen(address) => Wire::Listening(UdpSocket::bind(address)?),
            Link::UdpSend(host) => Wire::Sending(first_that(host, |address| {
                let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(socket)
            })?),
            Link::Tcp(host) => {
                let stream = first_that(host, |address| TcpStream::connect_timeout(&address, PATIENCE))?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Wire::Tcp(stream)
            }
            Link::Serial { path, baud } => Wire::Serial(serialport::new(path, *baud).timeout(SERIAL_PATIENCE).open()?),
        };
        let peers = match wire {
            Wire::Listening(_) => Vec::new(),
            _ => vec![Peer::new(None, Instant::now())],
        };
        Ok(Port { wire, peers, traffic: Traffic::default() })
    }

    /// Where it listens, if it does.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &self.wire {
            Wire::Listening(socket) => socket.local_addr().ok(),
            _ => None,
        }
    }

    /// Waits for bytes, for as long as `patience` at most, and answers them.
    ///
    /// # Errors
    /// If the line is gone. That nobody is at the other end of UDP is no error.
    pub(super) fn serve(&mut self, component: &mut Component, patience: Duration) -> io::Result<()> {
        let patience = patience.max(Duration::from_millis(1));
        let mut bytes = [0; CHUNK];
        let (n, from) = match self.receive(&mut bytes, patience) {
            Ok((0, None)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((n, from)) => (n, from),
            Err(e) if is_pause(&e) => (0, None),
            Err(e) => return Err(e),
        };
        let bytes = bytes.get(..n).unwrap_or_default();
        self.traffic.received_bytes += n as u64;
        let now = Instant::now();
        let Some(mut peer) = self.take(from, now) else { return Ok(()) };
        let (bad, good) = (peer.channel.bad_packets(), peer.channel.packets());
        let answers = component.feed(&mut peer.channel, bytes, now);
        self.traffic.bad_packets += peer.channel.bad_packets() - bad;
        if peer.channel.packets() > good {
            peer.heard = now;
        }
        if matches!(self.wire, Wire::Tcp(_)) && now.saturating_duration_since(peer.heard) > DEAD {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing is heard any more"));
        }
        let sent = answers.iter().try_for_each(|answer| self.send(&peer, answer));
        // Only who speaks MAVLink is a peer, and takes the place of another.
        if peer.address.is_none() || peer.channel.packets() > 0 {
            let most_silent = self.peers.iter().enumerate().min_by_key(|(_, peer)| peer.heard).map(|(at, _)| at);
            if let Some(at) = most_silent.filter(|_| self.peers.len() >= MAX_PEERS) {
                self.peers.swap_remove(at);
            }
            self.peers.push(peer);
        }
        sent
    }

    /// The peer that sent something, or has only let time pass; a new one if there is room for it.
    fn take(&mut self, from: Option<SocketAddr>, now: Instant) -> Option<Peer> {
        let known = match from {
            Some(_) => self.peers.iter().position(|peer| peer.address == from),
            None => (self.peers.len() == 1).then_some(0),
        };
        if let Some(at) = known {
            return Some(self.peers.swap_remove(at));
        }
        let has_left = |peer: &Peer| now.saturating_duration_since(peer.heard) >= REPLACED;
        let has_room = self.peers.len() < MAX_PEERS || self.peers.iter().any(has_left);
        from.filter(|_| has_room).map(|from| Peer::new(Some(from), now))
    }

    /// Sends messages to everybody.
    ///
    /// # Errors
    /// If the line is gone.
    pub(super) fn send_all(&mut self, component: &Component, messages: &[Outgoing], now: Instant) -> io::Result<()> {
        self.peers.retain(|peer| peer.address.is_none() || now.saturating_duration_since(peer.heard) < FORGOTTEN);
        let mut peers = std::mem::take(&mut self.peers);
        let sent = messages.iter().try_for_each(|message| {
            peers.iter_mut().try_for_each(|peer| {
                let packet = component.packet(&mut peer.channel, message);
                self.send(peer, &packet)
            })
        });
        self.peers = peers;
        sent
    }

    /// What went over the line since this was last asked.
    pub(super) fn take_traffic(&mut self) -> Traffic {
        let peers = self.peers.iter().filter(|peer| peer.channel.packets() > 0).count();
        Traffic { peers, ..std::mem::take(&mut self.traffic) }
    }

    fn receive(&mut self, into: &mut [u8], patience: Duration) -> io::Result<(usize, Option<SocketAddr>)> {
        match &mut self.wire {
            Wire::Listening(socket) => {
                socket.set_read_timeout(Some(patience))?;
                socket.recv_from(into).map(|(n, from)| (n, Some(from)))
            }
            Wire::Sending(socket) => {
                socket.set_read_timeout(Some(patience))?;
                // An empty datagram is not the end of anything.
                match socket.recv(into)? {
                    0 => Err(io::ErrorKind::Interrupted.into()),
                    n => Ok((n, None)),
                }
            }
            Wire::Tcp(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.read(into).map(|n| (n, None))
            }
            Wire::Serial(port) => {
                port.set_timeout(patience)?;
                port.read(into).map(|n| (n, None))
            }
        }
    }

    fn send(&mut self, peer: &Peer, packet: &MAVLinkV2MessageRaw) -> io::Result<()> {
        let bytes = packet.raw_bytes();
        let sent = match (&mut self.wire, peer.address) {
            (Wire::Listening(socket), Some(address)) => socket.send_to(bytes, address).map(drop),
            (Wire::Listening(_), None) => Ok(()),
            (Wire::Sending(socket), _) => socket.send(bytes).map(drop),
            (Wire::Tcp(stream), _) => stream.write_all(bytes),
            (Wire::Serial(port), _) => {
                port.set_timeout(SERIAL_PATIENCE)?;
                port.write_all(bytes)
            }
        };
        match (sent, &self.wire) {
            (Ok(()), _) => self.traffic.sent_bytes += bytes.len() as u64,
            // A datagram that cannot go is lost like any other, and so is what a serial line does not take.
            (Err(e), Wire::Listening(_) | Wire::Sending(_)) => tracing::trace!("a MAVLink packet is lost: {e}"),
            (Err(e), Wire::Serial(_)) if is_pause(&e) => tracing::trace!("a MAVLink packet is lost: {e}"),
            (Err(e), _) => return Err(e),
        }
        Ok(())
    }
}

/// Whether an error of reading means only that nothing came: time is up, or nobody is at the other end of UDP.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock | Interrupted | ConnectionRefused)
}

/// Tries one address of a host after the other, those of IPv4 first: a datagram to the wrong one gives no error.
fn first_that<T>(host: &str, mut open: impl FnMut(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut addresses: Vec<_> = host.to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

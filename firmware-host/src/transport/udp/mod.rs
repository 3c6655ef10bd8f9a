//! UDP: one packet per datagram, and a virtual connection per peer.
//!
//! One thread receives for all peers and sorts datagrams into their inboxes, which are bounded; so is their number. What a
//! stranger sends costs a place until it is idle, or until another stranger needs it: a peer that has sent a single
//! datagram keeps its place for a second only.

mod inbox;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inbox::Inbox;
use socket2::{Domain, Protocol, Socket, Type};

use super::listener::{Clients, Place};
use super::tcp::peer;
use super::wait::{Deadline, either_readable, writable};
use super::{Connection, Endpoint, Kind, Listener, Reader, Stop, TransportError, Writer};

/// Largest datagram that IPv4 can carry.
const MAX_DATAGRAM: usize = 65_507;

/// What the system may hold for us while the receiving thread is busy.
const SYSTEM_BUFFER: usize = 1 << 20;

/// A peer that has sent but one datagram makes place for another after this time.
const STRANGER: Duration = Duration::from_secs(1);

type Inboxes = Arc<Mutex<HashMap<SocketAddr, Arc<Inbox>>>>;

pub(super) fn listen(
    address: SocketAddr,
    idle: Duration,
    stop: Stop,
    clients: Clients,
) -> Result<Listener, TransportError> {
    let (socket, local) = bind(address).map_err(|e| TransportError::listen(&Endpoint::Udp(address), e))?;
    Listener::start(Endpoint::Udp(local), clients, move |clients| {
        let post = Post { socket: Arc::new(socket), inboxes: Inboxes::default(), idle, clients };
        post.deliver(&stop);
    })
}

fn bind(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Systems give what they allow, which is enough to begin with.
    let _ = socket.set_recv_buffer_size(SYSTEM_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// The receiving thread.
struct Post {
    socket: Arc<UdpSocket>,
    inboxes: Inboxes,
    idle: Duration,
    clients: Clients,
}

impl Post {
    fn deliver(mut self, stop: &Stop) {
        let mut datagram = vec![0; MAX_DATAGRAM + 1];
        let mut swept = Instant::now();
        while !stop.is_set() {
            match self.socket.recv_from(&mut datagram) {
                // No packet is empty, so it says nothing.
                Ok((0, _)) => {}
                Ok((length, from)) => {
                    if let Some(bytes) = datagram.get(..length) {
                        self.sort(bytes, from);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wait = (!lock(&self.inboxes).is_empty()).then(|| Deadline::after(self.sweep_interval()));
                    if either_readable(&*self.socket, stop, wait.as_ref()).is_err() {
                        stop.wait(Duration::from_millis(100));
                    }
                }
                // Such as the network going down for a while.
                Err(_) => {
                    stop.wait(Duration::from_millis(10));
                }
            }
            if swept.elapsed() >= self.sweep_interval() {
                swept = Instant::now();
                lock(&self.inboxes).retain(|_, inbox| !inbox.is_closed() && !inbox.expires(self.idle));
            }
        }
        for (_, inbox) in lock(&self.inboxes).drain() {
            inbox.close();
        }
        self.clients.join();
    }

    fn sweep_interval(&self) -> Duration {
        (self.idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Puts a datagram into its peer's inbox, which is made if the peer is new and there is a place.
    fn sort(&mut self, bytes: &[u8], from: SocketAddr) {
        let known = lock(&self.inboxes).get(&from).cloned();
        if known.is_some_and(|inbox| inbox.put(bytes)) {
            return;
        }
        let Some(place) = self.place() else { return };
        let inbox = Arc::new(Inbox::with(bytes));
        lock(&self.inboxes).insert(from, Arc::clone(&inbox));
        let half =
            Half { inbox, inboxes: Arc::clone(&self.inboxes), socket: Arc::clone(&self.socket), from, _place: place };
        self.clients.serve(move || Some(half.connection()));
    }

    /// A place for a new peer, taken from a stranger if need be.
    fn place(&mut self) -> Option<Place> {
        if let Some(place) = self.clients.admit_quietly() {
            return Some(place);
        }
        // The place is free when the connection has been dropped, which takes a moment; a later datagram finds it.
        let mut inboxes = lock(&self.inboxes);
        let stranger = inboxes.iter().filter(|(_, inbox)| inbox.is_stranger(STRANGER)).map(|(from, _)| *from).next();
        if let Some(inbox) = stranger.and_then(|from| inboxes.remove(&from)) {
            inbox.close();
        }
        drop(inboxes);
        self.clients.admit()
    }
}

fn lock(inboxes: &Inboxes) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Inbox>>> {
    inboxes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What both halves of a virtual connection share; its inbox goes with the last of them.
struct Half {
    inbox: Arc<Inbox>,
    inboxes: Inboxes,
    socket: Arc<UdpSocket>,
    from: SocketAddr,
    _place: Place,
}

impl Half {
    fn connection(self) -> Connection {
        let peer = peer(Kind::Udp, self.from);
        let half = Arc::new(self);
        Connection { peer, reader: Box::new(InboxReader(Arc::clone(&half))), writer: Box::new(PostWriter(half)) }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.inbox.close();
        let mut inboxes = lock(&self.inboxes);
        // By now the peer may have a new one.
        if inboxes.get(&self.from).is_some_and(|there| Arc::ptr_eq(there, &self.inbox)) {
            inboxes.remove(&self.from);
        }
    }
}

struct InboxReader(Arc<Half>);

impl Reader for InboxReader {
    fn read(&mut self, into: &mut [u8], patience: Duration) -> io::Result<usize> {
        self.0.inbox.take(into, patience)
    }
}

struct PostWriter(Arc<Half>);

impl Writer for PostWriter {
    fn write(&mut self, packet: &[u8], patience: Duration) -> io::Result<()> {
        if self.0.inbox.is_closed() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let send = || self.0.socket.send_to(packet, self.0.from);
        send_datagram(&self.0.socket, send, &Deadline::after(patience))
    }

    fn close(&mut self) {
        self.0.inbox.close();
    }
}

fn send_datagram(socket: &UdpSocket, send: impl Fn() -> io::Result<usize>, deadline: &Deadline) -> io::Result<()> {
    loop {
        match send() {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if deadline.is_past() || !writable(socket, deadline)? {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the network takes no datagrams"));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Nothing is sent: whether somebody listens shows when somebody answers.
pub(super) fn connect(address: SocketAddr) -> Result<Connection, TransportError> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let dial = || {
        let (socket, _) = bind(any)?;
        socket.connect(address)?;
        Ok(socket)
    };
    let socket = dial().map_err(|e| TransportError::connect(&Endpoint::Udp(address), e))?;
    let closed = Stop::new().map_err(|e| TransportError::connect(&Endpoint::Udp(address), e))?;
    let line = Arc::new((socket, closed));
    let reader = SocketReader { line: Arc::clone(&line), datagram: vec![0; MAX_DATAGRAM + 1], unread: 0..0 };
    Ok(Connection { peer: peer(Kind::Udp, address), reader: Box::new(reader), writer: Box::new(SocketWriter(line)) })
}

/// The client's half.
struct SocketReader {
    line: Arc<(UdpSocket, Stop)>,
    datagram: Vec<u8>,
    /// What of the datagram did not fit into the last read.
    unread: std::ops::Range<usize>,
}

impl Reader for SocketReader {
    fn read(&mut self, into: &mut [u8], patience: Duration) -> io::Result<usize> {
        let (socket, closed) = &*self.line;
        let deadline = Deadline::after(patience);
        while self.unread.is_empty() {
            if closed.is_set() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match socket.recv(&mut self.datagram) {
                Ok(length) => self.unread = 0..length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !either_readable(socket, closed, Some(&deadline))? {
                        return Ok(0);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let rest = self.datagram.get(self.unread.clone()).unwrap_or_default();
        let taken = rest.len().min(into.len());
        into[..taken].copy_from_slice(&rest[..taken]);
        self.unread.start += taken;
        Ok(taken)
    }
}

struct SocketWriter(Arc<(UdpSocket, Stop)>);

impl Writer for SocketWriter {
    fn write(&mut self, packet: &[u8], patience: Duration) -> io::Result<()> {
        let (socket, closed) = &*self.0;
        if closed.is_set() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        send_datagram(socket, || socket.send(packet), &Deadline::after(patience))
    }

    fn close(&mut self) {
        self.0.1.set();
    }
}

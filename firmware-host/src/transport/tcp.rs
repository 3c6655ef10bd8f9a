//! TCP sockets.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::listener::{Clients, Place};
use super::stream;
use super::wait::either_readable;
use super::{Connection, Endpoint, Kind, Listener, Peer, Stop, TransportError};

/// Connections that the system keeps until they are taken.
pub(super) const BACKLOG: i32 = 64;

/// Probes begin after this silence and follow each other at this interval.
const PROBE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// So many unanswered probes are the end.
const PROBES: u32 = 3;

/// How long a listener rests that cannot take clients, for want of descriptors by all experience.
const REST: Duration = Duration::from_millis(100);

pub(super) fn listen(address: SocketAddr, stop: Stop, clients: Clients) -> Result<Listener, TransportError> {
    let (listener, local) = bind(address).map_err(|e| TransportError::listen(&Endpoint::Tcp(address), e))?;
    Listener::start(Endpoint::Tcp(local), clients, move |clients| {
        serve(&listener, &stop, clients, |stream, address, place| {
            Some(stream::connection(peer(Kind::Tcp, address), stream, Some(place)))
        });
    })
}

/// A socket that listens and does not block, and where it is.
pub(super) fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A service that is started again need not wait for the connections of the one before to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` means all addresses, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Takes clients until `stop`, each being greeted in a thread of its own.
pub(super) fn serve(
    listener: &TcpListener,
    stop: &Stop,
    clients: Clients,
    greet: impl Fn(TcpStream, SocketAddr, Place) -> Option<Connection> + Clone + Send + 'static,
) {
    take_clients(
        listener,
        || listener.accept(),
        stop,
        clients,
        |(stream, address), place| {
            let greet = greet.clone();
            move || match prepare(&stream) {
                Ok(()) => greet(stream, address, place),
                // It has gone already.
                Err(_) => None,
            }
        },
    );
}

/// The loop of all listeners of stream sockets.
pub(super) fn take_clients<S, G>(
    listener: impl AsFd,
    take: impl Fn() -> io::Result<S>,
    stop: &Stop,
    mut clients: Clients,
    greet: impl Fn(S, Place) -> G,
) where
    G: FnOnce() -> Option<Connection> + Send + 'static,
{
    let mut told = false;
    while !stop.is_set() {
        match take() {
            Ok(client) => {
                told = false;
                // Who finds no place is closed by being dropped.
                if let Some(place) = clients.admit() {
                    clients.serve(greet(client, place));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if either_readable(&listener, stop, None).is_err() {
                    stop.wait(REST);
                }
            }
            // The client's fault, not ours: it has gone before it was taken.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                if !told {
                    tracing::warn!("clients cannot be taken for now: {error}");
                    told = true;
                }
                stop.wait(REST);
            }
        }
    }
    drop(listener);
    clients.join();
}

/// Answers are small and wanted now; who vanishes without a word is found out.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let (time, interval) = PROBE;
    let probes = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&probes)?;
    // Probes are not sent while something sent is unacknowledged, which else may last a quarter of an hour.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(time + interval * PROBES))?;
    Ok(())
}

/// The peer at an address.
pub(super) fn peer(kind: Kind, address: SocketAddr) -> Peer {
    // A socket of `[::]` sees IPv4 peers as mapped addresses.
    let ip = address.ip().to_canonical();
    let name = format!("{kind} {}", SocketAddr::new(ip, address.port()));
    Peer { kind, name, trusted: ip.is_loopback(), baud: None }
}

pub(super) fn connect(address: SocketAddr, patience: Duration) -> Result<Connection, TransportError> {
    let stream = dial(address, patience).map_err(|e| TransportError::connect(&Endpoint::Tcp(address), e))?;
    Ok(stream::connection(peer(Kind::Tcp, address), stream, None))
}

/// A connected socket that does not block.
pub(super) fn dial(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience.max(Duration::from_millis(1)))?;
    prepare(&stream)?;
    Ok(stream)
}

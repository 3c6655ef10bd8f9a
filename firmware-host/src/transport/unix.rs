//! Unix domain sockets.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::listener::Clients;
use super::tcp::{BACKLOG, take_clients};
use super::wait::Deadline;
use super::{Connection, Endpoint, Kind, Listener, Peer, Stop, TransportError, stream};

/// The owner and the group may connect, others not.
const MODE: u32 = 0o660;

pub(super) fn listen(path: &Path, stop: Stop, clients: Clients) -> Result<Listener, TransportError> {
    let endpoint = Endpoint::Unix(path.into());
    let failed = |error| TransportError::listen(&endpoint, error);
    clear(path)?;
    let listener = bind(path).map_err(failed)?;
    let file = SocketFile::at(path).map_err(failed)?;
    let path = path.to_path_buf();
    Listener::start(endpoint.clone(), clients, move |clients| {
        let number = AtomicU64::new(1);
        let take = || listener.accept().map(|(stream, _)| stream);
        take_clients(&listener, take, &stop, clients, |stream: UnixStream, place| {
            let peer = peer(&path, Some(number.fetch_add(1, Ordering::Relaxed)));
            move || {
                stream.set_nonblocking(true).ok()?;
                Some(stream::connection(peer, stream, Some(place)))
            }
        });
        drop(file);
    })
}

/// Removes a socket that nobody listens at any more. Anything else that is there stays.
fn clear(path: &Path) -> Result<(), TransportError> {
    let endpoint = Endpoint::Unix(path.into());
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(there) if !there.file_type().is_socket() => return Err(TransportError::NoSocket { path: path.into() }),
        Ok(_) => {}
    }
    match dial(path, Duration::ZERO) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!("removed {}, which an earlier run has left", path.display());
            fs::remove_file(path).map_err(|e| TransportError::listen(&endpoint, e))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Somebody listens, even if he is too busy or does not let us in.
        Ok(_) | Err(_) => Err(TransportError::listen(&endpoint, io::ErrorKind::AddrInUse.into())),
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux gives the file the mode of the socket, so that there is no moment in which anybody may connect.
    let _ = fchmod(&socket, Mode::from_raw_mode(MODE));
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from(socket))
}

/// The file of a socket, removed at the end if it is still that.
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(SocketFile { path: path.into(), id: id(path)? })
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|id| id == self.id) {
            // If it cannot be removed, the next start does.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn peer(path: &Path, number: Option<u64>) -> Peer {
    let number = number.map(|number| format!(" #{number}")).unwrap_or_default();
    Peer { kind: Kind::Unix, name: format!("{} {}{number}", Kind::Unix, path.display()), trusted: true, baud: None }
}

pub(super) fn connect(path: &Path, patience: Duration) -> Result<Connection, TransportError> {
    let stream = dial(path, patience).map_err(|e| TransportError::connect(&Endpoint::Unix(path.into()), e))?;
    Ok(stream::connection(peer(path, None), stream, None))
}

/// A connected socket that does not block.
fn dial(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let deadline = Deadline::after(patience);
    let address = SockAddr::unix(path)?;
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Ok(()) => return Ok(UnixStream::from(socket)),
            // More clients wait than the system keeps; it tells nobody when that has passed.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !deadline.is_past() => {
                std::thread::sleep(deadline.left().min(Duration::from_millis(5)));
            }
            Err(error) => return Err(error),
        }
    }
}

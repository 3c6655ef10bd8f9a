//! Readers and writers of whatever carries plain bytes: TCP, Unix sockets, serial ports.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::listener::Place;
use super::wait::{Deadline, either_readable, readable, writable};
use super::{Connection, Peer, Reader, Stop, Writer};

/// Something that takes and gives bytes and never waits.
pub(super) trait ByteStream: AsFd + Send + Sync + 'static {
    /// Takes what has come; `Ok(0)` is the end.
    fn take(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Gives what there is room for.
    fn give(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Ends both directions and wakes who waits; what was given is still delivered.
    fn shut(&self);

    /// Set when it was shut, where shutting does not make it readable.
    fn was_shut(&self) -> Option<&Stop> {
        None
    }

    /// Whether the other end can make sense of what follows a packet that was cut off.
    fn survives_cuts(&self) -> bool {
        false
    }

    /// See [`Writer::set_baud`].
    fn set_baud(&self, _baud: u32) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "only serial lines have a speed"))
    }
}

impl ByteStream for TcpStream {
    fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut stream = self;
        stream.read(into)
    }

    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = self;
        stream.write(bytes)
    }

    fn shut(&self) {
        // An error says that it has ended already.
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl ByteStream for UnixStream {
    fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut stream = self;
        stream.read(into)
    }

    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = self;
        stream.write(bytes)
    }

    fn shut(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// Takes bytes, waiting for them until the deadline; `Ok(0)` means that none came, an end is an error.
pub(super) fn receive(stream: &impl ByteStream, into: &mut [u8], deadline: &Deadline) -> io::Result<usize> {
    if into.is_empty() {
        return Ok(0);
    }
    loop {
        match stream.take(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(taken) => return Ok(taken),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let came = match stream.was_shut() {
            None => readable(stream, deadline)?,
            Some(shut) => either_readable(stream, shut, Some(deadline))?,
        };
        if !came {
            return Ok(0);
        }
        if stream.was_shut().is_some_and(Stop::is_set) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Gives all bytes, waiting for room until the deadline. Fails with how many were given.
pub(super) fn send(stream: &impl ByteStream, bytes: &[u8], deadline: &Deadline) -> Result<(), (usize, io::Error)> {
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "the client does not read");
    let mut given = 0;
    let mut last_try = false;
    while let Some(rest) = bytes.get(given..).filter(|rest| !rest.is_empty()) {
        match stream.give(rest) {
            Ok(0) => return Err((given, io::ErrorKind::WriteZero.into())),
            Ok(more) => given += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !last_try => match writable(stream, deadline) {
                Ok(true) => last_try = deadline.is_past(),
                Ok(false) => return Err((given, timed_out())),
                Err(error) => return Err((given, error)),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err((given, timed_out())),
            Err(error) => return Err((given, error)),
        }
    }
    Ok(())
}

/// A stream and the place of its client; both go when the last half is dropped.
struct Held<S> {
    /// The first to go: who sees the stream's end may count on a place.
    _place: Option<Place>,
    stream: S,
}

/// The connection over a stream that does not block.
pub(super) fn connection(peer: Peer, stream: impl ByteStream, place: Option<Place>) -> Connection {
    let held = Arc::new(Held { stream, _place: place });
    let writer = StreamWriter { held: Arc::clone(&held), ended: false };
    Connection { peer, reader: Box::new(StreamReader { held }), writer: Box::new(writer) }
}

struct StreamReader<S> {
    held: Arc<Held<S>>,
}

impl<S: ByteStream> Reader for StreamReader<S> {
    fn read(&mut self, into: &mut [u8], patience: Duration) -> io::Result<usize> {
        receive(&self.held.stream, into, &Deadline::after(patience))
    }
}

struct StreamWriter<S> {
    held: Arc<Held<S>>,
    ended: bool,
}

impl<S: ByteStream> Writer for StreamWriter<S> {
    fn write(&mut self, packet: &[u8], patience: Duration) -> io::Result<()> {
        if self.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let stream = &self.held.stream;
        send(stream, packet, &Deadline::after(patience)).map_err(|(given, error)| {
            if given > 0 && !stream.survives_cuts() {
                self.ended = true;
                stream.shut();
            }
            error
        })
    }

    fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        self.held.stream.set_baud(baud)
    }

    fn close(&mut self) {
        self.ended = true;
        self.held.stream.shut();
    }
}

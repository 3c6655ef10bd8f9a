//! WebSockets: a packet is a binary message, a line of text mode a text message.
//!
//! The frames are our own reading and writing on one socket, so that two threads use it at once: the reader decodes what
//! comes, the writer sends whole frames. Only a pong or a farewell that the reader owes crosses over, and whoever holds the
//! sending side then sends it.

mod client;
mod frames;
mod origin;
mod upgrade;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frames::{Decoder, Event, MAX_MESSAGE, Role};
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::listener::{Clients, Place};
use super::stream::{ByteStream, receive, send};
use super::tcp;
use super::wait::Deadline;
use super::{Connection, Endpoint, Kind, Listener, Options, Peer, Reader, Stop, TransportError, Writer};

/// Bytes taken from the socket at a time.
const BUFFER: usize = 8192;

pub(super) fn listen(
    address: SocketAddr,
    options: &Options,
    stop: Stop,
    clients: Clients,
) -> Result<Listener, TransportError> {
    let failed = |error| TransportError::listen(&Endpoint::WebSocket(address), error);
    let (listener, local) = tcp::bind(address).map_err(failed)?;
    let (patience, origins) = (options.handshake, Arc::new(origin::Rule::new(&options.origins)));
    Listener::start(Endpoint::WebSocket(local), clients, move |clients| {
        tcp::serve(&listener, &stop.clone(), clients, move |stream, address, place| {
            let peer = tcp::peer(Kind::WebSocket, address);
            match upgrade::answer(&stream, &origins, &Deadline::after(patience), &stop) {
                Ok(early) => Some(connection(peer, stream, Role::Server, early, Some(place))),
                Err(reason) => {
                    tracing::info!("{}: refused: {reason}", peer.name);
                    None
                }
            }
        });
    })
}

pub(super) fn connect(address: SocketAddr, patience: Duration) -> Result<Connection, TransportError> {
    let endpoint = Endpoint::WebSocket(address);
    let deadline = Deadline::after(patience);
    let stream = tcp::dial(address, patience).map_err(|e| TransportError::connect(&endpoint, e))?;
    let early = client::ask(&stream, address, &deadline).map_err(|error| match error {
        client::Refusal::Io(error) => TransportError::connect(&endpoint, error),
        client::Refusal::Said(reason) => TransportError::Upgrade { endpoint: endpoint.to_string(), reason },
    })?;
    Ok(connection(tcp::peer(Kind::WebSocket, address), stream, Role::Client, early, None))
}

/// The connection over a socket that is a WebSocket by now; `early` came behind the handshake.
fn connection(peer: Peer, stream: TcpStream, role: Role, early: Vec<u8>, place: Option<Place>) -> Connection {
    let socket = Arc::new(Socket { stream, role, out: Mutex::default(), owed: Mutex::default(), _place: place });
    let writer = FrameWriter { socket: Arc::clone(&socket), frame: Vec::new() };
    let came = early.len();
    let mut buffer = early;
    buffer.resize(came.max(BUFFER), 0);
    let reader = FrameReader { socket, decoder: Decoder::new(role), buffer, unread: 0..came, ended: None };
    Connection { peer, reader: Box::new(reader), writer: Box::new(writer) }
}

struct Socket {
    /// The first to go: who sees the stream's end may count on a place.
    _place: Option<Place>,
    stream: TcpStream,
    role: Role,
    /// Held while sending; who reads only ever tries to have it.
    out: Mutex<Outgoing>,
    owed: Mutex<Owed>,
}

/// The state of the sending side.
#[derive(Default)]
struct Outgoing {
    /// What of a control frame found no room yet. Nothing else may be sent before it.
    rest: Vec<u8>,
    /// Whether a farewell was sent, or a frame was cut off, after which nothing may be sent.
    closed: bool,
}

/// Control frames that the reader wants to be sent.
#[derive(Default)]
struct Owed {
    /// Only the latest ping need be answered (RFC 6455, section 5.5.3).
    pong: Option<Vec<u8>>,
    close: Option<CloseCode>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Socket {
    /// A fresh mask for a frame, if this side masks.
    fn mask(&self) -> Option<[u8; 4]> {
        // Masks need only be unforeseeable to those who choose the payload (RFC 6455, section 10.3).
        (self.role == Role::Client).then(|| (RandomState::new().hash_one(()) as u32).to_le_bytes())
    }

    /// Sends what is owed as far as there is room now, unless another thread is sending; that one does it then.
    fn pay(&self) {
        loop {
            let Ok(mut out) = self.out.try_lock() else { return };
            if out.closed {
                return;
            }
            if out.rest.is_empty() {
                let mut owed = lock(&self.owed);
                let mask = self.mask();
                if let Some(pong) = owed.pong.take() {
                    frames::append(OpCode::Control(Control::Pong), &pong, mask, &mut out.rest);
                }
                if let Some(code) = owed.close {
                    let code = u16::from(code).to_be_bytes();
                    frames::append(OpCode::Control(Control::Close), &code, mask, &mut out.rest);
                }
            }
            let sent = match send(&self.stream, &out.rest, &Deadline::after(Duration::ZERO)) {
                Ok(()) => out.rest.len(),
                Err((given, _)) => given,
            };
            out.rest.drain(..sent);
            let is_stuck = !out.rest.is_empty();
            let owed = lock(&self.owed);
            if owed.close.is_some() && !is_stuck {
                out.closed = true;
                self.stream.shut();
            }
            let is_paid = owed.pong.is_none() && owed.close.is_none();
            drop(owed);
            drop(out);
            // Without this look, what came to be owed while we held the lock would have to wait for the next packet.
            if is_stuck || is_paid {
                return;
            }
        }
    }

    /// Says farewell, and ends the socket even if the other side does not read it.
    fn close(&self, code: CloseCode) {
        lock(&self.owed).close.get_or_insert(code);
        self.pay();
        self.stream.shut();
    }
}

struct FrameReader {
    socket: Arc<Socket>,
    decoder: Decoder,
    buffer: Vec<u8>,
    unread: std::ops::Range<usize>,
    ended: Option<io::ErrorKind>,
}

impl FrameReader {
    fn end(&mut self, kind: io::ErrorKind, code: CloseCode) -> io::Error {
        self.ended = Some(kind);
        self.socket.close(code);
        kind.into()
    }
}

impl Reader for FrameReader {
    fn read(&mut self, into: &mut [u8], patience: Duration) -> io::Result<usize> {
        let deadline = Deadline::after(patience);
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(kind) = self.ended {
                return Err(kind.into());
            }
            let mut input = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let decoded = self.decoder.decode(&mut input, into);
            self.unread.start = self.unread.end - input.len();
            let (put, event) = match decoded {
                Ok(decoded) => decoded,
                Err(frames::Fault(code)) => return Err(self.end(io::ErrorKind::InvalidData, code)),
            };
            match event {
                None => {}
                Some(Event::Ping(bytes)) => {
                    lock(&self.socket.owed).pong = Some(bytes);
                    self.socket.pay();
                }
                Some(Event::Close(code)) => {
                    let error = self.end(io::ErrorKind::UnexpectedEof, code);
                    // What came before the farewell is still handed on.
                    return if put > 0 { Ok(put) } else { Err(error) };
                }
            }
            if put > 0 {
                return Ok(put);
            }
            if !self.unread.is_empty() {
                if deadline.is_past() {
                    return Ok(0);
                }
                continue;
            }
            // A pong that found no room is tried again.
            self.socket.pay();
            match receive(&self.socket.stream, &mut self.buffer, &deadline) {
                Ok(0) => return Ok(0),
                Ok(came) => self.unread = 0..came,
                Err(error) => {
                    self.ended = Some(error.kind());
                    return Err(error);
                }
            }
        }
    }
}

struct FrameWriter {
    socket: Arc<Socket>,
    /// Kept for its memory.
    frame: Vec<u8>,
}

impl Writer for FrameWriter {
    fn write(&mut self, packet: &[u8], patience: Duration) -> io::Result<()> {
        let deadline = Deadline::after(patience);
        if packet.len() as u64 > MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message of a WebSocket has at most 1 MiB"));
        }
        let (kind, payload) = match packet.strip_suffix(b"\n") {
            Some(line) if std::str::from_utf8(line).is_ok() => (Data::Text, line),
            _ => (Data::Binary, packet),
        };
        let mut out = lock(&self.socket.out);
        if out.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.frame.clear();
        self.frame.append(&mut out.rest);
        let before = self.frame.len();
        frames::append(OpCode::Data(kind), payload, self.socket.mask(), &mut self.frame);
        let sent = send(&self.socket.stream, &self.frame, &deadline).map_err(|(given, error)| {
            if given > before {
                out.closed = true;
                self.socket.stream.shut();
            } else {
                out.rest.extend_from_slice(self.frame.get(given..before).unwrap_or_default());
            }
            error
        });
        drop(out);
        self.socket.pay();
        sent
    }

    fn close(&mut self) {
        self.socket.close(CloseCode::Normal);
    }
}

//! [`Link`]: messages over a connection, one at a time.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use cutout_protocol::message::Grant;
use cutout_protocol::timing::transfer_us;
use cutout_protocol::{
    Accumulator, DELIMITER, Feed, Header, MAX_PACKET, Message, PacketError, RETRY, Tag, encode, open,
};

use crate::transport::Connection;

/// After this silence a packet gets a delimiter before it, as noise may have come.
const SILENCE: Duration = Duration::from_millis(100);

/// Longest wait for room on a socket. A serial line's own time comes on top.
const WRITE: Duration = Duration::from_secs(5);

/// What went over a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes that were sent, delimiters and all.
    pub sent: u64,
    /// Bytes that came.
    pub received: u64,
    /// Packets that came.
    pub packets: u64,
    /// Packets that were lost on the way here, by the gaps in their numbers.
    pub lost: u64,
    /// Packets that came damaged.
    pub damaged: u64,
    /// Requests, or parts of answers, that were asked for again.
    pub retries: u64,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A message; see [`Link::message`].
    Message,
    /// A damaged packet of this request.
    Damaged(u32),
    /// A packet of another version, and which; this is the request that it says it is about.
    Foreign(u32, u8),
    /// Nothing until the deadline.
    Quiet,
}

/// Messages over a connection.
pub(super) struct Link {
    connection: Option<Connection>,
    name: String,
    baud: u32,
    accumulator: Box<Accumulator<MAX_PACKET>>,
    input: Vec<u8>,
    unread: Range<usize>,
    /// The packet that came last.
    packet: Vec<u8>,
    out: Vec<u8>,
    seq: u16,
    /// The number of the packet that came last.
    their_seq: Option<u16>,
    last_sent: Option<Instant>,
    /// Data packets that the service may send unasked in all, and that it may still send; 0 and unused: no limit.
    window: u16,
    taken: u16,
    pub(super) traffic: Traffic,
}

impl Link {
    pub(super) fn new(connection: Connection, window: u16) -> Self {
        Link {
            name: connection.peer.name.clone(),
            baud: connection.peer.baud.unwrap_or(0),
            connection: Some(connection),
            accumulator: Box::default(),
            input: vec![0; 4096],
            unread: 0..0,
            packet: Vec::with_capacity(MAX_PACKET),
            // Room for a delimiter before the packet.
            out: vec![0; MAX_PACKET + 1],
            seq: 0,
            their_seq: None,
            last_sent: None,
            window,
            taken: 0,
            traffic: Traffic::default(),
        }
    }

    pub(super) fn peer(&self) -> &str {
        &self.name
    }

    /// Bits per second of a serial line; 0 for a socket.
    pub(super) fn baud(&self) -> u32 {
        self.baud
    }

    /// Time since something was sent.
    pub(super) fn silence(&self) -> Duration {
        self.last_sent.map_or(Duration::MAX, |sent| sent.elapsed())
    }

    pub(super) fn close(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.writer.close();
        }
        self.connection = None;
    }

    fn connection(&mut self) -> io::Result<&mut Connection> {
        self.connection.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Changes the speed of the line.
    pub(super) fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        self.connection()?.writer.set_baud(baud)?;
        self.baud = baud;
        self.accumulator.reset();
        self.unread = 0..0;
        self.last_sent = None;
        Ok(())
    }

    /// Sends a message, and says how many bytes it took.
    pub(super) fn send(&mut self, request: u32, flags: u8, message: &Message<'_>) -> io::Result<usize> {
        let Some((delimiter, room)) = self.out.split_first_mut() else { return Err(io::ErrorKind::Other.into()) };
        *delimiter = DELIMITER;
        let tag = Tag { flags, seq: self.seq, request };
        let length = encode(tag, message, room).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let from = usize::from(self.last_sent.is_some_and(|sent| sent.elapsed() < SILENCE));
        let bytes = self.out.get(from..=length).unwrap_or_default();
        let patience = WRITE + 2 * Duration::from_micros(transfer_us(bytes.len(), self.baud));
        let connection = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        connection.writer.write(bytes, patience)?;
        let sent = bytes.len();
        self.last_sent = Some(Instant::now());
        self.seq = self.seq.wrapping_add(1);
        self.traffic.sent += sent as u64;
        if flags & RETRY != 0 {
            self.fill_window();
        }
        Ok(sent)
    }

    /// What the service knows after a Hello, a Fetch or a request with RETRY: all of the window is free.
    pub(super) fn fill_window(&mut self) {
        self.taken = 0;
    }

    /// Grants credits for data packets that were taken, once they are half of the window.
    pub(super) fn took_data(&mut self) -> io::Result<()> {
        if self.window == 0 {
            return Ok(());
        }
        self.taken = self.taken.saturating_add(1);
        if self.taken >= self.window.div_ceil(2) {
            let packets = std::mem::take(&mut self.taken);
            self.send(0, 0, &Message::Grant(Grant { packets }))?;
        }
        Ok(())
    }

    /// Waits for what comes next, until the deadline.
    pub(super) fn next(&mut self, deadline: Instant) -> io::Result<Event> {
        loop {
            while !self.unread.is_empty() {
                let (used, feed) = self.accumulator.feed(self.input.get(self.unread.clone()).unwrap_or_default());
                self.unread.start += used;
                let Feed::Packet(bytes) = feed else {
                    // Lines are for people, garbage for nobody.
                    if used == 0 {
                        self.unread = 0..0;
                    }
                    continue;
                };
                self.packet.clear();
                self.packet.extend_from_slice(bytes);
                if let Some(event) = self.judge() {
                    return Ok(event);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let connection = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let got = connection.reader.read(&mut self.input, left)?;
            self.unread = 0..got;
            self.traffic.received += got as u64;
            if got == 0 && left.is_zero() {
                return Ok(Event::Quiet);
            }
        }
    }

    /// What the packet is, if it is anything.
    fn judge(&mut self) -> Option<Event> {
        match open(&self.packet) {
            Ok((header, payload)) => {
                self.traffic.packets += 1;
                let expected = self.their_seq.map(|seq| seq.wrapping_add(1));
                let gap = expected.map_or(0, |expected| header.seq.wrapping_sub(expected));
                // A gap backwards is a datagram that was overtaken.
                if gap < 0x8000 {
                    self.traffic.lost += u64::from(gap);
                    self.their_seq = Some(header.seq);
                }
                match Message::decode(header.kind, payload) {
                    Ok(_) => Some(Event::Message),
                    // A message of a newer service, which this client did not ask for.
                    Err(_) => None,
                }
            }
            Err(PacketError::BadVersion { version, request, .. }) => Some(Event::Foreign(request, version)),
            Err(PacketError::BadCrc { request, .. } | PacketError::BadLength { request, .. }) => {
                self.traffic.damaged += 1;
                Some(Event::Damaged(request))
            }
            Err(PacketError::BadHeader) => {
                self.traffic.damaged += 1;
                None
            }
        }
    }

    /// The message that came last, after [`Event::Message`].
    pub(super) fn message(&self) -> Option<(Header, Message<'_>)> {
        let (header, payload) = open(&self.packet).ok()?;
        Some((header, Message::decode(header.kind, payload).ok()?))
    }
}

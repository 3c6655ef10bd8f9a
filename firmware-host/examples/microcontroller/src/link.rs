//! [`Link`]: packets over a serial port, with the grants that keep a small buffer from overflowing.

use cutout_protocol::message::{Chunk, Grant, Result as Head, Track};
use cutout_protocol::timing::answer_timeout_ms;
use cutout_protocol::{
    Accumulator, DELIMITER, ErrorCode, Feed, HEADER_SIZE, Header, Message, PacketError, Tag, encode, open, wire_size,
};

use crate::board::{BAUD, RECEIVED};
use crate::trouble::Trouble;

/// Bytes of a payload that are taken.
pub(crate) const MAX_PAYLOAD: usize = 256;
/// Data packets that may be on their way.
pub(crate) const WINDOW: u16 = 3;

/// What comes in one packet; behind it, of what is on the way, nothing may be lost: the window, again as much where the service was
/// asked anew by mistake, and one small message.
const PACKET: usize = wire_size(MAX_PAYLOAD);
const _: () = assert!((2 * WINDOW as usize + 1) * PACKET <= RECEIVED);

/// The longest of what is sent, and the delimiter before it.
const SENT: usize = 1 + wire_size(Track::MAX_SIZE);

/// What a board has to be able to do.
pub(crate) trait Port {
    /// Milliseconds since some moment; wraps.
    fn now_ms(&self) -> u32;
    /// Takes bytes that came, none if none came within some milliseconds.
    fn read(&mut self, into: &mut [u8]) -> usize;
    /// Sends bytes.
    fn write(&mut self, bytes: &[u8]);
}

/// A time that passes.
#[derive(Clone, Copy)]
pub(crate) struct Timer {
    start: u32,
    ms: u32,
}

/// What [`Link::next`] found.
pub(crate) enum Event {
    /// A message, to be had by [`Link::message`].
    Message,
    /// A packet came damaged; its header is whole.
    Damaged {
        /// Which request it is about.
        request: u32,
        /// Which message it is.
        kind: u8,
    },
    /// Nothing, and the time is over.
    Quiet,
}

/// What went over the line.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Bytes sent.
    pub(crate) sent: u32,
    /// Bytes that came.
    pub(crate) received: u32,
    /// Whole packets that came.
    pub(crate) packets: u32,
    /// Packets that came damaged, and bytes between packets that are none.
    pub(crate) damaged: u32,
    /// Packets that did not come, by the gaps between the numbers of those that did.
    pub(crate) lost: u32,
}

/// See the module.
pub(crate) struct Link<P> {
    /// The board.
    pub(crate) port: P,
    /// What went over it so far.
    pub(crate) traffic: Traffic,
    accumulator: Accumulator<PACKET>,
    input: [u8; 64],
    /// Bytes of the input that are not looked at yet: from, to.
    waiting: (usize, usize),
    /// The last packet, its stuffing undone.
    packet: [u8; PACKET],
    header: Option<Header>,
    payload: usize,
    out: [u8; SENT],
    seq: u16,
    /// Number of the next packet that should come.
    expected: Option<u16>,
}

impl<P: Port> Link<P> {
    /// Over this port.
    pub(crate) fn new(port: P) -> Self {
        Link {
            port,
            traffic: Traffic::default(),
            accumulator: Accumulator::new(),
            input: [0; 64],
            waiting: (0, 0),
            packet: [0; PACKET],
            header: None,
            payload: 0,
            out: [0; SENT],
            seq: 0,
            expected: None,
        }
    }

    /// A time from now on.
    pub(crate) fn timer(&self, ms: u32) -> Timer {
        Timer { start: self.port.now_ms(), ms }
    }

    /// Time for an answer of so many bytes on the wire to a request of so many, the work taking `work_ms`.
    pub(crate) fn patience(&self, request_bytes: usize, answer_bytes: usize, work_ms: u32) -> Timer {
        self.timer(answer_timeout_ms(request_bytes, answer_bytes, BAUD, work_ms))
    }

    /// Whether a time is over.
    pub(crate) fn is_over(&self, timer: Timer) -> bool {
        self.port.now_ms().wrapping_sub(timer.start) >= timer.ms
    }

    /// Sends a message; gives its bytes on the wire.
    ///
    /// # Errors
    /// If it is longer than any that a client sends.
    pub(crate) fn send(&mut self, request: u32, flags: u8, message: &Message<'_>) -> Result<usize, Trouble> {
        let tag = Tag { flags, seq: self.seq, request };
        let (first, rest) = self.out.split_first_mut().ok_or(Trouble::TooLong)?;
        *first = DELIMITER;
        let length = 1 + encode(tag, message, rest).map_err(|_| Trouble::TooLong)?;
        self.seq = self.seq.wrapping_add(1);
        self.port.write(self.out.get(..length).unwrap_or_default());
        self.traffic.sent = self.traffic.sent.wrapping_add(length as u32);
        Ok(length)
    }

    /// Waits for the next packet, and grants another for each that takes a credit.
    ///
    /// # Errors
    /// None that can happen; see [`send`](Self::send).
    pub(crate) fn next(&mut self, timer: Timer) -> Result<Event, Trouble> {
        loop {
            let Some(length) = self.packet(timer) else { return Ok(Event::Quiet) };
            let (event, kind) = match open(self.packet.get(..length).unwrap_or_default()) {
                Ok((header, payload)) => {
                    (self.header, self.payload) = (Some(header), payload.len());
                    self.note(header.seq);
                    (Event::Message, header.kind)
                }
                Err(fault) => {
                    self.header = None;
                    self.traffic.damaged += 1;
                    match fault {
                        PacketError::BadHeader | PacketError::BadVersion { .. } => continue,
                        PacketError::BadLength { kind, request } | PacketError::BadCrc { kind, request } => {
                            (Event::Damaged { request, kind }, kind)
                        }
                    }
                }
            };
            if matches!(kind, Head::KIND | Chunk::KIND) || self.is_grant_damaged() {
                self.send(0, 0, &Grant { packets: 1 }.into())?;
            }
            return Ok(event);
        }
    }

    /// Whether the message that came says that a grant did not come whole.
    fn is_grant_damaged(&self) -> bool {
        match self.message() {
            Some((0, Message::Error(error))) => error.of == Grant::KIND && error.code == ErrorCode::BadCrc,
            _ => false,
        }
    }

    /// The message that came last and whose it is, unless it is none that this version knows.
    pub(crate) fn message(&self) -> Option<(u32, Message<'_>)> {
        let header = self.header?;
        let payload = self.packet.get(HEADER_SIZE..HEADER_SIZE.checked_add(self.payload)?)?;
        Some((header.request, Message::decode(header.kind, payload).ok()?))
    }

    /// The length of the next packet, which is then in `packet`.
    fn packet(&mut self, timer: Timer) -> Option<usize> {
        loop {
            let (from, to) = self.waiting;
            let (taken, found) = self.accumulator.feed(self.input.get(from..to).unwrap_or_default());
            self.waiting.0 = from.saturating_add(taken);
            match found {
                Feed::Packet(bytes) => {
                    let place = self.packet.get_mut(..bytes.len())?;
                    place.copy_from_slice(bytes);
                    return Some(bytes.len());
                }
                Feed::Garbage | Feed::Line(_) => self.traffic.damaged += 1,
                Feed::More => {
                    if self.is_over(timer) {
                        return None;
                    }
                    let count = self.port.read(&mut self.input);
                    self.waiting = (0, count);
                    self.traffic.received = self.traffic.received.wrapping_add(count as u32);
                }
            }
        }
    }

    fn note(&mut self, seq: u16) {
        self.traffic.packets += 1;
        let skipped = seq.wrapping_sub(self.expected.unwrap_or(seq));
        // A service that was started anew counts from elsewhere.
        if skipped < 256 {
            self.traffic.lost += u32::from(skipped);
        }
        self.expected = Some(seq.wrapping_add(1));
    }
}

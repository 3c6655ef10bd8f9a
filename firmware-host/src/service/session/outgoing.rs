//! [`Outgoing`]: what is to be sent to a client, packet by packet, answers no faster than it grants.

use std::collections::VecDeque;
use std::sync::Arc;

use cutout_protocol::message::{Chunk, Result as Head};
use cutout_protocol::{MAX_PACKET, MAX_PAYLOAD, Message, Tag, encode, wire_size};

/// Bytes of a Result and of a Chunk before their data.
const RESULT_FIXED: usize = Head::MIN_SIZE;
const CHUNK_FIXED: usize = Chunk::MIN_SIZE;
/// Answers, or parts of them, that may wait to be sent.
const TRANSFERS: usize = 32;

/// An answer, or a part of one, on its way.
struct Transfer {
    request: u32,
    /// Of an answer that is sent from its start.
    head: Option<Head<'static>>,
    body: Arc<[u8]>,
    at: usize,
    end: usize,
}

/// See the module.
pub(super) struct Outgoing {
    seq: u16,
    /// Whole packets and lines of text, each no longer than a packet may be.
    ready: VecDeque<Vec<u8>>,
    transfers: VecDeque<Transfer>,
    /// Packets with data that the client can take; `None`: any number.
    credit: Option<u16>,
    /// What the credit is when nothing is on the way; 0: no limit.
    window: u16,
    max_payload: usize,
    buffer: Box<[u8; MAX_PACKET]>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Outgoing {
            seq: 0,
            ready: VecDeque::new(),
            transfers: VecDeque::new(),
            credit: None,
            window: 0,
            max_payload: MAX_PAYLOAD,
            buffer: Box::new([0; MAX_PACKET]),
        }
    }
}

impl Outgoing {
    /// Begins anew with a client that takes payloads of this size and, unless 0, so many packets with data at once.
    pub(super) fn begin(&mut self, max_payload: u16, window: u16) {
        self.ready.clear();
        self.transfers.clear();
        self.max_payload = usize::from(max_payload).clamp(RESULT_FIXED + 1, MAX_PAYLOAD);
        self.window = window;
        self.grant_window();
    }

    /// The client takes so many packets with data more.
    pub(super) fn grant(&mut self, packets: u16) {
        self.credit = self.credit.map(|left| left.saturating_add(packets));
    }

    /// Nothing is on the way any more.
    pub(super) fn grant_window(&mut self) {
        self.credit = (self.window > 0).then_some(self.window);
    }

    /// Whether some of a request's answer waits to be sent.
    pub(super) fn has(&self, request: u32) -> bool {
        self.transfers.iter().any(|transfer| transfer.request == request)
    }

    /// A message; texts in it are cut to what the client can take.
    pub(super) fn message(&mut self, request: u32, message: &Message<'_>) {
        let mut message = message.clone();
        if !message.fit(self.max_payload) {
            return tracing::error!("a client takes no {}: it takes {} bytes", message.name(), self.max_payload);
        }
        self.seq = self.seq.wrapping_add(1);
        let mut packet = vec![0; wire_size(message.payload_size())];
        match encode(Tag { flags: 0, seq: self.seq, request }, &message, &mut packet) {
            Ok(length) => {
                packet.truncate(length);
                self.ready.push_back(packet);
            }
            Err(full) => tracing::error!("a message does not fit its packet: {full}"),
        }
    }

    /// Lines of text; each is cut to what fits.
    pub(super) fn text(&mut self, text: &str) {
        for line in text.lines() {
            let mut bytes: Vec<u8> = line.bytes().take(MAX_PACKET - 2).collect();
            bytes.extend(b"\r\n");
            self.ready.push_back(bytes);
        }
    }

    /// An answer from its start. Parts of the same one that wait are replaced. False if too much waits.
    pub(super) fn answer(&mut self, request: u32, head: Head<'static>, body: Arc<[u8]>) -> bool {
        self.drop_request(request);
        let end = body.len();
        self.push(Transfer { request, head: Some(head), body, at: 0, end })
    }

    /// A part of an answer's body. False if too much waits.
    pub(super) fn part(&mut self, request: u32, body: Arc<[u8]>, from: usize, to: usize) -> bool {
        let end = to.min(body.len());
        // What of it waits already would come twice.
        self.transfers.retain(|t| t.request != request || t.head.is_some() || t.at < from || t.end > end);
        from >= end || self.push(Transfer { request, head: None, body, at: from, end })
    }

    fn push(&mut self, transfer: Transfer) -> bool {
        let room = self.transfers.len() < TRANSFERS;
        if room {
            self.transfers.push_back(transfer);
        }
        room
    }

    /// Sends no more of a request's answer.
    pub(super) fn drop_request(&mut self, request: u32) {
        self.transfers.retain(|transfer| transfer.request != request);
    }

    /// Whether messages or lines wait.
    pub(super) fn has_messages(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether so many answers wait that another one is not worth its making.
    pub(super) fn is_full(&self) -> bool {
        self.transfers.len() >= TRANSFERS / 4
    }

    /// Whether something can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty() || (!self.transfers.is_empty() && self.credit != Some(0))
    }

    /// The next packet, or line of text.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if let Some(packet) = self.ready.pop_front() {
            let room = self.buffer.get_mut(..packet.len())?;
            room.copy_from_slice(&packet);
            return Some(room);
        }
        if self.credit == Some(0) {
            return None;
        }
        let transfer = self.transfers.front_mut()?;
        self.seq = self.seq.wrapping_add(1);
        let tag = Tag { flags: 0, seq: self.seq, request: transfer.request };
        let fixed = if transfer.head.is_some() { RESULT_FIXED } else { CHUNK_FIXED };
        let until = transfer.end.min(transfer.at + self.max_payload.saturating_sub(fixed));
        let data = &transfer.body[transfer.at..until];
        let message = match transfer.head.take() {
            Some(head) => Message::Result(Head { data, ..head }),
            None => Message::Chunk(Chunk { offset: transfer.at as u32, data }),
        };
        let length = encode(tag, &message, &mut self.buffer[..]);
        transfer.at = until;
        if transfer.at >= transfer.end {
            self.transfers.pop_front();
        }
        self.credit = self.credit.map(|left| left.saturating_sub(1));
        self.buffer.get(..length.ok()?)
    }
}

/// Most bytes of a body whose answer takes at most `budget` bytes on the wire, in payloads of at most `max_payload`; `None` if not even an
/// empty one does.
pub(super) fn room(budget: usize, max_payload: u16) -> Option<usize> {
    let max_payload = usize::from(max_payload).clamp(RESULT_FIXED + 1, MAX_PAYLOAD);
    let mut left = budget.checked_sub(wire_size(RESULT_FIXED))?;
    let first = max_payload - RESULT_FIXED;
    let fitting = |left: usize, fixed: usize, most: usize| {
        (0..=most).rev().find(|&data| wire_size(fixed + data) <= left + wire_size(fixed)).unwrap_or(0)
    };
    let mut room = fitting(left, RESULT_FIXED, first);
    left -= wire_size(RESULT_FIXED + room) - wire_size(RESULT_FIXED);
    if room < first {
        return Some(room);
    }
    let whole = max_payload - CHUNK_FIXED;
    let chunks = left / wire_size(CHUNK_FIXED + whole);
    room += chunks * whole;
    left -= chunks * wire_size(CHUNK_FIXED + whole);
    if let Some(left) = left.checked_sub(wire_size(CHUNK_FIXED)) {
        room += fitting(left, CHUNK_FIXED, whole);
    }
    Some(room)
}

/// Bytes on the wire that any answer takes at least.
pub(super) const LEAST_BUDGET: usize = wire_size(RESULT_FIXED);

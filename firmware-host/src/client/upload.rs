//! Frames of the client's own.

use std::time::{Duration, Instant};

use cutout_protocol::message::{UploadBegin, UploadChunk, UploadState};
use cutout_protocol::timing::answer_timeout_ms;
use cutout_protocol::{ErrorCode, Format, Message, RETRY, crc32, wire_size};

use super::ask::Question;
use super::link::Event;
use super::{AT_ONCE_MS, Client, ClientError, Refusal, millis};

/// Bytes of a chunk's payload that are not data.
const OFFSET: usize = 4;

impl Client {
    /// Uploads a frame and gives its number. Rows of pixels are without padding; a picture file ([`Format::Picture`]) has
    /// size 0 by 0. `progress` is told how many bytes have arrived.
    ///
    /// # Errors
    /// If the service takes no such frame, or does not answer.
    pub fn upload(
        &mut self,
        bytes: &[u8],
        (width, height): (u16, u16),
        format: Format,
        mut progress: impl FnMut(u32),
    ) -> Result<u32, ClientError> {
        let limit = self.caps.max_upload;
        let length = u32::try_from(bytes.len()).ok().filter(|length| limit == 0 || *length <= limit);
        let Some(length) = length else { return Err(ClientError::UploadTooLarge { bytes: bytes.len(), limit }) };
        let begin = UploadBegin { width, height, format, bytes: length, crc: crc32(bytes) };
        let message = Message::UploadBegin(begin);
        // A complete upload is answered when its picture is decoded.
        let work_ms = millis(self.options.work);
        let question = Question { message: &message, answer_bytes: wire_size(UploadState::MAX_SIZE), work_ms };
        let request = self.number();
        self.persist(|client, flags| Upload::new(client, bytes, request).run(&question, flags, &mut progress))
    }
}

/// An upload on its way.
struct Upload<'a> {
    client: &'a mut Client,
    bytes: &'a [u8],
    request: u32,
    /// Bytes that have arrived from the first on, and bytes that were sent.
    received: u32,
    sent: u32,
    /// Where the upload has gone back to, which it does once for each place.
    back: Option<u32>,
    tries: u32,
    /// How often all was there and wrong.
    corrupt: u32,
}

impl<'a> Upload<'a> {
    fn new(client: &'a mut Client, bytes: &'a [u8], request: u32) -> Self {
        Upload { client, bytes, request, received: 0, sent: 0, back: None, tries: 0, corrupt: 0 }
    }

    fn run(&mut self, question: &Question<'_>, flags: u8, progress: &mut impl FnMut(u32)) -> Result<u32, ClientError> {
        let start = Instant::now();
        let mut flags = flags;
        loop {
            // Where to go on: at the start, after a time-out, over a new connection.
            let state = self.client.attempt(self.request, flags, question, &mut |answer| match answer {
                Message::UploadState(state) => Some(*state),
                _ => None,
            })?;
            flags = RETRY;
            if state.frame > 0 {
                return Ok(state.frame);
            }
            if state.received > self.received {
                self.tries = 0;
            }
            (self.received, self.sent, self.back) = (state.received, state.received, None);
            if let Some(frame) = self.feed(progress)? {
                return Ok(frame);
            }
            self.tries += 1;
            self.client.link.traffic.retries += 1;
            if self.tries >= self.client.options.tries {
                return Err(self.client.silent(question.message, self.tries, start));
            }
        }
    }

    /// Sends chunks and reads how far they are, until all has arrived (the frame's number) or nothing comes any more.
    fn feed(&mut self, progress: &mut impl FnMut(u32)) -> Result<Option<u32>, ClientError> {
        let payload = usize::from(self.client.caps.max_payload).clamp(64, cutout_protocol::MAX_PAYLOAD);
        let chunk = payload - OFFSET;
        let window = usize::from(self.client.caps.window.max(1)).saturating_mul(chunk);
        loop {
            progress(self.received);
            // As much as may be under way.
            while let Some(data) = self.next_chunk(chunk, window) {
                let length = data.len() as u32;
                let message = Message::UploadChunk(UploadChunk { offset: self.sent, data });
                let sent = self.client.link.send(self.request, 0, &message);
                sent.map_err(|e| self.client.lost(e))?;
                self.sent += length;
            }
            let under_way = self.sent.saturating_sub(self.received) as usize;
            let all = self.sent as usize == self.bytes.len();
            let work = if all { millis(self.client.options.work) } else { AT_ONCE_MS };
            let on_wire = under_way.div_ceil(chunk).saturating_mul(wire_size(payload));
            let baud = self.client.link.baud();
            let patience = answer_timeout_ms(on_wire, wire_size(UploadState::MAX_SIZE), baud, work);
            match self.state(Instant::now() + Duration::from_millis(patience.into()))? {
                None => return Ok(None),
                Some(state) if state.frame > 0 => {
                    progress(self.bytes.len() as u32);
                    return Ok(Some(state.frame));
                }
                Some(state) => self.advance(state.received),
            }
        }
    }

    /// What is to be sent next, if it may be.
    fn next_chunk(&self, chunk: usize, window: usize) -> Option<&'a [u8]> {
        let start = self.sent as usize;
        let end = start.saturating_add(chunk).min(self.bytes.len());
        let may = end.saturating_sub(self.received as usize) <= window;
        self.bytes.get(start..end).filter(|data| may && !data.is_empty())
    }

    fn advance(&mut self, received: u32) {
        if received > self.received {
            self.tries = 0;
            self.received = received;
            self.sent = self.sent.max(received);
        } else if received == self.received && self.back != Some(received) {
            // Said twice: what comes there was lost.
            self.back = Some(received);
            self.sent = received;
        }
    }

    /// Waits for the service to say how far the upload is.
    fn state(&mut self, deadline: Instant) -> Result<Option<UploadState>, ClientError> {
        loop {
            match self.client.link.next(deadline).map_err(|e| self.client.lost(e))? {
                Event::Quiet => return Ok(None),
                Event::Foreign(..) | Event::Damaged(_) => {}
                Event::Message => {
                    let Some((header, message)) = self.client.link.message() else { continue };
                    match message {
                        _ if header.request != self.request => {}
                        Message::UploadState(state) => return Ok(Some(state)),
                        // All was there and wrong, and begins anew.
                        Message::Error(error) if error.code == ErrorCode::BadCrc && error.of == UploadBegin::KIND => {
                            self.corrupt += 1;
                            if self.corrupt >= self.client.options.tries {
                                return Err(ClientError::Refused(Refusal::new(&error)));
                            }
                            (self.received, self.sent, self.back) = (0, 0, None);
                            return Ok(Some(UploadState { received: 0, frame: 0 }));
                        }
                        // A chunk was damaged, which shows as a gap.
                        Message::Error(error) if error.code == ErrorCode::BadCrc => {}
                        Message::Error(error) => return Err(ClientError::Refused(Refusal::new(&error))),
                        _ => {}
                    }
                }
            }
        }
    }
}

//! Answers that come in parts.

use std::time::{Duration, Instant};

use cutout_protocol::message::{Chunk, Fetch};
use cutout_protocol::timing::answer_timeout_ms;
use cutout_protocol::{Assembly, ErrorCode, Message, Missing, Progress, RETRY, wire_size};

use super::answer::Head;
use super::ask::{Busy, Question};
use super::link::Event;
use super::{AT_ONCE_MS, Answer, Client, ClientError, Refusal};

impl Client {
    /// Asks for an answer with a body, and puts it together.
    pub(super) fn collect(&mut self, question: &Question<'_>) -> Result<Answer, ClientError> {
        let start = Instant::now();
        let before = self.link.traffic;
        let request = self.number();
        let mut buffer = self.take_buffer();
        let collected = self.persist(|client, flags| {
            let mut parts = Parts::new(&mut buffer, request, question);
            parts.run(client, flags)
        });
        self.buffer = buffer;
        let (head, body) = collected?;
        let mut answer = Answer::new(request, head, body)?;
        answer.round_trip = start.elapsed();
        answer.sent = self.link.traffic.sent - before.sent;
        answer.received = self.link.traffic.received - before.received;
        Ok(answer)
    }
}

impl Client {
    /// Room for the longest answer. It is made once: to fill so much memory with zeros for each answer takes longer than most
    /// answers do.
    fn take_buffer(&mut self) -> Vec<u8> {
        match std::mem::take(&mut self.buffer) {
            buffer if buffer.len() == self.options.max_answer => buffer,
            _ => vec![0; self.options.max_answer],
        }
    }
}

/// Tries without anything new before shorter packets are asked for.
const TRIES_AT_A_LENGTH: u32 = 2;

/// An answer on its way.
struct Parts<'a> {
    question: &'a Question<'a>,
    request: u32,
    assembly: Assembly<'a>,
    head: Option<Head>,
    /// Where the bytes end that were asked for last: when these are there, what still lacks was lost.
    end: u32,
    deadline: Instant,
    busy: Busy,
    /// Tries since the last packet that brought something new.
    tries: u32,
    /// How often the whole was there and wrong.
    corrupt: u32,
}

/// What is to be done next.
enum Next {
    Wait,
    /// Ask for what lacks.
    Ask,
    Done,
}

impl<'a> Parts<'a> {
    fn new(buffer: &'a mut [u8], request: u32, question: &'a Question<'a>) -> Self {
        Parts {
            question,
            request,
            assembly: Assembly::new(buffer),
            head: None,
            end: 0,
            deadline: Instant::now(),
            busy: Busy::default(),
            tries: 0,
            corrupt: 0,
        }
    }

    fn run(&mut self, client: &mut Client, flags: u8) -> Result<(Head, Vec<u8>), ClientError> {
        let begin = Instant::now();
        self.ask(client, flags)?;
        loop {
            let event = client.link.next(self.deadline).map_err(|e| client.lost(e))?;
            let next = match event {
                Event::Quiet => Next::Ask,
                Event::Foreign(of, version) if of == self.request => return Err(ClientError::Version(version)),
                // A damaged part shows as a gap; a damaged head has to be asked for.
                Event::Damaged(of) if of == self.request && self.head.is_none() => Next::Ask,
                Event::Foreign(..) | Event::Damaged(_) => Next::Wait,
                Event::Message => self.take(client)?,
            };
            match next {
                Next::Wait => {}
                Next::Ask if self.tries >= client.options.tries => {
                    return Err(client.silent(self.question.message, self.tries, begin));
                }
                Next::Ask => {
                    client.link.traffic.retries += 1;
                    if self.tries.is_multiple_of(TRIES_AT_A_LENGTH) {
                        client.shorten()?;
                    }
                    self.ask(client, RETRY)?;
                }
                Next::Done => {
                    if let (Some(head), Some(body)) = (self.head, self.assembly.body()) {
                        return Ok((head, body.to_vec()));
                    }
                }
            }
        }
    }

    /// Asks for the answer, or for the first bytes of it that lack.
    fn ask(&mut self, client: &mut Client, flags: u8) -> Result<(), ClientError> {
        self.tries += 1;
        let start = Instant::now();
        match self.assembly.missing() {
            None => {
                let sent = client.link.send(self.request, flags, self.question.message).map_err(|e| client.lost(e))?;
                self.deadline = self.question.deadline(start, sent, client.link.baud());
            }
            Some(Missing { offset, length }) => {
                let fetch = Message::Fetch(Fetch { offset, length });
                let sent = client.link.send(self.request, 0, &fetch).map_err(|e| client.lost(e))?;
                client.link.fill_window();
                self.end = offset.saturating_add(length);
                let patience = answer_timeout_ms(sent, on_wire(length, client), client.link.baud(), AT_ONCE_MS);
                self.deadline = start + Duration::from_millis(patience.into());
            }
        }
        Ok(())
    }

    /// Takes a message, if it is of this answer.
    fn take(&mut self, client: &mut Client) -> Result<Next, ClientError> {
        let Some((header, message)) = client.link.message() else { return Ok(Next::Wait) };
        if header.request != self.request {
            // What is late from an earlier answer took room as well.
            if matches!(message, Message::Result(_) | Message::Chunk(_)) {
                client.link.took_data().map_err(|e| client.lost(e))?;
            }
            return Ok(Next::Wait);
        }
        let (progress, end) = match message {
            Message::Error(error) => return self.refused(&Refusal::new(&error)),
            Message::Result(result) => {
                if self.head.is_none() {
                    self.end = result.total;
                }
                self.head = Some(Head::of(&result));
                (self.assembly.result(&result), result.data.len() as u32)
            }
            Message::Chunk(chunk) => (self.assembly.chunk(&chunk), chunk_end(&chunk)),
            _ => return Ok(Next::Wait),
        };
        client.link.took_data().map_err(|e| client.lost(e))?;
        match progress {
            Progress::Complete => Ok(Next::Done),
            Progress::TooLarge(bytes) => Err(ClientError::TooLarge { bytes, limit: client.options.max_answer }),
            // The service answered anew, and other parts of the earlier answer are on their way.
            Progress::Corrupt => {
                self.corrupt += 1;
                Ok(if self.corrupt < client.options.tries { Next::Ask } else { Next::Wait })
            }
            // The head got lost; its time-out runs.
            Progress::Headless | Progress::Foreign => Ok(Next::Wait),
            Progress::Missing(missing) => {
                self.tries = 0;
                let left = self.end.saturating_sub(missing.offset);
                let patience = answer_timeout_ms(0, on_wire(left, client), client.link.baud(), AT_ONCE_MS);
                self.deadline = Instant::now() + Duration::from_millis(patience.into());
                Ok(if end >= self.end { Next::Ask } else { Next::Wait })
            }
        }
    }

    fn refused(&mut self, refusal: &Refusal) -> Result<Next, ClientError> {
        let is_about_parts = refusal.of == Fetch::KIND;
        match refusal.code {
            ErrorCode::BadCrc => Ok(Next::Ask),
            // The answer is no longer kept: the question is asked anew, and answered anew.
            ErrorCode::StaleFrame if is_about_parts && self.corrupt == 0 => {
                self.corrupt += 1;
                self.assembly.reset();
                self.head = None;
                Ok(Next::Ask)
            }
            _ if self.busy.wait(refusal) => {
                self.tries = self.tries.saturating_sub(1);
                Ok(Next::Ask)
            }
            _ => Err(ClientError::Refused(refusal.clone())),
        }
    }
}

fn chunk_end(chunk: &Chunk<'_>) -> u32 {
    chunk.offset.saturating_add(chunk.data.len() as u32)
}

/// Bytes on the wire of so many bytes of a body.
fn on_wire(bytes: u32, client: &Client) -> usize {
    const OFFSET: usize = 4;
    let payload = usize::from(client.caps.max_payload).clamp(64, cutout_protocol::MAX_PAYLOAD);
    (bytes as usize).div_ceil(payload - OFFSET).saturating_mul(wire_size(payload))
}

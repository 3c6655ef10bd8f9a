//! Requests that one message answers.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use cutout_protocol::timing::answer_timeout_ms;
use cutout_protocol::{ErrorCode, Message, RETRY};

use super::link::Event;
use super::{Client, ClientError, Refusal};

/// Longest time that a busy service is waited for, all its requests to wait together.
const MAX_BUSY: Duration = Duration::from_secs(10);

/// Something to be asked, and how long the answer may take.
pub(super) struct Question<'q> {
    pub(super) message: &'q Message<'q>,
    /// Bytes of the answer on the wire, at most or as far as that is known.
    pub(super) answer_bytes: usize,
    pub(super) work_ms: u32,
}

impl Question<'_> {
    /// When the answer has to be there, `sent` bytes having been given to the line at `start`.
    pub(super) fn deadline(&self, start: Instant, sent: usize, baud: u32) -> Instant {
        let patience = answer_timeout_ms(sent, self.answer_bytes, baud, self.work_ms);
        start + Duration::from_millis(patience.into())
    }
}

/// Keeps count of what a busy service asks for.
#[derive(Default)]
pub(super) struct Busy(Duration);

impl Busy {
    /// Waits as the service asks, and says whether it has not asked for too much.
    pub(super) fn wait(&mut self, refusal: &Refusal) -> bool {
        let pause = Duration::from_millis(refusal.detail.max(1).into());
        let is_bearable = refusal.code == ErrorCode::Busy && self.0 + pause <= MAX_BUSY;
        if is_bearable {
            self.0 += pause;
            thread::sleep(pause);
        }
        is_bearable
    }
}

impl Client {
    /// Asks until it is answered: after a Hello if the service has forgotten this client, and over a new connection if this
    /// one breaks or falls silent.
    pub(super) fn ask<T>(
        &mut self,
        question: &Question<'_>,
        mut read: impl FnMut(&Message<'_>) -> Option<T>,
    ) -> Result<T, ClientError> {
        let request = self.number();
        self.persist(|client, flags| client.attempt(request, flags, question, &mut read))
    }

    /// Runs an attempt, and again with RETRY after what can be mended.
    pub(super) fn persist<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self, u8) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let (mut greeted, mut revived, mut flags) = (false, false, 0);
        loop {
            match attempt(self, flags) {
                Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::Unauthorized && !greeted => {
                    greeted = true;
                    self.hello()?;
                }
                Err(error @ (ClientError::NoAnswer { .. } | ClientError::Lost { .. })) if !revived => {
                    revived = true;
                    self.revive(error)?;
                }
                ended => return ended,
            }
            flags = RETRY;
            self.link.traffic.retries += 1;
        }
    }

    /// Asks over this connection, a few times.
    pub(super) fn attempt<T>(
        &mut self,
        request: u32,
        mut flags: u8,
        question: &Question<'_>,
        read: &mut impl FnMut(&Message<'_>) -> Option<T>,
    ) -> Result<T, ClientError> {
        let begin = Instant::now();
        let mut busy = Busy::default();
        let mut tries = 0;
        while tries < self.options.tries {
            self.link.traffic.retries += u64::from(tries > 0);
            let start = Instant::now();
            let sent = self.link.send(request, flags, question.message).map_err(|e| self.lost(e))?;
            let deadline = question.deadline(start, sent, self.link.baud());
            flags = RETRY;
            tries += 1;
            loop {
                match self.link.next(deadline).map_err(|e| self.lost(e))? {
                    Event::Quiet => break,
                    Event::Foreign(of, version) if of == request => return Err(ClientError::Version(version)),
                    Event::Damaged(of) if of == request => break,
                    Event::Foreign(..) | Event::Damaged(_) => {}
                    Event::Message => {
                        let Some((header, message)) = self.link.message() else { continue };
                        match message {
                            _ if header.request != request => {}
                            Message::Error(error) => {
                                let refusal = Refusal::new(&error);
                                if refusal.code == ErrorCode::BadCrc {
                                    break;
                                }
                                if busy.wait(&refusal) {
                                    tries -= 1;
                                    break;
                                }
                                return Err(ClientError::Refused(refusal));
                            }
                            answer => {
                                if let Some(read) = read(&answer) {
                                    return Ok(read);
                                }
                            }
                        }
                    }
                }
            }
        }
        Err(self.silent(question.message, tries, begin))
    }

    pub(super) fn lost(&self, source: io::Error) -> ClientError {
        ClientError::Lost { peer: self.link.peer().into(), source }
    }

    pub(super) fn silent(&self, message: &Message<'_>, tries: u32, since: Instant) -> ClientError {
        let (peer, what) = (self.link.peer().into(), message.name());
        ClientError::NoAnswer { peer, what, tries, waited: since.elapsed() }
    }
}

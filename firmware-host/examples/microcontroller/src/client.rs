//! [`Client`]: requests that are asked again until they are answered.

use cutout_protocol::heapless::Vec;
use cutout_protocol::message::{Cancel, Caps, Fetch, Hello, Result as Data};
use cutout_protocol::{ErrorCode, Message, Missing, RETRY, SCHEMA_HASH, wire_size};

use crate::answer::{AT_ONCE_MS, Head, Next, Parts, chunks_on_wire};
use crate::link::{Event, Link, MAX_PAYLOAD, Port, Timer, WINDOW};
use crate::trouble::{Refusal, Trouble};

/// Time-outs in a row after which the client says Hello.
pub(crate) const TRIES: u32 = 3;
/// How often a request may lead to another Hello.
const GREETINGS: u32 = 5;
/// Hellos before there is no service: a board is up long before a computer is.
const HELLOS: u32 = 300;
/// Milliseconds that a busy service is waited for at a time, whatever it says.
const MAX_PAUSE_MS: u32 = 2000;
/// Bytes on the wire of any answer that is one message.
const SMALL: usize = wire_size(MAX_PAYLOAD);

/// Something to be asked.
#[derive(Clone, Copy)]
pub(crate) struct Question<'q> {
    /// The request.
    pub(crate) message: &'q Message<'q>,
    /// Bytes of the answer on the wire: the budget, or what there is room for.
    pub(crate) answer_bytes: usize,
    /// What it may take the service: the deadline, or what the client will bear.
    pub(crate) work_ms: u32,
}

/// See the module.
pub(crate) struct Client<P> {
    /// The line.
    pub(crate) link: Link<P>,
    /// How often something was asked again, or parts of an answer were.
    pub(crate) repeats: u32,
    /// Random, kept while the client runs.
    id: u64,
    request: u32,
    /// The last error after which something was asked again.
    said: Option<ErrorCode>,
}

impl<P: Port> Client<P> {
    /// A client of this number, which is to be random, or at least no other client's.
    pub(crate) fn new(link: Link<P>, id: u64) -> Self {
        Client { link, repeats: 0, id, request: 0, said: None }
    }

    /// A number for a new request.
    pub(crate) fn number(&mut self) -> u32 {
        self.request = self.request.wrapping_add(1).max(1);
        self.request
    }

    /// Says who it is, and asks what the service is.
    ///
    /// # Errors
    /// If there is none, or none that speaks as this client does.
    pub(crate) fn hello(&mut self) -> Result<Caps, Trouble> {
        let hello = Hello {
            client: self.id,
            schema: SCHEMA_HASH,
            max_payload: MAX_PAYLOAD as u16,
            window: WINDOW,
            token: Vec::new(),
        };
        let message = hello.into();
        let question = Question { message: &message, answer_bytes: SMALL, work_ms: AT_ONCE_MS };
        let request = self.number();
        let mut caps = None;
        self.exchange(request, &question, 0, HELLOS, &mut |message| {
            if let Message::Caps(found) = message {
                caps = Some(found.clone());
            }
            caps.is_some()
        })?;
        let caps = caps.ok_or(Trouble::Wrong("Caps"))?;
        if caps.schema == SCHEMA_HASH { Ok(caps) } else { Err(Trouble::Schema(caps.schema)) }
    }

    /// Asks what one message answers, until it is answered: until `read` makes something of it.
    ///
    /// # Errors
    /// If it is refused, or there is no answer.
    pub(crate) fn ask<T>(
        &mut self,
        request: u32,
        message: &Message<'_>,
        work_ms: u32,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<T, Trouble> {
        let question = Question { message, answer_bytes: SMALL, work_ms };
        let mut answer = None;
        self.persist(&mut |client, flags| {
            client.exchange(request, &question, flags, TRIES, &mut |message| {
                answer = read(message);
                answer.is_some()
            })
        })?;
        answer.ok_or_else(|| self.silent(message))
    }

    /// Asks for an answer with a body, until it is there whole: the first [`Head::total`] bytes of `body`.
    ///
    /// # Errors
    /// If it is refused, there is no answer, or it is too long.
    pub(crate) fn collect(
        &mut self,
        request: u32,
        question: &Question<'_>,
        flags: u8,
        body: &mut [u8],
    ) -> Result<Head, Trouble> {
        self.whole(request, question, Some(flags), body)
    }

    /// Waits for the next whole answer to a request that is answered again and again.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub(crate) fn next_answer(
        &mut self,
        request: u32,
        question: &Question<'_>,
        body: &mut [u8],
    ) -> Result<Head, Trouble> {
        self.whole(request, question, None, body)
    }

    /// Ends a request.
    ///
    /// # Errors
    /// If there is no answer.
    pub(crate) fn cancel(&mut self, request: u32) -> Result<(), Trouble> {
        self.ask(request, &Cancel {}.into(), AT_ONCE_MS, |message| matches!(message, Message::Done(_)).then_some(()))
    }

    fn whole(
        &mut self,
        request: u32,
        question: &Question<'_>,
        asking: Option<u8>,
        body: &mut [u8],
    ) -> Result<Head, Trouble> {
        let mut head = None;
        self.persist(&mut |client, again| {
            let asking = if again == 0 { asking } else { Some(again) };
            head = Some(client.answer(request, question, asking, body)?);
            Ok(())
        })?;
        head.ok_or_else(|| self.silent(question.message))
    }

    /// Runs an attempt, and again with RETRY after a Hello if the service is silent, or has forgotten this client.
    fn persist(&mut self, attempt: &mut dyn FnMut(&mut Self, u8) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let mut flags = 0;
        for _ in 0..GREETINGS {
            match attempt(self, flags) {
                Err(Trouble::Silent { .. }) => {}
                Err(Trouble::Refused(why)) if why.code == ErrorCode::Unauthorized => {}
                ended => return ended,
            }
            self.hello()?;
            flags = RETRY;
        }
        attempt(self, flags)
    }

    /// Asks a few times, over this line as it is, until `read` says that it has the answer.
    fn exchange(
        &mut self,
        request: u32,
        question: &Question<'_>,
        flags: u8,
        tries: u32,
        read: &mut dyn FnMut(&Message<'_>) -> bool,
    ) -> Result<(), Trouble> {
        for attempt in 0..tries {
            let timer = self.send(request, question, if attempt > 0 { RETRY } else { flags })?;
            loop {
                match self.link.next(timer)? {
                    Event::Quiet => break,
                    Event::Damaged { request: of, .. } if of == request => break,
                    Event::Damaged { .. } => continue,
                    Event::Message => {}
                }
                match self.link.message() {
                    Some((of, Message::Error(error))) if of == request => {
                        self.mend(Refusal::new(error))?;
                        break;
                    }
                    Some((of, message)) if of == request && read(&message) => return Ok(()),
                    _ => {}
                }
            }
        }
        Err(self.silent(question.message))
    }

    /// Puts an answer together: asks for it, unless `asking` is `None`, and for what lacks of it.
    fn answer(
        &mut self,
        request: u32,
        question: &Question<'_>,
        asking: Option<u8>,
        body: &mut [u8],
    ) -> Result<Head, Trouble> {
        let mut parts = Parts::new(body);
        let mut next = asking.map_or(Next::Wait, Next::Ask);
        let mut timer = self.link.patience(0, question.answer_bytes, question.work_ms);
        loop {
            match next {
                Next::Ask(flags) => timer = self.ask_for(request, question, &mut parts, flags)?,
                Next::WaitFor { bytes, work_ms } => timer = self.link.patience(0, bytes, work_ms),
                Next::Wait => {}
                Next::Done(head) => return Ok(head),
            }
            next = match self.link.next(timer)? {
                Event::Quiet => Next::Ask(RETRY),
                // Of a damaged part the gap tells; a damaged head has to be asked for.
                Event::Damaged { request: of, kind: Data::KIND } if of == request && parts.is_headless() => {
                    Next::Ask(RETRY)
                }
                Event::Damaged { .. } => Next::Wait,
                Event::Message => match self.link.message() {
                    Some((of, Message::Error(error))) if of == request => {
                        let why = Refusal::new(error);
                        if !parts.forget(&why) {
                            self.mend(why)?;
                        }
                        Next::Ask(RETRY)
                    }
                    Some((of, message)) if of == request => parts.take(&message)?,
                    _ => Next::Wait,
                },
            };
        }
    }

    /// Asks for an answer, or for the first bytes of it that lack.
    fn ask_for(
        &mut self,
        request: u32,
        question: &Question<'_>,
        parts: &mut Parts<'_>,
        flags: u8,
    ) -> Result<Timer, Trouble> {
        if !parts.may_ask() {
            return Err(self.silent(question.message));
        }
        match parts.missing() {
            None => self.send(request, question, flags),
            Some(Missing { offset, length }) => {
                self.repeats += 1;
                let sent = self.link.send(request, 0, &Fetch { offset, length }.into())?;
                Ok(self.link.patience(sent, chunks_on_wire(length as usize), AT_ONCE_MS))
            }
        }
    }

    fn silent(&self, message: &Message<'_>) -> Trouble {
        Trouble::Silent { what: message.name(), said: self.said }
    }

    fn send(&mut self, request: u32, question: &Question<'_>, flags: u8) -> Result<Timer, Trouble> {
        self.repeats += u32::from(flags & RETRY != 0);
        let sent = self.link.send(request, flags, question.message)?;
        Ok(self.link.patience(sent, question.answer_bytes, question.work_ms))
    }

    /// Does what an error asks for before the same is asked again.
    ///
    /// # Errors
    /// If asking again is of no use.
    fn mend(&mut self, why: Refusal) -> Result<(), Trouble> {
        match why.code {
            ErrorCode::BadCrc => {}
            ErrorCode::Busy => {
                let timer = self.link.timer(why.detail.min(MAX_PAUSE_MS));
                while !matches!(self.link.next(timer)?, Event::Quiet) {}
            }
            _ => return Err(Trouble::Refused(why)),
        }
        self.said = Some(why.code);
        Ok(())
    }
}

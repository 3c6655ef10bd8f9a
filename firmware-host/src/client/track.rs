//! Answers on frame after frame.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use cutout_protocol::message::{Cancel, Done, Ping, Prompt, Track};
use cutout_protocol::{Assembly, ErrorCode, Message, Progress, RETRY, wire_size};

use super::answer::Head;
use super::ask::{Busy, Question};
use super::link::Event;
use super::{AT_ONCE_MS, Answer, Client, ClientError, LARGEST, Refusal, heapless_bytes, millis};

/// How often a caller that has nothing to see is asked whether it goes on.
const TICK: Duration = Duration::from_millis(100);

/// A client that only listens says something now and then: a service forgets who is silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// What happens while something is tracked.
#[derive(Debug)]
pub enum Tracked<'a> {
    /// An answer about the next frame.
    Answer(&'a Answer),
    /// Nothing, for a moment.
    Waiting,
}

impl Client {
    /// Follows what the prompt means from frame to frame, and gives each answer to `each` until that breaks off. Answers that
    /// come in part only are left out: the next one is newer. Tracking goes on while the object is lost; see
    /// [`AnswerFlags::TRACK_LOST`](cutout_protocol::AnswerFlags::TRACK_LOST).
    ///
    /// # Errors
    /// If the service refuses, or falls silent and cannot be reached anew.
    pub fn track(
        &mut self,
        prompt: &Prompt,
        interval: Duration,
        mut each: impl FnMut(Tracked<'_>) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let message = Message::Track(Track { interval_ms: millis(interval), prompt: prompt.clone() });
        let request = self.number();
        let work = if prompt.deadline_ms > 0 { prompt.deadline_ms } else { millis(self.options.work) };
        let answer_bytes = if prompt.budget > 0 { prompt.budget as usize } else { LARGEST };
        let work_ms = work.saturating_add(millis(interval));
        let question = Question { message: &message, answer_bytes, work_ms };
        let mut buffer = vec![0; self.options.max_answer];
        self.persist(|client, flags| follow(client, request, flags, &question, &mut buffer, &mut each))?;
        let cancel = Message::Cancel(Cancel {});
        let question = Question { message: &cancel, answer_bytes: wire_size(Done::MAX_SIZE), work_ms: AT_ONCE_MS };
        self.attempt(request, 0, &question, &mut |answer| matches!(answer, Message::Done(_)).then_some(()))
    }
}

/// Gives answers to `each` until it breaks off, or nothing comes.
fn follow(
    client: &mut Client,
    request: u32,
    mut flags: u8,
    question: &Question<'_>,
    buffer: &mut [u8],
    each: &mut impl FnMut(Tracked<'_>) -> ControlFlow<()>,
) -> Result<(), ClientError> {
    let mut assembly = Assembly::new(buffer);
    let mut busy = Busy::default();
    let mut tries = 0;
    let mut newest = 0;
    let mut since = Instant::now();
    loop {
        if tries >= client.options.tries {
            return Err(client.silent(question.message, tries, since));
        }
        let start = Instant::now();
        let sent = client.link.send(request, flags, question.message).map_err(|e| client.lost(e))?;
        let mut deadline = question.deadline(start, sent, client.link.baud());
        client.link.traffic.retries += u64::from(tries > 0);
        flags = RETRY;
        tries += 1;
        let mut head: Option<Head> = None;
        let mut asked = start;
        let mut before = client.link.traffic;
        before.sent = before.sent.saturating_sub(sent as u64);
        // Until nothing comes.
        loop {
            if client.link.silence() > SIGN_OF_LIFE {
                let ping = Message::Ping(Ping { data: heapless_bytes(b"") });
                let number = client.number();
                client.link.send(number, 0, &ping).map_err(|e| client.lost(e))?;
            }
            let soon = deadline.min(Instant::now() + TICK);
            match client.link.next(soon).map_err(|e| client.lost(e))? {
                Event::Quiet if soon == deadline => break,
                Event::Quiet => {
                    if each(Tracked::Waiting).is_break() {
                        return Ok(());
                    }
                    continue;
                }
                Event::Foreign(of, version) if of == request => return Err(ClientError::Version(version)),
                Event::Foreign(..) | Event::Damaged(_) => continue,
                Event::Message => {}
            }
            let Some((header, message)) = client.link.message() else { continue };
            let progress = match message {
                _ if header.request != request => continue,
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
                Message::Result(result) => {
                    head = Some(Head::of(&result));
                    assembly.result(&result)
                }
                Message::Chunk(chunk) => assembly.chunk(&chunk),
                _ => continue,
            };
            client.link.took_data().map_err(|e| client.lost(e))?;
            deadline = question.deadline(Instant::now(), 0, client.link.baud());
            (tries, since) = (0, Instant::now());
            if let (Progress::Complete, Some(head), Some(body)) = (progress, head, assembly.body()) {
                // A service that was asked again says its last answer again.
                if head.sequence == newest {
                    continue;
                }
                newest = head.sequence;
                let mut answer = Answer::new(request, head, body.to_vec())?;
                answer.round_trip = asked.elapsed();
                asked = Instant::now();
                answer.sent = client.link.traffic.sent.saturating_sub(before.sent);
                answer.received = client.link.traffic.received.saturating_sub(before.received);
                before = client.link.traffic;
                if each(Tracked::Answer(&answer)).is_break() {
                    return Ok(());
                }
            }
        }
    }
}

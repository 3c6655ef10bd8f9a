//! What clients ask for by packets, and how it is answered.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use cutout_protocol::message::{self, Result as Head};
use cutout_protocol::{ErrorCode, Header, ItemSet, crc32};

use super::outgoing::{self, LEAST_BUDGET};
use super::requests::{Asked, Track, What};
use super::{Session, is_retry};
use crate::service::connection::Event;
use crate::service::convert::{self, Wanted};
use crate::service::memory::KeptAnswer;
use crate::service::metrics::{Answer, Stage};
use crate::service::work::{Answered, Ask, Followed, Found, FrameChoice, Job, Outcome, Refusal, Serial, TrackAsk};
use crate::service::{picture, work};

/// When a client that has too much waiting may ask again.
const BUSY_MS: u32 = 100;

fn deadline(now: Instant, ms: u32) -> Option<Instant> {
    (ms > 0).then(|| now + Duration::from_millis(u64::from(ms)))
}

impl Session {
    pub(super) fn prompt(&mut self, header: Header, payload: &[u8], prompt: &message::Prompt, now: Instant) {
        let checksum = crc32(payload);
        if self.is_known(header, checksum) {
            return;
        }
        if self.out.is_full() {
            return self.busy(header);
        }
        let Some(wanted) = self.wanted(header, prompt) else { return };
        let Some(ask) = self.mask(header, prompt) else { return };
        let deadline = deadline(now, prompt.deadline_ms);
        let what = What::Mask(wanted);
        let asked = Asked { deadline, ..self.asked(header, checksum, what) };
        self.submit(asked, convert::frame(prompt.frame), ask, now);
    }

    pub(super) fn capture(&mut self, header: Header, payload: &[u8], capture: message::Capture, now: Instant) {
        let checksum = crc32(payload);
        if self.is_known(header, checksum) {
            return;
        }
        let age = Duration::from_millis(u64::from(capture.max_age_ms));
        let since = now.checked_sub(age).unwrap_or(now);
        let deadline = deadline(now, capture.deadline_ms);
        let asked = Asked { deadline, ..self.asked(header, checksum, What::Frame) };
        self.submit(asked, FrameChoice::Since(since), Ask::Encode, now);
    }

    fn asked(&self, header: Header, checksum: u32, what: What) -> Asked {
        let serial = self.shared.hub.serial();
        Asked { serial, request: header.request, kind: header.kind, checksum, what, deadline: None, within: None }
    }

    /// Gives a request to the engine.
    pub(super) fn submit(&mut self, asked: Asked, frame: FrameChoice, ask: Ask, arrived: Instant) {
        let Some(post) = self.post.clone() else { return };
        let (serial, deadline) = (asked.serial, asked.deadline);
        self.requests.add(asked);
        // Where the session has ended, nobody waits for it.
        let reply: work::Reply = Box::new(move |outcome| drop(post.send(Event::Done(serial, outcome))));
        self.shared.hub.submit(Job {
            serial,
            client: self.client,
            owner: self.owner(),
            frame,
            ask,
            arrived,
            deadline,
            reply,
        });
    }

    /// Who owns the client's uploads: it, by its own number, also after it has come back; or the connection.
    pub(super) fn owner(&self) -> u64 {
        // 0 is nobody's.
        self.known.as_ref().map_or(u64::MAX - self.client, |known| known.id.max(1))
    }

    /// Whether a request comes again that was answered before, and is now again, or is being worked on. What was kept under a number that is
    /// used anew is forgotten.
    fn is_known(&mut self, header: Header, checksum: u32) -> bool {
        if !is_retry(header) {
            self.forget_work(header.request);
            self.requests.forget(header.request);
            self.out.drop_request(header.request);
            if let Some(mut memory) = self.memory() {
                memory.forget(header.request);
            }
            return false;
        }
        if self.requests.is_pending(header.request, checksum) {
            return true;
        }
        if let Some(message) = self.requests.recent(header.request, Some(checksum)) {
            let message = message.clone();
            self.out.message(header.request, &message);
            return true;
        }
        let kept = self.memory().and_then(|memory| memory.find(header.request).cloned());
        match kept.filter(|kept| kept.asked == checksum) {
            Some(kept) => {
                self.send(header, kept.head, kept.body);
                true
            }
            None => {
                // Another question under the number of one that is worked on takes its place.
                self.forget_work(header.request);
                false
            }
        }
    }

    /// What a number stands for is not wanted any more.
    fn forget_work(&mut self, request: u32) {
        for serial in self.requests.drop_request(request) {
            self.shared.hub.cancel(serial);
        }
    }

    fn send(&mut self, header: Header, head: Head<'static>, body: Arc<[u8]>) {
        if !self.out.answer(header.request, head, body) {
            self.busy(header);
        }
    }

    fn busy(&mut self, header: Header) {
        let error =
            message::Error::new(ErrorCode::Busy, header.kind, "too many answers wait to be sent: read them first");
        self.send_error(header.request, message::Error { detail: BUSY_MS, ..error });
    }

    /// What of the answer is wanted; where the budget holds none, the client is told.
    fn wanted(&mut self, header: Header, prompt: &message::Prompt) -> Option<Wanted> {
        let max_payload = self.known.as_ref().map_or(u16::MAX, |known| known.max_payload);
        let room = match prompt.budget {
            0 => Some(usize::MAX),
            budget => outgoing::room(usize::try_from(budget).unwrap_or(usize::MAX), max_payload),
        };
        match room {
            Some(room) => {
                let items = prompt.wanted.without(ItemSet::PICTURE);
                Some(Wanted { items, contour_points: prompt.contour_points, room })
            }
            None => {
                let text = format!("no answer fits {} bytes: the shortest takes {LEAST_BUDGET}", prompt.budget);
                let error = message::Error {
                    detail: LEAST_BUDGET as u32,
                    ..message::Error::new(ErrorCode::TooLarge, header.kind, &text)
                };
                self.send_error(header.request, error);
                None
            }
        }
    }

    /// The work that a prompt means; where it refines an answer that is not kept, the client is told.
    fn mask(&mut self, header: Header, prompt: &message::Prompt) -> Option<Ask> {
        let refined = match prompt.refine {
            0 => None,
            refine => {
                let kept = self.memory().and_then(|memory| memory.find(refine)?.mask.clone());
                if kept.is_none() {
                    let text = format!("the answer to request {refine} is not kept: prompt without `refine`");
                    self.error(header, ErrorCode::BadPrompt, &text);
                    return None;
                }
                kept
            }
        };
        match convert::prompt(prompt, refined.as_deref()) {
            Ok((prompt, choice, zoom)) => Some(Ask::Mask { prompt, choice, zoom }),
            Err(why) => {
                self.error(header, ErrorCode::BadPrompt, why);
                None
            }
        }
    }

    pub(super) fn track(&mut self, header: Header, track: &message::Track, payload: &[u8]) {
        let checksum = crc32(payload);
        if is_retry(header) && self.requests.is_pending(header.request, checksum) {
            return;
        }
        self.forget_work(header.request);
        self.out.drop_request(header.request);
        let Some(wanted) = self.wanted(header, &track.prompt) else { return };
        let Some(ask) = self.mask(header, &track.prompt) else { return };
        let interval = Duration::from_millis(u64::from(track.interval_ms));
        let within = track.prompt.deadline_ms;
        let within = (within > 0).then(|| Duration::from_millis(u64::from(within)));
        let asked = Asked { within, ..self.asked(header, checksum, What::Mask(wanted)) };
        if let Err(refusal) = self.begin_track(asked, convert::frame(track.prompt.frame), ask, interval) {
            self.refuse(header, &refusal);
        }
    }

    /// Lets the engine follow an object.
    pub(super) fn begin_track(
        &mut self,
        asked: Asked,
        frame: FrameChoice,
        ask: Ask,
        interval: Duration,
    ) -> Result<(), Refusal> {
        let (Some(post), Ask::Mask { prompt, .. }) = (self.post.clone(), ask) else { return Ok(()) };
        let serial = asked.serial;
        let untaken = Arc::new(AtomicBool::new(false));
        let reply = Arc::new(move |followed: Followed| drop(post.send(Event::Followed(serial, followed))));
        let ask = TrackAsk {
            serial,
            client: self.client,
            owner: self.owner(),
            frame,
            prompt,
            interval,
            deadline: asked.within,
            reply,
            untaken: untaken.clone(),
        };
        self.shared.hub.track(ask)?;
        self.requests.add_track(Track { asked, untaken });
        Ok(())
    }

    pub(super) fn track_answer(&mut self, serial: Serial, followed: Followed) {
        let Some(track) = self.requests.track(serial) else { return };
        let asked = track.asked.clone();
        match (followed.outcome, &asked.what) {
            (Ok(answered), What::Mask(wanted)) => {
                let (head, body) = self.answer_of(&answered, *wanted);
                let head = convert::followed(head, followed.sequence, followed.lost);
                self.count(Answer::Track);
                self.keep(&asked, &head, &body, answered.mask);
                self.send(asked.header(), head, body);
            }
            (Ok(_), _) => {}
            (Err(refusal), _) => {
                self.requests.end_track(serial);
                self.shared.hub.cancel(serial);
                self.refuse(asked.header(), &refusal);
            }
        }
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, asked: &Asked, outcome: Outcome) {
        let header = asked.header();
        let answered = match outcome {
            Ok(answered) => answered,
            Err(refusal) => return self.refuse(header, &refusal),
        };
        match &asked.what {
            What::Mask(wanted) => {
                let (head, body) = self.answer_of(&answered, *wanted);
                let took = answered.waited + answered.timings.total();
                self.keep(asked, &head, &body, answered.mask);
                if asked.deadline.is_some_and(|deadline| Instant::now() > deadline) {
                    // It is kept: who wants it in spite of that asks again.
                    return self.refuse(header, &Refusal::Deadline { needs: took, encoded: None });
                }
                self.count(Answer::Prompt);
                self.shared.metrics.answer_time.observe(took);
                self.send(header, head, body);
            }
            What::Frame => {
                let frame = convert::frame_message(&answered.frame);
                self.count(Answer::Capture);
                self.requests.answered(header.request, asked.checksum, frame.into());
                self.out.message(header.request, &frame.into());
            }
            What::Text { .. } => {}
        }
    }

    fn answer_of(&self, answered: &Answered, wanted: Wanted) -> (Head<'static>, Arc<[u8]>) {
        let start = Instant::now();
        let answer = convert::answer(answered, wanted, self.shared.facts.precision, start);
        self.shared.metrics.stages[Stage::Wait].observe(answered.waited);
        self.shared.metrics.frame_age.observe(answered.age);
        answer
    }

    fn keep(&mut self, asked: &Asked, head: &Head<'static>, body: &Arc<[u8]>, mask: Option<Found>) {
        let (head, body) = (*head, body.clone());
        if let Some(mut memory) = self.memory() {
            memory.keep(KeptAnswer { request: asked.request, asked: asked.checksum, head, body, mask });
        }
    }

    /// Tells why a request is not answered.
    fn refuse(&mut self, header: Header, refusal: &Refusal) {
        if matches!(refusal, Refusal::Deadline { .. }) {
            self.shared.metrics.deadlines_missed.inc();
        }
        if let Refusal::Internal(why) = refusal {
            tracing::error!(request = header.request, "a request failed: {why}");
        }
        self.send_error(header.request, convert::refusal(refusal, header.kind));
    }

    pub(super) fn fetch(&mut self, header: Header, fetch: message::Fetch) {
        let kept = self.memory().and_then(|memory| memory.find(header.request).map(|kept| kept.body.clone()));
        let Some(body) = kept else {
            let error =
                message::Error::new(ErrorCode::StaleFrame, header.kind, "this answer is not kept any more: ask again");
            let frame = self.shared.hub.state().oldest;
            return self.send_error(header.request, message::Error { frame, ..error });
        };
        let from = fetch.offset as usize;
        let to = if fetch.length == 0 { body.len() } else { from.saturating_add(fetch.length as usize) };
        if from >= body.len() {
            // Nothing is there, which is an answer as well.
            return self.out.message(header.request, &message::Chunk { offset: fetch.offset, data: &[] }.into());
        }
        if !self.out.part(header.request, body, from, to) {
            self.busy(header);
        }
    }

    pub(super) fn picture(&mut self, header: Header, payload: &[u8], asked: message::GetPicture) {
        let checksum = crc32(payload);
        if self.is_known(header, checksum) {
            return;
        }
        if self.out.is_full() {
            return self.busy(header);
        }
        let owner = self.owner();
        let start = Instant::now();
        let made = self.shared.hub.frame(&convert::frame(asked.frame), owner).and_then(|frame| {
            let jpeg = picture::jpeg(&frame, asked.max_side, asked.quality).map_err(Refusal::BadImage)?;
            Ok(convert::picture(&frame, &jpeg, self.shared.facts.precision, start))
        });
        match made {
            Ok((head, body)) => {
                let what = What::Frame;
                let asked = self.asked(header, checksum, what);
                self.count(Answer::Picture);
                self.keep(&asked, &head, &body, None);
                self.send(header, head, body);
            }
            Err(refusal) => self.refuse(header, &refusal),
        }
    }

    pub(super) fn cancel(&mut self, request: u32) {
        self.forget_work(request);
        self.out.drop_request(request);
        if self.upload.as_ref().is_some_and(|upload| upload.request() == request) {
            self.upload = None;
        }
    }
}

impl Asked {
    /// The header of the message, as far as answers to it need it.
    pub(super) fn header(&self) -> Header {
        Header { kind: self.kind, flags: 0, seq: 0, request: self.request }
    }
}

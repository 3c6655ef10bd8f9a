//! Lines of text from a bare terminal, and answers as lines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cutout_protocol::message::{self, Point, Prompt, Rect, Result as Head};
use cutout_protocol::text::{Command, HELP, Reply, TextError, parse};
use cutout_protocol::{ErrorCode, ItemSet, MAX_PACKET, Message};

use super::requests::{Asked, What};
use super::{Action, GUESSES, Session};
use crate::service::convert::{self, Wanted};
use crate::service::metrics::{Answer, Code};
use crate::service::work::{Answered, Ask, Followed, Found, FrameChoice, Outcome, Refusal, Serial};
use crate::service::{drawing, status};

/// What a line says of a mask, as far as there is room.
const ITEMS: ItemSet = ItemSet::BBOX.with(ItemSet::CENTROID).with(ItemSet::AREA).with(ItemSet::CONTOUR);

/// The same with ever less: fewer corners of the contour, then none, then the others from the last on.
const SHORTER: [(ItemSet, u16); 9] = [
    (ITEMS, 0),
    (ITEMS, 20),
    (ITEMS, 12),
    (ITEMS, 8),
    (ITEMS, 4),
    (ITEMS.without(ItemSet::CONTOUR), 0),
    (ItemSet::BBOX.with(ItemSet::CENTROID), 0),
    (ItemSet::BBOX, 0),
    (ItemSet(0), 0),
];
/// Lines in a row that mean nothing before they are no longer answered: whoever says that much nonsense may be another talker's answers.
const NONSENSE: u32 = 8;

/// What was typed so far.
#[derive(Default)]
pub(super) struct Lines {
    prompt: Prompt,
    refine: bool,
    /// The frame and the mask of the last answer.
    last: Option<(u32, Found)>,
    /// Something was typed since the last answer.
    changed: bool,
    nonsense: u32,
    /// A line's request is being worked on; lines that come meanwhile wait, so that each finds what the one before has done.
    busy: bool,
    waiting: VecDeque<String>,
}

/// Lines that wait for the one before; further ones are refused.
const WAITING: usize = 64;

impl Lines {
    /// What was asked for is not answered any more.
    pub(super) fn stop_waiting(&mut self) {
        self.busy = false;
        self.waiting.clear();
    }

    /// Nothing is asked for, and nothing was.
    fn is_empty(&self) -> bool {
        self.prompt.points.is_empty() && self.prompt.bbox.is_none() && self.last.is_none()
    }
}

impl Session {
    /// A line was typed.
    pub(super) fn line(&mut self, line: &str) {
        // A web page that makes a browser talk to this port is no terminal.
        if line.contains(" HTTP/1.") {
            return self.actions.push(Action::Close("it speaks HTTP; browsers come by --ws".into()));
        }
        if self.is_reflector() && !line.trim_start().to_ascii_uppercase().starts_with("TOKEN ") {
            return;
        }
        if !self.lines.busy {
            return self.typed_line(line);
        }
        match self.lines.waiting.len() < WAITING {
            true => self.lines.waiting.push_back(line.to_owned()),
            false => self.say_error(ErrorCode::Busy, "wait for the answer first"),
        }
    }

    /// Whether a line still has to be answered.
    pub(super) fn is_typing(&self) -> bool {
        self.lines.busy || !self.lines.waiting.is_empty()
    }

    fn typed_line(&mut self, line: &str) {
        let command = match parse(line) {
            Ok(command) => {
                self.lines.nonsense = 0;
                command
            }
            Err(fault) => {
                self.lines.nonsense = self.lines.nonsense.saturating_add(1);
                let code = if fault == TextError::EmptyBox { ErrorCode::BadPrompt } else { ErrorCode::Malformed };
                if self.lines.nonsense <= NONSENSE {
                    self.say_error(code, &fault.to_string());
                }
                return;
            }
        };
        if !self.trusted && !matches!(command, Command::Token(_) | Command::Help | Command::Blank) {
            return self.say_error(ErrorCode::Unauthorized, "type TOKEN and the service's token first");
        }
        match command {
            Command::Blank => {}
            Command::Help => {
                self.out.text(HELP);
                self.out.text("OK");
            }
            Command::Token(token) => self.typed_token(token),
            Command::Point { x, y, foreground } => {
                let point = Point { x, y, label: foreground.into() };
                self.lines.changed = true;
                match self.lines.prompt.points.push(point) {
                    Ok(()) => self.out.text("OK"),
                    Err(_) => self.say_error(ErrorCode::BadPrompt, "that is one point too many: CLEAR, or GO"),
                }
            }
            Command::Box { x0, y0, x1, y1 } => {
                self.lines.prompt.bbox = Some(Rect { x0, y0, x1, y1 });
                self.lines.changed = true;
                self.out.text("OK");
            }
            Command::Clear => {
                let frame = self.lines.prompt.frame;
                self.lines.prompt = Prompt { frame, ..Prompt::default() };
                self.lines.refine = false;
                self.out.text("OK");
            }
            Command::Frame(frame) => {
                self.lines.prompt.frame = frame;
                self.out.text("OK");
            }
            Command::Refine => self.typed_refine(),
            Command::Go { .. } | Command::Show | Command::Track { .. } if self.lines.is_empty() => {
                self.say_error(ErrorCode::BadPrompt, "nothing is asked for yet: type P x y, or B x0 y0 x1 y1, first");
            }
            Command::Go { budget, deadline_ms } => {
                self.lines.prompt.budget = budget;
                self.lines.prompt.deadline_ms = deadline_ms;
                self.go(false);
            }
            Command::Show => match self.lines.last.clone() {
                Some((_, mask)) if !self.lines.changed => {
                    self.draw(&mask);
                    self.out.text("OK");
                }
                _ => self.go(true),
            },
            Command::Track { interval_ms } => self.typed_track(interval_ms),
            Command::Stop => {
                let tracks = self.requests.text_tracks();
                for serial in tracks {
                    self.requests.end_track(serial);
                    self.shared.hub.cancel(serial);
                }
                self.out.text("OK");
            }
            Command::Status => self.say_status(),
        }
    }

    fn typed_token(&mut self, token: &str) {
        if self.trusted || self.is_right(token.as_bytes()) {
            self.trusted = true;
            return self.out.text("OK");
        }
        self.guesses += 1;
        self.say_error(ErrorCode::Unauthorized, "that is not the service's token");
        if self.guesses >= GUESSES {
            self.actions.push(Action::Close("it does not know the token".into()));
        }
    }

    fn typed_refine(&mut self) {
        match &self.lines.last {
            Some(_) => {
                self.lines.refine = true;
                self.out.text("OK");
            }
            None => self.say_error(ErrorCode::BadPrompt, "there is no mask yet: GO first"),
        }
    }

    /// What the lines ask for, as work.
    fn typed_ask(&mut self) -> Option<Ask> {
        let refine = self.lines.last.as_ref().filter(|_| self.lines.refine).map(|(_, mask)| mask.clone());
        match convert::prompt(&self.lines.prompt, refine.as_deref()) {
            Ok((prompt, choice, zoom)) => Some(Ask::Mask { prompt, choice, zoom }),
            Err(why) => {
                self.say_error(ErrorCode::BadPrompt, why);
                None
            }
        }
    }

    fn typed(&mut self, show: bool, deadline: Option<Instant>) -> Asked {
        let serial = self.shared.hub.serial();
        Asked { serial, request: 0, kind: 0, checksum: 0, what: What::Text { show }, deadline, within: None }
    }

    fn go(&mut self, show: bool) {
        let now = Instant::now();
        let Some(ask) = self.typed_ask() else { return };
        let deadline_ms = self.lines.prompt.deadline_ms;
        let deadline = (deadline_ms > 0).then(|| now + Duration::from_millis(deadline_ms.into()));
        let asked = self.typed(show, deadline);
        self.lines.busy = true;
        let frame = self.typed_frame();
        self.submit(asked, frame, ask, now);
    }

    /// The frame that is meant: that of the mask which is refined, or the one that was named.
    fn typed_frame(&self) -> FrameChoice {
        match &self.lines.last {
            Some((frame, _)) if self.lines.refine => FrameChoice::Id(*frame),
            _ => convert::frame(self.lines.prompt.frame),
        }
    }

    fn typed_track(&mut self, interval_ms: u32) {
        let Some(ask) = self.typed_ask() else { return };
        let asked = self.typed(false, None);
        let interval = Duration::from_millis(interval_ms.into());
        let frame = self.typed_frame();
        match self.begin_track(asked, frame, ask, interval) {
            Ok(()) => self.out.text("OK"),
            Err(refusal) => self.say_refusal(&refusal),
        }
    }

    /// A request of a line is done.
    pub(super) fn text_done(&mut self, asked: &Asked, outcome: Outcome) {
        self.say_outcome(asked, outcome);
        self.lines.busy = false;
        while !self.lines.busy
            && let Some(line) = self.lines.waiting.pop_front()
        {
            self.typed_line(&line);
        }
    }

    fn say_outcome(&mut self, asked: &Asked, outcome: Outcome) {
        match outcome {
            Ok(answered) => {
                let late = asked.deadline.is_some_and(|deadline| Instant::now() > deadline);
                if late {
                    let needs = answered.waited + answered.timings.total();
                    return self.say_refusal(&Refusal::Deadline { needs, encoded: None });
                }
                self.count(Answer::Prompt);
                if let (What::Text { show: true }, Some(mask)) = (&asked.what, &answered.mask) {
                    self.draw(mask);
                }
                self.say_answer(&answered, None);
                (self.lines.refine, self.lines.changed) = (false, false);
                self.lines.last = answered.mask.map(|mask| (answered.frame.id, mask));
            }
            Err(refusal) => self.say_refusal(&refusal),
        }
    }

    /// A track that was begun by a line has an answer.
    pub(super) fn text_followed(&mut self, serial: Serial, followed: Followed) {
        match followed.outcome {
            Ok(answered) => {
                self.count(Answer::Track);
                self.say_answer(&answered, Some((followed.sequence, followed.lost)));
            }
            Err(refusal) => {
                self.requests.end_track(serial);
                self.shared.hub.cancel(serial);
                self.say_refusal(&refusal);
            }
        }
    }

    /// One line: what is found, and how long it took; of the items those that fit the budget.
    fn say_answer(&mut self, answered: &Answered, followed: Option<(u32, bool)>) {
        // The line's end takes two bytes.
        let room = match self.lines.prompt.budget {
            0 => MAX_PACKET - 2,
            budget => (budget as usize).min(MAX_PACKET).saturating_sub(2),
        };
        let start = Instant::now();
        let (sequence, lost) = followed.unwrap_or_default();
        for (items, contour_points) in SHORTER {
            let wanted = Wanted { items, contour_points, room: usize::MAX };
            let (head, body) = convert::answer(answered, wanted, self.shared.facts.precision, start);
            let head = convert::followed(head, sequence, lost);
            // What is left out is named where there is room for that.
            for cut in [ITEMS.without(items), ItemSet::default()] {
                let message = Message::Result(Head { cut, ..head });
                let line = Reply { message: &message, body: &body }.to_string();
                if line.len() <= room {
                    return self.out.text(&line);
                }
            }
        }
        self.say_error(ErrorCode::TooLarge, "no answer is that short");
    }

    fn draw(&mut self, found: &Found) {
        let picture = drawing::characters(&found.mask);
        self.out.text(&picture);
    }

    fn say_status(&mut self) {
        let status = status::read(&self.shared, self.bad_packets);
        self.count(Answer::Other);
        self.say(&status.into());
    }

    fn say(&mut self, message: &Message<'_>) {
        let line = Reply { message, body: &[] }.to_string();
        self.out.text(&line);
    }

    fn say_error(&mut self, code: ErrorCode, text: &str) {
        self.say_counted(message::Error::new(code, 0, text));
    }

    fn say_counted(&mut self, error: message::Error) {
        self.shared.metrics.errors[Code(error.code.into())].inc();
        self.say(&error.into());
    }

    fn say_refusal(&mut self, refusal: &Refusal) {
        let error = convert::refusal(refusal, 0);
        if error.code == ErrorCode::Deadline {
            self.shared.metrics.deadlines_missed.inc();
        }
        self.say_counted(error);
    }
}

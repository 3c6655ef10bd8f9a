//! [`Session`]: one client's talk. It decides what each message leads to; it owns no port and no thread, so that it can be tested as a
//! function of what comes.

mod asking;
mod greeting;
mod outgoing;
mod requests;
mod text;
mod uploading;
mod uploads;

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Event;
use super::memory::Memory;
use super::metrics::{Answer, Code, Via};
use super::work::{Client, Followed, Outcome, Serial};
use super::{Shared, status};
use crate::transport::Peer;
use cutout_protocol::message::{self, Hello, Ping, Result as Head};
use cutout_protocol::{
    Accumulator, DELIMITER, ErrorCode, Feed, Header, Key, MAX_PACKET, Message, PROTOCOL_VERSION, PacketError, RETRY,
    SCHEMA_HASH, open,
};
use outgoing::Outgoing;
use requests::Requests;
use text::Lines;
use uploads::Upload;

/// Wrong tokens after which a client is sent away.
const GUESSES: u32 = 3;
/// How long a client from elsewhere may take to say the token: places are few.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How long a line waits at a new speed for a packet that it understands.
const NEW_BAUD: Duration = Duration::from_secs(2);

/// What a connection is to do besides sending.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Change the line's speed, and then say so.
    Baud { from: u32, to: u32 },
    /// Change it back.
    Back { from: u32, to: u32 },
    /// Hang up, for this reason.
    Close(String),
}

/// What is remembered of clients.
pub(crate) type ClientMemory = Memory<Head<'static>>;

/// Who a client is, once it has said so.
struct Known {
    /// The number that it has given itself.
    id: u64,
    memory: Arc<Mutex<ClientMemory>>,
    max_payload: u16,
}

/// See the module.
pub(crate) struct Session {
    shared: Arc<Shared>,
    client: Client,
    trusted: bool,
    since: Instant,
    via: Via,
    /// Of a serial line: its speed, the one that it falls back to, and when it does.
    baud: Option<u32>,
    fall_back: Option<(u32, Instant)>,
    known: Option<Known>,
    guesses: u32,
    accumulator: Accumulator<MAX_PACKET>,
    bad_packets: u32,
    out: Outgoing,
    actions: Vec<Action>,
    requests: Requests,
    upload: Option<Upload>,
    lines: Lines,
    status_every: Option<(Duration, Instant)>,
    post: Option<Sender<Event>>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, peer: &Peer) -> Self {
        Session {
            client: shared.next_client(),
            // Where no token is set, there are only clients of this machine.
            trusted: peer.trusted || shared.token.is_none(),
            since: Instant::now(),
            via: super::connection::via(peer.kind),
            baud: peer.baud,
            fall_back: None,
            known: None,
            guesses: 0,
            accumulator: Accumulator::new(),
            bad_packets: 0,
            out: Outgoing::default(),
            actions: Vec::new(),
            requests: Requests::default(),
            upload: None,
            lines: Lines::default(),
            status_every: None,
            post: None,
            shared,
        }
    }

    /// Where what is done is told.
    pub(crate) fn attach(&mut self, post: Sender<Event>) {
        self.post = Some(post);
    }

    /// The client has gone.
    pub(crate) fn leave(&mut self) {
        self.shared.hub.leave(self.client);
        if let Some(known) = self.known.take() {
            // It is remembered from now on.
            self.shared.memory_of(known.id);
        }
    }

    /// What to do, once; asked for when what could be sent is sent.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        self.requests.taken(|request| !self.out.has(request));
        std::mem::take(&mut self.actions)
    }

    /// Whether something can be sent now.
    pub(crate) fn has_packets(&self) -> bool {
        self.out.is_ready()
    }

    /// Whether messages wait to be sent, answers and their pieces aside.
    pub(crate) fn has_messages(&self) -> bool {
        self.out.has_messages()
    }

    /// The next bytes to be sent.
    pub(crate) fn next_packet(&mut self) -> Option<&[u8]> {
        self.out.next()
    }

    /// How long nothing needs to be done unless something comes.
    pub(crate) fn patience(&self, now: Instant) -> Duration {
        let times = [self.status_every.map(|(_, at)| at), self.fall_back.map(|(_, at)| at)];
        let next = times.into_iter().flatten().min();
        next.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now))
    }

    /// Does what time asks for.
    pub(crate) fn tick(&mut self, now: Instant) {
        if !self.trusted && now.saturating_duration_since(self.since) > INTRODUCTION {
            self.actions.push(Action::Close("it has not said the token in time".into()));
        }
        if let Some((baud, at)) = self.fall_back
            && now >= at
        {
            tracing::warn!("nothing that is understood came at {} baud: back to {baud}", self.baud.unwrap_or(0));
            self.fall_back = None;
            let from = self.baud.replace(baud).unwrap_or(baud);
            self.actions.push(Action::Back { from, to: baud });
        }
        if let Some((interval, at)) = self.status_every
            && now >= at
        {
            self.status_every = Some((interval, now + interval));
            let status = status::read(&self.shared, self.bad_packets);
            self.out.message(0, &status.into());
        }
    }

    /// Whether something is still to be answered, tracks aside.
    pub(crate) fn is_owing(&self) -> bool {
        self.out.is_ready() || self.is_typing() || self.requests.is_waiting()
    }

    /// The line's speed could not be changed.
    pub(crate) fn stays(&mut self, baud: u32) {
        self.baud = Some(baud);
        self.fall_back = None;
    }

    /// The line has another speed from now on, and goes back unless something is understood soon.
    pub(crate) fn switched(&mut self, from: u32, now: Instant) {
        self.fall_back = Some((from, now + NEW_BAUD));
    }

    /// Bytes came.
    pub(crate) fn bytes(&mut self, bytes: &[u8], now: Instant) {
        self.feed(bytes, now);
        // A datagram is a packet, with or without delimiters around it.
        if self.via == Via::Udp {
            self.feed(&[DELIMITER], now);
        }
    }

    fn feed(&mut self, bytes: &[u8], now: Instant) {
        let mut rest = bytes;
        while !rest.is_empty() {
            // Taken out, because what it finds borrows from it.
            let mut accumulator = std::mem::take(&mut self.accumulator);
            let (consumed, found) = accumulator.feed(rest);
            match found {
                Feed::More => {}
                Feed::Packet(packet) => self.packet(packet, now),
                Feed::Line(line) => self.line(line),
                Feed::Garbage => self.bad_packet(),
            }
            self.accumulator = accumulator;
            rest = rest.get(consumed.max(1)..).unwrap_or_default();
        }
    }

    /// Whether the client may be a forged address at which our answers are aimed: it gets no more than it has sent.
    fn is_reflector(&self) -> bool {
        !self.trusted && self.via == Via::Udp
    }

    fn bad_packet(&mut self) {
        self.bad_packets = self.bad_packets.saturating_add(1);
        self.shared.metrics.bad_packets[self.via].inc();
    }

    fn packet(&mut self, packet: &[u8], now: Instant) {
        let (header, payload) = match open(packet) {
            Ok(opened) => opened,
            Err(fault) => return self.damaged(fault),
        };
        // At the new speed, both understand each other.
        self.fall_back = None;
        if self.is_reflector() && !matches!(header.kind, Hello::KIND | Ping::KIND) {
            return;
        }
        let message = match Message::decode(header.kind, payload) {
            Ok(message) if message.is_from_client() => message,
            Ok(_) => return self.error(header, ErrorCode::Unsupported, "that is what the service says, not a client"),
            Err(cutout_protocol::Malformed::Kind(kind)) => {
                let text = format!("there is no message {kind:#04x} in version {PROTOCOL_VERSION}");
                return self.error(header, ErrorCode::Unsupported, &text);
            }
            Err(fault) => return self.error(header, ErrorCode::Malformed, &fault.to_string()),
        };
        match message {
            Message::Hello(hello) => self.hello(header, &hello),
            Message::Ping(ping) => self.out.message(header.request, &message::Pong { data: ping.data }.into()),
            _ if self.known.is_none() => {
                self.error(header, ErrorCode::Unauthorized, "say Hello first: the service does not know you");
            }
            _ if header.request == 0 && !matches!(message, Message::Grant(_)) => {
                self.error(header, ErrorCode::Malformed, "a request needs a number that is not 0");
            }
            message => self.message(header, payload, message, now),
        }
    }

    fn message(&mut self, header: Header, payload: &[u8], message: Message<'_>, now: Instant) {
        let request = header.request;
        // Who sends these has nothing on the way any more.
        if is_retry(header) || matches!(message, Message::Fetch(_)) {
            self.out.grant_window();
        }
        match message {
            Message::Prompt(prompt) => self.prompt(header, payload, &prompt, now),
            Message::Track(track) => self.track(header, &track, payload),
            Message::Capture(capture) => self.capture(header, payload, capture, now),
            Message::GetPicture(picture) => self.picture(header, payload, picture),
            Message::Fetch(fetch) => self.fetch(header, fetch),
            Message::Grant(grant) => self.out.grant(grant.packets),
            Message::UploadBegin(begin) => self.upload_begin(header, begin),
            Message::UploadChunk(chunk) => self.upload_chunk(header, chunk),
            Message::Cancel(_) => {
                self.cancel(request);
                self.out.message(request, &message::Done {}.into());
            }
            Message::Configure(configure) => self.configure(header, configure, now),
            Message::GetStatus(_) => {
                let status = status::read(&self.shared, self.bad_packets);
                self.count(Answer::Other);
                self.out.message(request, &status.into());
            }
            // All that a client says is above.
            _ => self.error(header, ErrorCode::Unsupported, "this service does not do that"),
        }
    }

    /// A packet whose header is whole can be asked for again at once; of another, nobody knows whose it was.
    fn damaged(&mut self, fault: PacketError) {
        self.bad_packet();
        if self.is_reflector() {
            return;
        }
        let header = |kind, request| Header { kind, flags: 0, seq: 0, request };
        match fault {
            PacketError::BadHeader => {}
            PacketError::BadVersion { version, kind, request } => {
                let text = format!("the service speaks version {PROTOCOL_VERSION}, you speak {version}");
                self.version(header(kind, request), &text);
            }
            // A bit that flips can make a delimiter, and that a short packet.
            PacketError::BadLength { kind, request } | PacketError::BadCrc { kind, request } => {
                self.error(header(kind, request), ErrorCode::BadCrc, "the payload is damaged: send it again");
            }
        }
    }

    fn version(&mut self, header: Header, text: &str) {
        let error = message::Error {
            detail: u32::from(PROTOCOL_VERSION),
            frame: SCHEMA_HASH,
            ..message::Error::new(ErrorCode::Version, header.kind, text)
        };
        self.send_error(header.request, error);
    }

    /// Tells of an error.
    fn error(&mut self, header: Header, code: ErrorCode, text: &str) {
        self.send_error(header.request, message::Error::new(code, header.kind, text));
    }

    fn send_error(&mut self, request: u32, error: message::Error) {
        self.shared.metrics.errors[Code(error.code.into())].inc();
        tracing::debug!(request, code = error.code.name(), "{}", error.text);
        self.out.message(request, &error.into());
    }

    fn count(&self, answer: Answer) {
        self.shared.metrics.answered[answer].inc();
    }

    fn configure(&mut self, header: Header, configure: message::Configure, now: Instant) {
        let value = configure.value;
        match (configure.key, self.baud) {
            (Key::Baud, Some(current)) if (1200..=4_000_000).contains(&value) => {
                self.out.message(header.request, &message::Done {}.into());
                if value != current {
                    self.baud = Some(value);
                    self.actions.push(Action::Baud { from: current, to: value });
                }
            }
            (Key::Baud, Some(_)) => self.error(header, ErrorCode::Unsupported, "a speed is from 1200 to 4000000 baud"),
            (Key::Baud, None) => self.error(header, ErrorCode::Unsupported, "this is no serial line: it has no speed"),
            (Key::StatusInterval, _) => {
                let interval = Duration::from_millis(u64::from(value.max(100)));
                self.status_every = (value > 0).then(|| (interval, now + interval));
                self.out.message(header.request, &message::Done {}.into());
            }
            (Key::Other(key), _) => {
                self.error(header, ErrorCode::Unsupported, &format!("there is no setting {key}"));
            }
        }
    }

    /// Work is done. What nobody waits for any more is passed over.
    pub(crate) fn done(&mut self, serial: Serial, outcome: Outcome) {
        let Some(asked) = self.requests.take(serial) else { return };
        if asked.is_text() {
            return self.text_done(&asked, outcome);
        }
        self.answer(&asked, outcome);
    }

    /// A track has an answer.
    pub(crate) fn followed(&mut self, serial: Serial, followed: Followed) {
        if self.requests.track(serial).is_some_and(|track| track.is_text()) {
            return self.text_followed(serial, followed);
        }
        self.track_answer(serial, followed);
    }

    fn memory(&self) -> Option<std::sync::MutexGuard<'_, ClientMemory>> {
        let known = self.known.as_ref()?;
        Some(known.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A flag that says that an answer of a track is not sent yet.
type Untaken = Arc<AtomicBool>;

fn is_retry(header: Header) -> bool {
    header.flags & RETRY != 0
}

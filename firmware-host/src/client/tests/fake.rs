//! A service in memory: answers as `docs/protocol.md` says, with masks that are rectangles. The test of the command
//! `prompt` takes it as well.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutout_protocol::message::*;
use cutout_protocol::*;

use super::scene::{Head, SIZE, caps, masked, pictured, status};
use crate::transport::{Connection, Endpoint, Listener, Stop, listen};

pub(super) const LONG: Duration = Duration::from_secs(30);

/// What the service keeps over connections.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) answers: HashMap<(u64, u32), (Head, Vec<u8>)>,
    pub(super) uploads: HashMap<(u64, u32), (UploadBegin, Vec<u8>)>,
    /// Messages that came, by their names.
    pub(super) came: Vec<(&'static str, u8)>,
}

#[derive(Clone, Default)]
pub(super) struct Fake {
    pub(super) kept: Arc<Mutex<Kept>>,
    /// Prompts that were worked on.
    pub(super) works: Arc<AtomicU32>,
    pub(super) token: String,
    /// Next errors, instead of answers to prompts.
    pub(super) errors: Arc<Mutex<VecDeque<message::Error>>>,
    /// Whether it forgets who said Hello after this many messages.
    pub(super) forgets_after: Option<u32>,
    /// Whether it drops the connection after this many messages, once.
    pub(super) drops_after: Arc<Mutex<Option<u32>>>,
    /// Whether it agrees to another speed, and does not change it.
    pub(super) keeps_speed: bool,
    /// The picture of every frame; bytes that are none, of the length asked for, if there is none.
    pub(super) picture: Option<Vec<u8>>,
    /// The schema that it has.
    pub(super) schema: Option<u32>,
}

pub(super) struct Served {
    pub(super) listener: Listener,
    stop: Stop,
}

impl Served {
    pub(super) fn local(&self) -> Endpoint {
        self.listener.local().clone()
    }

    pub(super) fn end(self) {
        self.stop.set();
        self.listener.join();
    }
}

impl Fake {
    pub(super) fn at(&self, endpoint: &Endpoint) -> Served {
        let stop = Stop::new().unwrap();
        let (fake, stopped) = (self.clone(), stop.clone());
        let serve = move |connection| Session::new(fake.clone(), connection, stopped.clone()).run();
        Served { listener: listen(endpoint, &Default::default(), stop.clone(), serve).unwrap(), stop }
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.kept.lock().unwrap().came.iter().filter(|(came, _)| *came == name).count()
    }

    pub(super) fn count_retries(&self) -> usize {
        self.kept.lock().unwrap().came.iter().filter(|(_, flags)| *flags == RETRY).count()
    }
}

/// A track under way.
struct Tracking {
    request: u32,
    prompt: Prompt,
    next: Instant,
    interval: Duration,
    sequence: u32,
}

struct Session {
    fake: Fake,
    connection: Connection,
    stop: Stop,
    client: Option<u64>,
    max_payload: usize,
    seq: u16,
    /// Data packets that wait for credits; `None`: no limit.
    credits: Option<u32>,
    window: u16,
    waiting: VecDeque<(u32, Vec<u8>)>,
    tracking: Option<Tracking>,
    messages: u32,
}

impl Session {
    fn new(fake: Fake, connection: Connection, stop: Stop) -> Self {
        Session {
            fake,
            connection,
            stop,
            client: None,
            max_payload: MAX_PAYLOAD,
            seq: 0,
            credits: None,
            window: 0,
            waiting: VecDeque::new(),
            tracking: None,
            messages: 0,
        }
    }

    fn run(&mut self) {
        let mut accumulator = Accumulator::<MAX_PACKET>::new();
        let mut bytes = [0; 4096];
        while !self.stop.is_set() {
            let Ok(got) = self.connection.reader.read(&mut bytes, Duration::from_millis(5)) else { return };
            let mut input = &bytes[..got];
            while !input.is_empty() {
                let (used, feed) = accumulator.feed(input);
                input = &input[used..];
                let Feed::Packet(packet) = feed else { continue };
                match open(packet) {
                    Ok((header, payload)) => {
                        let message = Message::decode(header.kind, payload).unwrap();
                        self.messages += 1;
                        if self.fake.forgets_after == Some(self.messages) {
                            self.client = None;
                        }
                        let mut drops = self.fake.drops_after.lock().unwrap();
                        if *drops == Some(self.messages) {
                            *drops = None;
                            return;
                        }
                        drop(drops);
                        self.fake.kept.lock().unwrap().came.push((message.name(), header.flags));
                        self.answer(&header, &message);
                    }
                    Err(PacketError::BadCrc { request, kind }) => {
                        self.say(request, &Message::Error(message::Error::new(ErrorCode::BadCrc, kind, "")));
                    }
                    Err(_) => {}
                }
            }
            self.track();
            self.flush();
        }
    }

    fn say(&mut self, request: u32, message: &Message<'_>) {
        let mut packet = [0; MAX_PACKET];
        let length = encode(Tag { flags: 0, seq: self.seq, request }, message, &mut packet).unwrap();
        self.seq = self.seq.wrapping_add(1);
        let _ = self.connection.writer.write(&packet[..length], LONG);
    }

    fn refuse(&mut self, header: &Header, code: ErrorCode, text: &str) {
        self.say(header.request, &Message::Error(message::Error::new(code, header.kind, text)));
    }

    fn answer(&mut self, header: &Header, message: &Message<'_>) {
        let retry = header.flags & RETRY != 0;
        if retry || matches!(message, Message::Fetch(_)) {
            self.refill();
        }
        let key = (self.client.unwrap_or(0), header.request);
        match message {
            Message::Hello(hello) => return self.hello(header, hello),
            Message::Ping(ping) => return self.say(header.request, &Message::Pong(Pong { data: ping.data.clone() })),
            _ if self.client.is_none() => return self.refuse(header, ErrorCode::Unauthorized, "say Hello first"),
            _ => {}
        }
        match message {
            Message::Capture(_) => {
                let frame = Frame { frame: 12, width: SIZE.0, height: SIZE.1, age_ms: 3, encoded: 0 };
                self.say(header.request, &Message::Frame(frame));
            }
            Message::Prompt(prompt) => {
                let error = self.fake.errors.lock().unwrap().pop_front();
                if let Some(error) = error {
                    return self.say(header.request, &Message::Error(error));
                }
                let known = retry && self.fake.kept.lock().unwrap().answers.contains_key(&key);
                if !known {
                    self.fake.works.fetch_add(1, Ordering::SeqCst);
                    let answer = masked(prompt);
                    self.fake.kept.lock().unwrap().answers.insert(key, answer);
                }
                self.give(key, 0);
            }
            Message::GetPicture(asked) => {
                let answer = pictured(usize::from(asked.max_side) * 10, self.fake.picture.as_deref());
                self.fake.kept.lock().unwrap().answers.insert(key, answer);
                self.give(key, 0);
            }
            Message::Fetch(fetch) => self.fetch(header, key, fetch),
            Message::Grant(grant) => {
                if let Some(credits) = &mut self.credits {
                    *credits += u32::from(grant.packets);
                }
            }
            Message::Track(track) => {
                if !(retry && self.tracking.as_ref().is_some_and(|t| t.request == header.request)) {
                    self.tracking = Some(Tracking {
                        request: header.request,
                        prompt: track.prompt.clone(),
                        next: Instant::now(),
                        interval: Duration::from_millis(track.interval_ms.into()),
                        sequence: 0,
                    });
                }
            }
            Message::Cancel(_) => {
                self.tracking = None;
                self.waiting.clear();
                self.say(header.request, &Message::Done(Done {}));
            }
            Message::Configure(configure) => {
                self.say(header.request, &Message::Done(Done {}));
                if configure.key == Key::Baud && !self.fake.keeps_speed {
                    self.connection.writer.set_baud(configure.value).unwrap();
                }
            }
            Message::GetStatus(_) => self.say(header.request, &Message::Status(status())),
            Message::UploadBegin(begin) => self.upload_begin(header, key, begin, retry),
            Message::UploadChunk(chunk) => self.upload_chunk(header, key, chunk),
            _ => self.refuse(header, ErrorCode::Unsupported, "what is this?"),
        }
    }

    fn refill(&mut self) {
        self.credits = (self.window > 0).then_some(self.window.into());
    }

    fn hello(&mut self, header: &Header, hello: &Hello) {
        if hello.token != self.fake.token.as_bytes() {
            return self.refuse(header, ErrorCode::Unauthorized, "the token is wrong");
        }
        let schema = self.fake.schema.unwrap_or(SCHEMA_HASH);
        if hello.schema != 0 && hello.schema != schema {
            let error = message::Error::new(ErrorCode::Version, header.kind, "");
            return self.say(header.request, &Message::Error(message::Error { detail: 1, frame: schema, ..error }));
        }
        self.client = Some(hello.client);
        self.window = hello.window;
        self.max_payload = usize::from(hello.max_payload);
        self.waiting.clear();
        self.refill();
        let caps = Caps { schema, ..caps() };
        self.say(header.request, &Message::Caps(caps));
    }

    /// Sends an answer that is kept.
    fn give(&mut self, (client, request): (u64, u32), sequence: u32) {
        let Some((head, body)) = self.fake.kept.lock().unwrap().answers.get(&(client, request)).cloned() else {
            return;
        };
        let most = self.max_payload - message::Result::MIN_SIZE;
        let first = body.len().min(most);
        let result = message::Result {
            frame: head.frame.max(sequence),
            sequence,
            age_ms: 40,
            flags: AnswerFlags::default(),
            precision: Precision::Int8,
            included: head.included,
            cut: head.cut,
            predicted_iou: 9412,
            stability: 9730,
            waited_us: 1000,
            preprocess_us: 2000,
            encode_us: 30_000,
            decode_us: 4000,
            postprocess_us: 500,
            total: body.len() as u32,
            crc: crc32(&body),
            data: &body[..first],
        };
        self.queue(request, &Message::Result(result));
        self.chunks(request, &body, first, body.len());
    }

    fn chunks(&mut self, request: u32, body: &[u8], from: usize, to: usize) {
        let most = self.max_payload - 4;
        for (index, data) in body[from..to].chunks(most).enumerate() {
            let offset = (from + index * most) as u32;
            self.queue(request, &Message::Chunk(Chunk { offset, data }));
        }
    }

    fn fetch(&mut self, header: &Header, key: (u64, u32), fetch: &Fetch) {
        let Some((_, body)) = self.fake.kept.lock().unwrap().answers.get(&key).cloned() else {
            return self.refuse(header, ErrorCode::StaleFrame, "that answer is gone");
        };
        let from = (fetch.offset as usize).min(body.len());
        let to = if fetch.length == 0 { body.len() } else { (from + fetch.length as usize).min(body.len()) };
        self.chunks(header.request, &body, from, to);
    }

    /// Data packets wait for credits.
    fn queue(&mut self, request: u32, message: &Message<'_>) {
        let mut packet = vec![0; MAX_PACKET];
        let length = encode(Tag { flags: 0, seq: self.seq, request }, message, &mut packet).unwrap();
        self.seq = self.seq.wrapping_add(1);
        packet.truncate(length);
        self.waiting.push_back((request, packet));
        self.flush();
    }

    fn flush(&mut self) {
        while !self.waiting.is_empty() && self.credits != Some(0) {
            let Some((_, packet)) = self.waiting.pop_front() else { return };
            if let Some(credits) = &mut self.credits {
                *credits -= 1;
            }
            let _ = self.connection.writer.write(&packet, LONG);
        }
    }

    fn track(&mut self) {
        let Some(tracking) = &mut self.tracking else { return };
        if Instant::now() < tracking.next || !self.waiting.is_empty() {
            return;
        }
        tracking.next = Instant::now() + tracking.interval;
        tracking.sequence += 1;
        let (request, sequence) = (tracking.request, tracking.sequence);
        let key = (self.client.unwrap_or(0), request);
        let answer = masked(&tracking.prompt);
        self.fake.kept.lock().unwrap().answers.insert(key, answer);
        self.give(key, sequence);
    }

    fn upload_begin(&mut self, header: &Header, key: (u64, u32), begin: &UploadBegin, retry: bool) {
        let mut kept = self.fake.kept.lock().unwrap();
        if !(retry && kept.uploads.contains_key(&key)) {
            kept.uploads.insert(key, (*begin, Vec::new()));
        }
        drop(kept);
        self.upload_state(header, key);
    }

    fn upload_chunk(&mut self, header: &Header, key: (u64, u32), chunk: &UploadChunk<'_>) {
        let mut kept = self.fake.kept.lock().unwrap();
        let Some((_, bytes)) = kept.uploads.get_mut(&key) else { return };
        let fits = chunk.offset as usize == bytes.len();
        if fits {
            bytes.extend_from_slice(chunk.data);
        }
        let say = !fits || (bytes.len() / chunk.data.len()).is_multiple_of(2);
        drop(kept);
        if say || self.is_whole(key) {
            self.upload_state(header, key);
        }
    }

    fn is_whole(&self, key: (u64, u32)) -> bool {
        let kept = self.fake.kept.lock().unwrap();
        kept.uploads.get(&key).is_some_and(|(begin, bytes)| bytes.len() == begin.bytes as usize)
    }

    fn upload_state(&mut self, header: &Header, key: (u64, u32)) {
        let mut kept = self.fake.kept.lock().unwrap();
        let Some((begin, bytes)) = kept.uploads.get_mut(&key) else { return };
        let whole = bytes.len() == begin.bytes as usize;
        let corrupt = whole && crc32(bytes) != begin.crc;
        if corrupt {
            bytes.clear();
        }
        let state = UploadState { received: bytes.len() as u32, frame: if whole { 17 } else { 0 } };
        drop(kept);
        if corrupt {
            let error = message::Error::new(ErrorCode::BadCrc, UploadBegin::KIND, "");
            return self.say(header.request, &Message::Error(error));
        }
        self.say(header.request, &Message::UploadState(state));
    }
}

//! A client of the service: asks, waits as long as bytes and work take, asks again what got lost.
//!
//! ```no_run
//! use cutout::client::{Client, Options, Prompt, point};
//! use cutout_protocol::ItemSet;
//!
//! let mut client = Client::connect(&"127.0.0.1:7700".parse()?, Options::default())?;
//! let mut prompt = Prompt { wanted: ItemSet::BBOX | ItemSet::RLE, deadline_ms: 80, ..Prompt::default() };
//! prompt.points.extend([point(320.0, 240.0, true)]);
//! let answer = client.prompt(&prompt)?;
//! println!("{:?}, IoU {:.2}", answer.bbox(), answer.predicted_iou());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All waits come from [`timing`](cutout_protocol::timing): the bytes under way, the line's speed and the time that the
//! work may take. What is not answered is sent again with RETRY, which the service answers without doing anything twice;
//! ranges of an answer that got lost are fetched; a connection that broke is opened anew and the request goes on there.

mod answer;
mod ask;
mod baud;
mod collect;
mod error;
mod link;
#[cfg(test)]
mod tests;
mod track;
mod upload;

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use cutout_protocol::message::{Caps, Capture, Frame, GetPicture, GetStatus, Hello, Message, Ping, Pong, Status};
use cutout_protocol::{ErrorCode, Q4, SCHEMA_HASH, is_known_schema, wire_size};

pub use answer::{Answer, Stages};
pub use cutout_protocol::message::{Point, Prompt, Rect};
pub use error::{ClientError, Refusal};
pub use link::Traffic;
pub use track::Tracked;

use crate::transport::{Connection, Endpoint, connect};
use ask::Question;
use link::Link;

/// Bytes of a token at most.
const MAX_TOKEN: usize = 64;

/// How to be a client.
#[derive(Debug, Clone)]
pub struct Options {
    /// What a service that listens beyond its own machine demands.
    pub token: String,
    /// Data packets that may come unasked; 0 for no limit, which suits programs that read at once.
    pub window: u16,
    /// How often a request is sent before the connection counts as dead.
    pub tries: u32,
    /// Longest that the service may work on an answer that has no deadline.
    pub work: Duration,
    /// Longest that connecting may take, the first time and after the connection broke.
    pub patience: Duration,
    /// Longest body of an answer.
    pub max_answer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            token: String::new(),
            window: 0,
            tries: 3,
            work: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            max_answer: 16 << 20,
        }
    }
}

/// Work that is no work: what the service may take to answer what it knows.
const AT_ONCE_MS: u32 = 400;

/// Bytes of the shortest payload that a client may ask for.
const SHORTEST: u16 = 64;

/// Bytes of the largest packet.
const LARGEST: usize = cutout_protocol::MAX_PACKET;

/// A client of one service.
pub struct Client {
    /// Where to connect anew; `None` if the connection was given.
    endpoint: Option<Endpoint>,
    options: Options,
    link: Link,
    /// The random number that the service knows this client by.
    id: u64,
    schema: u32,
    request: u32,
    caps: Caps,
    /// Speed of the line, if it was changed.
    baud: Option<u32>,
    /// Bytes of a payload that the service is to send at most.
    payload: u16,
    /// Where answers are put together.
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and says Hello.
    ///
    /// # Errors
    /// If nobody serves there, or it refuses: another version, a wrong token.
    pub fn connect(endpoint: &Endpoint, options: Options) -> Result<Self, ClientError> {
        let connection = connect(endpoint, options.patience)?;
        Client::begin(connection, Some(endpoint.clone()), options)
    }

    /// Says Hello over a connection that is there. If it breaks, it is not opened anew.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn over(connection: Connection, options: Options) -> Result<Self, ClientError> {
        Client::begin(connection, None, options)
    }

    fn begin(connection: Connection, endpoint: Option<Endpoint>, options: Options) -> Result<Self, ClientError> {
        if options.token.len() > MAX_TOKEN {
            return Err(ClientError::LongToken);
        }
        let id = RandomState::new().hash_one((std::process::id(), Instant::now()));
        let mut client = Client {
            endpoint,
            link: Link::new(connection, options.window),
            options,
            id,
            schema: SCHEMA_HASH,
            request: 0,
            caps: unknown(),
            baud: None,
            payload: cutout_protocol::MAX_PAYLOAD as u16,
            buffer: Vec::new(),
        };
        client.hello()?;
        Ok(client)
    }

    /// What the service says it is and can do.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// What went over the line so far, and what of it was lost.
    pub fn traffic(&self) -> Traffic {
        self.link.traffic
    }

    /// Who serves, for logs.
    pub fn peer(&self) -> &str {
        self.link.peer()
    }

    /// A frame of the service's camera: at most `max_age` old, or taken from now on if that is zero.
    ///
    /// # Errors
    /// If the service has no source of frames, or does not answer.
    pub fn capture(&mut self, max_age: Duration, deadline: Option<Duration>) -> Result<Frame, ClientError> {
        let deadline_ms = deadline.map_or(0, millis);
        let message = Message::Capture(Capture { max_age_ms: millis(max_age), deadline_ms });
        let work_ms = if deadline_ms > 0 { deadline_ms } else { millis(self.options.work) };
        let question = Question { message: &message, answer_bytes: wire_size(Frame::MAX_SIZE), work_ms };
        self.ask(&question, |answer| match answer {
            Message::Frame(frame) => Some(*frame),
            _ => None,
        })
    }

    /// Asks for a mask.
    ///
    /// # Errors
    /// If the service refuses, does not answer, or answers what cannot be read.
    pub fn prompt(&mut self, prompt: &Prompt) -> Result<Answer, ClientError> {
        let work_ms = if prompt.deadline_ms > 0 { prompt.deadline_ms } else { millis(self.options.work) };
        let answer_bytes = if prompt.budget > 0 { prompt.budget as usize } else { LARGEST };
        let message = Message::Prompt(prompt.clone());
        self.collect(&Question { message: &message, answer_bytes, work_ms })
    }

    /// The picture of a frame as a JPEG, its longer side at most `max_side` (0: as it is); frame 0 is the latest.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt).
    pub fn picture(&mut self, frame: u32, max_side: u16, quality: u8) -> Result<Answer, ClientError> {
        let message = Message::GetPicture(GetPicture { frame, max_side, quality });
        let work_ms = millis(self.options.work);
        self.collect(&Question { message: &message, answer_bytes: LARGEST, work_ms })
    }

    /// How the service is.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        let message = Message::GetStatus(GetStatus {});
        let question = Question { message: &message, answer_bytes: wire_size(Status::MAX_SIZE), work_ms: AT_ONCE_MS };
        self.ask(&question, |answer| match answer {
            Message::Status(status) => Some(*status),
            _ => None,
        })
    }

    /// How long a packet takes there and back.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn ping(&mut self) -> Result<Duration, ClientError> {
        let start = Instant::now();
        let data = heapless_bytes(&self.request.to_le_bytes());
        let message = Message::Ping(Ping { data: data.clone() });
        let question = Question { message: &message, answer_bytes: wire_size(Pong::MAX_SIZE), work_ms: AT_ONCE_MS };
        self.ask(&question, |answer| match answer {
            Message::Pong(pong) if pong.data == data => Some(()),
            _ => None,
        })?;
        Ok(start.elapsed())
    }

    /// Says who this is, and learns who the service is.
    fn hello(&mut self) -> Result<(), ClientError> {
        let token = heapless_bytes(self.options.token.as_bytes());
        loop {
            let hello = Hello {
                client: self.id,
                schema: self.schema,
                max_payload: self.payload,
                window: self.options.window,
                token: token.clone(),
            };
            let message = Message::Hello(hello);
            let question = Question { message: &message, answer_bytes: wire_size(Caps::MAX_SIZE), work_ms: AT_ONCE_MS };
            let request = self.number();
            let answered = self.attempt(request, 0, &question, &mut |answer| match answer {
                Message::Caps(caps) => Some(caps.clone()),
                _ => None,
            });
            match answered {
                Ok(caps) => {
                    self.link.fill_window();
                    self.caps = caps;
                    return Ok(());
                }
                // An older service whose messages this client knows all: both go on by the older schema.
                Err(ClientError::Refused(refusal))
                    if refusal.code == ErrorCode::Version
                        && refusal.frame != self.schema
                        && self.schema == SCHEMA_HASH
                        && is_known_schema(refusal.frame) =>
                {
                    self.schema = refusal.frame;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Has the service send shorter packets, if there are such: where bits flip, few long ones arrive whole.
    fn shorten(&mut self) -> Result<(), ClientError> {
        if self.payload <= SHORTEST {
            return Ok(());
        }
        self.payload = (self.payload / 8).max(SHORTEST);
        tracing::info!("{} damages packets: asking for payloads of at most {} bytes", self.link.peer(), self.payload);
        self.hello()
    }

    /// Opens the connection anew, where that can be done.
    fn revive(&mut self, why: ClientError) -> Result<(), ClientError> {
        let Some(endpoint) = self.endpoint.clone() else { return Err(why) };
        tracing::warn!("connection lost, trying again: {why}");
        let deadline = Instant::now() + self.options.patience;
        let mut pause = Duration::from_millis(20);
        // A serial port has to be closed before it can be opened.
        self.link.close();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match connect(&endpoint, left.max(Duration::from_millis(1))) {
                Ok(connection) => {
                    let before = self.link.traffic;
                    self.link = Link::new(connection, self.options.window);
                    self.link.traffic = before;
                    match self.hello_at_either_speed() {
                        Ok(()) => return Ok(()),
                        Err(error @ (ClientError::Lost { .. } | ClientError::NoAnswer { .. })) => error,
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => error.into(),
            };
            if left.is_zero() {
                return Err(error);
            }
            self.link.close();
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Says Hello over a line that was opened anew; the service may have kept the speed that was agreed upon.
    fn hello_at_either_speed(&mut self) -> Result<(), ClientError> {
        match (self.hello(), self.baud) {
            (Err(ClientError::NoAnswer { .. }), Some(baud)) if baud != self.link.baud() => {
                self.link.set_baud(baud).map_err(|e| self.lost(e))?;
                self.hello()
            }
            (answered, _) => answered,
        }
    }

    /// A number for the next request.
    fn number(&mut self) -> u32 {
        self.request = self.request.checked_add(1).unwrap_or(1);
        self.request
    }
}

/// A point of a prompt, in image pixels.
pub fn point(x: f32, y: f32, is_foreground: bool) -> Point {
    Point { x: Q4::from_px(x), y: Q4::from_px(y), label: is_foreground.into() }
}

/// A box of a prompt, in image pixels, from two opposite corners.
pub fn rect(x0: f32, y0: f32, x1: f32, y1: f32) -> Rect {
    let [x0, x1] = [x0.min(x1), x0.max(x1)].map(Q4::from_px);
    let [y0, y1] = [y0.min(y1), y0.max(y1)].map(Q4::from_px);
    Rect { x0, y0, x1, y1 }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// As many of the bytes as fit.
fn heapless_bytes<const N: usize>(bytes: &[u8]) -> cutout_protocol::heapless::Vec<u8, N> {
    bytes.iter().copied().take(N).collect()
}

/// What is known of a service before it has said anything.
fn unknown() -> Caps {
    Caps {
        schema: 0,
        service: Default::default(),
        model: Default::default(),
        sha256: [0; 32],
        precision: cutout_protocol::Precision::F32,
        input_width: 0,
        input_height: 0,
        max_payload: 0,
        window: 0,
        max_upload: 0,
        max_points: 0,
        ring: 0,
        features: cutout_protocol::Features::default(),
        newest: 0,
    }
}

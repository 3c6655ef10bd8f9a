//! Sessions as functions of what comes: no socket, no clock, no model. The engine is the test.

mod answers;
mod deadlines;
mod greeting;
mod identity;
mod lines;
mod losses;
mod uploads;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use cutout_protocol::message::{self, Hello, Point};
use cutout_protocol::{
    Accumulator, Feed, Header, ItemSet, MAX_PACKET, Message, Precision, Q4, RETRY, SCHEMA_HASH, Tag, encode, open,
};
use cutout_runtime::{Mask, PixelFormat, Run, ScoredMask, Size, StageTimings};

use super::connection::Event;
use super::frames::{Keep, KeptFrame};
use super::hub::{Hub, Rules, Task};
use super::memory::Memories;
use super::metrics::{Info, Metrics};
use super::session::{Action, Session};
use super::work::{Answered, Ask, Job};
use super::{Facts, Shared};
use crate::source::{Pixels, Raster};
use crate::transport::{Kind, Peer, Stop};

const TOKEN: &str = "0123456789abcdef";
const SIZE: Size = Size::new(64, 48);

fn shared(has_source: bool) -> Arc<Shared> {
    let metrics = Arc::new(Metrics::new(Info::default()));
    let rules = Rules {
        keep: Keep { encoded: 3, recent: 2, uploads: 2 },
        encode_always: false,
        waiting: 4,
        tracks: 2,
        has_source,
    };
    Arc::new(Shared {
        hub: Arc::new(Hub::new(rules, metrics.clone())),
        metrics,
        facts: Facts {
            model: "double@0".into(),
            sha256: [7; 32],
            precision: Precision::Int8,
            input: (512, 512),
            has_source,
            max_upload: 100_000,
            ring: 3,
        },
        token: Some(TOKEN.into()),
        most_clients: 4,
        started: Instant::now(),
        stop: Stop::new().unwrap(),
        memories: Memories::new(4),
        next_client: AtomicU64::new(0),
        clients: AtomicUsize::new(0),
    })
}

fn pixels() -> Pixels {
    Pixels::Raw(Raster::new(vec![9; 3 * SIZE.pixels()], SIZE, 3 * SIZE.width, PixelFormat::Rgb8).unwrap())
}

/// A mask of 4 by 3 pixels, with its corner at (x, 5).
fn scored(x: u32) -> ScoredMask {
    let mask = Mask::from_runs(SIZE, (5..8).map(|y| Run { y, x, len: 4 }).collect()).unwrap();
    let low_res_logits = cutout_runtime::LowResLogits { height: 1, width: 1, values: vec![x as f32] };
    ScoredMask { mask, predicted_iou: 0.875, stability_score: 0.75, low_res_logits }
}

/// One client's session, and the service behind it.
struct Talk {
    shared: Arc<Shared>,
    session: Session,
    events: Receiver<Event>,
    replies: Accumulator<MAX_PACKET>,
    seq: u16,
}

impl Talk {
    fn with(shared: &Arc<Shared>, trusted: bool, baud: Option<u32>) -> Self {
        let kind = if baud.is_some() { Kind::Serial } else { Kind::Tcp };
        let peer = Peer { kind, name: "the test".into(), trusted, baud };
        let mut session = Session::new(shared.clone(), &peer);
        let (post, events) = mpsc::channel();
        session.attach(post);
        Talk { shared: shared.clone(), session, events, replies: Accumulator::new(), seq: 0 }
    }

    /// A local client that has said Hello, to a service with one frame.
    fn new() -> Self {
        let shared = shared(true);
        shared.hub.offer(pixels(), Instant::now());
        let mut talk = Talk::with(&shared, true, None);
        talk.greet(1, 0);
        talk
    }

    fn greet(&mut self, client: u64, window: u16) {
        self.greet_with(client, window, 1024);
    }

    fn greet_with(&mut self, client: u64, window: u16, max_payload: u16) {
        let token = Default::default();
        self.send(1, &Hello { client, schema: SCHEMA_HASH, max_payload, window, token }.into());
        let replies = self.replies();
        assert!(matches!(replies.as_slice(), [Reply { message: Said::Caps(_), .. }]), "{replies:?}");
    }

    fn packet(&mut self, request: u32, message: &Message<'_>) -> Vec<u8> {
        self.tagged(0, request, message)
    }

    fn tagged(&mut self, flags: u8, request: u32, message: &Message<'_>) -> Vec<u8> {
        self.seq += 1;
        let mut packet = vec![0; MAX_PACKET];
        let length = encode(Tag { flags, seq: self.seq, request }, message, &mut packet).unwrap();
        packet.truncate(length);
        packet
    }

    /// Sends a request again.
    fn again(&mut self, request: u32, message: &Message<'_>) {
        let packet = self.tagged(RETRY, request, message);
        self.bytes(&packet);
    }

    fn send(&mut self, request: u32, message: &Message<'_>) {
        let packet = self.packet(request, message);
        self.bytes(&packet);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.session.bytes(bytes, Instant::now());
        self.events();
    }

    /// Hands the session what was posted to it.
    fn events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Done(serial, outcome) => self.session.done(serial, outcome),
                Event::Followed(serial, followed) => self.session.followed(serial, followed),
                Event::Bytes(_) | Event::Gone(_) => unreachable!("nobody reads here"),
            }
        }
    }

    /// What the session has sent since.
    fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(packet) = self.session.next_packet() {
            if let Some(line) = packet.strip_suffix(b"\r\n") {
                let header = Header { kind: 0, flags: 0, seq: 0, request: 0 };
                replies.push(Reply { header, message: Said::Line(String::from_utf8(line.to_vec()).unwrap()) });
                continue;
            }
            let mut rest = packet;
            while !rest.is_empty() {
                let (consumed, found) = self.replies.feed(rest);
                rest = &rest[consumed..];
                match found {
                    Feed::More => {}
                    Feed::Packet(packet) => {
                        let (header, payload) = open(packet).unwrap();
                        replies.push(Reply { header, message: said(Message::decode(header.kind, payload).unwrap()) });
                    }
                    found => panic!("{found:?}"),
                }
            }
        }
        replies
    }

    fn one(&mut self) -> Reply {
        let mut replies = self.replies();
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    /// The error that the session has sent.
    fn error(&mut self) -> message::Error {
        match self.one().message {
            Said::Error(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Does the next piece of work, as the engine would, and finds a box at `x`.
    fn work(&mut self, x: u32) -> Job {
        self.work_with(scored(x))
    }

    fn work_with(&mut self, mask: ScoredMask) -> Job {
        let Some(Task::Job(mut job, frame)) = self.shared.hub.next() else { panic!("nothing to do") };
        let reply = std::mem::replace(&mut job.reply, Box::new(|_| {}));
        reply(Ok(answered(&job, &frame, mask)));
        self.events();
        job
    }
}

fn answered(job: &Job, frame: &Arc<KeptFrame>, mask: ScoredMask) -> Answered {
    let mask = matches!(job.ask, Ask::Mask { .. }).then(|| Arc::new(mask));
    let timings = StageTimings { decode: Duration::from_micros(1500), ..StageTimings::default() };
    let waited = Duration::from_micros(20);
    let age = Duration::from_millis(3);
    Answered { frame: frame.clone(), mask, waited, timings, encoded: false, zoomed: false, age }
}

/// A packet or a line that the session has sent.
#[derive(Debug)]
struct Reply {
    header: Header,
    message: Said,
}

/// A message that owns what it says.
#[derive(Debug, PartialEq)]
enum Said {
    Caps(message::Caps),
    Frame(message::Frame),
    Upload(message::UploadState),
    Done,
    Result(message::Result<'static>, Vec<u8>),
    Chunk(u32, Vec<u8>),
    Status(message::Status),
    Pong(Vec<u8>),
    Error(message::Error),
    Line(String),
}

fn said(message: Message<'_>) -> Said {
    match message {
        Message::Caps(caps) => Said::Caps(caps),
        Message::Frame(frame) => Said::Frame(frame),
        Message::UploadState(state) => Said::Upload(state),
        Message::Done(_) => Said::Done,
        Message::Result(result) => Said::Result(message::Result { data: &[], ..result }, result.data.to_vec()),
        Message::Chunk(chunk) => Said::Chunk(chunk.offset, chunk.data.to_vec()),
        Message::Status(status) => Said::Status(status),
        Message::Pong(pong) => Said::Pong(pong.data.to_vec()),
        Message::Error(error) => Said::Error(error),
        other => panic!("a service does not say {other:?}"),
    }
}

/// A prompt with one point of the object.
fn point(wanted: ItemSet) -> message::Prompt {
    let mut prompt = message::Prompt { wanted, ..message::Prompt::default() };
    prompt.points.push(Point { x: Q4::from_px(10.0), y: Q4::from_px(6.5), label: 1 }).unwrap();
    prompt
}

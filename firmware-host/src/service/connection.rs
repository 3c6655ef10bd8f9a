//! One client's connection: a thread that reads and a thread that decides and writes.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use super::metrics::Via;
use super::session::{Action, Session};
use super::work::{Followed, Outcome, Serial};
use crate::transport::{Connection, Kind, Reader, Writer};

/// Bytes that are read at once.
const READ: usize = 4096;
/// Bytes of a client that may wait to be looked at; then it is read no further.
const AHEAD: usize = 1 << 18;
/// How long a session waits before it looks whether the service stops.
const GLANCE: Duration = Duration::from_millis(500);
/// How long a reader waits at a time; closing the writer ends it before.
const READING: Duration = Duration::from_secs(5);
/// How long a client that has hung up is answered what it had asked for.
const OWING: Duration = Duration::from_secs(30);
/// How long the end of the service waits for what a client is owed: that its requests are cancelled.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What an event takes beside its bytes.
const EVENT: usize = 256;
/// How long a client may take no byte of what is written to it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens to a session.
pub(crate) enum Event {
    /// Bytes came.
    Bytes(Vec<u8>),
    /// The client is gone.
    Gone(io::Error),
    /// Work is done.
    Done(Serial, Outcome),
    /// A track has an answer.
    Followed(Serial, Followed),
}

/// Bytes that are read and not yet looked at.
#[derive(Default)]
struct Ahead {
    bytes: Mutex<usize>,
    less: Condvar,
}

impl Ahead {
    fn add(&self, count: usize, closed: &AtomicBool) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *bytes > AHEAD && !closed.load(Ordering::Acquire) {
            bytes = self.less.wait_timeout(bytes, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        *bytes += count;
    }

    fn take(&self, count: usize) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= count;
        self.less.notify_one();
    }
}

/// The label under which a way's bytes are counted.
pub(crate) fn via(kind: Kind) -> Via {
    match kind {
        Kind::Serial => Via::Serial,
        Kind::Tcp => Via::Tcp,
        Kind::Unix => Via::Unix,
        Kind::Udp => Via::Udp,
        Kind::WebSocket => Via::WebSocket,
    }
}

/// Serves a client on this thread and one more, until it goes or the service stops.
pub(crate) fn serve(connection: Connection, shared: &Arc<Shared>) {
    let Connection { peer, reader, mut writer } = connection;
    let Some(_place) = shared.place(peer.trusted) else {
        let most = shared.most_clients;
        tracing::debug!(peer = %peer.name, "turned away: {most} clients are connected already (--max-clients)");
        writer.close();
        return;
    };
    let via = via(peer.kind);
    let _held = shared.metrics.clients[via].hold();
    tracing::info!(peer = %peer.name, "connected");
    let why = talk(shared, Session::new(shared.clone(), &peer), reader, writer, via);
    tracing::info!(peer = %peer.name, "disconnected: {why}");
}

/// Talks to a client; says why it ended.
fn talk(
    shared: &Shared,
    mut session: Session,
    reader: Box<dyn Reader>,
    mut writer: Box<dyn Writer>,
    via: Via,
) -> String {
    let (post, events) = mpsc::channel();
    session.attach(post.clone());
    let ahead = Arc::new(Ahead::default());
    let closed = Arc::new(AtomicBool::new(false));
    let reading = {
        let (ahead, closed) = (ahead.clone(), closed.clone());
        thread::Builder::new().name("client reads".into()).spawn(move || read(reader, &post, &ahead, &closed))
    };
    let reading = match reading {
        Ok(reading) => reading,
        Err(error) => return format!("no thread to read with: {error}"),
    };
    let why = decide(shared, &mut session, &events, writer.as_mut(), &ahead, via);
    session.leave();
    closed.store(true, Ordering::Release);
    ahead.less.notify_all();
    writer.close();
    if reading.join().is_err() {
        tracing::error!("a reader ended by a fault of ours");
    }
    why
}

fn read(mut reader: Box<dyn Reader>, post: &Sender<Event>, ahead: &Ahead, closed: &AtomicBool) {
    let mut buffer = [0; READ];
    while !closed.load(Ordering::Acquire) {
        match reader.read(&mut buffer, READING) {
            Ok(0) => {}
            Ok(count) => {
                ahead.add(count + EVENT, closed);
                if post.send(Event::Bytes(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // Who decides may have ended already.
                let _ = post.send(Event::Gone(error));
                return;
            }
        }
    }
}

fn decide(
    shared: &Shared,
    session: &mut Session,
    events: &Receiver<Event>,
    writer: &mut dyn Writer,
    ahead: &Ahead,
    via: Via,
) -> String {
    let mut waiting: VecDeque<Event> = VecDeque::new();
    let mut hung_up: Option<Instant> = None;
    let mut stopping: Option<Instant> = None;
    loop {
        while let Some(packet) = session.next_packet() {
            if let Err(error) = writer.write(packet, PATIENCE) {
                return format!("cannot write: {error}");
            }
            shared.metrics.sent_bytes[via].add(packet.len() as u64);
            // A long answer is interrupted by what the client says meanwhile. What that was answered is sent first, so that nobody
            // can have more said to it than it reads.
            if waiting.is_empty() {
                waiting.extend(events.try_iter());
            }
            if !waiting.is_empty() && !session.has_messages() {
                break;
            }
        }
        for action in session.actions() {
            match action {
                Action::Baud { from, to } => match writer.set_baud(to) {
                    Ok(()) => session.switched(from, Instant::now()),
                    Err(error) => {
                        tracing::warn!("the line's speed stays: {error}");
                        session.stays(from);
                    }
                },
                Action::Back { from, to } => {
                    if let Err(error) = writer.set_baud(to) {
                        tracing::warn!("the line's speed stays: {error}");
                        session.stays(from);
                    }
                }
                Action::Close(why) => return why,
            }
        }
        if waiting.is_empty() && session.has_packets() {
            continue;
        }
        if hung_up.is_some_and(|since| since.elapsed() > OWING || (waiting.is_empty() && !session.is_owing())) {
            return "it hung up".into();
        }
        if shared.stopping() {
            let since = *stopping.get_or_insert_with(Instant::now);
            if !session.is_owing() || since.elapsed() > LAST_WORDS {
                return "the service stops".into();
            }
        }
        let now = Instant::now();
        let event = match waiting.pop_front() {
            Some(event) => Some(event),
            None => {
                let patience = session.patience(now).min(GLANCE);
                match events.recv_timeout(patience) {
                    Ok(event) => Some(event),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return "the reader ended".into(),
                }
            }
        };
        match event {
            Some(Event::Bytes(bytes)) => {
                ahead.take(bytes.len() + EVENT);
                shared.metrics.received_bytes[via].add(bytes.len() as u64);
                if stopping.is_none() {
                    session.bytes(&bytes, Instant::now());
                }
            }
            // It may still be listening for the answers to what it has said.
            Some(Event::Gone(error)) if error.kind() == io::ErrorKind::UnexpectedEof => hung_up = Some(Instant::now()),
            Some(Event::Gone(error)) => return error.to_string(),
            Some(Event::Done(request, outcome)) => session.done(request, outcome),
            Some(Event::Followed(request, followed)) => session.followed(request, followed),
            None => {}
        }
        if stopping.is_none() {
            session.tick(Instant::now());
        }
    }
}

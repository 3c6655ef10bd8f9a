//! [`Hub`]: where frames, clients' work and the engine meet.

mod state;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::estimates::Estimates;
use super::frames::{Frames, Keep, KeptFrame};
use super::metrics::Metrics;
use super::queue::Queue;
use super::tracks::Tracks;
use super::work::{Client, FrameChoice, Job, Refusal, Serial, TrackAsk};
use crate::source::Pixels;
use state::State;

/// How the hub behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) keep: Keep,
    /// Every frame that there is time for is encoded, asked for or not.
    pub(crate) encode_always: bool,
    /// Jobs of one client that may wait.
    pub(crate) waiting: usize,
    /// Objects that one client may have followed.
    pub(crate) tracks: usize,
    /// There is a source of frames.
    pub(crate) has_source: bool,
}

/// What the engine is to do next.
pub(crate) enum Task {
    /// A job, with the frame that it is about.
    Job(Job, Arc<KeptFrame>),
    /// Encode this frame, which nobody asked about yet.
    Encode(Arc<KeptFrame>),
}

/// See the module.
pub(crate) struct Hub {
    rules: Rules,
    serials: AtomicU64,
    state: Mutex<State>,
    /// There may be something for the engine.
    work: Condvar,
    /// A deadline may come earlier than was thought.
    earlier: Condvar,
    pub(crate) metrics: Arc<Metrics>,
}

impl Hub {
    pub(crate) fn new(rules: Rules, metrics: Arc<Metrics>) -> Self {
        let state = State {
            frames: Frames::new(rules.keep),
            queue: Queue::default(),
            tracks: Tracks::default(),
            estimates: Estimates::default(),
            unseen: None,
            busy: None,
            after_job: false,
            source_ended: false,
            stopped: false,
        };
        Hub {
            rules,
            serials: AtomicU64::new(0),
            state: Mutex::new(state),
            work: Condvar::new(),
            earlier: Condvar::new(),
            metrics,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job; its reply is called exactly once, here if it is refused at once.
    pub(crate) fn submit(&self, job: Job) {
        if let Some((job, refusal)) = self.enqueue(job) {
            (job.reply)(Err(refusal));
        }
    }

    fn enqueue(&self, job: Job) -> Option<(Job, Refusal)> {
        let mut state = self.lock();
        if state.stopped {
            return Some((job, Refusal::Busy(Duration::from_secs(2))));
        }
        if let Err(refusal) = state.resolve(&job.frame, job.owner, &self.rules) {
            return Some((job, refusal));
        }
        if state.queue.len_of(job.client) >= self.rules.waiting {
            let wait = (state.estimates.decode() * self.rules.waiting as u32).max(Duration::from_millis(1));
            return Some((job, Refusal::Busy(wait)));
        }
        if let Some(deadline) = job.deadline {
            let now = Instant::now();
            let current = state.busy.map_or(Duration::ZERO, |(_, until)| until.saturating_duration_since(now));
            let ahead = state.estimates.decode() * state.queue.ahead(job.client) as u32;
            let needs = current + ahead + state.cost(&job, &self.rules);
            if now + needs > deadline {
                let refusal = state.too_late(&job, needs, &self.rules);
                return Some((job, refusal));
            }
        }
        state.queue.push(job);
        self.metrics.queue.set(state.queue.len() as i64);
        drop(state);
        self.work.notify_one();
        self.earlier.notify_one();
        None
    }

    /// A number for a piece of work.
    pub(crate) fn serial(&self) -> Serial {
        self.serials.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes back what was asked for, whether it waits or is a track. What is worked on is finished.
    pub(crate) fn cancel(&self, serial: Serial) {
        let mut state = self.lock();
        state.tracks.remove(|_, of| of == serial);
        let jobs = state.queue.take_all(|job| job.serial == serial);
        self.metrics.queue.set(state.queue.len() as i64);
        drop(state);
        jobs.into_iter().for_each(|job| (job.reply)(Err(Refusal::Cancelled)));
    }

    /// The source gives no more frames: nobody waits for one.
    pub(crate) fn source_ended(&self) {
        self.lock().source_ended = true;
        self.work.notify_one();
    }

    /// Forgets what a client asked for that has gone.
    pub(crate) fn leave(&self, client: Client) {
        let mut state = self.lock();
        state.tracks.remove(|of, _| of == client);
        let jobs = state.queue.take_all(|job| job.client == client);
        self.metrics.queue.set(state.queue.len() as i64);
        drop(state);
        jobs.into_iter().for_each(|job| (job.reply)(Err(Refusal::Cancelled)));
    }

    /// Follows an object from now on, until it is cancelled.
    ///
    /// # Errors
    /// If there is no such frame, or the client has too many tracks.
    pub(crate) fn track(&self, ask: TrackAsk) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.resolve(&ask.frame, ask.owner, &self.rules)?;
        if state.stopped {
            return Err(Refusal::Cancelled);
        }
        if state.tracks.of(ask.client) >= self.rules.tracks {
            return Err(Refusal::Busy(Duration::from_secs(1)));
        }
        let first = state.tracks.begin(ask);
        state.queue.push(first);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// A frame that the source has given.
    pub(crate) fn offer(&self, pixels: Pixels, taken: Instant) {
        let mut state = self.lock();
        let frame = state.frames.number(pixels, taken);
        self.metrics.frames.inc();
        if self.rules.encode_always {
            state.unseen = Some(frame.clone());
        }
        // A first frame is better seen before it is encoded than not at all.
        if !self.rules.encode_always || state.frames.newest().is_none() {
            state.show(frame);
        }
        drop(state);
        self.work.notify_one();
        self.earlier.notify_one();
    }

    /// A frame that a client has sent.
    pub(crate) fn upload(&self, pixels: Pixels, owner: u64) -> Arc<KeptFrame> {
        let mut state = self.lock();
        let frame = state.frames.upload(pixels, owner);
        state.follow(frame.id, Some(owner));
        drop(state);
        self.work.notify_one();
        frame
    }

    /// A track has looked at a frame: there may be a newer one by now.
    pub(crate) fn follow_on(&self) {
        let mut state = self.lock();
        if let Some(newest) = state.frames.newest().map(|frame| frame.id) {
            state.follow(newest, None);
        }
    }

    /// Forgets the frames that a client has sent.
    pub(crate) fn forget(&self, owner: u64) {
        self.lock().frames.forget(owner);
    }

    /// The frame that is meant.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn frame(&self, choice: &FrameChoice, owner: u64) -> Result<Arc<KeptFrame>, Refusal> {
        self.lock().resolve(choice, owner, &self.rules)?.ok_or(Refusal::NoFrame("the frame is still to come"))
    }

    /// How it is.
    pub(crate) fn state(&self) -> HubState {
        let state = self.lock();
        let (encode, decode) = state.estimates.last();
        HubState {
            waiting: state.queue.len(),
            oldest: state.frames.oldest(),
            newest: state.frames.newest().map_or(0, |frame| frame.id),
            encode,
            decode,
        }
    }

    /// Waits for something to do; `None` when the service stops.
    pub(crate) fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        state.busy = None;
        loop {
            if state.stopped {
                return None;
            }
            let (late, next) = state.expire(Instant::now(), &self.rules);
            if !late.is_empty() {
                drop(state);
                late.into_iter().for_each(|(job, refusal)| (job.reply)(Err(refusal)));
                state = self.lock();
                continue;
            }
            let (task, refused) = state.take(&self.rules);
            self.metrics.queue.set(state.queue.len() as i64);
            if !refused.is_empty() {
                drop(state);
                refused.into_iter().for_each(|(job, refusal)| (job.reply)(Err(refusal)));
                state = self.lock();
            }
            if task.is_some() {
                return task;
            }
            let patience = next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()).min(IDLE));
            state = self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Refuses in time what waits behind long work; ends when the service stops.
    pub(crate) fn watch_deadlines(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let (late, next) = state.expire(Instant::now(), &self.rules);
            if late.is_empty() {
                let patience = next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()).min(IDLE));
                state = self.earlier.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                drop(state);
                late.into_iter().for_each(|(job, refusal)| (job.reply)(Err(refusal)));
                state = self.lock();
            }
        }
    }

    /// Lets the engine end after what it does now, and refuses what waits.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let jobs = state.queue.take_all(|_| true);
        drop(state);
        self.work.notify_all();
        self.earlier.notify_all();
        jobs.into_iter().for_each(|job| (job.reply)(Err(Refusal::Cancelled)));
    }

    /// Makes an encoded frame the newest that is seen, or keeps it for longer.
    pub(crate) fn encoded(&self, frame: &Arc<KeptFrame>, taken: Duration) {
        let mut state = self.lock();
        state.estimates.encoded(taken);
        if self.rules.encode_always && frame.owner.is_none() && state.frames.find(frame.id, 0).is_none() {
            state.show(frame.clone());
        } else {
            state.frames.keep_encoded(frame);
        }
    }
}

/// How the hub is at a moment.
pub(crate) struct HubState {
    /// Jobs that wait.
    pub(crate) waiting: usize,
    /// Numbers of the oldest and the newest frame of the source; 0 for none.
    pub(crate) oldest: u32,
    pub(crate) newest: u32,
    /// What encoding and decoding took last.
    pub(crate) encode: Duration,
    pub(crate) decode: Duration,
}

/// Longest time without a look around.
const IDLE: Duration = Duration::from_millis(500);

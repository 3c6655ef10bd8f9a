//! [`Tracks`]: the objects that are followed, and when each is looked for again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutout_runtime::Tracker;

use super::work::{Ask, Client, FollowReply, Followed, FrameChoice, Job, Serial, TrackAsk};

struct Track {
    serial: Serial,
    client: Client,
    owner: u64,
    interval: Duration,
    deadline: Option<Duration>,
    reply: FollowReply,
    untaken: Arc<AtomicBool>,
    /// Away while the engine works with it.
    tracker: Option<Tracker>,
    /// A job for it waits or is worked on.
    pending: bool,
    sequence: u32,
    /// Number of the frame that was looked at last.
    frame: u32,
    last: Instant,
}

impl Track {
    fn job(&mut self, frame: FrameChoice) -> Job {
        self.pending = true;
        self.last = Instant::now();
        let (reply, sequence) = (self.reply.clone(), self.sequence);
        Job {
            serial: self.serial,
            client: self.client,
            owner: self.owner,
            frame,
            ask: Ask::Follow,
            arrived: self.last,
            deadline: self.deadline.map(|deadline| self.last + deadline),
            // Called where the job is not done: refused or taken back.
            reply: Box::new(move |outcome| {
                reply(Followed { outcome, lost: true, sequence: sequence.wrapping_add(1) });
            }),
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Tracks {
    all: Vec<Track>,
}

impl Tracks {
    /// Number of tracks of a client.
    pub(crate) fn of(&self, client: Client) -> usize {
        self.all.iter().filter(|track| track.client == client).count()
    }

    /// Begins a track; gives its first job.
    pub(crate) fn begin(&mut self, ask: TrackAsk) -> Job {
        let TrackAsk { serial, client, owner, frame, prompt, interval, deadline, reply, untaken } = ask;
        let mut track = Track {
            serial,
            client,
            owner,
            interval,
            deadline,
            reply,
            untaken,
            tracker: Some(Tracker::new(&prompt)),
            pending: false,
            sequence: 0,
            frame: 0,
            last: Instant::now(),
        };
        let job = track.job(frame);
        self.all.push(track);
        job
    }

    /// Ends the tracks that are like this; says whether there was one.
    pub(crate) fn remove(&mut self, like: impl Fn(Client, Serial) -> bool) -> bool {
        let before = self.all.len();
        self.all.retain(|track| !like(track.client, track.serial));
        before > self.all.len()
    }

    /// A job for each track that is to be looked for in the newest frame; only those of `owner`, if there is one. Who has not taken
    /// the last answer, or whose interval is not over, gets none.
    pub(crate) fn due(&mut self, newest: u32, owner: Option<u64>, now: Instant) -> Vec<Job> {
        let due = |track: &&mut Track| {
            !track.pending
                && track.frame < newest
                && owner.is_none_or(|owner| owner == track.owner)
                && now.saturating_duration_since(track.last) >= track.interval
                && !track.untaken.load(Ordering::Acquire)
        };
        self.all.iter_mut().filter(due).map(|track| track.job(FrameChoice::Latest)).collect()
    }

    /// Takes a track's tracker out, for the engine to work with; `None` if it has been ended.
    pub(crate) fn take(&mut self, serial: Serial) -> Option<Tracker> {
        self.find(serial)?.tracker.take()
    }

    /// Puts the tracker back that has looked at a frame; gives what tells the client, or nothing if the track has been ended.
    pub(crate) fn put(&mut self, serial: Serial, tracker: Tracker, frame: u32) -> Option<(FollowReply, u32)> {
        let track = self.find(serial)?;
        track.tracker = Some(tracker);
        (track.pending, track.frame) = (false, frame);
        track.sequence = track.sequence.wrapping_add(1);
        track.untaken.store(true, Ordering::Release);
        Some((track.reply.clone(), track.sequence))
    }

    /// Passes a frame over, that was damaged or too late; with the tracker, if it was taken.
    pub(crate) fn skip(&mut self, serial: Serial, tracker: Option<Tracker>) {
        if let Some(track) = self.find(serial) {
            track.pending = false;
            track.tracker = track.tracker.take().or(tracker);
        }
    }

    fn find(&mut self, serial: Serial) -> Option<&mut Track> {
        self.all.iter_mut().find(|track| track.serial == serial)
    }
}

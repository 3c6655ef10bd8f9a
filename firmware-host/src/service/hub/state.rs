//! What the hub knows at a moment, under its lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Rules, Task};
use crate::service::estimates::Estimates;
use crate::service::frames::{Frames, KeptFrame};
use crate::service::queue::Queue;
use crate::service::tracks::Tracks;
use crate::service::work::{Ask, FrameChoice, Job, Refusal, Serial};

/// See the module.
pub(crate) struct State {
    pub(crate) frames: Frames,
    pub(crate) queue: Queue,
    pub(crate) tracks: Tracks,
    pub(crate) estimates: Estimates,
    /// A frame that is to be encoded before anybody sees it.
    pub(super) unseen: Option<Arc<KeptFrame>>,
    /// What the engine does now, and until when it is likely to; 0 for what nobody asked for.
    pub(super) busy: Option<(Serial, Instant)>,
    /// The last task was a job, so that it is the turn of a frame that waits to be seen.
    pub(super) after_job: bool,
    /// No frame will come from the source any more.
    pub(super) source_ended: bool,
    pub(super) stopped: bool,
}

impl State {
    /// The frame that is meant, or why there is none. `Ok(None)`: it is still to come.
    pub(super) fn resolve(
        &self,
        choice: &FrameChoice,
        owner: u64,
        rules: &Rules,
    ) -> Result<Option<Arc<KeptFrame>>, Refusal> {
        const NONE_YET: &str = "the source has given no frame yet: ask again, or see the service's log";
        const ENDED: &str = "the source has no more frames: ask about those that are there, or upload a picture";
        const NO_SOURCE: &str = "the service has no source of frames (--source): upload a picture first";
        let none = Refusal::NoFrame(if rules.has_source { NONE_YET } else { NO_SOURCE });
        match choice {
            FrameChoice::Latest => self.frames.latest(owner).map(Some).ok_or(none),
            FrameChoice::This(frame) => Ok(Some(frame.clone())),
            FrameChoice::Id(id) => match self.frames.find(*id, owner) {
                Some(frame) => Ok(Some(frame)),
                None if self.frames.was_there(*id) => Err(Refusal::Stale { oldest: self.frames.oldest() }),
                None => Err(Refusal::NoFrame("there was no frame of this number: ask for the latest, 0")),
            },
            FrameChoice::Since(_) if !rules.has_source => Err(none),
            FrameChoice::Since(time) => match self.frames.newest().filter(|frame| frame.taken >= *time) {
                None if self.source_ended => Err(Refusal::NoFrame(ENDED)),
                found => Ok(found.cloned()),
            },
        }
    }

    /// Time that a job is likely to take once it is its turn.
    pub(super) fn cost(&self, job: &Job, rules: &Rules) -> Duration {
        let frame = self.resolve(&job.frame, job.owner, rules).ok().flatten();
        let encode =
            if frame.is_some_and(|frame| frame.is_encoded()) { Duration::ZERO } else { self.estimates.encode() };
        match job.ask {
            Ask::Encode => encode,
            Ask::Mask { zoom: true, .. } => encode + self.estimates.encode() + self.estimates.decode() * 2,
            Ask::Mask { .. } | Ask::Follow => encode + self.estimates.decode(),
        }
    }

    /// Names a frame that is quicker, if the one that is meant has to be encoded first.
    pub(super) fn too_late(&self, job: &Job, needs: Duration, rules: &Rules) -> Refusal {
        let is_prompt = matches!(job.ask, Ask::Mask { .. });
        let frame = self.resolve(&job.frame, job.owner, rules).ok().flatten();
        let is_slow = is_prompt && frame.is_none_or(|frame| !frame.is_encoded());
        Refusal::Deadline { needs, encoded: self.frames.latest_encoded(job.owner).filter(|_| is_slow) }
    }

    /// Takes out the jobs that cannot make their deadlines any more, and says when to look again.
    pub(super) fn expire(&mut self, now: Instant, rules: &Rules) -> (Vec<(Job, Refusal)>, Option<Instant>) {
        let latest_start =
            |job: &Job| job.deadline.map(|deadline| deadline.checked_sub(self.cost(job, rules)).unwrap_or(now));
        let starts: Vec<(Serial, Instant)> =
            self.queue.jobs().filter_map(|job| Some((job.serial, latest_start(job)?))).collect();
        let next = starts.iter().map(|start| start.1).filter(|start| *start > now).min();
        let late = |job: &Job| starts.iter().any(|(serial, start)| *serial == job.serial && *start <= now);
        let (tracks, expired): (Vec<Job>, Vec<Job>) =
            self.queue.take_all(late).into_iter().partition(|job| matches!(job.ask, Ask::Follow));
        // A track goes on with the next frame.
        tracks.into_iter().for_each(|job| self.tracks.skip(job.serial, None));
        let expired = expired.into_iter().map(|job| {
            let needs = self.cost(&job, rules);
            let refusal = self.too_late(&job, needs, rules);
            (job, refusal)
        });
        (expired.collect(), next)
    }

    /// Shows a frame, and lets tracks go on with it.
    pub(super) fn show(&mut self, frame: Arc<KeptFrame>) {
        let newest = frame.id;
        self.frames.show(frame);
        self.follow(newest, None);
    }

    /// Lets tracks look at the newest frame.
    pub(super) fn follow(&mut self, newest: u32, owner: Option<u64>) {
        for job in self.tracks.due(newest, owner, Instant::now()) {
            self.queue.push(job);
        }
    }

    /// The next task, and the jobs that have no frame to be about.
    pub(super) fn take(&mut self, rules: &Rules) -> (Option<Task>, Vec<(Job, Refusal)>) {
        if self.after_job
            && let Some(task) = self.take_unseen()
        {
            return (Some(task), Vec::new());
        }
        let is_there = |job: &Job| !matches!(self.resolve(&job.frame, job.owner, rules), Ok(None));
        let ready: Vec<Serial> = self.queue.jobs().filter(|job| is_there(job)).map(|job| job.serial).collect();
        let mut refused = Vec::new();
        while let Some(job) = self.queue.take(|job| ready.contains(&job.serial)) {
            match self.resolve(&job.frame, job.owner, rules) {
                Ok(Some(frame)) => {
                    self.busy = Some((job.serial, Instant::now() + self.cost(&job, rules)));
                    self.after_job = true;
                    return (Some(Task::Job(job, frame)), refused);
                }
                // Those that wait for a frame are not ready.
                Ok(None) => refused.push((job, Refusal::Internal("a job without a frame was taken".into()))),
                Err(refusal) => {
                    self.tracks.remove(|_, serial| serial == job.serial);
                    refused.push((job, refusal));
                }
            }
        }
        (self.take_unseen(), refused)
    }

    pub(super) fn take_unseen(&mut self) -> Option<Task> {
        let frame = self.unseen.take()?;
        self.busy = Some((0, Instant::now() + self.estimates.encode()));
        self.after_job = false;
        Some(Task::Encode(frame))
    }
}

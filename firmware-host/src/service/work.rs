//! What clients ask of the engine, and what it answers. Types of the runtime, none of the wire.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use cutout_runtime::{Prompt, ScoredMask, StageTimings};

use super::frames::KeptFrame;

/// Whose turn it is: one number per client, never used again.
pub(crate) type Client = u64;

/// Which piece of work: one number for each that is asked for, never used again. Clients' own numbers may be.
pub(crate) type Serial = u64;

/// Which frame is meant.
#[derive(Clone)]
pub(crate) enum FrameChoice {
    /// The newest that this client may see when its turn comes.
    Latest,
    /// A certain one.
    Id(u32),
    /// The newest of the source, if it was taken at this time or later; else the next that comes.
    Since(Instant),
    /// This one.
    This(Arc<KeptFrame>),
}

/// How many masks are computed for the one that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Three for a single point alone, which may mean several things; else one.
    #[default]
    Auto,
    /// Three, of which the one of the highest predicted IoU is the answer.
    BestOfThree,
    /// One.
    One,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// A mask.
    Mask { prompt: Prompt, choice: Choice, zoom: bool },
    /// That the frame be encoded, so that prompts about it are quick.
    Encode,
    /// The next answer of the track that this request began.
    Follow,
}

/// One piece of work for the engine.
pub(crate) struct Job {
    pub(crate) serial: Serial,
    pub(crate) client: Client,
    /// Who owns the uploads that the client may name.
    pub(crate) owner: u64,
    pub(crate) frame: FrameChoice,
    pub(crate) ask: Ask,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) reply: Reply,
}

/// Takes a job's outcome. It is called on the engine's thread, or on that of who submits or stops: it must not wait.
pub(crate) type Reply = Box<dyn FnOnce(Outcome) + Send>;

pub(crate) type Outcome = Result<Answered, Refusal>;

/// A mask that was found, with its scores and the logits by which it can be refined.
pub(crate) type Found = Arc<ScoredMask>;

/// What became of a job that was done.
#[derive(Clone)]
pub(crate) struct Answered {
    pub(crate) frame: Arc<KeptFrame>,
    /// `None` where only encoding was asked for.
    pub(crate) mask: Option<Found>,
    /// Between arrival and the start of the work.
    pub(crate) waited: Duration,
    pub(crate) timings: StageTimings,
    /// The frame was encoded for this.
    pub(crate) encoded: bool,
    pub(crate) zoomed: bool,
    /// Age of the frame when the answer was there.
    pub(crate) age: Duration,
}

/// Why a job was not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Too much is waiting already; try again after this time.
    Busy(Duration),
    /// There is no frame to ask about.
    NoFrame(&'static str),
    /// The frame was there and is gone; the oldest that is kept.
    Stale { oldest: u32 },
    /// It cannot be done in time: how long it would take, and the newest frame about which a prompt needs no encoding.
    Deadline { needs: Duration, encoded: Option<u32> },
    /// The prompt makes no sense, in words.
    BadPrompt(String),
    /// The picture cannot be used, in words.
    BadImage(String),
    /// Whoever asked takes it back.
    Cancelled,
    /// Our fault, in words.
    Internal(String),
}

/// Takes an answer of a track; as [`Reply`], it must not wait.
pub(crate) type FollowReply = Arc<dyn Fn(Followed) + Send + Sync>;

/// An object that is followed from frame to frame.
pub(crate) struct TrackAsk {
    pub(crate) serial: Serial,
    pub(crate) client: Client,
    pub(crate) owner: u64,
    /// The frame that the prompt is about.
    pub(crate) frame: FrameChoice,
    pub(crate) prompt: Prompt,
    /// The least time between two answers.
    pub(crate) interval: Duration,
    /// Within which each answer has to be there; a frame that is too late is skipped.
    pub(crate) deadline: Option<Duration>,
    /// Called for each frame that was looked at.
    pub(crate) reply: FollowReply,
    /// Set while an answer is not taken yet: the next frame is skipped rather than queued.
    pub(crate) untaken: Arc<AtomicBool>,
}

/// One answer of a track.
#[derive(Clone)]
pub(crate) struct Followed {
    pub(crate) outcome: Outcome,
    /// The object is out of sight.
    pub(crate) lost: bool,
    /// Counts from 1.
    pub(crate) sequence: u32,
}

impl Refusal {
    /// The refusal in words, for a log or a person.
    pub(crate) fn words(&self) -> String {
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        match self {
            Refusal::Busy(wait) => format!("too much is waiting: ask again in {:.0} ms", ms(wait).ceil()),
            Refusal::NoFrame(why) => (*why).to_owned(),
            Refusal::Stale { oldest } => {
                format!("that frame is not kept any more; the oldest that is has number {oldest}")
            }
            Refusal::Deadline { needs, .. } => format!("it would take {:.0} ms", ms(needs).ceil()),
            Refusal::BadPrompt(why) | Refusal::BadImage(why) | Refusal::Internal(why) => why.clone(),
            Refusal::Cancelled => "it was taken back, or the service stops".to_owned(),
        }
    }
}

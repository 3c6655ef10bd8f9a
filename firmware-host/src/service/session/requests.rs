//! [`Requests`]: what a client has asked for and is not answered yet, or was just now.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cutout_protocol::Message;

use super::Untaken;
use crate::service::convert::Wanted;
use crate::service::work::Serial;

/// Small answers that are kept, in case that they get lost.
const RECENT: usize = 16;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A mask, and what of it.
    Mask(Wanted),
    /// A frame.
    Frame,
    /// A mask, by a line of text; with a picture of it where that is asked for.
    Text { show: bool },
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The work that it led to.
    pub(super) serial: Serial,
    /// The client's number; 0 for a line of text.
    pub(super) request: u32,
    /// Number of the message.
    pub(super) kind: u8,
    /// A checksum of the message.
    pub(super) checksum: u32,
    pub(super) what: What,
    pub(super) deadline: Option<Instant>,
    /// Of a track: the time for each answer.
    pub(super) within: Option<Duration>,
}

impl Asked {
    pub(super) fn is_text(&self) -> bool {
        matches!(self.what, What::Text { .. })
    }
}

/// An object that is followed.
pub(super) struct Track {
    pub(super) asked: Asked,
    pub(super) untaken: Untaken,
}

impl Track {
    pub(super) fn is_text(&self) -> bool {
        self.asked.is_text()
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Requests {
    pending: Vec<Asked>,
    tracks: Vec<Track>,
    recent: VecDeque<(u32, u32, Message<'static>)>,
}

impl Requests {
    pub(super) fn clear(&mut self) {
        *self = Requests::default();
    }

    pub(super) fn add(&mut self, asked: Asked) {
        self.pending.push(asked);
    }

    /// What this work was asked for.
    pub(super) fn take(&mut self, serial: Serial) -> Option<Asked> {
        let at = self.pending.iter().position(|asked| asked.serial == serial)?;
        Some(self.pending.swap_remove(at))
    }

    /// Takes what a number of the client's stands for: nothing that comes of it is told any more.
    pub(super) fn drop_request(&mut self, request: u32) -> Vec<Serial> {
        let mut dropped = Vec::new();
        let mut keep = |asked: &Asked| {
            let keep = asked.request != request;
            dropped.extend((!keep).then_some(asked.serial));
            keep
        };
        self.pending.retain(&mut keep);
        self.tracks.retain(|track| keep(&track.asked));
        dropped
    }

    /// Whether just this is being done.
    pub(super) fn is_pending(&self, request: u32, checksum: u32) -> bool {
        let same = |asked: &Asked| (asked.request, asked.checksum) == (request, checksum);
        self.pending.iter().any(same) || self.tracks.iter().any(|track| same(&track.asked))
    }

    /// Whether a request waits for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn add_track(&mut self, track: Track) {
        self.tracks.push(track);
    }

    pub(super) fn track(&self, serial: Serial) -> Option<&Track> {
        self.tracks.iter().find(|track| track.asked.serial == serial)
    }

    /// Lets those tracks go on whose last answer is sent.
    pub(super) fn taken(&self, is_sent: impl Fn(u32) -> bool) {
        for track in self.tracks.iter().filter(|track| track.is_text() || is_sent(track.asked.request)) {
            track.untaken.store(false, Ordering::Release);
        }
    }

    pub(super) fn end_track(&mut self, serial: Serial) {
        self.tracks.retain(|track| track.asked.serial != serial);
    }

    /// The tracks that were begun by lines of text.
    pub(super) fn text_tracks(&self) -> Vec<Serial> {
        self.tracks.iter().filter(|track| track.is_text()).map(|track| track.asked.serial).collect()
    }

    /// Keeps a small answer.
    pub(super) fn answered(&mut self, request: u32, checksum: u32, message: Message<'static>) {
        self.recent.retain(|(known, ..)| *known != request);
        self.recent.push_back((request, checksum, message));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// A number is used anew.
    pub(super) fn forget(&mut self, request: u32) {
        self.recent.retain(|(known, ..)| *known != request);
    }

    /// The small answer to a request; that to any question where no checksum is given.
    pub(super) fn recent(&self, request: u32, checksum: Option<u32>) -> Option<&Message<'static>> {
        let same = |known: u32| checksum.is_none_or(|checksum| checksum == known);
        self.recent.iter().find(|(of, known, _)| *of == request && same(*known)).map(|(.., message)| message)
    }
}

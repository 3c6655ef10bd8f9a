//! [`Requests`]: what ground stations have asked for and is still to be done or remembered.

use std::time::{Duration, Instant};

use mavlink::dialects::common::MavResult;

use super::command::Command;

/// Senders that are remembered. One that gets no messages makes room for another first, and the most silent of those.
const MAX_SENDERS: usize = 16;

/// Shortest interval between two messages that is kept; a shorter one is taken for this.
pub(super) const SHORTEST: Duration = Duration::from_millis(20);

/// Time in which a command that was sent again counts as the same.
const REPETITION: Duration = Duration::from_secs(10);

/// System and component id.
pub(super) type Sender = (u8, u8);

#[derive(Debug)]
struct Request {
    sender: Sender,
    at: Instant,
    /// How often it wants the tracking status.
    interval: Option<Duration>,
    /// The last command that was executed for it, and when.
    done: Option<(u16, [u32; 7], Instant)>,
}

/// What each sender has asked for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    senders: Vec<Request>,
    next_status: Option<Instant>,
}

impl Requests {
    fn of(&mut self, sender: Sender, now: Instant) -> &mut Request {
        let known = self.senders.iter().position(|request| request.sender == sender);
        let at = known.unwrap_or_else(|| {
            let oldest =
                self.senders.iter().enumerate().min_by_key(|(_, request)| (request.interval.is_some(), request.at));
            match oldest {
                Some((at, _)) if self.senders.len() >= MAX_SENDERS => {
                    self.senders.swap_remove(at);
                }
                _ => {}
            }
            self.senders.push(Request { sender, at: now, interval: None, done: None });
            self.senders.len() - 1
        });
        let request = &mut self.senders[at];
        request.at = now;
        request
    }

    /// Sends the tracking status to this sender every `interval`, or does not. The line has the shortest interval that
    /// anybody wants: the message is for all.
    pub(super) fn set_interval(&mut self, sender: Sender, interval: Option<Duration>, now: Instant) {
        self.of(sender, now).interval = interval.map(|interval| interval.max(SHORTEST));
        self.next_status = self.interval().map(|interval| self.next_status.unwrap_or(now).min(now + interval));
    }

    /// The interval that the line has.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.senders.iter().filter_map(|request| request.interval).min()
    }

    pub(super) fn next_status(&self) -> Option<Instant> {
        self.next_status
    }

    /// Whether the tracking status is to be sent now; the next time is set then.
    pub(super) fn status_is_due(&mut self, now: Instant) -> bool {
        let Some(due) = self.next_status.filter(|due| now >= *due) else { return false };
        // After a pause there is one message, not all that were missed.
        self.next_status = self.interval().map(|interval| (due + interval).max(now + interval / 2));
        true
    }

    /// Executes a command unless it was sent again because its acknowledgement was lost: what is in view has moved since.
    pub(super) fn once(
        &mut self,
        sender: Sender,
        command: &Command,
        now: Instant,
        execute: impl FnOnce() -> MavResult,
    ) -> MavResult {
        let this = (command.command, command.parameters.map(f32::to_bits));
        let request = self.of(sender, now);
        if command.confirmation > 0
            && let Some((id, parameters, at)) = request.done
            && (id, parameters) == this
            && now.saturating_duration_since(at) < REPETITION
        {
            return MavResult::MAV_RESULT_ACCEPTED;
        }
        let result = execute();
        request.done = (result == MavResult::MAV_RESULT_ACCEPTED).then_some((this.0, this.1, now));
        result
    }
}

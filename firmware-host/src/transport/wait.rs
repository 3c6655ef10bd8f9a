//! Waiting for descriptors, at most until a deadline.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A year: what longer waits are cut to, so that no arithmetic on times overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The moment at which patience ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// `patience` from now.
    pub(super) fn after(patience: Duration) -> Self {
        Deadline(Instant::now() + patience.min(LONGEST))
    }

    /// What is left of it.
    pub(super) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether nothing is left.
    pub(super) fn is_past(&self) -> bool {
        self.left().is_zero()
    }
}

/// Waits until there is something to read, an end or an error, and says whether there is.
pub(super) fn readable(fd: impl AsFd, deadline: &Deadline) -> io::Result<bool> {
    let fd = fd.as_fd();
    until(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(deadline))
}

/// Waits until there is room to write, or an error, and says whether there is.
pub(super) fn writable(fd: impl AsFd, deadline: &Deadline) -> io::Result<bool> {
    let fd = fd.as_fd();
    until(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(deadline))
}

/// As [`readable`], of either of two; no deadline waits for ever.
pub(super) fn either_readable(one: impl AsFd, other: impl AsFd, deadline: Option<&Deadline>) -> io::Result<bool> {
    let (one, other) = (one.as_fd(), other.as_fd());
    let mut fds = [one, other].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    until(&mut fds, deadline)
}

fn until(fds: &mut [PollFd<'_>], deadline: Option<&Deadline>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.left();
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(0), tv_nsec: left.subsec_nanos().into() }
        });
        match poll(fds, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            // A signal came; what is left of the patience is waited.
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

//! [`Inbox`]: datagrams of one peer that wait to be read.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::transport::wait::Deadline;

/// Most datagrams that wait, and most bytes of them. The oldest go first, as who lags wants to know the newest.
const MOST: (usize, usize) = (64, 128 << 10);

/// Datagrams of one peer that wait to be read.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Queue {
    datagrams: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Bytes of the first datagram that have been read.
    read: usize,
    /// Datagrams that ever came.
    came: u64,
    last: Instant,
    closed: bool,
}

impl Inbox {
    /// The inbox of a peer that sends its first datagram.
    pub(super) fn with(first: &[u8]) -> Self {
        let datagrams = VecDeque::from([first.to_vec()]);
        let queue = Queue { datagrams, bytes: first.len(), read: 0, came: 1, last: Instant::now(), closed: false };
        Inbox { queue: Mutex::new(queue), arrived: Condvar::new() }
    }

    /// A panic elsewhere leaves the queue whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a datagram in, unless it is closed.
    pub(super) fn put(&self, datagram: &[u8]) -> bool {
        let mut queue = self.lock();
        if queue.closed {
            return false;
        }
        queue.came = queue.came.saturating_add(1);
        queue.last = Instant::now();
        queue.bytes += datagram.len();
        queue.datagrams.push_back(datagram.to_vec());
        let (most, most_bytes) = MOST;
        while queue.datagrams.len() > 2 && (queue.datagrams.len() > most || queue.bytes > most_bytes) {
            queue.drop_oldest();
        }
        self.arrived.notify_one();
        true
    }

    /// Takes what is left of the first datagram; see [`Reader::read`](crate::transport::Reader::read).
    pub(super) fn take(&self, into: &mut [u8], patience: Duration) -> io::Result<usize> {
        let deadline = Deadline::after(patience);
        let mut queue = self.lock();
        loop {
            let start = queue.read;
            if let Some(rest) = queue.datagrams.front().and_then(|first| first.get(start..)) {
                let taken = rest.len().min(into.len());
                into[..taken].copy_from_slice(&rest[..taken]);
                let whole = taken == rest.len();
                queue.read += taken;
                if whole {
                    queue.drop_first();
                }
                return Ok(taken);
            }
            if queue.closed {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let left = deadline.left();
            if left.is_zero() {
                return Ok(0);
            }
            queue = self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets nothing more in; what is there can still be read.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes it if nothing came for `idle`.
    pub(super) fn expires(&self, idle: Duration) -> bool {
        let expired = self.lock().last.elapsed() >= idle;
        if expired {
            self.close();
        }
        expired
    }

    /// Whether one datagram came and then none for a time.
    pub(super) fn is_stranger(&self, silence: Duration) -> bool {
        let queue = self.lock();
        queue.came == 1 && queue.last.elapsed() >= silence
    }
}

impl Queue {
    /// Drops the first datagram, which has been read.
    fn drop_first(&mut self) {
        self.read = 0;
        self.drop_oldest();
    }

    /// Drops the oldest datagram of which nothing was read yet: half a packet would spoil the one after it.
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.datagrams.remove(usize::from(self.read > 0)) {
            self.bytes -= oldest.len();
        }
    }
}

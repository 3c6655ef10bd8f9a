//! [`Stop`]: the end of the program, as a value that threads can look at and wait for.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::wait::{Deadline, readable};

/// Says that it is time to end. Clones are the same flag; once set, it stays set.
///
/// Who waits for a socket waits for this at the same time, so that nobody has to wake up to look.
#[derive(Clone)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    bell: Arc<Bell>,
}

/// A pair of sockets, of which one becomes readable for good when the other is shut.
struct Bell {
    rope: UnixStream,
    sound: UnixStream,
}

impl Stop {
    /// A flag that is not set.
    ///
    /// # Errors
    /// If the process may not open more files.
    pub fn new() -> io::Result<Self> {
        let (rope, sound) = UnixStream::pair()?;
        Ok(Stop { flag: Arc::new(AtomicBool::new(false)), bell: Arc::new(Bell { rope, sound }) })
    }

    /// Sets it, and wakes all who wait.
    pub fn set(&self) {
        self.flag.store(true, Ordering::SeqCst);
        // An error says that it was shut before.
        let _ = self.bell.rope.shutdown(Shutdown::Both);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// Waits until it is set, at most `patience`, and says whether it is.
    pub fn wait(&self, patience: Duration) -> bool {
        let deadline = Deadline::after(patience);
        while !self.is_set() && !deadline.is_past() {
            if readable(&self.bell.sound, &deadline).is_err() {
                std::thread::sleep(deadline.left().min(Duration::from_millis(10)));
            }
        }
        self.is_set()
    }

    /// The flag alone, for those who only look. Setting it there wakes nobody.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }
}

/// Readable once the flag is set.
impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.sound.as_fd()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.is_set()).finish()
    }
}

//! [`Heart`]: whether the service lives; and [`Readiness`]: what it tells the service manager (systemd) of that.

#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Knows of each part of the service when it has to be heard of again.
///
/// A part takes a [`Pulse`] and says at every turn how long it may be silent. So a large encoder may take a minute, and a
/// loop that turns ten times a second is missed after one.
#[derive(Debug, Default)]
pub struct Heart {
    parts: Mutex<Vec<Arc<Part>>>,
}

#[derive(Debug)]
struct Part {
    name: String,
    /// When it has to be heard of again.
    due: Mutex<Due>,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    At(Instant),
    /// It waits for work, for as long as that takes.
    Never,
    /// Its thread has panicked.
    Died,
}

impl Heart {
    /// A heart with no parts, which is well.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes on a part, which has to be heard of within `silence`.
    pub fn pulse(self: &Arc<Self>, name: impl Into<String>, silence: Duration) -> Pulse {
        let part = Arc::new(Part { name: name.into(), due: Mutex::new(Due::Never) });
        lock(&self.parts).push(Arc::clone(&part));
        let pulse = Pulse { heart: Arc::clone(self), part };
        pulse.beat(silence);
        pulse
    }

    /// Whether all parts are heard of in time.
    ///
    /// # Errors
    /// With the first part that is not, in words.
    pub fn check(&self) -> Result<(), String> {
        let now = Instant::now();
        for part in lock(&self.parts).iter() {
            match *lock(&part.due) {
                Due::At(due) if due < now => {
                    let late = now.duration_since(due).as_secs_f64();
                    return Err(format!("{} does not answer: it is {late:.1} s late", part.name));
                }
                Due::Died => return Err(format!("{} has crashed", part.name)),
                Due::At(_) | Due::Never => {}
            }
        }
        Ok(())
    }
}

/// What one part of the service reports to the [`Heart`]. Dropping it takes the part out, but for a panic, which is not
/// forgotten.
#[derive(Debug)]
pub struct Pulse {
    heart: Arc<Heart>,
    part: Arc<Part>,
}

impl Pulse {
    /// Lives, and will be heard of again within `silence`.
    pub fn beat(&self, silence: Duration) {
        *lock(&self.part.due) = Instant::now().checked_add(silence).map_or(Due::Never, Due::At);
    }

    /// Lives, and now waits for work that may never come.
    pub fn rest(&self) {
        *lock(&self.part.due) = Due::Never;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if thread::panicking() {
            *lock(&self.part.due) = Due::Died;
        } else {
            lock(&self.heart.parts).retain(|part| !Arc::ptr_eq(part, &self.part));
        }
    }
}

/// A panic elsewhere leaves these values whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the service manager how the service is (sd_notify(3)). Says nothing where there is none; a manager that cannot be
/// reached is no reason to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness(());

impl Readiness {
    /// Of this process.
    pub fn new() -> Self {
        Readiness(())
    }

    /// Clients can come; `status` says what is served, in a line.
    pub fn ready(self, status: &str) {
        notify(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// How it goes, in a line.
    pub fn status(self, status: &str) {
        notify(&format!("STATUS={}", one_line(status)));
    }

    /// The service ends.
    pub fn stopping(self) {
        notify("STOPPING=1\nSTATUS=stopping");
    }

    /// Feeds the manager's watchdog at half of its interval for as long as the heart is well. `None` if it has none.
    ///
    /// What is not well is said once, in the log and in the status; the manager then restarts the service when its time
    /// is up.
    pub fn watch(self, heart: &Arc<Heart>) -> Option<Watchdog> {
        let interval = watchdog_interval()? / 2;
        let heart = Arc::clone(heart);
        let (stop, stopped) = mpsc::channel::<()>();
        let feed = move || {
            let mut well = true;
            loop {
                match heart.check() {
                    Ok(()) => {
                        notify(if well { "WATCHDOG=1" } else { "WATCHDOG=1\nSTATUS=well again" });
                        well = true;
                    }
                    Err(reason) => {
                        if well {
                            tracing::error!("{reason}; the watchdog is not fed");
                            self.status(&reason);
                        }
                        well = false;
                    }
                }
                if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("watchdog".into()).spawn(feed);
        thread
            .inspect_err(|e| tracing::error!("no thread for the watchdog: {e}"))
            .ok()
            .map(|thread| Watchdog { stop: Some(stop), thread: Some(thread) })
    }
}

/// The thread that feeds the manager's watchdog; it ends when the value is dropped.
#[derive(Debug)]
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A line break would begin another variable of the protocol.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(target_os = "linux")]
fn notify(state: &str) {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Custom(state)]) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn notify(_state: &str) {}

#[cfg(target_os = "linux")]
fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

#[cfg(not(target_os = "linux"))]
fn watchdog_interval() -> Option<Duration> {
    None
}

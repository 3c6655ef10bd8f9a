//! [`Newest`]: a place for one thing that is overwritten until somebody takes it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For so long after somebody asked, it is taken that somebody will ask again.
const INTEREST: Duration = Duration::from_secs(1);

/// The newest thing from one thread for another. Clones share the place.
pub(super) struct Newest<T>(Arc<(Mutex<Place<T>>, Condvar)>);

struct Place<T> {
    value: Option<T>,
    /// When somebody asked last.
    asked: Instant,
    /// Whether somebody waits.
    waits: bool,
    closed: bool,
}

impl<T> Clone for Newest<T> {
    fn clone(&self) -> Self {
        Newest(Arc::clone(&self.0))
    }
}

impl<T> Newest<T> {
    pub(super) fn new() -> Self {
        let place = Place { value: None, asked: Instant::now(), waits: false, closed: false };
        Newest(Arc::new((Mutex::new(place), Condvar::new())))
    }

    fn place(&self) -> MutexGuard<'_, Place<T>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something there, and gives back what nobody has taken.
    pub(super) fn put(&self, value: T) -> Option<T> {
        let old = self.place().value.replace(value);
        self.0.1.notify_all();
        old
    }

    /// Takes away what nobody has taken.
    pub(super) fn clear(&self) -> Option<T> {
        self.place().value.take()
    }

    /// Whether nothing is there.
    pub(super) fn is_empty(&self) -> bool {
        self.place().value.is_none()
    }

    /// Whether somebody asked lately: making new things for nobody may be left.
    pub(super) fn is_asked_for(&self) -> bool {
        let place = self.place();
        place.waits || place.asked.elapsed() < INTEREST
    }

    /// Takes what is there, waiting for it up to `until` (for ever if there is no such time), or until the place is closed.
    pub(super) fn take(&self, until: Option<Instant>) -> Option<T> {
        let mut place = self.place();
        place.waits = true;
        while place.value.is_none() && !place.closed {
            let wait = until.map_or(INTEREST, |until| until.saturating_duration_since(Instant::now()));
            if wait.is_zero() {
                break;
            }
            place = self.0.1.wait_timeout(place, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        (place.asked, place.waits) = (Instant::now(), false);
        place.value.take()
    }

    /// Ends waiting on both sides.
    pub(super) fn close(&self) {
        self.place().closed = true;
        self.0.1.notify_all();
    }

    /// Whether the place is closed, waiting for that at most so long.
    pub(super) fn closes_within(&self, patience: Duration) -> bool {
        let open = |place: &mut Place<T>| !place.closed;
        self.0.1.wait_timeout_while(self.place(), patience, open).unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

#[cfg(test)]
impl<T> Newest<T> {
    /// Looks at what is there without asking for it.
    pub(super) fn peek<U>(&self, look: impl FnOnce(Option<&T>) -> U) -> U {
        look(self.place().value.as_ref())
    }

    /// As if somebody asked all the time, until somebody does.
    pub(super) fn hold_interest(&self) {
        self.place().asked = Instant::now() + Duration::from_secs(3600);
    }

    /// As if nobody had asked for long.
    pub(super) fn forget_interest(&self) {
        self.place().asked = Instant::now().checked_sub(2 * INTEREST).expect("the machine is on for longer than that");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_taken_once() {
        let place = Newest::new();
        assert_eq!((place.put(1), place.put(2), place.clear(), place.put(3)), (None, Some(1), Some(2), None));
        let now = Some(Instant::now());
        assert_eq!((place.take(now), place.take(now)), (Some(3), None));
        assert!(place.is_asked_for());
    }

    #[test]
    fn whoever_waits_is_woken() {
        let place = Newest::new();
        let other = place.clone();
        let waiting =
            std::thread::spawn(move || (other.take(None), other.take(None), other.closes_within(Duration::MAX)));
        place.put(7);
        while place.place().value.is_some() {
            std::thread::yield_now();
        }
        assert!(!place.closes_within(Duration::ZERO));
        place.close();
        assert_eq!(waiting.join().unwrap(), (Some(7), None, true));
    }
}

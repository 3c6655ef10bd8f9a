//! Numbers that many threads change and one reads: counters, gauges, histograms, and families of them by a label.

use std::marker::PhantomData;
use std::ops::Index;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows, until the program ends.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A whole number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Changes it by a difference.
    pub fn add(&self, difference: i64) {
        self.0.fetch_add(difference, Ordering::Relaxed);
    }

    /// One more for as long as the returned value lives, however its owner ends.
    pub fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }

    /// Its value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// A measured value that may be unknown, and is left out of the page then.
#[derive(Debug)]
pub struct Measure(AtomicU64);

impl Default for Measure {
    fn default() -> Self {
        Measure(AtomicU64::new(f64::NAN.to_bits()))
    }
}

impl Measure {
    /// Sets it; `None` and what is no number mean that it is unknown.
    pub fn set(&self, value: impl Into<Option<f64>>) {
        self.0.store(value.into().unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
    }

    /// Its value, if it is known.
    pub fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|value| !value.is_nan())
    }
}

/// Upper bounds of a [`Histogram`]'s buckets in microseconds: from a decoder on a fast machine to a large encoder on a
/// slow one.
pub const BOUNDS_US: [u64; 15] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// How often a duration fell below each of [`BOUNDS_US`].
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what is longer than all.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|&bound| bound < us);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// The sum in microseconds, and the count of each bucket by itself. A reader adds the buckets up, so that the count
    /// of all agrees with the last of them, whatever other threads do meanwhile.
    pub(super) fn read(&self) -> (u64, [u64; BOUNDS_US.len() + 1]) {
        let sum = self.sum_us.load(Ordering::Relaxed);
        (sum, std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed)))
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.read().1.iter().sum()
    }
}

/// What tells the members of a [`Family`] apart: a closed set, so that no client can make the page grow.
pub trait Label: Copy {
    /// The label's name on the page.
    const NAME: &'static str;
    /// The values on the page, by index.
    const VALUES: &'static [&'static str];
    /// Which of [`Label::VALUES`] this is.
    fn index(self) -> usize;
}

/// A metric for each value of a label.
#[derive(Debug)]
pub struct Family<L, M> {
    members: Vec<M>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, M: Default> Default for Family<L, M> {
    fn default() -> Self {
        Family { members: L::VALUES.iter().map(|_| M::default()).collect(), label: PhantomData }
    }
}

impl<L: Label, M> Index<L> for Family<L, M> {
    type Output = M;

    fn index(&self, label: L) -> &M {
        &self.members[label.index()]
    }
}

impl<L: Label, M> Family<L, M> {
    /// Each value of the label, with its metric.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &M)> {
        L::VALUES.iter().copied().zip(&self.members)
    }
}

impl<L: Label> Family<L, Counter> {
    /// The counts of all members together.
    pub fn total(&self) -> u64 {
        self.members.iter().map(Counter::get).sum()
    }
}

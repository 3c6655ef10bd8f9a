//! [`Estimates`]: how long work is likely to take, from what it took.

use std::time::Duration;

/// What a stage took lately.
#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    mean: f64,
    deviation: f64,
    last: Duration,
}

impl Stage {
    /// Weighs the new time as an eighth, as TCP weighs round trips (Jacobson 1988; RFC 6298).
    fn add(&mut self, taken: Duration) {
        self.last = taken;
        let taken = taken.as_secs_f64();
        if self.mean == 0.0 {
            (self.mean, self.deviation) = (taken, taken / 4.0);
            return;
        }
        self.deviation += ((taken - self.mean).abs() - self.deviation) / 4.0;
        self.mean += (taken - self.mean) / 8.0;
    }

    /// What it takes nearly always.
    fn likely(&self) -> Duration {
        Duration::from_secs_f64((self.mean + 2.0 * self.deviation).clamp(0.0, 3600.0))
    }
}

/// Likely times of the engine's stages on this machine, at its present clock and load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Estimates {
    encode: Stage,
    decode: Stage,
}

impl Estimates {
    /// Learns from preprocessing and encoding a frame.
    pub(crate) fn encoded(&mut self, taken: Duration) {
        self.encode.add(taken);
    }

    /// Learns from decoding and post-processing a prompt.
    pub(crate) fn decoded(&mut self, taken: Duration) {
        self.decode.add(taken);
    }

    /// What encoding and decoding took when they were last done.
    pub(crate) fn last(&self) -> (Duration, Duration) {
        (self.encode.last, self.decode.last)
    }

    /// Preprocessing and encoding.
    pub(crate) fn encode(&self) -> Duration {
        self.encode.likely()
    }

    /// Decoding and post-processing.
    pub(crate) fn decode(&self) -> Duration {
        self.decode.likely()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_what_is_measured_and_stay_above_the_mean() {
        let mut estimates = Estimates::default();
        assert_eq!(estimates.encode(), Duration::ZERO);
        for _ in 0..100 {
            estimates.encoded(Duration::from_millis(50));
        }
        assert!((50..52).contains(&estimates.encode().as_millis()), "{:?}", estimates.encode());
        for i in 0..100 {
            estimates.encoded(Duration::from_millis(if i % 2 == 0 { 80 } else { 120 }));
        }
        let likely = estimates.encode().as_millis();
        assert!((110..160).contains(&likely), "{likely}");
        assert_eq!(estimates.decode(), Duration::ZERO);
    }
}

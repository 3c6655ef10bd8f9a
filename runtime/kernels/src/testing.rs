//! Data for tests, the same on every machine.

/// A small deterministic generator (splitmix64).
pub(crate) struct Values(u64);

impl Values {
    /// Starts it at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `len` numbers, evenly spread over `-limit..limit`.
    pub(crate) fn vec(&mut self, len: usize, limit: f32) -> Vec<f32> {
        (0..len).map(|_| ((self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0) * limit).collect()
    }
}

/// `len` bytes of noise, with many of the extremes.
pub(crate) fn bytes(seed: u32, len: usize) -> Vec<u8> {
    let mut values = Values::new(u64::from(seed));
    let level = |x: u64| match x & 7 {
        0 => 0,
        1 => 255,
        _ => (x >> 24) as u8,
    };
    (0..len).map(|_| level(values.bits())).collect()
}

//! [`Ring`]: bytes from an interrupt to the program.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// Up to `N` bytes, a power of two, that one writes and another reads, neither waiting for the other.
pub(crate) struct Ring<const N: usize> {
    bytes: [AtomicU8; N],
    /// How many were read and written; both wrap.
    read: AtomicUsize,
    written: AtomicUsize,
    lost: AtomicU32,
}

impl<const N: usize> Ring<N> {
    /// With nothing in it.
    pub(crate) const fn new() -> Self {
        const { assert!(N.is_power_of_two()) }
        Ring {
            bytes: [const { AtomicU8::new(0) }; N],
            read: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
            lost: AtomicU32::new(0),
        }
    }

    /// Appends a byte; where there is no room it is lost. For the interrupt.
    pub(crate) fn push(&self, byte: u8) {
        let written = self.written.load(Ordering::Relaxed);
        if written.wrapping_sub(self.read.load(Ordering::Acquire)) >= N {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.bytes[written % N].store(byte, Ordering::Relaxed);
        self.written.store(written.wrapping_add(1), Ordering::Release);
    }

    /// Takes as many bytes as there are, and as there is room for. For the program.
    pub(crate) fn pop(&self, into: &mut [u8]) -> usize {
        let read = self.read.load(Ordering::Relaxed);
        let count = self.written.load(Ordering::Acquire).wrapping_sub(read).min(into.len());
        for (at, byte) in into.iter_mut().take(count).enumerate() {
            *byte = self.bytes[read.wrapping_add(at) % N].load(Ordering::Relaxed);
        }
        self.read.store(read.wrapping_add(count), Ordering::Release);
        count
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.written.load(Ordering::Acquire) == self.read.load(Ordering::Relaxed)
    }

    /// Bytes that were lost.
    pub(crate) fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }
}

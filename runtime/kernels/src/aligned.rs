//! [`Aligned`]: memory that starts at a cache line.

use std::ops::{Deref, DerefMut};

/// A slice that starts at a cache line, so that registers of whole lines never straddle two. Keeps its memory when it shrinks.
#[derive(Debug, Default)]
pub struct Aligned<E> {
    data: Vec<E>,
    start: usize,
    len: usize,
}

impl<E: Copy + Default> Aligned<E> {
    const ALIGNMENT: usize = 64;

    /// A slice of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut out = Aligned { data: Vec::new(), start: 0, len: 0 };
        out.resize(len);
        out
    }

    /// Gives the slice a new length; what it holds is whatever was there. Allocates only where it must grow.
    pub fn resize(&mut self, len: usize) -> &mut [E] {
        self.len = len;
        let needed = len + Self::ALIGNMENT / size_of::<E>();
        if self.data.len() < needed {
            // Nothing of the old is kept, so that it is not copied.
            self.data = vec![E::default(); needed];
        }
        self.start = self.data.as_ptr().align_offset(Self::ALIGNMENT).min(needed - len);
        self
    }
}

impl<E: Copy + Default> FromIterator<E> for Aligned<E> {
    fn from_iter<I: IntoIterator<Item = E>>(values: I) -> Self {
        let values: Vec<E> = values.into_iter().collect();
        let mut out = Aligned::zeros(values.len());
        out.copy_from_slice(&values);
        out
    }
}

impl<E> Deref for Aligned<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.data[self.start..][..self.len]
    }
}

impl<E> DerefMut for Aligned<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.data[self.start..][..self.len]
    }
}

//! [`Shared`]: numbers that many hold and nobody changes.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;

use crate::Aligned;

/// Bytes that stay where they are for as long as anybody holds them: a mapped file, or memory.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A slice in memory of its own, or a part of a mapped file that is used where it lies. Clones share it.
#[derive(Clone)]
pub struct Shared<E>(Source<E>);

#[derive(Clone)]
enum Source<E> {
    Memory(Arc<Aligned<E>>),
    Bytes(Bytes, Range<usize>),
}

impl<E: Pod + Default> Shared<E> {
    /// The numbers that `range` of `bytes` holds, in the byte order of this machine. `None` if it reaches outside, is no whole number of
    /// them, or does not start where one may start.
    pub fn from_bytes(bytes: Bytes, range: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, E>((*bytes).as_ref().get(range.clone())?).ok()?;
        Some(Shared(Source::Bytes(bytes, range)))
    }

    /// Memory to write new numbers to: that of the old ones, if nobody else holds them.
    pub fn renew(&mut self) -> &mut Aligned<E> {
        let alone = match &mut self.0 {
            Source::Memory(memory) => Arc::get_mut(memory).is_some(),
            Source::Bytes(..) => false,
        };
        if !alone {
            *self = Shared::default();
        }
        match &mut self.0 {
            Source::Memory(memory) => Arc::get_mut(memory).unwrap_or_else(|| unreachable!("it has one owner")),
            Source::Bytes(..) => unreachable!("it is memory by now"),
        }
    }
}

impl<E: Default> Default for Shared<E> {
    fn default() -> Self {
        Shared(Source::Memory(Arc::default()))
    }
}

impl<E> From<Aligned<E>> for Shared<E> {
    fn from(memory: Aligned<E>) -> Self {
        Shared(Source::Memory(Arc::new(memory)))
    }
}

impl<E: Pod> Deref for Shared<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        match &self.0 {
            Source::Memory(memory) => memory,
            Source::Bytes(bytes, range) => bytemuck::cast_slice(&(**bytes).as_ref()[range.clone()]),
        }
    }
}

impl<E: Pod> fmt::Debug for Shared<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_where_they_may_start_are_taken() {
        let mut aligned = Aligned::<u64>::zeros(4);
        aligned[1] = u64::from(1.5f32.to_bits());
        let owned: Vec<u8> = bytemuck::cast_slice(&aligned).to_vec();
        let bytes: Bytes = Arc::new(owned);
        let start = (*bytes).as_ref().as_ptr().align_offset(4);
        let at = |from: usize, to: usize| Shared::<f32>::from_bytes(Arc::clone(&bytes), start + from..start + to);
        assert_eq!(at(8 - start, 16 - start).map(|s| s.to_vec()), Some(vec![1.5, 0.0]));
        assert!(at(0, 0).unwrap().is_empty());
        assert!(at(1, 5).is_none() && at(0, 6).is_none() && at(8, 4).is_none() && at(0, 4000).is_none());
    }

    #[test]
    fn memory_is_kept_only_where_nobody_else_looks() {
        let mut shared = Shared::<f32>::default();
        shared.renew().resize(100).fill(1.0);
        let place = shared.as_ptr();
        shared.renew().resize(50);
        assert_eq!(shared.as_ptr(), place);
        let other = shared.clone();
        shared.renew().resize(50).fill(2.0);
        assert!(other.iter().all(|v| *v == 1.0));
        assert_ne!(shared.as_ptr(), other.as_ptr());
    }
}

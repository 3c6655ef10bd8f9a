//! [`Weights`]: packed once, read in order.

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::vector::{Kernel, blocks};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::depthwise::MAX_KERNEL;
use crate::{Aligned, Bytes, Shared, SimdLevel};

/// Weights of a depthwise convolution of bytes, for one level. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Weights {
    level: SimdLevel,
    channels: usize,
    kernel: usize,
    /// Bytes of packed taps, and of those the ones in the first section.
    sizes: (usize, usize),
    /// The packed taps, filled up to whole cache lines, and then the sum of each channel's.
    data: Shared<i32>,
}

impl Weights {
    /// Packs `weight` `(channels, kernel, kernel)`, of -127..=127.
    pub fn pack(level: SimdLevel, weight: &[i8], channels: usize, kernel: usize) -> Self {
        let area = kernel * kernel;
        let sizes = sizes(level, channels, kernel).filter(|_| weight.len() == channels * area);
        let Some(sizes) = sizes else { panic!("{} weights of {channels} channels, {kernel} wide", weight.len()) };
        assert!(weight.iter().all(|weight| *weight > i8::MIN), "weights of -127 to 127");
        let numbers = sizes.0 / size_of::<i32>();
        let mut data = Aligned::<i32>::zeros(numbers + channels);
        let (taps, sums) = data.split_at_mut(numbers);
        let packed = bytemuck::cast_slice_mut(taps);
        match level {
            SimdLevel::Scalar => packed[..weight.len()].copy_from_slice(weight),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2(_) => fill::<avx2::Pairs>(weight, kernel, 0..channels, packed),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512(_) => {
                let wide = avx512::wide(channels);
                let (most, rest) = packed.split_at_mut(sizes.1);
                fill::<avx512::Wide>(weight, kernel, 0..wide, most);
                fill::<avx512::Narrow>(weight, kernel, wide..channels, rest);
            }
            #[cfg(target_arch = "aarch64")]
            SimdLevel::Neon(_) => fill::<neon::Pairs>(weight, kernel, 0..channels, packed),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => {
                fill::<neon::Quads>(weight, kernel, 0..channels, packed);
            }
        }
        for (sum, taps) in sums.iter_mut().zip(weight.chunks_exact(area)) {
            *sum = taps.iter().map(|tap| i32::from(*tap)).sum();
        }
        Weights { level, channels, kernel, sizes, data: data.into() }
    }

    /// Weights that were packed earlier for this level, used where they lie. `None` if `range` of `bytes` is not of their size, or does
    /// not start at a number; those that start at a cache line are read fastest.
    pub fn from_bytes(
        level: SimdLevel,
        (channels, kernel): (usize, usize),
        bytes: Bytes,
        range: Range<usize>,
    ) -> Option<Self> {
        let sizes = sizes(level, channels, kernel)?;
        let len = (sizes.0 / size_of::<i32>()).checked_add(channels)?;
        let data = Shared::from_bytes(bytes, range).filter(|data| data.len() == len)?;
        Some(Weights { level, channels, kernel, sizes, data })
    }

    /// The packed weights, as [`from_bytes`](Self::from_bytes) takes them.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.data)
    }

    /// The level that they are packed for, and which computes.
    pub fn level(&self) -> SimdLevel {
        self.level
    }

    /// Channels of the map.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Side of the kernel.
    pub fn kernel(&self) -> usize {
        self.kernel
    }

    /// The sum of each channel's weights.
    pub fn sums(&self) -> &[i32] {
        &self.data[self.data.len() - self.channels..]
    }

    /// The packed taps, in their sections.
    pub(super) fn sections(&self) -> (&[i8], &[i8]) {
        bytemuck::cast_slice(&self.data[..self.sizes.0 / size_of::<i32>()]).split_at(self.sizes.1)
    }
}

/// What packed taps take, and of that the first section; `None` for sizes that there are not.
fn sizes(level: SimdLevel, channels: usize, kernel: usize) -> Option<(usize, usize)> {
    if channels == 0 || !(1..=MAX_KERNEL).contains(&kernel) {
        return None;
    }
    let (most, rest) = match level {
        SimdLevel::Scalar => (channels.checked_mul(kernel * kernel)?, 0),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2(_) => (section::<avx2::Pairs>(channels, kernel)?, 0),
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512(_) => {
            let wide = avx512::wide(channels);
            (section::<avx512::Wide>(wide, kernel)?, section::<avx512::Narrow>(channels - wide, kernel)?)
        }
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon(_) => (section::<neon::Pairs>(channels, kernel)?, 0),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::NeonDot(_) | SimdLevel::NeonI8mm(_) => (section::<neon::Quads>(channels, kernel)?, 0),
    };
    Some((most.checked_add(rest)?.checked_next_multiple_of(64)?, most))
}

/// Bytes of the blocks of `channels`.
fn section<K: Kernel>(channels: usize, kernel: usize) -> Option<usize> {
    channels.div_ceil(K::CHANNELS).checked_mul(kernel.div_ceil(K::ROWS) * kernel * K::BYTES)
}

/// Packs blocks: for each, units from top to bottom, and of each unit the columns.
fn fill<K: Kernel>(weight: &[i8], kernel: usize, channels: Range<usize>, packed: &mut [i8]) {
    let block = kernel.div_ceil(K::ROWS) * kernel * K::BYTES;
    let all = weight.len() / (kernel * kernel);
    for (c, packed) in blocks(channels, all, K::CHANNELS).zip(packed.chunks_exact_mut(block)) {
        for (channel, taps) in weight[c * kernel * kernel..].chunks_exact(kernel * kernel).take(K::CHANNELS).enumerate()
        {
            for (tap, weight) in taps.iter().enumerate() {
                let (i, j) = (tap / kernel, tap % kernel);
                let unit = &mut packed[(i / K::ROWS * kernel + j) * K::BYTES..][..K::BYTES];
                K::place(channel, i % K::ROWS, *weight, unit);
            }
        }
    }
}

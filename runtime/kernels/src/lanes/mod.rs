//! [`Lanes`]: one register of f32 numbers, for the kernels that are the same text at every level.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod exp;
#[cfg(target_arch = "aarch64")]
mod neon;

use half::f16;

pub(crate) use exp::{LOWEST, exp};

/// The arithmetic of one instruction set on a register of f32 lanes. The token that implements it proves the instructions, so
/// arithmetic is safe; memory is not.
///
/// All methods are inlined, and compile to single instructions only inside a function that enables the level's features, such as
/// [`run`](Lanes::run).
pub(crate) trait Lanes: Copy + Send + Sync + 'static {
    /// The register.
    type Vector: Copy;
    /// Numbers in a register.
    const LANES: usize;
    /// Registers that a loop may keep numbers in.
    const REGISTERS: usize;

    /// Does `work` in a function that enables the features of this level.
    fn run<W: Work>(self, work: W);

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `value` clamped to `low..=high`, which are numbers; NaN stays NaN.
    fn clamp(self, value: Self::Vector, low: f32, high: f32) -> Self::Vector;
    /// `value`; zero where it is NaN.
    fn or_zero(self, value: Self::Vector) -> Self::Vector;
    /// The larger of `value` and `low`, which is a number; NaN stays NaN.
    fn at_least(self, value: Self::Vector, low: f32) -> Self::Vector;
    /// The larger of `a` and `b`; which of them where one is NaN, differs.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Which lanes of `a` are greater than those of `b`: lane `i` is bit `i`. NaN is greater than nothing.
    fn above(self, a: Self::Vector, b: Self::Vector) -> u64;
    /// `2^n` for whole numbers `n` in -126..=127.
    fn exp2_whole(self, n: Self::Vector) -> Self::Vector;

    /// Every lane.
    #[inline(always)]
    fn to_array(self, value: Self::Vector) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        // SAFETY: no register has more than sixteen lanes.
        unsafe { self.store(value, lanes.as_mut_ptr()) };
        lanes
    }

    /// Sum of the lanes, in halves: lane `i` and lane `i + LANES / 2` first.
    #[inline(always)]
    fn sum(self, value: Self::Vector) -> f32 {
        let (mut lanes, mut width) = (self.to_array(value), Self::LANES / 2);
        while width > 0 {
            (0..width).for_each(|i| lanes[i] += lanes[i + width]);
            width /= 2;
        }
        lanes[0]
    }

    /// Reads a register.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES` numbers.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Lane `i` is lane `indices[i] - first` of `window`; anything where there is none such.
    ///
    /// # Safety
    /// `indices` is valid for reads of `LANES` numbers.
    unsafe fn pick(self, window: Self::Vector, indices: *const u32, first: u32) -> Self::Vector;
    /// Reads and widens a register.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES` numbers.
    unsafe fn load_f16(self, from: *const f16) -> Self::Vector;
    /// Writes a register.
    ///
    /// # Safety
    /// `to` is valid for writes of `LANES` numbers.
    unsafe fn store(self, value: Self::Vector, to: *mut f32);
    /// Reads `len < LANES` numbers; the other lanes are zero.
    ///
    /// # Safety
    /// `from` is valid for reads of `len` numbers, and `len < LANES`.
    unsafe fn load_part(self, from: *const f32, len: usize) -> Self::Vector;
    /// Writes the first `len < LANES` lanes.
    ///
    /// # Safety
    /// `to` is valid for writes of `len` numbers, and `len < LANES`.
    unsafe fn store_part(self, value: Self::Vector, to: *mut f32, len: usize);

    /// Reads `LANES` rows of `LANES` numbers, and writes their columns as rows.
    ///
    /// # Safety
    /// `from` is valid for reads of such rows, `stride` numbers apart, and `to` for writes of such rows, `to_stride` apart.
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize);

    /// [`load`](Self::load), or [`load_part`](Self::load_part) where `len` is less than a register.
    ///
    /// # Safety
    /// `from` is valid for reads of the smaller of `len` and `LANES` numbers.
    #[inline(always)]
    unsafe fn load_up_to(self, from: *const f32, len: usize) -> Self::Vector {
        // SAFETY: as the caller promises, and `len` is checked.
        unsafe { if len >= Self::LANES { self.load(from) } else { self.load_part(from, len) } }
    }

    /// [`store`](Self::store), or [`store_part`](Self::store_part) where `len` is less than a register.
    ///
    /// # Safety
    /// `to` is valid for writes of the smaller of `len` and `LANES` numbers.
    #[inline(always)]
    unsafe fn store_up_to(self, value: Self::Vector, to: *mut f32, len: usize) {
        // SAFETY: as the caller promises, and `len` is checked.
        unsafe { if len >= Self::LANES { self.store(value, to) } else { self.store_part(value, to, len) } }
    }
}

/// A loop over registers, to be compiled with a level's features. Its `run` must be `#[inline(always)]`.
pub(crate) trait Work {
    /// Does it.
    fn run<S: Lanes>(self, s: S);
}

/// Calls `$vector(token, ..)` with the instructions of a level enabled, or `$scalar(..)`, by one exhaustive `match`: for kernels that
/// are the same text at every level.
macro_rules! at_level {
    ($level:expr, $scalar:path, $vector:path, ($($arg:ident: $kind:ty = $value:expr),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2(token: $crate::simd::Avx2, $($arg: $kind),*) {
            $vector(token, $($arg),*);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
        fn avx512(token: $crate::simd::Avx512, $($arg: $kind),*) {
            $vector(token, $($arg),*);
        }
        match $level {
            $crate::SimdLevel::Scalar => $scalar($($value),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token proves the features.
            $crate::SimdLevel::Avx2(token) => unsafe { avx2(token, $($value),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token proves the features.
            $crate::SimdLevel::Avx512(token) => unsafe { avx512(token, $($value),*) },
            #[cfg(target_arch = "aarch64")]
            $crate::SimdLevel::Neon(token) => $vector(token, $($value),*),
            #[cfg(target_arch = "aarch64")]
            $crate::SimdLevel::NeonDot(token) => $vector(token.neon(), $($value),*),
            #[cfg(target_arch = "aarch64")]
            $crate::SimdLevel::NeonI8mm(token) => $vector(token.neon(), $($value),*),
        }
    }};
}
pub(crate) use at_level;

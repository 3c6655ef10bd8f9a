//! The micro-kernel: a tile of outputs that stays in registers while all inputs pass by.

use std::ptr;

use bytemuck::Pod;
use half::f16;

use crate::Activation;
use crate::activation::vector;
use crate::lanes::{Lanes, Work};

/// How a weight is stored.
pub(super) trait Element: Pod + Default + Send + Sync {
    /// `value`, rounded.
    fn of(value: f32) -> Self;
    /// Whether to [`load`](Self::load) them is as fast as to load f32.
    const FAST: bool;
    /// The exact value.
    fn widen(self) -> f32;
    /// Reads a register of them.
    ///
    /// # Safety
    /// `from` is valid for reads of a register's number of elements.
    unsafe fn load<S: Lanes>(s: S, from: *const Self) -> S::Vector;
}

impl Element for f32 {
    const FAST: bool = true;

    #[inline(always)]
    fn of(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<S: Lanes>(s: S, from: *const f32) -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe { s.load(from) }
    }
}

impl Element for f16 {
    const FAST: bool = false;

    fn of(value: f32) -> f16 {
        f16::from_f32(value)
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    unsafe fn load<S: Lanes>(s: S, from: *const f16) -> S::Vector {
        // SAFETY: as the caller promises.
        unsafe { s.load_f16(from) }
    }
}

/// One tile: some rows by the columns of one panel. Pointers are to its first row and column.
#[derive(Clone, Copy)]
pub(super) struct Tile<E, A = f32> {
    /// First row of `a`, of `inputs` numbers.
    pub(super) a: *const A,
    pub(super) a_stride: usize,
    pub(super) inputs: usize,
    /// The panel of weights: `inputs` times as many registers as the tile is wide.
    pub(super) panel: *const E,
    /// Columns that exist: the last register may be wider.
    pub(super) columns: usize,
    /// As many numbers as columns, or null.
    pub(super) bias: *const f32,
    pub(super) activation: Activation,
    /// Null where there is none.
    pub(super) residual: *const f32,
    pub(super) residual_stride: usize,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
}

impl<E, A> Tile<E, A> {
    /// Calls `compute`, which stores the tile, and does what [`activate`] cannot: GELU, and what comes after it.
    ///
    /// # Safety
    /// The tile's pointers are valid for `rows` rows and its columns.
    #[inline(always)]
    pub(super) unsafe fn compute_with<S: Lanes>(&self, s: S, rows: usize, compute: impl FnOnce(&Self)) {
        if self.activation == Activation::Gelu {
            compute(&Tile { activation: Activation::None, residual: ptr::null(), ..*self });
            s.run(Finish { tile: self, rows });
        } else {
            compute(self);
        }
    }
}

/// Computes and stores a tile, for which all pointers of it must be valid.
pub(super) type Function<S, E> = unsafe fn(S, &Tile<E>);

/// The [`Function`]s `$compute` of all heights and widths.
macro_rules! table {
    ($compute:ident: $($rows:literal)+; $vectors:tt) => {
        &[$(tile::table!(@row $compute $rows $vectors)),+]
    };
    (@row $compute:ident $rows:literal ($($vectors:literal)+)) => {
        [$($compute::<E, $rows, $vectors> as Function<Self, E>),+]
    };
}
pub(super) use table;

/// An instruction set's tiles.
pub(super) trait Kernel: Lanes {
    /// Rows of the largest tile.
    const ROWS: usize;
    /// Registers across the widest tile.
    const VECTORS: usize;
    /// Bytes of `a` and `out` that a block of rows may have, so that they stay in the cache while all panels pass by.
    const BLOCK_BYTES: usize;

    /// The function of the tiles of `rows` (from 1 to `ROWS`) by `vectors` (from 1 to `VECTORS`). It may be called on
    /// this processor.
    fn tile<E: Element>(self, rows: usize, vectors: usize) -> Function<Self, E>;

    /// Adds the products of all inputs to the sums.
    ///
    /// # Safety
    /// `tile.a` and `tile.panel` are valid for a tile of this size.
    unsafe fn accumulate<E: Element, const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile<E>,
        sums: [[Self::Vector; VECTORS]; ROWS],
    ) -> [[Self::Vector; VECTORS]; ROWS];
}

/// A [`Function`], to be inlined into one that enables the features of `S`.
///
/// # Safety
/// The tile's pointers are valid for `ROWS` rows and its columns, which fill at least `VECTORS - 1` registers and
/// start the last.
#[inline(always)]
pub(super) unsafe fn compute<S: Kernel, E: Element, const ROWS: usize, const VECTORS: usize>(s: S, tile: &Tile<E>) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    if !tile.bias.is_null() {
        for v in 0..VECTORS {
            // SAFETY: the bias has as many numbers as columns.
            let bias = unsafe { load::<S, VECTORS>(s, tile.bias, v, tile.columns) };
            for row in &mut sums {
                row[v] = bias;
            }
        }
    }
    // SAFETY: as the caller promises.
    sums = unsafe { s.accumulate(tile, sums) };
    activate(s, tile.activation, sums.as_flattened_mut());
    if !tile.residual.is_null() {
        for (r, row) in sums.iter_mut().enumerate() {
            for (v, sum) in row.iter_mut().enumerate() {
                // SAFETY: the residual has this row and these columns.
                let residual =
                    unsafe { load::<S, VECTORS>(s, tile.residual.add(r * tile.residual_stride), v, tile.columns) };
                *sum = s.add(*sum, residual);
            }
        }
    }
    for (r, row) in sums.iter().enumerate() {
        for (v, &sum) in row.iter().enumerate() {
            // SAFETY: the output has this row and these columns.
            unsafe {
                let to = tile.out.add(r * tile.out_stride + v * S::LANES);
                if v + 1 < VECTORS { s.store(sum, to) } else { s.store_up_to(sum, to, tile.columns - v * S::LANES) }
            }
        }
    }
}

/// Applies an activation that is short enough to be unrolled over a tile.
#[inline(always)]
pub(super) fn activate<S: Lanes>(s: S, activation: Activation, sums: &mut [S::Vector]) {
    match activation {
        Activation::None => {}
        Activation::Relu => each(s, Activation::Relu, sums),
        Activation::Relu6 => each(s, Activation::Relu6, sums),
        Activation::Hardswish => each(s, Activation::Hardswish, sums),
        // [`Finish`] does it.
        Activation::Gelu => unreachable!("a tile without GELU"),
    }
}

#[inline(always)]
fn each<S: Lanes>(s: S, activation: Activation, sums: &mut [S::Vector]) {
    for sum in sums {
        *sum = vector::value(s, activation, *sum);
    }
}

/// Register `v` of a row of `columns` numbers.
#[inline(always)]
unsafe fn load<S: Lanes, const VECTORS: usize>(s: S, row: *const f32, v: usize, columns: usize) -> S::Vector {
    // SAFETY: all registers but the last are within the columns, and the last starts there.
    unsafe {
        let from = row.add(v * S::LANES);
        if v + 1 < VECTORS { s.load(from) } else { s.load_up_to(from, columns - v * S::LANES) }
    }
}

/// [`Kernel::accumulate`] by broadcasting each number of `a`.
///
/// # Safety
/// As there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn broadcast<S: Lanes, E: Element, const ROWS: usize, const VECTORS: usize>(
    s: S,
    tile: &Tile<E>,
    mut sums: [[S::Vector; VECTORS]; ROWS],
) -> [[S::Vector; VECTORS]; ROWS] {
    use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
    // Rows of the output are fetched while the sums are made, and the rows of the next tile meanwhile: as if they
    // followed one another without gaps, so that each step fetches as much as it uses. Where maps are larger than the
    // cache, this saves a quarter of the time.
    const LINE: usize = 64 / size_of::<f32>();
    for r in 0..ROWS {
        for first in (0..VECTORS * S::LANES).step_by(LINE) {
            let line = tile.out.wrapping_add(r * tile.out_stride + first);
            // SAFETY: a prefetch may be of any address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) };
        }
    }
    let mut next = tile.a.wrapping_add(ROWS * tile.a_stride);
    let (mut a, mut panel) = (tile.a, tile.panel);
    for _ in 0..tile.inputs {
        // SAFETY: a prefetch may be of any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(next.cast()) };
        next = next.wrapping_add(ROWS);
        let mut weights = [s.splat(0.0); VECTORS];
        for (v, weight) in weights.iter_mut().enumerate() {
            // SAFETY: the panel has `VECTORS` registers for each input.
            *weight = unsafe { E::load(s, panel.add(v * S::LANES)) };
        }
        for (r, row) in sums.iter_mut().enumerate() {
            // SAFETY: `a` has this row and input.
            let value = s.splat(unsafe { *a.add(r * tile.a_stride) });
            for (sum, &weight) in row.iter_mut().zip(&weights) {
                *sum = s.mul_add(value, weight, *sum);
            }
        }
        // SAFETY: at most one past the end of either.
        (a, panel) = unsafe { (a.add(1), panel.add(VECTORS * S::LANES)) };
    }
    sums
}

/// What comes after a sum, where it is too long to be part of a tile: applies the activation to a tile that is
/// stored, and adds the residual.
struct Finish<'a, E, A> {
    tile: &'a Tile<E, A>,
    rows: usize,
}

impl<E, A> Work for Finish<'_, E, A> {
    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let Finish { tile, rows } = self;
        for r in 0..rows {
            for first in (0..tile.columns).step_by(S::LANES) {
                let len = tile.columns - first;
                // SAFETY: only `compute_with` makes one, which was promised that both have this row and these columns.
                unsafe {
                    let to = tile.out.add(r * tile.out_stride + first);
                    let mut value = vector::value(s, tile.activation, s.load_up_to(to, len));
                    if !tile.residual.is_null() {
                        let residual = tile.residual.add(r * tile.residual_stride + first);
                        value = s.add(value, s.load_up_to(residual, len));
                    }
                    s.store_up_to(value, to, len);
                }
            }
        }
    }
}

/// Widens whole registers of weights.
pub(super) struct Widen<'a, E> {
    pub(super) from: &'a [E],
    pub(super) to: &'a mut [f32],
}

impl<E: Element> Work for Widen<'_, E> {
    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        for (from, to) in self.from.chunks_exact(S::LANES).zip(self.to.chunks_exact_mut(S::LANES)) {
            // SAFETY: both have as many elements as a register.
            unsafe { s.store(E::load(s, from.as_ptr()), to.as_mut_ptr()) };
        }
    }
}

//! The micro-kernel: a tile of sums that stays in registers while all inputs pass by, and becomes bytes or numbers there.

use crate::lanes::Lanes;
use crate::requantize::{Clamp, Quantize};

/// One tile: some rows by the columns of one panel. Pointers are to its first row and column.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// First row of inputs, as the level has [prepared](Kernel::prepare) them.
    pub(super) a: *const u8,
    /// Bytes between the starts of rows.
    pub(super) a_stride: usize,
    pub(super) inputs: usize,
    /// The panel of weights: for each [group](Kernel::GROUP) of inputs as many registers as the tile is wide.
    pub(super) panel: *const i8,
    /// Columns that exist: the last register may be wider.
    pub(super) columns: usize,
    /// As many numbers as columns.
    pub(super) bias: *const i32,
    /// Sums of the columns' weights.
    pub(super) sums: *const i32,
    /// As many numbers as columns.
    pub(super) multipliers: *const f32,
    pub(super) ending: Ending,
}

/// What becomes of a tile's sums.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    Bytes(ToBytes),
    Floats(Rows<*mut f32>),
}

/// The residual is null where there is none.
#[derive(Clone, Copy)]
pub(super) struct ToBytes {
    pub(super) bounds: Clamp,
    pub(super) residual: Rows<*const u8>,
    pub(super) residual_zero: u8,
    pub(super) residual_multiplier: f32,
    pub(super) out: Rows<*mut u8>,
}

/// The start of the first row, and the distance between rows.
#[derive(Clone, Copy)]
pub(super) struct Rows<P>(pub(super) P, pub(super) usize);

impl Tile {
    /// Makes it the tile that is `rows` rows below.
    pub(super) fn descend(&mut self, rows: usize) {
        self.a = self.a.wrapping_add(rows * self.a_stride);
        match &mut self.ending {
            Ending::Bytes(ToBytes { residual, out, .. }) => {
                residual.0 = residual.0.wrapping_add(rows * residual.1);
                out.0 = out.0.wrapping_add(rows * out.1);
            }
            Ending::Floats(out) => out.0 = out.0.wrapping_add(rows * out.1),
        }
    }
}

/// Computes and stores a tile, for which all pointers of it must be valid.
pub(super) type Function<S> = unsafe fn(S, &Tile);

/// The [`Function`]s `$compute` of all heights, for each width.
macro_rules! functions {
    ($compute:ident: $($vectors:literal x ($($rows:literal)+)),+) => {
        const { &[$(&[$($compute::<$rows, $vectors> as Function<Self>),+] as &[Function<Self>]),+] }
    };
}
pub(super) use functions;

/// A register of sums.
pub(super) type Sums<S> = <<S as Kernel>::Lanes as Quantize>::Sums;

/// An instruction set's tiles.
pub(super) trait Kernel: Copy + Send + Sync + 'static {
    /// What does the rest.
    type Lanes: Quantize;
    /// Registers across the widest tile.
    const VECTORS: usize;
    /// Inputs that lie together in a panel.
    const GROUP: usize;
    /// Bytes of rows, in and out, that a block may have, so that they stay in the cache while all panels pass by.
    const BLOCK_BYTES: usize;
    /// Bytes that an input takes when prepared. None where rows of whole groups are read as they are.
    const PREPARED: Option<usize>;

    /// The token of [`Kernel::Lanes`].
    fn lanes(self) -> Self::Lanes;

    /// The functions of all tiles, by width and then by height from 1 on. They may be called on this processor.
    fn functions(self) -> &'static [&'static [Function<Self>]];

    /// Writes a row of inputs as [`accumulate`](Self::accumulate) reads it. What `to` holds beyond stands for no inputs.
    #[inline(always)]
    fn prepare(self, row: &[u8], to: &mut [u8]) {
        let (inputs, rest) = to.split_at_mut(row.len());
        inputs.copy_from_slice(row);
        rest.fill(0);
    }

    /// What a sum starts from: the bias, and what preparation has taken from the products with weights whose sums are `weights`.
    #[inline(always)]
    fn start(self, bias: Sums<Self>, _weights: Sums<Self>) -> Sums<Self> {
        bias
    }

    /// The sums of the products of all inputs, and of `start`.
    ///
    /// # Safety
    /// `tile.a` and `tile.panel` are valid for a tile of this size.
    unsafe fn accumulate<const ROWS: usize, const VECTORS: usize>(
        self,
        tile: &Tile,
        start: [Sums<Self>; VECTORS],
    ) -> [[Sums<Self>; VECTORS]; ROWS];

    /// Multiplies registers, `steps` times as many as hide the latency, and says how many products that were.
    fn multiply(self, steps: usize) -> usize;
}

/// A [`Function`], to be inlined into one that enables the features of `S`.
///
/// # Safety
/// The tile's pointers are valid for `ROWS` rows and its columns, which fill at least `VECTORS - 1` registers and
/// start the last.
#[inline(always)]
pub(super) unsafe fn compute<S: Kernel, const ROWS: usize, const VECTORS: usize>(s: S, tile: &Tile) {
    let (lanes, columns) = (s.lanes(), tile.columns);
    let mut start = [lanes.as_sums(lanes.splat(0.0)); VECTORS];
    // SAFETY: these have as many numbers as columns. Loading moves bits, whatever they mean.
    let multipliers = unsafe {
        let bias: [_; VECTORS] = load(lanes, tile.bias.cast(), columns);
        let weights: [_; VECTORS] = load(lanes, tile.sums.cast(), columns);
        for v in 0..VECTORS {
            start[v] = s.start(lanes.as_sums(bias[v]), lanes.as_sums(weights[v]));
        }
        load(lanes, tile.multipliers, columns)
    };
    // SAFETY: as the caller promises.
    let sums: [[Sums<S>; VECTORS]; ROWS] = unsafe { s.accumulate(tile, start) };
    // Written out, so that sums stay in registers.
    macro_rules! rows {
        ($finish:ident($to:ident): $($r:literal)+) => {{$(
            if $r < ROWS {
                // SAFETY: as the caller promises.
                unsafe { $finish(lanes, &$to, $r, columns, sums[$r], multipliers) };
            }
        )+}};
    }
    // Copies, which stores cannot change.
    match tile.ending {
        Ending::Bytes(to) => rows!(to_bytes(to): 0 1 2 3 4 5 6 7),
        Ending::Floats(to) => rows!(to_floats(to): 0 1 2 3 4 5 6 7),
    }
}

/// Sums as numbers, by their multipliers.
#[inline(always)]
fn scaled<S: Quantize, const VECTORS: usize>(
    s: S,
    sums: [S::Sums; VECTORS],
    multipliers: [S::Vector; VECTORS],
) -> [S::Vector; VECTORS] {
    let mut values = multipliers;
    for (value, &sum) in values.iter_mut().zip(&sums) {
        *value = s.mul(s.to_f32(sum), *value);
    }
    values
}

/// Stores row `r`.
///
/// # Safety
/// The output, and the residual if there is one, have it and its columns, of which there are as many as in [`compute`].
#[inline(always)]
unsafe fn to_bytes<S: Quantize, const VECTORS: usize>(
    s: S,
    to: &ToBytes,
    r: usize,
    columns: usize,
    sums: [S::Sums; VECTORS],
    multipliers: [S::Vector; VECTORS],
) {
    let mut values = scaled(s, sums, multipliers);
    // SAFETY: as the caller promises.
    unsafe {
        if !to.residual.0.is_null() {
            let multiplier = s.splat(to.residual_multiplier);
            let added = s.load_bytes::<VECTORS>(to.residual.0.add(r * to.residual.1), columns, to.residual_zero);
            for (value, &added) in values.iter_mut().zip(&added) {
                *value = s.add(*value, s.mul(added, multiplier));
            }
        }
        s.store_bytes(values, to.bounds, to.out.0.add(r * to.out.1), columns);
    }
}

/// Stores row `r`.
///
/// # Safety
/// As of [`to_bytes`].
#[inline(always)]
unsafe fn to_floats<S: Quantize, const VECTORS: usize>(
    s: S,
    to: &Rows<*mut f32>,
    r: usize,
    columns: usize,
    sums: [S::Sums; VECTORS],
    multipliers: [S::Vector; VECTORS],
) {
    let values = scaled(s, sums, multipliers);
    // SAFETY: as the caller promises.
    unsafe {
        let out = to.0.add(r * to.1);
        for (v, &value) in values.iter().enumerate() {
            let to = out.add(v * S::LANES);
            if v + 1 < VECTORS { s.store(value, to) } else { s.store_up_to(value, to, columns - v * S::LANES) }
        }
    }
}

/// A row of `columns` numbers, which start the last register.
#[inline(always)]
unsafe fn load<S: Lanes, const VECTORS: usize>(s: S, row: *const f32, columns: usize) -> [S::Vector; VECTORS] {
    let mut numbers = [s.splat(0.0); VECTORS];
    for (v, numbers) in numbers.iter_mut().enumerate() {
        // SAFETY: all registers but the last are within the columns, and the last starts there.
        *numbers = unsafe {
            let from = row.add(v * S::LANES);
            if v + 1 < VECTORS { s.load(from) } else { s.load_up_to(from, columns - v * S::LANES) }
        };
    }
    numbers
}

//! Quads of source rows of any format, resized horizontally.

use cutout_kernels::pixels::{self, BayerRow, ColourRow, YuvMatrix};
use cutout_kernels::resize;

use super::band::Plan;
use crate::geometry::Region;
use crate::image::{BayerDepth, BayerPattern, ImageView, PixelFormat, YuvEncoding};

/// Planes that a format has when it is resized: one if it is grey.
pub(super) fn planes(format: PixelFormat) -> usize {
    if matches!(format, PixelFormat::Grey8 | PixelFormat::Grey16) { 1 } else { 3 }
}

/// Bytes of a pixel when it is resized.
pub(super) fn pixel_bytes(format: PixelFormat) -> usize {
    if matches!(format, PixelFormat::Rgb8 | PixelFormat::Bgr8) { 3 } else { 4 }
}

fn matrix(encoding: YuvEncoding) -> YuvMatrix {
    const BT601: (f64, f64) = (0.299, 0.114);
    const BT709: (f64, f64) = (0.2126, 0.0722);
    match encoding {
        YuvEncoding::Bt601Limited => const { YuvMatrix::new(BT601.0, BT601.1, false) },
        YuvEncoding::Bt601Full => const { YuvMatrix::new(BT601.0, BT601.1, true) },
        YuvEncoding::Bt709Limited => const { YuvMatrix::new(BT709.0, BT709.1, false) },
        YuvEncoding::Bt709Full => const { YuvMatrix::new(BT709.0, BT709.1, true) },
    }
}

/// Rows on their way in.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Four converted rows.
    converted: Vec<u8>,
    /// Six rows of a colour filter array: those of a quad, and one above and below.
    samples: Vec<u16>,
}

impl Source {
    /// Writes quad `quad` of the image, resized horizontally, to `out`: one plane, or three. Rows below the image hold
    /// anything.
    pub(super) fn quad(&mut self, plan: &Plan<'_>, quad: usize, out: &mut [u32]) {
        let (image, across) = (plan.image, plan.across);
        let width = resize::padded(across.output());
        let last = image.size().height - 1;
        let rows = || std::array::from_fn(|row| image.row((4 * quad + row).min(last)).unwrap_or_default());
        match image.format() {
            PixelFormat::Rgb8 => resize::horizontal::<3>(across, rows(), three(out, width)),
            PixelFormat::Bgr8 => {
                let [red, green, blue] = three(out, width);
                resize::horizontal::<3>(across, rows(), [blue, green, red]);
            }
            PixelFormat::Rgba8 => resize::horizontal::<4>(across, rows(), three(out, width)),
            PixelFormat::Grey8 => {
                self.converted.resize(4 * across.input(), 0);
                pixels::grey_quads::<1>(plan.level, rows(), &mut self.converted);
                resize::horizontal_quads(across, &self.converted, out);
            }
            PixelFormat::Grey16 => {
                self.converted.resize(4 * across.input(), 0);
                pixels::grey_quads::<2>(plan.level, rows(), &mut self.converted);
                resize::horizontal_quads(across, &self.converted, out);
            }
            PixelFormat::Yuyv(_) | PixelFormat::Nv12(_) | PixelFormat::Bayer(..) => {
                let skip = self.convert(plan, quad);
                let stride = self.converted.len() / 4;
                let row = |row| &self.converted[row * stride + 4 * skip..][..4 * across.input()];
                resize::horizontal::<4>(across, std::array::from_fn(row), three(out, width));
            }
        }
    }

    /// Converts a quad's rows, and says how many pixels to skip at the beginning of each.
    fn convert(&mut self, plan: &Plan<'_>, quad: usize) -> usize {
        let image = plan.image;
        let Region { x0, y0, x1, y1 } = image.placed().1;
        let first = y0 + 4 * quad;
        let count = (y1 - first).min(4);
        // Chroma is for pairs of columns.
        let pairs = (x0 / 2, x1.div_ceil(2));
        let (format, pixels) = match image.format() {
            PixelFormat::Bayer(pattern, depth) => {
                self.read_samples(image, depth, first, count);
                (Some((pattern, depth)), x1 - x0)
            }
            _ => (None, 2 * (pairs.1 - pairs.0)),
        };
        self.converted.resize(4 * 4 * pixels, 0);
        for (row, out) in self.converted.chunks_exact_mut(4 * pixels).take(count).enumerate() {
            let y = first + row;
            match (format, image.format()) {
                (Some((pattern, depth)), _) => {
                    let row = bayer_row(&self.samples, row, pixels + 2, pattern, depth, (x0, y));
                    pixels::to_rgbx(plan.level, ColourRow::Bayer(row), out);
                }
                (None, PixelFormat::Nv12(encoding)) => nv12(plan, matrix(encoding), y, pairs, out),
                (None, PixelFormat::Yuyv(encoding)) => {
                    let row = image.row(y - y0).unwrap_or_default();
                    pixels::to_rgbx(plan.level, ColourRow::Yuyv(matrix(encoding), row), out);
                }
                _ => {}
            }
        }
        if format.is_some() { 0 } else { x0 % 2 }
    }

    /// Reads rows `first - 1..=first + count` of the region's columns and one more on each side, those beyond the image
    /// mirrored so that they have the colours that would follow.
    fn read_samples(&mut self, image: &ImageView<'_>, depth: BayerDepth, first: usize, count: usize) {
        let (whole, Region { x0, x1, .. }) = image.placed();
        let width = x1 - x0;
        self.samples.resize(6 * (width + 2), 0);
        for (row, out) in self.samples.chunks_exact_mut(width + 2).take(count + 2).enumerate() {
            let y = mirrored((first + row).wrapping_sub(1), whole.height);
            let (left, right) = (x0.saturating_sub(1), (x1 + 1).min(whole.width));
            let at = usize::from(x0 == 0);
            pixels::samples(image.whole_row(y, left, right), depth.bits(), &mut out[at..at + right - left]);
            if x0 == 0 {
                out[0] = out[1 + mirrored(usize::MAX, whole.width)];
            }
            if x1 == whole.width {
                // Column `x` is sample `x + 1 - x0`.
                out[width + 1] = out[mirrored(x1, whole.width) + 1 - x0];
            }
        }
    }
}

/// The row or column that stands in for `index` of `count`, where -1 is `usize::MAX`: the one as far inside.
fn mirrored(index: usize, count: usize) -> usize {
    if index < count {
        index
    } else if count == 1 {
        0
    } else if index == count {
        count - 2
    } else {
        1
    }
}

fn bayer_row(
    samples: &[u16],
    row: usize,
    width: usize,
    pattern: BayerPattern,
    depth: BayerDepth,
    (x, y): (usize, usize),
) -> BayerRow<'_> {
    let (red_x, red_y) = pattern.red();
    let rows = std::array::from_fn(|k| &samples[(row + k) * width..][..width]);
    let red = y % 2 == red_y;
    // Red and blue are in different columns.
    let coloured = if red { red_x } else { 1 - red_x };
    BayerRow { rows, red, green_first: x % 2 != coloured, depth: depth.bits() }
}

/// Converts pairs of columns of row `y` of the whole image; a last pair may have one luma only.
fn nv12(plan: &Plan<'_>, matrix: YuvMatrix, y: usize, (from, to): (usize, usize), out: &mut [u8]) {
    let (whole, _) = plan.image.placed();
    let paired = to.min(whole.width / 2);
    let luma = plan.image.whole_row(y, 2 * from, whole.width.min(2 * to));
    let chroma = plan.image.whole_chroma(y, from, to);
    let (luma, lone) = luma.split_at(2 * (paired - from));
    let (chroma, rest) = chroma.split_at(luma.len());
    let (pairs, last) = out.split_at_mut(4 * luma.len());
    pixels::to_rgbx(plan.level, ColourRow::Nv12(matrix, luma, chroma), pairs);
    if let &[luma] = lone {
        pixels::to_rgbx(plan.level, ColourRow::Nv12(matrix, &[luma, luma], rest), last);
    }
}

fn three(out: &mut [u32], width: usize) -> [&mut [u32]; 3] {
    let (red, rest) = out.split_at_mut(width);
    let (green, blue) = rest.split_at_mut(width);
    [red, green, blue]
}

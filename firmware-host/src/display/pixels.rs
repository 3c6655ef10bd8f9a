//! From RGB rows to the bytes that displays hold.

use embedded_graphics::geometry::Size;

use super::Turn;

/// How a display holds a pixel. Words are little-endian, as all of Linux's framebuffers here are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Five bits of red, six of green, five of blue, red in the highest.
    Rgb565,
    /// Blue, green, red.
    Bgr888,
    /// Blue, green, red, and a byte that is set, as some drivers take it for opacity.
    Bgrx8888,
}

impl Layout {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Layout::Rgb565 => 2,
            Layout::Bgr888 => 3,
            Layout::Bgrx8888 => 4,
        }
    }

    /// Writes a row of pixels, `y` being its number; `out` holds as many pixels.
    pub(super) fn write_row(self, row: impl Iterator<Item = [u8; 3]>, y: usize, out: &mut [u8]) {
        let pixels = out.chunks_exact_mut(self.bytes()).zip(row);
        match self {
            Layout::Rgb565 => {
                pixels.enumerate().for_each(|(x, (out, rgb))| out.copy_from_slice(&to_rgb565(rgb, x, y).to_le_bytes()))
            }
            Layout::Bgr888 => pixels.for_each(|(out, [r, g, b])| out.copy_from_slice(&[b, g, r])),
            Layout::Bgrx8888 => pixels.for_each(|(out, [r, g, b])| out.copy_from_slice(&[b, g, r, 0xff])),
        }
    }
}

/// A pixel in 16 bits, by an ordered dither of Bayer's 4 x 4 matrix, so that slow gradients have no steps. Black, white and
/// all levels that 16 bits have stay as they are.
pub(super) fn to_rgb565([r, g, b]: [u8; 3], x: usize, y: usize) -> u16 {
    const MATRIX: [[u16; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    let threshold = MATRIX[y % 4][x % 4] * 255 / 16;
    let level = |value: u8, most: u16| (u16::from(value) * most + threshold) / 255;
    level(r, 31) << 11 | level(g, 63) << 5 | level(b, 31)
}

/// The pixels of row `y` of a display that shows a picture turned: `pixels` are those of the picture, `size` its size,
/// not zero; the row is one of `turn.of(size)`.
pub(super) fn turned_row(
    pixels: &[[u8; 3]],
    size: Size,
    turn: Turn,
    swap: bool,
    y: usize,
) -> impl Iterator<Item = [u8; 3]> {
    let (width, height) = (size.width as usize, size.height as usize);
    // Where the row's first pixel is in the picture, how far it is to the next, and how many there are.
    let (first, step, count) = match turn {
        Turn::None => (y * width, 1, width),
        Turn::Quarter => ((height - 1) * width + y, -(width as isize), height),
        Turn::Half => ((height - y) * width - 1, -1, width),
        Turn::ThreeQuarters => (width - 1 - y, width as isize, height),
    };
    (0..count).map(move |x| {
        let [r, g, b] = pixels[first.wrapping_add_signed(x as isize * step)];
        if swap { [b, g, r] } else { [r, g, b] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_kernel() {
        let written = |layout: Layout, rgb: [u8; 3]| {
            let mut out = vec![0; layout.bytes()];
            layout.write_row([rgb].into_iter(), 0, &mut out);
            out
        };
        assert_eq!(written(Layout::Rgb565, [255, 0, 0]), [0x00, 0xf8]);
        assert_eq!(written(Layout::Rgb565, [0, 255, 0]), [0xe0, 0x07]);
        assert_eq!(written(Layout::Rgb565, [0, 0, 255]), [0x1f, 0x00]);
        assert_eq!(written(Layout::Bgr888, [1, 2, 3]), [3, 2, 1]);
        assert_eq!(written(Layout::Bgrx8888, [1, 2, 3]), [3, 2, 1, 255]);
    }

    #[test]
    fn levels_of_16_bits_stay_and_others_are_right_on_average() {
        for level in 0..32u16 {
            // The nearest of 256 below or at the level, if it is exact.
            if level * 255 % 31 == 0 {
                let value = (level * 255 / 31) as u8;
                let all = (0..16).map(|i| to_rgb565([value; 3], i % 4, i / 4) >> 11);
                assert!(all.into_iter().all(|found| found == level), "{value}");
            }
        }
        for value in 0..=255u8 {
            let sums = (0..16).map(|i| to_rgb565([value; 3], i % 4, i / 4)).fold([0.0; 3], |sum, word| {
                let level = |bits: u16, most: f64| f64::from(bits) * 255.0 / most / 16.0;
                [
                    sum[0] + level(word >> 11, 31.0),
                    sum[1] + level(word >> 5 & 63, 63.0),
                    sum[2] + level(word & 31, 31.0),
                ]
            });
            assert!(sums.iter().all(|mean| (mean - f64::from(value)).abs() < 0.6), "{value}: {sums:?}");
        }
    }

    #[test]
    fn a_turned_picture_has_its_corners_where_they_belong() {
        // a b c
        // d e f
        let pixels: Vec<[u8; 3]> = b"abcdef".iter().map(|&name| [name, 0, 1]).collect();
        let shown = |turn: Turn| {
            let size = Size::new(3, 2);
            let rows = turn.of(size).height as usize;
            let row = |y| turned_row(&pixels, size, turn, false, y).map(|rgb| char::from(rgb[0])).collect::<String>();
            (0..rows).map(row).collect::<Vec<_>>()
        };
        assert_eq!(shown(Turn::None), ["abc", "def"]);
        assert_eq!(shown(Turn::Quarter), ["da", "eb", "fc"]);
        assert_eq!(shown(Turn::Half), ["fed", "cba"]);
        assert_eq!(shown(Turn::ThreeQuarters), ["cf", "be", "ad"]);
        let swapped: Vec<_> = turned_row(&pixels, Size::new(3, 2), Turn::None, true, 0).collect();
        assert_eq!(swapped[0], [1, 0, b'a']);
    }
}

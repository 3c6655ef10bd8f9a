//! A mask in the characters of a terminal, two pixels each, one above the other.

use std::io::IsTerminal;

use crate::overlay::{Span, palette};
use embedded_graphics::pixelcolor::RgbColor;

/// Widest and highest picture, in characters.
const MOST: (u32, u32) = (96, 30);

/// How a terminal can be drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terminal {
    /// Characters in a line, and lines.
    size: (u32, u32),
    /// Whether it has 24-bit colours.
    pub(super) colour: bool,
}

impl Terminal {
    /// Standard output, if it is a terminal.
    pub(super) fn of_stdout() -> Option<Self> {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return None;
        }
        #[cfg(unix)]
        let size = rustix::termios::tcgetwinsize(&stdout).map_or((0, 0), |s| (s.ws_col.into(), s.ws_row.into()));
        #[cfg(not(unix))]
        let size = (0, 0);
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colour = !is_set("NO_COLOR") && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        Some(Terminal { size: known(size), colour })
    }

    /// Where nobody looks: plain characters.
    pub(super) const PLAIN: Terminal = Terminal { size: (65, 30), colour: false };

    /// Pixels of a picture that is drawn for a frame of this size.
    fn pixels(&self, width: u32, height: u32) -> (u32, u32) {
        let columns = self.size.0.saturating_sub(1).clamp(1, MOST.0);
        let lines = self.size.1.saturating_sub(4).clamp(1, MOST.1);
        let (w, h) = (u64::from(width.max(1)), u64::from(height.max(1)));
        // As wide as fits, or as high.
        let high = (u64::from(columns) * h / w).max(1);
        let most = u64::from(2 * lines);
        if high <= most { (columns, high as u32) } else { (((most * w / h).max(1) as u32).min(columns), most as u32) }
    }

    /// The mask of a frame of this size, on its picture if there is one: RGB, of any size.
    pub(super) fn draw(
        &self,
        (width, height): (u32, u32),
        spans: impl Iterator<Item = Span>,
        picture: Option<(u32, u32, &[u8])>,
    ) -> String {
        let (columns, rows) = self.pixels(width, height);
        let cover = coverage((width, height), (columns, rows), spans);
        let at = |x: u32, y: u32| cover.get((y * columns + x) as usize).copied().unwrap_or(0.0);
        let mut out = String::new();
        for line in 0..rows.div_ceil(2) {
            for x in 0..columns {
                let (upper, lower) = (2 * line, 2 * line + 1);
                if !self.colour {
                    let is_in = |y: u32| y < rows && at(x, y) >= 0.5;
                    out.push(match (is_in(upper), is_in(lower)) {
                        (true, true) => '\u{2588}',
                        (true, false) => '\u{2580}',
                        (false, true) => '\u{2584}',
                        (false, false) => '\u{b7}',
                    });
                    continue;
                }
                let pixel = |y: u32| tint(below(picture, (x, y), (columns, rows)), at(x, y));
                let [r, g, b] = pixel(upper);
                out += &format!("\u{1b}[38;2;{r};{g};{b}m");
                if lower < rows {
                    let [r, g, b] = pixel(lower);
                    out += &format!("\u{1b}[48;2;{r};{g};{b}m");
                }
                out.push('\u{2580}');
            }
            if self.colour {
                out += "\u{1b}[0m";
            }
            out.push('\n');
        }
        out
    }
}

/// The size of a terminal; those on serial lines do not know theirs, and say 0.
fn known((columns, lines): (u32, u32)) -> (u32, u32) {
    (if columns == 0 { 80 } else { columns }, if lines == 0 { 24 } else { lines })
}

/// How much of each pixel of a small picture the mask covers, 0 to 1.
fn coverage((width, height): (u32, u32), (columns, rows): (u32, u32), spans: impl Iterator<Item = Span>) -> Vec<f32> {
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (columns, rows) = (u64::from(columns), u64::from(rows));
    // In units that divide pixels of both pictures: `width * columns` across.
    let mut cover = vec![0_u64; (columns * rows) as usize];
    for span in spans {
        let (left, right) = (u64::from(span.x) * columns, u64::from(span.x.saturating_add(span.len)) * columns);
        let (top, bottom) = (u64::from(span.y) * rows, (u64::from(span.y) + 1) * rows);
        for y in top / height..=((bottom - 1) / height).min(rows - 1) {
            let high = bottom.min((y + 1) * height).saturating_sub(top.max(y * height));
            for x in left / width..=(right.saturating_sub(1) / width).min(columns - 1) {
                let wide = right.min((x + 1) * width).saturating_sub(left.max(x * width));
                if let Some(cell) = cover.get_mut((y * columns + x) as usize) {
                    *cell += wide * high;
                }
            }
        }
    }
    let whole = (width * height) as f32;
    cover.into_iter().map(|cell| cell as f32 / whole).collect()
}

/// The colour of the picture at a pixel of the small one; dark grey without a picture.
fn below(picture: Option<(u32, u32, &[u8])>, (x, y): (u32, u32), (columns, rows): (u32, u32)) -> [f32; 3] {
    const NOTHING: [f32; 3] = [40.0; 3];
    let Some((width, height, rgb)) = picture else { return NOTHING };
    let range = |at: u32, of: u32, side: u32| {
        let from = u64::from(at) * u64::from(side) / u64::from(of.max(1));
        let to = (u64::from(at) + 1) * u64::from(side) / u64::from(of.max(1));
        from as usize..to.max(from + 1) as usize
    };
    let mut sum = [0.0; 3];
    let mut count = 0.0;
    for row in range(y, rows, height) {
        for column in range(x, columns, width) {
            let start = (row * width as usize + column) * 3;
            let Some(&[r, g, b]) = rgb.get(start..start + 3).and_then(|pixel| pixel.as_array()) else { continue };
            for (sum, value) in sum.iter_mut().zip([r, g, b]) {
                *sum += f32::from(value);
            }
            count += 1.0;
        }
    }
    if count == 0.0 { NOTHING } else { sum.map(|sum| sum / count) }
}

/// The mask's colour over what it covers, the rest stepping back.
fn tint(below: [f32; 3], cover: f32) -> [u8; 3] {
    let colour = palette(0);
    let over = [colour.r(), colour.g(), colour.b()].map(f32::from);
    let cover = cover.clamp(0.0, 1.0);
    let mut out = [0; 3];
    for ((out, below), over) in out.iter_mut().zip(below).zip(over) {
        let inside = below * 0.45 + over * 0.55;
        *out = (inside * cover + below * 0.6 * (1.0 - cover)).round() as u8;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Terminal = Terminal { size: (9, 100), colour: false };

    fn spans(rows: std::ops::Range<u32>, x: u32, len: u32) -> impl Iterator<Item = Span> {
        rows.map(move |y| Span { y, x, len })
    }

    #[test]
    fn a_terminal_that_does_not_know_its_size_has_the_usual_one() {
        assert_eq!([(0, 0), (132, 0), (0, 50), (40, 10)].map(known), [(80, 24), (132, 24), (80, 50), (40, 10)]);
    }

    #[test]
    fn a_mask_is_drawn_where_it_is() {
        // A frame of 80 by 60 becomes 8 by 6 pixels: three lines.
        assert_eq!(SMALL.draw((80, 60), spans(10..40, 20, 40), None), "··▄▄▄▄··\n··████··\n········\n");
        assert_eq!(SMALL.draw((80, 60), spans(0..60, 0, 80), None), "████████\n".repeat(3));
        assert_eq!(SMALL.draw((80, 60), spans(0..0, 0, 0), None), "········\n".repeat(3));
        // Half of a pixel or more.
        assert_eq!(SMALL.draw((80, 60), spans(0..10, 5, 10), None), "▀▀······\n········\n········\n");
        assert_eq!(SMALL.draw((80, 60), spans(0..10, 6, 10), None), "·▀······\n········\n········\n");
    }

    #[test]
    fn frames_smaller_than_the_picture_and_of_any_shape_are_drawn() {
        assert_eq!(SMALL.draw((2, 1), spans(0..1, 1, 1), None), "····████\n····████\n");
        assert_eq!(SMALL.draw((4, 1), spans(0..1, 0, 1), None), "██······\n");
        let tall = Terminal { size: (100, 9), colour: false };
        assert_eq!(tall.draw((10, 1000), spans(0..500, 0, 10), None), "█\n█\n▀\n·\n·\n");
        for size in [(1, 1), (0, 0), (65_535, 1), (1, 65_535)] {
            let drawn = SMALL.draw(size, spans(0..1, 0, 1), None);
            assert!(drawn.lines().count() <= 30 && drawn.lines().all(|line| line.chars().count() <= 8), "{size:?}");
        }
    }

    #[test]
    fn colours_are_those_of_picture_and_mask() {
        let terminal = Terminal { size: (3, 100), colour: true };
        let red = [200, 0, 0, 200, 0, 0, 200, 0, 0, 200, 0, 0];
        let drawn = terminal.draw((2, 2), spans(0..2, 0, 1), Some((2, 2, &red)));
        // The mask's azure over red on the left, red that steps back on the right.
        let azure = "\u{1b}[38;2;107;85;140m\u{1b}[48;2;107;85;140m▀";
        let dim = "\u{1b}[38;2;120;0;0m\u{1b}[48;2;120;0;0m▀";
        assert_eq!(drawn, format!("{azure}{dim}\u{1b}[0m\n"));
    }
}

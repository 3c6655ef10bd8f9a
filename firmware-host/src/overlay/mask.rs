//! The inside of a mask in its colour, and the rest of the picture stepping back.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;

use super::{Blend, Span};

/// Strength of a mask's colour, of 255: enough to tell masks apart, little enough to see what is under it.
const TINT: u8 = 84;

/// Lays `colour` over the mask.
pub fn draw_mask<D: Blend>(target: &mut D, spans: impl Iterator<Item = Span>, colour: Rgb888) -> Result<(), D::Error> {
    for span in spans {
        if let Some(start) = point(span.x, span.y) {
            target.tint(start, span.len, colour, TINT)?;
        }
    }
    Ok(())
}

/// Mutes all that is in no span. Here the spans, sorted by `y` and then `x`, may overlap: those of several masks. With
/// no span at all nothing is muted, as there is nothing to make stand out.
pub fn mute_outside<D: Blend>(target: &mut D, spans: impl Iterator<Item = Span>) -> Result<(), D::Error> {
    let mut spans = spans.peekable();
    if spans.peek().is_none() {
        return Ok(());
    }
    let Size { width, height } = target.bounding_box().size;
    for y in 0..height {
        let mut x = 0;
        while let Some(span) = spans.next_if(|span| span.y <= y) {
            // A gap of the wrong order or below zero is empty.
            if span.y == y {
                mute(target, x, span.x.min(width), y)?;
                x = x.max(span.end());
            }
        }
        mute(target, x, width, y)?;
    }
    Ok(())
}

fn mute<D: Blend>(target: &mut D, from: u32, to: u32, y: u32) -> Result<(), D::Error> {
    match (point(from, y), to.saturating_sub(from)) {
        (Some(start), len @ 1..) => target.mute(start, len),
        _ => Ok(()),
    }
}

fn point(x: u32, y: u32) -> Option<Point> {
    Some(Point::new(i32::try_from(x).ok()?, i32::try_from(y).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{Dithered, RgbCanvas};
    use embedded_graphics::mock_display::MockDisplay;
    use embedded_graphics::pixelcolor::BinaryColor;

    fn span(y: u32, x: u32, len: u32) -> Span {
        Span { y, x, len }
    }

    #[test]
    fn on_a_display_that_cannot_be_read_a_mask_is_dithered() {
        let mut display = MockDisplay::<BinaryColor>::new();
        let spans = (0..8).map(|y| span(y, 1, 8));
        draw_mask(&mut Dithered(&mut display), spans, Rgb888::WHITE).unwrap();
        // 84 / 255 reaches the thresholds below it: five of the sixteen.
        display.assert_pattern(&[
            "  # # # #",
            " #   #   ",
            "  # # # #",
            "         ",
            "  # # # #",
            " #   #   ",
            "  # # # #",
            "         ",
        ]);
    }

    #[test]
    fn a_mask_is_tinted_where_it_is_and_nowhere_else() {
        let mut bytes = [0; 27];
        let mut canvas = RgbCanvas::new(&mut bytes, Size::new(3, 3)).unwrap();
        let spans = [span(0, 2, 1), span(1, 0, 2), span(2, 1, 9), span(3, 0, 3), span(u32::MAX, u32::MAX, 1)];
        draw_mask(&mut canvas, spans.into_iter(), Rgb888::WHITE).unwrap();
        let lit: Vec<u8> = bytes.chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(lit, [0, 0, TINT, TINT, TINT, 0, 0, TINT, TINT]);
    }

    #[test]
    fn all_but_the_spans_is_muted_even_where_they_overlap() {
        let muted = |spans: &[Span]| {
            let mut bytes = [90; 36];
            let mut canvas = RgbCanvas::new(&mut bytes, Size::new(4, 3)).unwrap();
            mute_outside(&mut canvas, spans.iter().copied()).unwrap();
            bytes.chunks(3).map(|pixel| if pixel[0] == 60 { '.' } else { '#' }).collect::<String>()
        };
        assert_eq!(
            muted(&[span(1, 1, 2)]),
            "....\
                                             .##.\
                                             ...."
        );
        assert_eq!(
            muted(&[span(0, 0, 3), span(0, 1, 1), span(2, 0, 1), span(2, 2, 9), span(7, 0, 1)]),
            "###.\
                                                                                                         ....\
                                                                                                         #.##"
        );
        assert_eq!(muted(&[]), "############");
    }
}

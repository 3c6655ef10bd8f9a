//! A plot: how much error each layer makes by itself.

use std::convert::Infallible;

use cutout_quantize::search::LayerError;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyle, Rectangle};

use super::{FIRST, GAP, LINE, OWN, WIDTH, text};
use crate::overlay::RgbCanvas;

/// Layers stand below each other in so many columns.
const COLUMNS: u32 = 2;
const COLUMN: u32 = (WIDTH - (COLUMNS + 1) * GAP) / COLUMNS;
/// Width of a layer's name.
const NAME: u32 = 220;
/// Width of a layer's number.
const NUMBER: u32 = 56;
/// Longest bar.
const BAR: u32 = COLUMN - NAME - NUMBER - GAP;
/// Lines of text above the bars.
const HEAD: u32 = 3 * LINE + GAP;
/// Layers that are marked as the most harmful.
const MARKED: usize = 8;
const FAINT: Rgb888 = Rgb888::new(0xd8, 0xd8, 0xd8);

/// Height of the plot of so many layers.
pub(super) fn height(layers: usize) -> u32 {
    if layers == 0 { 0 } else { HEAD + rows(layers) * LINE + GAP }
}

fn rows(layers: usize) -> u32 {
    (layers as u32).div_ceil(COLUMNS)
}

/// A bar for each layer, in the network's order, downwards and then to the next column, on a logarithmic axis.
pub(super) fn draw(
    canvas: &mut RgbCanvas<'_>,
    precision: &str,
    layers: &[LayerError],
    top: u32,
) -> Result<(), Infallible> {
    let error = |l: &LayerError| l.error.max(1e-9).log10();
    let most = layers.iter().map(error).fold(f64::NEG_INFINITY, f64::max).ceil();
    // What is far below the most does no harm: its bar has no length.
    let least = layers.iter().map(error).fold(f64::INFINITY, f64::min).floor().clamp(most - 4.0, most - 1.0);
    let length = |log: f64| (f64::from(BAR) * ((log - least) / (most - least)).clamp(0.0, 1.0)) as u32;
    let title = format!(
        "Error of the image encoder's outputs with this layer alone in {precision}, relative to their size; logarithmic, in the network's order"
    );
    text(canvas, &title, (GAP, top + LINE - 3), WIDTH - 2 * GAP)?;
    let more = format!("orange: the {MARKED} that do most harm");
    text(canvas, &more, (GAP, top + 2 * LINE - 3), WIDTH - 2 * GAP)?;
    let rows = rows(layers.len());
    let bars_top = top + HEAD;
    for column in 0..COLUMNS {
        let left = GAP + column * (COLUMN + GAP) + NAME;
        for decade in least as i32..=most as i32 {
            let x = left + length(f64::from(decade));
            fill(canvas, (x, bars_top), (1, rows * LINE), FAINT)?;
            text(canvas, &format!("1e{decade}"), (x.saturating_sub(9), bars_top - 3), NUMBER)?;
        }
    }
    let mut order: Vec<f64> = layers.iter().map(|l| l.error).collect();
    order.sort_by(|a, b| b.total_cmp(a));
    let marked = order.get(MARKED - 1).copied().unwrap_or(0.0);
    for (number, layer) in layers.iter().enumerate() {
        let (column, row) = (number as u32 / rows, number as u32 % rows);
        let (left, y) = (GAP + column * (COLUMN + GAP), bars_top + row * LINE);
        let name = layer.layer.strip_prefix("image_encoder/").unwrap_or(&layer.layer);
        text(canvas, name, (left, y + LINE - 4), NAME - GAP)?;
        let bar = length(error(layer)).max(1);
        let colour = if layer.error >= marked { OWN } else { FIRST };
        fill(canvas, (left + NAME, y + 2), (bar, LINE - 4), colour)?;
        text(canvas, &format!("{:.5}", layer.error), (left + NAME + bar + 4, y + LINE - 4), NUMBER)?;
    }
    Ok(())
}

fn fill(canvas: &mut RgbCanvas<'_>, at: (u32, u32), size: (u32, u32), colour: Rgb888) -> Result<(), Infallible> {
    Rectangle::new(Point::new(at.0 as i32, at.1 as i32), Size::new(size.0, size.1))
        .into_styled(PrimitiveStyle::with_fill(colour))
        .draw(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_logarithms() {
        let layers: Vec<LayerError> =
            [1e-2, 1e-4, 1e-3].iter().map(|e| LayerError { layer: "image_encoder/l".into(), error: *e }).collect();
        let mut pixels = vec![0xff; (3 * WIDTH * height(3)) as usize];
        let mut canvas = RgbCanvas::new(&mut pixels, Size::new(WIDTH, height(3))).unwrap();
        let Ok(()) = draw(&mut canvas, "int8", &layers, 0);
        let lengths = [(0, 0), (0, 1), (1, 0)].map(|(column, row)| {
            let y = HEAD + row * LINE + LINE / 2;
            let start = 3 * (y * WIDTH + GAP + column * (COLUMN + GAP)) as usize;
            let line = &pixels[start..start + 3 * COLUMN as usize];
            line.chunks(3).filter(|p| *p == [OWN.r(), OWN.g(), OWN.b()]).count() as u32
        });
        assert_eq!(lengths, [BAR, 1, BAR / 2]);
    }
}

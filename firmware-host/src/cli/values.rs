//! Values of options that several subcommands take.

use cutout_models::Architecture;
use cutout_models::arch::InputSize;
use cutout_runtime::{BBox, InputShape};

/// A point as it is typed: `320,240`, or `320,240,bg`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PointArg {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) foreground: bool,
}

/// Parses `X,Y`, `X,Y,fg` or `X,Y,bg`.
pub(crate) fn parse_point(text: &str) -> Result<PointArg, String> {
    let wrong = || "give X,Y in pixels, such as 320,240, and ,bg after it for what is not meant".to_owned();
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (coordinates, foreground) = match parts.as_slice() {
        [x, y] | [x, y, "fg" | "1"] => ([*x, *y], true),
        [x, y, "bg" | "0"] => ([*x, *y], false),
        _ => return Err(wrong()),
    };
    let [x, y] = numbers(coordinates).ok_or_else(wrong)?;
    Ok(PointArg { x, y, foreground })
}

/// Parses `X0,Y0,X1,Y1`.
pub(crate) fn parse_box(text: &str) -> Result<BBox, String> {
    let wrong = || "give left, top, right, bottom in pixels, such as 40,60,300,410".to_owned();
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let parts: [&str; 4] = parts.try_into().map_err(|_| wrong())?;
    let [x0, y0, x1, y1] = numbers(parts).ok_or_else(wrong)?;
    Ok(BBox { x0, y0, x1, y1 })
}

/// An input size as it is typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SizeArg {
    /// The longest side.
    Side(usize),
    /// Height and width.
    Exact(InputSize),
}

impl SizeArg {
    /// What it means for an architecture.
    pub(crate) fn shape(self, architecture: Architecture) -> InputShape {
        match self {
            SizeArg::Side(side) => InputShape::of_side(side, architecture),
            SizeArg::Exact(size) => InputShape::Fixed(size),
        }
    }

    /// The largest input that it may mean.
    pub(crate) fn largest(self) -> InputSize {
        match self {
            SizeArg::Side(side) => InputSize::square(side),
            SizeArg::Exact(size) => size,
        }
    }
}

/// Parses `HxW`, or one number.
pub(crate) fn parse_size(text: &str) -> Result<SizeArg, String> {
    let wrong = |_| "give one number, such as 512, or HEIGHTxWIDTH, such as 576x1024".to_owned();
    Ok(match text.split_once('x') {
        None => SizeArg::Side(text.parse().map_err(wrong)?),
        Some((h, w)) => {
            SizeArg::Exact(InputSize { height: h.parse().map_err(wrong)?, width: w.parse().map_err(wrong)? })
        }
    })
}

fn numbers<const N: usize>(parts: [&str; N]) -> Option<[f32; N]> {
    let mut out = [0.0; N];
    for (value, part) in out.iter_mut().zip(parts) {
        *value = part.parse().ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_boxes_are_read_as_typed() {
        assert_eq!(parse_point("320,240").unwrap(), PointArg { x: 320.0, y: 240.0, foreground: true });
        assert_eq!(parse_point(" 3.5, 4 ,bg").unwrap(), PointArg { x: 3.5, y: 4.0, foreground: false });
        assert_eq!(parse_box("1,2,3,4").unwrap(), BBox::new(1.0, 2.0, 3.0, 4.0));
        for wrong in ["", "1", "1,2,3", "1,2,xx", "a,b", "1,2,bg,4"] {
            assert!(parse_point(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "1,2,3", "1,2,3,4,5", "1,2,3,x"] {
            assert!(parse_box(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_height_first() {
        assert_eq!(parse_size("576x1024").unwrap(), SizeArg::Exact(InputSize { height: 576, width: 1024 }));
        assert_eq!(parse_size("512").unwrap(), SizeArg::Side(512));
        assert!(parse_size("512x").is_err() && parse_size("-1").is_err());
    }
}

//! A mask in characters, for a terminal that can show nothing else.

use cutout_runtime::Mask;

/// Most characters of a line.
const COLUMNS: usize = 64;
/// Characters are about twice as high as wide.
const ASPECT: f64 = 2.0;

/// The whole image, `#` where most of what a character covers is inside, `+` where some is, `.` where none is.
pub(crate) fn characters(mask: &Mask) -> String {
    let size = mask.size();
    let columns = COLUMNS.min(size.width);
    let step = size.width as f64 / columns as f64;
    let rows = ((size.height as f64 / step / ASPECT).round() as usize).clamp(1, 64);
    let mut inside = vec![0.0f64; columns * rows];
    let of_row = |y: u32| (y as usize * rows / size.height).min(rows - 1);
    for run in mask.runs() {
        let row = of_row(run.y) * columns;
        let (from, to) = (f64::from(run.x) / step, f64::from(run.end()) / step);
        for column in from as usize..(to.ceil() as usize).min(columns) {
            let left = (column as f64).max(from);
            inside[row + column] += ((column as f64 + 1.0).min(to) - left).max(0.0);
        }
    }
    let mut out = String::with_capacity((columns + 1) * rows);
    for row in 0..rows {
        let lines = (0..size.height as u32).filter(|y| of_row(*y) == row).count().max(1) as f64;
        out.extend(inside[row * columns..][..columns].iter().map(|sum| match sum / lines {
            share if share >= 0.5 => '#',
            share if share > 0.1 => '+',
            _ => '.',
        }));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutout_runtime::{Run, Size};

    #[test]
    fn a_box_is_drawn_where_it_is() {
        let runs = (2..6).map(|y| Run { y, x: 1, len: 2 }).collect();
        let mask = Mask::from_runs(Size::new(4, 8), runs).unwrap();
        assert_eq!(characters(&mask), "....\n.##.\n.##.\n....\n");
        let empty = Mask::from_runs(Size::new(640, 480), vec![]).unwrap();
        assert_eq!(characters(&empty).lines().count(), 24);
        assert!(characters(&empty).lines().all(|line| line == ".".repeat(64)));
        let thin = Mask::from_runs(Size::new(1, 1), vec![Run { y: 0, x: 0, len: 1 }]).unwrap();
        assert_eq!(characters(&thin), "#\n");
    }
}

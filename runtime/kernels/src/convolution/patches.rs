//! Patches: what the windows of an output row see, one after the other.

use crate::depthwise::Shape;

/// Writes the patches of output row `y` to `out`: for each output pixel the `kernel * kernel` pixels of its window, row by row, of
/// `channels` elements each, `outside` where they are not on the map. A convolution's weights `(outputs, channels, kernel, kernel)` are
/// a linear map of them once they are ordered `(outputs, kernel, kernel, channels)`.
pub fn gather_patches<E: Copy>(
    input: &[E],
    shape: &Shape,
    channels: usize,
    kernel: usize,
    outside: E,
    y: usize,
    out: &mut [E],
) {
    let (_, width) = shape.output(kernel);
    assert_eq!(input.len(), shape.height * shape.width * channels, "the input has the shape's size");
    assert_eq!(out.len(), width * kernel * kernel * channels, "a patch for each pixel of the row");
    let run = kernel * channels;
    // Outputs `first..end` see nothing beyond the left and right edges, and all of a row of their window lies side by side.
    let beyond = (shape.width + shape.padding).checked_sub(kernel).map_or(0, |last| last / shape.stride + 1);
    let first = if shape.dilation == 1 { shape.padding.div_ceil(shape.stride).min(width) } else { width };
    let end = beyond.min(width).max(first);
    for i in 0..kernel {
        let Some(at) = shape.tap(y, i, shape.height) else {
            out.chunks_exact_mut(kernel * run).for_each(|patch| patch[i * run..][..run].fill(outside));
            continue;
        };
        let row = &input[at * shape.width * channels..][..shape.width * channels];
        let parts = out.chunks_exact_mut(kernel * run).map(|patch| &mut patch[i * run..][..run]);
        for (x, part) in parts.enumerate() {
            if (first..end).contains(&x) {
                let source = &row[(x * shape.stride - shape.padding) * channels..][..run];
                // Three pixels of an image of planes: a length that is known is a few moves, not a call.
                match (part.as_chunks_mut::<12>(), source.as_chunks::<12>()) {
                    (([to], []), ([from], [])) => *to = *from,
                    _ => part.copy_from_slice(source),
                }
                continue;
            }
            for (column, pixel) in part.chunks_exact_mut(channels).enumerate() {
                match shape.tap(x, column, shape.width) {
                    Some(at) => pixel.copy_from_slice(&row[at * channels..][..channels]),
                    None => pixel.fill(outside),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_the_window_with_zeros_outside() {
        // Pixel (x, y) is [10 y + x, -(10 y + x)].
        let input: Vec<f32> =
            (0..12).flat_map(|i| [(i / 4 * 10 + i % 4) as f32, -((i / 4 * 10 + i % 4) as f32)]).collect();
        let shape = Shape { height: 3, width: 4, stride: 2, dilation: 1, padding: 1 };
        let mut out = vec![f32::NAN; 2 * 9 * 2];
        gather_patches(&input, &shape, 2, 3, 0.0, 1, &mut out);
        let first: Vec<f32> = out.iter().step_by(2).copied().collect();
        assert_eq!(first, [0., 10., 11., 0., 20., 21., 0., 0., 0., 11., 12., 13., 21., 22., 23., 0., 0., 0.]);
        assert!(out.chunks(2).all(|p| p[0] == -p[1]));
    }

    #[test]
    fn bytes_outside_are_what_they_are_said_to_be() {
        let shape = Shape { height: 2, width: 2, stride: 1, dilation: 1, padding: 1 };
        let mut out = [0; 18];
        gather_patches(&[1u8, 2, 3, 4], &shape, 1, 3, 99, 0, &mut out);
        assert_eq!(out, [99, 99, 99, 99, 1, 2, 99, 3, 4, 99, 99, 99, 1, 2, 99, 3, 4, 99]);
    }

    #[test]
    fn every_patch_is_its_window() {
        for (height, width, channels, stride, dilation, padding, kernel) in [
            (9usize, 11usize, 4usize, 2, 1, 1, 3usize),
            (8, 30, 4, 2, 1, 1, 3),
            (12, 24, 1, 1, 1, 2, 5),
            (9, 8, 3, 1, 2, 2, 3),
            (13, 12, 2, 4, 1, 3, 7),
            (5, 5, 12, 1, 1, 0, 1),
            (3, 3, 4, 1, 1, 6, 3),
            (3, 4, 4, 3, 1, 0, 3),
        ] {
            let shape = Shape { height, width, stride, dilation, padding };
            let input: Vec<u8> = (0..height * width * channels).map(|i| (i * 37 % 250) as u8).collect();
            let (rows, columns) = shape.output(kernel);
            for y in 0..rows {
                let mut out = vec![251; columns * kernel * kernel * channels];
                gather_patches(&input, &shape, channels, kernel, 255, y, &mut out);
                for (i, &got) in out.iter().enumerate() {
                    let (tap, channel) = (i / channels, i % channels);
                    let (x, r, k) = (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel);
                    let at = |p: usize, t: usize| (p * stride + t * dilation).checked_sub(padding);
                    let inside = at(y, r).zip(at(x, k)).filter(|(row, column)| *row < height && *column < width);
                    let wanted = inside.map_or(255, |(row, column)| input[(row * width + column) * channels + channel]);
                    assert_eq!(got, wanted, "{shape:?} {kernel} at {y}, {x}, {r}, {k}");
                }
            }
        }
    }
}

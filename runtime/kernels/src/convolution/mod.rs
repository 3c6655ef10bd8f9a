//! Dense convolutions of channel-last maps, as products of patches with [linear](crate::linear) weights.

mod stem;

use crate::depthwise::Shape;

pub use stem::{Planes, Stem};

/// Writes the patches of output row `y` to `out`: for each output pixel the `kernel * kernel` pixels of its window, row by row, of
/// `channels` numbers each, zeros outside the map. A convolution's weights `(outputs, channels, kernel, kernel)` are a linear map of
/// them once they are ordered `(outputs, kernel, kernel, channels)`.
pub fn gather_patches(input: &[f32], shape: &Shape, channels: usize, kernel: usize, y: usize, out: &mut [f32]) {
    let (_, width) = shape.output(kernel);
    assert_eq!(input.len(), shape.height * shape.width * channels, "the input has the shape's size");
    assert_eq!(out.len(), width * kernel * kernel * channels, "a patch for each pixel of the row");
    for (i, out) in out.chunks_exact_mut(channels).enumerate() {
        let (column, row, x) = (i % kernel, i / kernel % kernel, i / (kernel * kernel));
        match shape.tap(y, row, shape.height).zip(shape.tap(x, column, shape.width)) {
            Some((row, column)) => out.copy_from_slice(&input[(row * shape.width + column) * channels..][..channels]),
            None => out.fill(0.0),
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
        gather_patches(&input, &shape, 2, 3, 1, &mut out);
        let first: Vec<f32> = out.iter().step_by(2).copied().collect();
        assert_eq!(first, [0., 10., 11., 0., 20., 21., 0., 0., 0., 11., 12., 13., 21., 22., 23., 0., 0., 0.]);
        assert!(out.chunks(2).all(|p| p[0] == -p[1]));
    }
}

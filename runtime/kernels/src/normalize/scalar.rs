//! The specification of [normalize](super).

/// Normalises one row of pixels into one row of each plane and zeroes the rest of it. Planes are at least as wide as
/// the row.
pub fn rgb8_to_planes(row: &[u8], mean: [f32; 3], std: [f32; 3], planes: [&mut [f32]; 3]) {
    let (pixels, _) = row.as_chunks::<3>();
    for (channel, plane) in planes.into_iter().enumerate() {
        let (image, padding) = plane.split_at_mut(pixels.len());
        for (out, pixel) in image.iter_mut().zip(pixels) {
            *out = (f32::from(pixel[channel]) - mean[channel]) / std[channel];
        }
        padding.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_part_and_padding_is_zero() {
        let mut planes = [[9.0f32; 3]; 3];
        let [r, g, b] = &mut planes;
        rgb8_to_planes(&[10, 20, 30, 0, 255, 128], [10.0, 0.0, 2.0], [2.0, 5.0, 4.0], [r, g, b]);
        assert_eq!(planes, [[0.0, -5.0, 0.0], [4.0, 51.0, 0.0], [7.0, 31.5, 0.0]]);
    }

    #[test]
    fn official_constants_give_the_official_extremes() {
        // (0 - 123.675) / 58.395 and (255 - 103.53) / 57.375, correctly rounded to f32.
        let mut planes = [[0.0f32; 1]; 3];
        let [r, g, b] = &mut planes;
        rgb8_to_planes(&[0, 0, 255], [123.675, 116.28, 103.53], [58.395, 57.12, 57.375], [r, g, b]);
        assert_eq!(planes[0][0], -123.675f32 / 58.395f32);
        assert!((planes[0][0] - -2.117_904).abs() < 1e-6 && (planes[2][0] - 2.64).abs() < 1e-6);
    }
}

//! A binary mask as a mask prompt.

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Point, ResizeLongestSide};
use crate::mask::Mask;
use crate::prompt::LowResLogits;

/// Logit of a cell that lies wholly inside; its negative stands outside. About what a confident answer holds.
const CONFIDENT: f32 = 10.0;
/// Samples of a cell in each direction.
const SAMPLES: usize = 4;

impl LowResLogits {
    /// The logits that stand for a mask drawn by hand or made by another program, where those of an earlier answer are
    /// not at hand: +10 inside, -10 outside and in the padding, in between where a cell is partly covered.
    ///
    /// `transform` is that of the embedding that will be prompted; the mask is in pixels of its image.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPrompt`] if the mask is not of the image's size.
    pub fn from_mask(mask: &Mask, transform: &ResizeLongestSide) -> Result<Self> {
        let (model, resized, image) = (transform.model_size(), transform.resized_size(), transform.image_size());
        if mask.size() != image {
            let context = format!("the mask is {}, the image is {image}: give a mask of the image's size", mask.size());
            return Err(Error::new(ErrorKind::InvalidPrompt, context));
        }
        let (height, width) = (model.height / 4, model.width / 4);
        let inside = mask.to_bools();
        let mut values = Vec::with_capacity(height * width);
        for row in 0..height {
            for column in 0..width {
                let mut covered = 0;
                for sample in 0..SAMPLES * SAMPLES {
                    let offset = |n: usize| (n as f32 + 0.5) * 4.0 / SAMPLES as f32;
                    let x = column as f32 * 4.0 + offset(sample % SAMPLES);
                    let y = row as f32 * 4.0 + offset(sample / SAMPLES);
                    if x < resized.width as f32 && y < resized.height as f32 {
                        let at = transform.to_image(Point::new(x, y));
                        let (px, py) = (at.x as usize, at.y as usize);
                        covered += usize::from(px < image.width && py < image.height && inside[py * image.width + px]);
                    }
                }
                let share = covered as f32 / (SAMPLES * SAMPLES) as f32;
                values.push((2.0 * share - 1.0) * CONFIDENT);
            }
        }
        Ok(LowResLogits { height, width, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    #[test]
    fn a_half_covered_image_gives_half_a_map_and_empty_padding() {
        let size = Size::new(64, 32);
        let left: Vec<bool> = (0..64 * 32).map(|i| i % 64 < 32).collect();
        let mask = Mask::from_bools(size, &left).unwrap();
        let transform = ResizeLongestSide::new(size, Size::new(128, 128)).unwrap();
        let logits = LowResLogits::from_mask(&mask, &transform).unwrap();
        assert_eq!((logits.height, logits.width), (32, 32));
        for (i, &v) in logits.values.iter().enumerate() {
            let inside = i % 32 < 16 && i / 32 < 16;
            assert_eq!(v, if inside { CONFIDENT } else { -CONFIDENT }, "cell {i}");
        }
    }
}

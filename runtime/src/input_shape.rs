//! [`InputShape`]: which input size an image is encoded at.

use cutout_models::arch::InputSize;
use cutout_models::{Architecture, Bundle};

use crate::geometry::Size;

/// How the image encoder's input size follows from the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputShape {
    /// The same for every image, which is scaled to fit and padded. What SAM and MobileSAM were trained with.
    Fixed(InputSize),
    /// The longest side, in model pixels. The other side follows the image, padded to the next multiple of 32 only, so
    /// that nothing is computed for padding.
    Fit(usize),
}

impl InputShape {
    /// Sides that `Fit` pads to are multiples of this: what every convolutional image encoder here can take.
    pub const MULTIPLE: usize = 32;

    /// The shape that suits an architecture, with `side` as its longest side.
    pub fn of_side(side: usize, architecture: Architecture) -> Self {
        if architecture.fits_images() { InputShape::Fit(side) } else { InputShape::Fixed(InputSize::square(side)) }
    }

    /// The shape that a model has where none is asked for. A compiled model has that of the largest size that it was made for, or the
    /// one that it was trained for.
    pub fn of_bundle(bundle: &Bundle) -> Self {
        let (default, fits) = (bundle.input_size(), bundle.architecture().fits_images());
        let side = |size: &InputSize| size.height.max(size.width);
        let made_for = bundle.compiled().map(|model| model.sizes());
        match made_for.as_deref() {
            Some(sizes @ [first, ..]) => match fits {
                true => InputShape::Fit(sizes.iter().map(side).max().unwrap_or(default.width)),
                false => InputShape::Fixed(if sizes.contains(&default) { default } else { *first }),
            },
            _ if fits => InputShape::Fit(side(&default)),
            _ => InputShape::Fixed(default),
        }
    }

    /// The input sizes for images of the usual shapes (1:1, 4:3, 3:2, 16:9, lying and upright).
    pub fn usual_sizes(self) -> Vec<InputSize> {
        let mut sizes = Vec::new();
        for (long, short) in [(1, 1), (4, 3), (3, 2), (16, 9)] {
            for image in [Size::new(long, short), Size::new(short, long)] {
                let size = self.for_image(image);
                if !sizes.contains(&size) {
                    sizes.push(size);
                }
            }
        }
        sizes
    }

    /// The one of `sizes` for an image: the one that this shape gives, if it is there, else the one that shows the image largest, with
    /// the least padding.
    pub(crate) fn best_of(self, sizes: &[InputSize], image: Size) -> InputSize {
        let wanted = self.for_image(image);
        if sizes.contains(&wanted) {
            return wanted;
        }
        let scale = |size: &InputSize| {
            let [height, width] = [(size.height, image.height), (size.width, image.width)];
            f64::min(height.0 as f64 / height.1.max(1) as f64, width.0 as f64 / width.1.max(1) as f64)
        };
        let pixels = |size: &InputSize| size.height * size.width;
        let better = |a: &&InputSize, b: &&InputSize| scale(a).total_cmp(&scale(b)).then(pixels(b).cmp(&pixels(a)));
        sizes.iter().max_by(better).copied().unwrap_or(wanted)
    }

    /// The input size for an image of size `image`.
    pub fn for_image(self, image: Size) -> InputSize {
        match self {
            InputShape::Fixed(size) => size,
            InputShape::Fit(side) => {
                let scale = side as f64 / image.width.max(image.height).max(1) as f64;
                // A hair less, so that a side that divides evenly is not rounded up by the last bit of the scale.
                let needed = |n: usize| ((n as f64 * scale - 1e-6).ceil() as usize).clamp(1, side);
                let padded = |n: usize| needed(n).next_multiple_of(Self::MULTIPLE);
                InputSize { height: padded(image.height), width: padded(image.width) }
            }
        }
    }

    /// The largest input that this shape gives.
    pub fn largest(self) -> InputSize {
        match self {
            InputShape::Fixed(size) => size,
            InputShape::Fit(side) => InputSize::square(side),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::ResizeLongestSide;

    #[test]
    fn fitting_keeps_the_longest_side_and_pads_by_less_than_a_multiple() {
        let shape = InputShape::Fit(512);
        assert_eq!(shape.for_image(Size::new(1920, 1080)), InputSize::new(288, 512));
        assert_eq!(shape.for_image(Size::new(480, 640)), InputSize::new(512, 384));
        assert_eq!(shape.for_image(Size::new(7, 7)), InputSize::square(512));
        assert_eq!(shape.for_image(Size::new(10_000, 1)), InputSize::new(32, 512));
        for (width, height) in [(481, 321), (960, 640), (333, 777), (511, 512), (1000, 999), (1, 3)] {
            let image = Size::new(width, height);
            let input = shape.for_image(image);
            let fit = ResizeLongestSide::new(image, Size::new(input.width, input.height)).unwrap();
            let resized = fit.resized_size();
            assert_eq!(resized.width.max(resized.height), 512, "{image}");
            assert!(input.width - resized.width < 32 && input.height - resized.height < 32, "{image}: {input}");
        }
    }

    #[test]
    fn the_size_that_shows_an_image_largest_is_best() {
        let fit = InputShape::Fit(512);
        let sizes = fit.usual_sizes();
        let square = InputSize::square(512);
        assert_eq!((sizes.len(), sizes[0]), (7, square));
        let best = |width, height| fit.best_of(&sizes, Size::new(width, height));
        assert_eq!(best(1920, 1080), InputSize::new(288, 512));
        // 5:4 would be 416 rows, which are not there; 384 would show it smaller.
        assert_eq!(best(1280, 1024), square);
        // A panorama wants fewer rows than any has.
        assert_eq!(best(4000, 1000), InputSize::new(288, 512));
        let fixed = InputShape::Fixed(square);
        assert_eq!((fixed.usual_sizes(), fixed.best_of(&[square], Size::new(3, 9))), (vec![square], square));
    }

    #[test]
    fn only_what_was_trained_so_is_fitted() {
        assert_eq!(InputShape::of_side(512, Architecture::CutoutS), InputShape::Fit(512));
        let square = InputShape::Fixed(InputSize::square(1024));
        assert_eq!(InputShape::of_side(1024, Architecture::MobileSam), square);
        assert_eq!(square.for_image(Size::new(100, 20)), InputSize::square(1024));
    }
}

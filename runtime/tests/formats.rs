//! Promise: an image of any format, stride and region becomes the model's input as its pixels' conversion to RGB does,
//! within a grey level of the formulas in f64, in any layout and type, at every level; nothing panics.

use cutout_runtime::{
    BayerDepth, BayerPattern, ErrorKind, ImageView, InputLayout, Normalization, PixelFormat, Preprocessor, Region,
    SimdLevel, Size, YuvEncoding,
};

const PATTERNS: [(BayerPattern, &[u8; 4]); 4] = [
    (BayerPattern::Rggb, b"rggb"),
    (BayerPattern::Bggr, b"bggr"),
    (BayerPattern::Grbg, b"grbg"),
    (BayerPattern::Gbrg, b"gbrg"),
];

const ENCODINGS: [YuvEncoding; 4] =
    [YuvEncoding::Bt601Limited, YuvEncoding::Bt601Full, YuvEncoding::Bt709Limited, YuvEncoding::Bt709Full];

fn formats() -> Vec<PixelFormat> {
    let mut formats =
        vec![PixelFormat::Rgb8, PixelFormat::Bgr8, PixelFormat::Rgba8, PixelFormat::Grey8, PixelFormat::Grey16];
    formats.extend(ENCODINGS.into_iter().flat_map(|e| [PixelFormat::Yuyv(e), PixelFormat::Nv12(e)]));
    for depth in [BayerDepth::Eight, BayerDepth::Ten, BayerDepth::Twelve] {
        formats.extend(PATTERNS.map(|(pattern, _)| PixelFormat::Bayer(pattern, depth)));
    }
    formats
}

/// A small generator, the same on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 3) as u8).collect()
    }
}

/// The image's bytes and their stride, chosen so that rows are padded.
struct Sample {
    data: Vec<u8>,
    size: Size,
    stride: usize,
    format: PixelFormat,
}

impl Sample {
    fn new(rng: &mut Rng, size: Size, format: PixelFormat) -> Self {
        let stride = (size.width + 1) * format.bytes_per_pixel() + rng.below(9);
        let mut data = rng.bytes(stride * (size.height + size.height.div_ceil(2)));
        if let PixelFormat::Bayer(_, depth @ (BayerDepth::Ten | BayerDepth::Twelve)) = format {
            // Sensors give no more than their depth.
            for row in data.chunks_mut(stride) {
                row.iter_mut().skip(1).step_by(2).for_each(|byte| *byte &= (1 << (depth.bits() - 8)) - 1);
            }
        }
        Sample { data, size, stride, format }
    }

    fn view(&self) -> ImageView<'_> {
        ImageView::new(&self.data, self.size, self.stride, self.format).unwrap()
    }

    fn byte(&self, x: usize, y: usize) -> f64 {
        f64::from(self.data[y * self.stride + x])
    }

    /// Red, green and blue of a pixel as the format's formula has them, not rounded.
    fn exact(&self, x: usize, y: usize) -> [f64; 3] {
        match self.format {
            PixelFormat::Rgb8 => [0, 1, 2].map(|c| self.byte(3 * x + c, y)),
            PixelFormat::Bgr8 => [2, 1, 0].map(|c| self.byte(3 * x + c, y)),
            PixelFormat::Rgba8 => [0, 1, 2].map(|c| self.byte(4 * x + c, y)),
            PixelFormat::Grey8 => [self.byte(x, y); 3],
            PixelFormat::Grey16 => [(256.0 * self.byte(2 * x + 1, y) + self.byte(2 * x, y)) / 257.0; 3],
            PixelFormat::Yuyv(encoding) => {
                let pair = x / 2 * 4;
                rgb(encoding, [pair + x % 2 * 2, pair + 1, pair + 3].map(|x| self.byte(x, y)))
            }
            PixelFormat::Nv12(encoding) => {
                let (u, row) = (x / 2 * 2, self.size.height + y / 2);
                rgb(encoding, [self.byte(x, y), self.byte(u, row), self.byte(u + 1, row)])
            }
            PixelFormat::Bayer(pattern, depth) => {
                let (_, colours) = PATTERNS.into_iter().find(|(p, _)| *p == pattern).unwrap();
                let mirror = |i: i64, n: usize| match (i, n as i64) {
                    (_, 1) => 0,
                    (i, _) if i < 0 => -i as usize,
                    (i, n) if i >= n => (2 * n - 2 - i) as usize,
                    (i, _) => i as usize,
                };
                let sample = |x: usize, y: usize| match depth {
                    BayerDepth::Eight => self.byte(x, y),
                    _ => (self.byte(2 * x, y) + 256.0 * self.byte(2 * x + 1, y)) / f64::from(1 << (depth.bits() - 8)),
                };
                b"rgb".map(|wanted| {
                    let (mut sum, mut count) = (0.0, 0.0);
                    let own = colours[y % 2 * 2 + x % 2];
                    for (dx, dy) in (-1..2).flat_map(|dy| (-1..2).map(move |dx| (dx, dy))) {
                        let (px, py) = (x as i64 + dx, y as i64 + dy);
                        let colour = colours[(py & 1) as usize * 2 + (px & 1) as usize];
                        // A pixel's own colour is its own; a green pixel's diagonal neighbours are green.
                        if colour == wanted && (own != wanted || (dx, dy) == (0, 0)) {
                            sum += sample(mirror(px, self.size.width), mirror(py, self.size.height));
                            count += 1.0;
                        }
                    }
                    sum / count
                })
            }
            other => panic!("{other:?} has no formula here"),
        }
    }
}

fn rgb(encoding: YuvEncoding, [y, u, v]: [f64; 3]) -> [f64; 3] {
    let (red, blue) = match encoding {
        YuvEncoding::Bt601Limited | YuvEncoding::Bt601Full => (0.299, 0.114),
        _ => (0.2126, 0.0722),
    };
    let (y, u, v) = match encoding {
        YuvEncoding::Bt601Full | YuvEncoding::Bt709Full => (y, u - 128.0, v - 128.0),
        _ => ((y - 16.0) / 219.0 * 255.0, (u - 128.0) / 224.0 * 255.0, (v - 128.0) / 224.0 * 255.0),
    };
    let (r, b) = (y + 2.0 * (1.0 - red) * v, y + 2.0 * (1.0 - blue) * u);
    // Luma is the weighted sum of the three.
    [r, (y - red * r - blue * b) / (1.0 - red - blue), b].map(|value| value.clamp(0.0, 255.0))
}

/// A preprocessor whose resized bytes are at hand.
fn preprocessor(level: SimdLevel) -> Preprocessor {
    Preprocessor::with_level(Size::new(48, 40), Normalization::SEGMENT_ANYTHING, level)
}

fn region(rng: &mut Rng, size: Size) -> Region {
    let (x0, y0) = (rng.below(size.width), rng.below(size.height));
    Region::new(x0, y0, x0 + 1 + rng.below(size.width - x0), y0 + 1 + rng.below(size.height - y0))
}

const SIZES: [(usize, usize); 8] = [(1, 1), (2, 2), (1, 7), (7, 1), (3, 5), (16, 9), (37, 22), (90, 61)];

#[test]
fn every_format_is_its_formula_within_a_grey_level_whole_and_in_part() {
    let mut rng = Rng(1);
    for (format, (width, height)) in formats().into_iter().flat_map(|f| SIZES.map(|size| (f, size))) {
        let sample = Sample::new(&mut rng, Size::new(width, height), format);
        let view = sample.view();
        let regions = [Region::new(0, 0, width, height), region(&mut rng, sample.size), region(&mut rng, sample.size)];
        for at in regions {
            let crop = view.crop(at).unwrap();
            // At its own size, so that nothing is resized.
            let mut plain = preprocessor(SimdLevel::Scalar);
            let bytes = plain.resize(&crop, crop.size()).unwrap();
            for (i, pixel) in bytes.as_chunks::<3>().0.iter().enumerate() {
                let (x, y) = (at.x0 + i % crop.size().width, at.y0 + i / crop.size().width);
                for (&value, exact) in pixel.iter().zip(sample.exact(x, y)) {
                    let error = (f64::from(value) - exact).abs();
                    assert!(error <= 1.0, "{format:?} {width}x{height} at ({x}, {y}): {value}, not {exact}");
                }
            }
        }
    }
}

#[test]
fn a_resized_format_is_the_resized_rgb_image_at_every_level() {
    let mut rng = Rng(2);
    for (format, (width, height)) in formats().into_iter().flat_map(|f| SIZES.map(|size| (f, size))) {
        let sample = Sample::new(&mut rng, Size::new(width, height), format);
        let crop = sample.view().crop(region(&mut rng, sample.size)).unwrap();
        let mut plain = preprocessor(SimdLevel::Scalar);
        let rgb = plain.resize(&crop, crop.size()).unwrap().to_vec();
        let rgb = ImageView::rgb8(&rgb, crop.size()).unwrap();
        for to in [Size::new(1, 1), Size::new(20, 13), Size::new(70, 90), Size::new(5, 64)] {
            let expected = plain.resize(&rgb, to).unwrap();
            for level in SimdLevel::available() {
                let mut preprocessor = preprocessor(level);
                let resized = preprocessor.resize(&crop, to).unwrap();
                assert!(resized == expected, "{level}: {crop:?} to {to}");
            }
        }
    }
}

#[test]
fn layouts_and_types_hold_the_same_pixels() {
    let mut rng = Rng(3);
    let model = Size::new(48, 40);
    for (width, height) in [(64, 48), (31, 90), (300, 7), (48, 40)] {
        let sample = Sample::new(&mut rng, Size::new(width, height), PixelFormat::Rgb8);
        let view = sample.view();
        for level in SimdLevel::available() {
            let mut preprocessor = preprocessor(level);
            let mut planes = Vec::new();
            let transform = preprocessor.run(&view, &mut planes).unwrap();
            let resized = transform.resized_size();
            let bytes = preprocessor.resize(&view, resized).unwrap().to_vec();
            let at = |i: usize| (i / model.pixels(), i / model.width % model.height, i % model.width);
            let inside = |x: usize, y: usize| x < resized.width && y < resized.height;
            let byte = |c: usize, y: usize, x: usize| bytes[3 * (resized.width * y + x) + c];
            let Normalization { mean, std } = Normalization::SEGMENT_ANYTHING;
            let (mut pixels, mut halves, mut half_pixels) = (Vec::new(), Vec::new(), Vec::new());
            let (mut levels, mut signed) = (Vec::<u8>::new(), Vec::<i8>::new());
            preprocessor.run_as(&view, InputLayout::ChannelLast, &mut pixels).unwrap();
            preprocessor.run_as(&view, InputLayout::Planar, &mut halves).unwrap();
            preprocessor.run_as(&view, InputLayout::ChannelLast, &mut half_pixels).unwrap();
            preprocessor.run_as(&view, InputLayout::ChannelLast, &mut levels).unwrap();
            preprocessor.run_as(&view, InputLayout::Planar, &mut signed).unwrap();
            for (i, &value) in planes.iter().enumerate() {
                let (c, y, x) = at(i);
                let (j, value) = (3 * (model.width * y + x) + c, f32::to_bits(value));
                let exact = if inside(x, y) { (f32::from(byte(c, y, x)) - mean[c]) / std[c] } else { 0.0 };
                let level = if inside(x, y) { byte(c, y, x) } else { [124, 116, 104][c] };
                assert_eq!((value, f32::to_bits(pixels[j])), (exact.to_bits(), exact.to_bits()), "{level} {c} {y} {x}");
                assert_eq!((halves[i], half_pixels[j]), (half::f16::from_f32(exact), half::f16::from_f32(exact)));
                assert_eq!((levels[j], i16::from(signed[i])), (level, i16::from(level) - 128));
            }
        }
    }
}

#[test]
fn threads_change_no_format() {
    let mut rng = Rng(4);
    for format in formats() {
        let sample = Sample::new(&mut rng, Size::new(73, 211), format);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = Vec::new();
            let mut preprocessor = Preprocessor::new(Size::new(96, 160), Normalization::SIGNED_UNIT);
            pool.install(|| preprocessor.run(&sample.view(), &mut out).unwrap());
            out
        };
        let alone = on(1);
        assert!([2, 5].into_iter().all(|threads| on(threads) == alone), "{format:?}");
    }
}

#[test]
fn planes_of_their_own_are_the_same_as_one_buffer() {
    let mut rng = Rng(5);
    let sample = Sample::new(&mut rng, Size::new(23, 17), PixelFormat::Nv12(YuvEncoding::Bt601Full));
    let (luma, chroma) = sample.data.split_at(sample.stride * 17);
    let moved: Vec<u8> = chroma.chunks(sample.stride).flat_map(|row| [&row[..24], &[7; 5][..]].concat()).collect();
    let apart = ImageView::nv12(luma, sample.stride, &moved, 29, sample.size, YuvEncoding::Bt601Full).unwrap();
    let (mut a, mut b) = (preprocessor(SimdLevel::best()), preprocessor(SimdLevel::best()));
    assert!(a.resize(&apart, Size::new(9, 9)).unwrap() == b.resize(&sample.view(), Size::new(9, 9)).unwrap());
    let short = ImageView::nv12(luma, sample.stride, &moved[..8 * 29 + 23], 29, sample.size, YuvEncoding::Bt601Full);
    assert_eq!(short.unwrap_err().kind(), ErrorKind::InvalidImage);
}

#[test]
fn whatever_sizes_strides_lengths_and_regions_come_there_is_an_answer_or_an_error() {
    let mut rng = Rng(6);
    let formats = formats();
    let (mut fine, mut refused) = (0, 0);
    for _ in 0..3000 {
        let format = formats[rng.below(formats.len())];
        let size = Size::new(rng.below(40), rng.below(40));
        let stride = size.width * format.bytes_per_pixel() + rng.below(7) - rng.below(3).min(size.width);
        let rows = size.height * if matches!(format, PixelFormat::Nv12(_)) { 3 } else { 2 } / 2;
        let length = (stride * rows + rng.below(2 * stride + 9)).saturating_sub(rng.below(stride + 3));
        let data = rng.bytes(length);
        let view = ImageView::new(&data, size, stride, format);
        let view = view.and_then(|view| {
            let (x0, y0) = (rng.below(40), rng.below(40));
            view.crop(Region::new(x0, y0, x0 + rng.below(40), y0 + rng.below(40))).or(Ok(view))
        });
        let mut out = Vec::new();
        let model = Size::new(rng.below(50), rng.below(50));
        let level = SimdLevel::available()[rng.below(SimdLevel::available().len())];
        let mut preprocessor = Preprocessor::with_level(model, Normalization::SEGMENT_ANYTHING, level);
        match view.and_then(|view| preprocessor.run(&view, &mut out)) {
            Ok(_) => {
                fine += 1;
                assert!(out.len() == 3 * model.pixels() && out.iter().all(|value| value.is_finite()));
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::InvalidImage);
            }
        }
    }
    assert!(fine > 500 && refused > 500, "{fine} and {refused}: both must be met");
}

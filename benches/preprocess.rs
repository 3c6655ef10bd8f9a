//! How fast does a camera's image become the network's input, next to `fast_image_resize` and a loop that normalises? Our own
//! operators take levels and normalise them in the first layer; other engines take planes of f32.
//!
//! `cargo bench -p cutout-benches --bench preprocess [-- ROUNDS]`
#![allow(clippy::print_stdout, reason = "a bench's result is its output")]

use std::error::Error;

use cutout_benches::{Case, interleave, print};
use cutout_runtime::{
    BayerDepth, BayerPattern, ImageView, InputLayout, Normalization, PixelFormat, Preprocessor, SimdLevel, Size,
    YuvEncoding,
};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use rayon::ThreadPool;
use rayon::prelude::*;

/// The size of the camera's image, in pixels.
const PICTURE: Size = Size { width: 1920, height: 1080 };

/// The networks' input sizes.
const INPUTS: [Size; 2] = [Size { width: 1024, height: 576 }, Size { width: 512, height: 288 }];

const NORMALIZATION: Normalization = Normalization::SEGMENT_ANYTHING;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo passes `--bench`; what is a number is ours.
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(100);
    // Enough for the widest format, four bytes per pixel.
    let pixels: Vec<u8> = (0..PICTURE.pixels() * 4).map(|i| ((i * 2_654_435_761) >> 13) as u8).collect();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pools = [pool(1)?, pool(2)?];
    for input in INPUTS {
        against_fast_image_resize(&pools, &pixels, input, rounds)?;
        formats(&pools[0], &pixels, input, rounds)?;
    }
    Ok(())
}

fn against_fast_image_resize(
    pools: &[ThreadPool],
    pixels: &[u8],
    input: Size,
    rounds: usize,
) -> Result<(), Box<dyn Error>> {
    let view = ImageView::rgb8(pixels, PICTURE)?;
    for pool in pools {
        let mut cases = vec![other(pool, pixels, input)?];
        for level in SimdLevel::available() {
            let name = format!("cutout, {level}");
            cases.push(cutout(name, pool, view, Preprocessor::with_level(input, NORMALIZATION, level)));
            let levels = format!("cutout, {level}, to levels");
            cases.push(layout::<u8>(levels, pool, view, input, InputLayout::Planar, level));
        }
        let times = interleave(&mut cases, rounds);
        let threads = pool.current_num_threads();
        println!("\n{PICTURE} RGB to {input} planes of f32, {threads} thread, {rounds} rounds");
        print(&cases, &times);
    }
    Ok(())
}

fn formats(pool: &ThreadPool, pixels: &[u8], input: Size, rounds: usize) -> Result<(), Box<dyn Error>> {
    let formats = [
        PixelFormat::Rgb8,
        PixelFormat::Bgr8,
        PixelFormat::Rgba8,
        PixelFormat::Grey8,
        PixelFormat::Grey16,
        PixelFormat::Yuyv(YuvEncoding::default()),
        PixelFormat::Nv12(YuvEncoding::default()),
        PixelFormat::Bayer(BayerPattern::Rggb, BayerDepth::Eight),
        PixelFormat::Bayer(BayerPattern::Rggb, BayerDepth::Twelve),
    ];
    let mut cases = Vec::new();
    for format in formats {
        let view = ImageView::new(pixels, PICTURE, PICTURE.width * format.bytes_per_pixel(), format)?;
        cases.push(cutout(format!("{format:?}"), pool, view, Preprocessor::new(input, NORMALIZATION)));
    }
    let view = ImageView::rgb8(pixels, PICTURE)?;
    let (level, pixels, planes) = (SimdLevel::best(), InputLayout::ChannelLast, InputLayout::Planar);
    cases.push(layout::<f32>("Rgb8 to pixels of f32".to_owned(), pool, view, input, pixels, level));
    cases.push(layout::<half::f16>("Rgb8 to pixels of f16".to_owned(), pool, view, input, pixels, level));
    cases.push(layout::<half::f16>("Rgb8 to planes of f16".to_owned(), pool, view, input, planes, level));
    cases.push(layout::<u8>("Rgb8 to pixels of u8".to_owned(), pool, view, input, pixels, level));
    cases.push(layout::<i8>("Rgb8 to pixels of i8".to_owned(), pool, view, input, pixels, level));
    let times = interleave(&mut cases, rounds);
    println!(
        "\n{PICTURE} to {input}, planes of f32 unless said otherwise, {}, 1 thread, {rounds} rounds",
        SimdLevel::best()
    );
    print(&cases, &times);
    Ok(())
}

fn cutout<'a>(name: String, pool: &'a ThreadPool, view: ImageView<'a>, mut preprocessor: Preprocessor) -> Case<'a> {
    let mut out = Vec::new();
    Case { name, run: Box::new(move || drop(pool.install(|| preprocessor.run(&view, &mut out)))) }
}

fn layout<'a, T: cutout_runtime::InputElement + 'a>(
    name: String,
    pool: &'a ThreadPool,
    view: ImageView<'a>,
    input: Size,
    layout: InputLayout,
    level: SimdLevel,
) -> Case<'a> {
    let (mut preprocessor, mut out) = (Preprocessor::with_level(input, NORMALIZATION, level), Vec::<T>::new());
    let run = move || drop(pool.install(|| preprocessor.run_as(&view, layout, &mut out)));
    Case { name, run: Box::new(run) }
}

/// `fast_image_resize`, then a loop over the pixels: a band of rows for each thread, with a resizer of its own.
fn other<'a>(pool: &'a ThreadPool, pixels: &'a [u8], input: Size) -> Result<Case<'a>, Box<dyn Error>> {
    let bytes = &pixels[..3 * PICTURE.pixels()];
    let source = ImageRef::new(PICTURE.width as u32, PICTURE.height as u32, bytes, PixelType::U8x3)?;
    let threads = pool.current_num_threads();
    let band = Size::new(input.width, input.height / threads);
    let image = || Image::new(band.width as u32, band.height as u32, PixelType::U8x3);
    let mut bands: Vec<_> = (0..threads).map(|_| (Resizer::new(), image())).collect();
    let mut out = vec![0.0; 3 * input.pixels()];
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let source_rows = PICTURE.height as f64 / threads as f64;
    let run = move || {
        let (red, rest) = out.split_at_mut(input.pixels());
        let (green, blue) = rest.split_at_mut(input.pixels());
        let [red, green, blue] = [red, green, blue].map(|plane| plane.par_chunks_mut(band.pixels()));
        let bands = red.zip(green).zip(blue).zip(&mut bands).enumerate();
        pool.install(|| {
            bands.for_each(|(n, (((red, green), blue), (resizer, resized)))| {
                let options = options.crop(0.0, n as f64 * source_rows, PICTURE.width as f64, source_rows);
                resizer.resize(&source, resized, &options).expect("the bands lie in the picture");
                let (pixels, _) = resized.buffer().as_chunks::<3>();
                for (((red, green), blue), &[r, g, b]) in red.iter_mut().zip(green).zip(blue).zip(pixels) {
                    let Normalization { mean, std } = NORMALIZATION;
                    *red = (f32::from(r) - mean[0]) / std[0];
                    *green = (f32::from(g) - mean[1]) / std[1];
                    *blue = (f32::from(b) - mean[2]) / std[2];
                }
            });
        });
    };
    Ok(Case { name: "fast_image_resize and a loop".to_owned(), run: Box::new(run) })
}

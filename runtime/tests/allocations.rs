//! Promise: after the first image of a size, preprocessing allocates nothing, whatever the format, layout and type; and a mask
//! allocates what it returns and nothing else.
//!
//! With more than one thread rayon keeps its tasks on the stacks of those who wait for them; only its queues, which are
//! made with the pool, grow when more tasks wait in them than ever before, and work that comes from outside the pool goes
//! through a list that takes a block for every some tens of calls. So the test works from inside the pool, as whoever calls
//! from one of its threads does, and in several threads tolerates a growing queue.

use std::alloc::System;

use cutout_runtime::{
    BayerDepth, BayerPattern, ImageView, InputElement, InputLayout, LowResLogits, Normalization, PixelFormat,
    Preprocessor, ResizeLongestSide, Size, Upscaler, YuvEncoding,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations, of all threads, that `runs` runs make after the first one: the fewest of a few times, since the test's harness
/// allocates now and then as well, and images that allocate would do so every time.
fn allocations<T: InputElement>(view: &ImageView<'_>, layout: InputLayout, runs: usize) -> usize {
    let mut preprocessor = Preprocessor::new(Size::new(256, 160), Normalization::SEGMENT_ANYTHING);
    let mut out = Vec::<T>::new();
    fewest(runs, || preprocessor.run_as(view, layout, &mut out).map(drop).unwrap())
}

fn fewest(runs: usize, mut run: impl FnMut()) -> usize {
    run();
    let mut count = || {
        let region = Region::new(ALLOCATOR);
        (0..runs).for_each(|_| run());
        let change = region.change();
        change.allocations + change.reallocations
    };
    (0..3).map(|_| count()).min().unwrap_or_default()
}

/// As [`allocations`], of masks of one image.
fn mask_allocations(image: Size, runs: usize) -> usize {
    let transform = ResizeLongestSide::new(image, Size::new(256, 160)).unwrap();
    let values = (0..40 * 64).map(|i| (i % 64 * 7 % 23) as f32 - 11.0).collect();
    let (low_res, mut upscaler) = (LowResLogits { height: 40, width: 64, values }, Upscaler::new());
    fewest(runs, || drop(upscaler.mask(&low_res, &transform, 0.0, 1.0).unwrap()))
}

/// One test, because what other tests allocate would be counted too.
#[test]
fn further_images_and_masks_of_a_size_allocate_nothing() {
    let size = Size::new(400, 300);
    let data = vec![100; 6 * size.pixels()];
    let formats = [
        PixelFormat::Rgb8,
        PixelFormat::Bgr8,
        PixelFormat::Rgba8,
        PixelFormat::Grey8,
        PixelFormat::Grey16,
        PixelFormat::Yuyv(YuvEncoding::default()),
        PixelFormat::Nv12(YuvEncoding::default()),
        PixelFormat::Bayer(BayerPattern::Grbg, BayerDepth::Ten),
    ];
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // A queue may grow once in a while; frames that allocate would do so in each of the runs.
        let (runs, tolerated) = if threads == 1 { (3, 0) } else { (50, 10) };
        pool.install(|| {
            for format in formats {
                let view = ImageView::new(&data, size, 4 * size.width, format).unwrap();
                let check = |name: &str, count: usize| {
                    assert!(count <= tolerated, "{format:?} to {name}, {threads} threads: {count} in {runs} runs");
                };
                check("planes of f32", allocations::<f32>(&view, InputLayout::Planar, runs));
                check("pixels of f32", allocations::<f32>(&view, InputLayout::ChannelLast, runs));
                check("planes of f16", allocations::<half::f16>(&view, InputLayout::Planar, runs));
                check("pixels of f16", allocations::<half::f16>(&view, InputLayout::ChannelLast, runs));
                check("planes of u8", allocations::<u8>(&view, InputLayout::Planar, runs));
                check("pixels of i8", allocations::<i8>(&view, InputLayout::ChannelLast, runs));
            }
            let count = mask_allocations(size, runs);
            assert!((runs..=runs + tolerated).contains(&count), "masks, {threads} threads: {count} in {runs} runs");
        });
    }
}

use cutout_runtime::BayerPattern;

use super::*;

/// Even sides, so that every format can have it; rows of 6 pixels.
const SIZE: Size = Size::new(6, 4);

fn format(encoding: &str, stride: usize) -> BufferFormat {
    BufferFormat { encoding: encoding.parse().unwrap(), size: SIZE, stride, yuv: YuvEncoding::Bt709Full }
}

fn raster(format: &BufferFormat, buffer: &[u8]) -> Raster {
    match format.pixels(buffer.to_vec()).unwrap() {
        Pixels::Raw(raster) => raster,
        Pixels::Compressed(_) => panic!("{format} is not compressed"),
    }
}

/// Numbers from 0 to 255 in no order.
fn noise(count: usize, mut state: u64) -> Vec<u8> {
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// The rows of a plane with `padding` bytes of 0xee behind each.
fn padded(rows: &[u8], row: usize, padding: usize) -> Vec<u8> {
    rows.chunks(row).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0xee, padding))).collect()
}

/// Every encoding of some kind means the picture that the first does, also with a stride.
fn all_mean_the_same(encodings: &[(&str, Vec<u8>, usize)]) {
    let mut expected = None;
    for (encoding, rows, row) in encodings {
        for padding in [0, 2, 16] {
            let stride = if padding == 0 { 0 } else { row + padding };
            let raster = raster(&format(encoding, stride), &padded(rows, *row, padding));
            assert_eq!(raster.size(), SIZE);
            let rgb = raster.to_rgb();
            assert_eq!(expected.get_or_insert_with(|| rgb.clone()), &rgb, "{encoding} with {padding} bytes of padding");
        }
    }
}

#[test]
fn pairs_in_any_order_are_the_same_picture() {
    let yuyv = noise(SIZE.pixels() * 2, 1);
    let ordered = |order: [usize; 4]| yuyv.chunks(4).flat_map(|pair| order.map(|at| pair[at])).collect::<Vec<u8>>();
    all_mean_the_same(&[
        ("yuyv", yuyv.clone(), 12),
        // U Y V Y, Y V Y U and V Y U Y, from Y U Y V.
        ("uyvy", ordered([1, 0, 3, 2]), 12),
        ("yvyu", ordered([0, 3, 2, 1]), 12),
        ("vyuy", ordered([3, 0, 1, 2]), 12),
    ]);
}

#[test]
fn planes_in_any_order_are_the_same_picture() {
    let (luma, u, v) = (noise(24, 2), noise(6, 3), noise(6, 4));
    let pairs = |a: &[u8], b: &[u8]| a.iter().zip(b).flat_map(|(&a, &b)| [a, b]).collect::<Vec<u8>>();
    all_mean_the_same(&[
        ("nv12", [luma.clone(), pairs(&u, &v)].concat(), 6),
        ("nv21", [luma.clone(), pairs(&v, &u)].concat(), 6),
    ]);
    let expected = raster(&format("nv12", 0), &[luma.clone(), pairs(&u, &v)].concat()).to_rgb();
    for (encoding, first, second) in [("yuv420", &u, &v), ("yvu420", &v, &u)] {
        for padding in [0, 2, 10] {
            // Rows of chroma are half as long, with half the padding.
            let planes =
                [padded(&luma, 6, padding), padded(first, 3, padding / 2), padded(second, 3, padding / 2)].concat();
            let found = raster(&format(encoding, 6 + padding), &planes).to_rgb();
            assert_eq!(found, expected, "{encoding} with {padding} bytes of padding");
        }
    }
}

#[test]
fn colours_in_any_order_are_the_same_picture() {
    let rgb = noise(SIZE.pixels() * 3, 5);
    let ordered = |order: &[usize]| {
        let pixels = rgb.chunks(3).map(|p| [p[0], p[1], p[2], 77]);
        pixels.flat_map(|pixel| order.iter().map(move |&at| pixel[at])).collect::<Vec<u8>>()
    };
    all_mean_the_same(&[
        ("rgb24", rgb.clone(), 18),
        ("bgr24", ordered(&[2, 1, 0]), 18),
        ("rgbx32", ordered(&[0, 1, 2, 3]), 24),
        ("rgba32", ordered(&[0, 1, 2, 3]), 24),
        ("xbgr32", ordered(&[2, 1, 0, 3]), 24),
        ("abgr32", ordered(&[2, 1, 0, 3]), 24),
        ("bgr32", ordered(&[2, 1, 0, 3]), 24),
        ("xrgb32", ordered(&[3, 0, 1, 2]), 24),
        ("rgb32", ordered(&[3, 0, 1, 2]), 24),
    ]);
    assert_eq!(raster(&format("rgb24", 0), &rgb).to_rgb().pixels(), rgb);
}

#[test]
fn grey_of_any_depth_is_the_same_picture() {
    let grey = noise(SIZE.pixels(), 6);
    let deep = |shift: u32| grey.iter().flat_map(|&g| (u16::from(g) << shift).to_le_bytes()).collect::<Vec<u8>>();
    // Four samples in five bytes; rows of six take two such groups.
    let packed =
        grey.chunks(6).flat_map(|row| [row[0], row[1], row[2], row[3], 0xff, row[4], row[5], 0, 0, 0xff]).collect();
    all_mean_the_same(&[
        ("grey", grey.clone(), 6),
        ("y10", deep(2), 12),
        ("y12", deep(4), 12),
        ("y16", deep(8), 12),
        ("y10p", packed, 10),
    ]);
}

#[test]
fn sensors_of_any_depth_give_the_same_picture() {
    let samples = noise(SIZE.pixels(), 7);
    let deep = |shift: u32| samples.iter().flat_map(|&g| (u16::from(g) << shift).to_le_bytes()).collect::<Vec<u8>>();
    let ten =
        samples.chunks(6).flat_map(|r| [r[0], r[1], r[2], r[3], 0x1b, r[4], r[5], 0, 0, 0x1b]).collect::<Vec<u8>>();
    let twelve = samples.chunks(2).flat_map(|pair| [pair[0], pair[1], 0xf7]).collect::<Vec<u8>>();
    for pattern in ["sbggr", "sgbrg", "sgrbg", "srggb"] {
        let named = |depth: &str| format!("{pattern}{depth}");
        all_mean_the_same(&[
            (&named("8"), samples.clone(), 6),
            (&named("10p"), ten.clone(), 10),
            (&named("12p"), twelve.clone(), 9),
        ]);
        // The runtime rounds deeper samples, rather than cutting them off.
        let expected = raster(&format(&named("8"), 0), &samples).to_rgb();
        for (depth, shift) in [("10", 2), ("12", 4)] {
            let found = raster(&format(&named(depth), 0), &deep(shift)).to_rgb();
            assert!(found.pixels().iter().zip(expected.pixels()).all(|(a, b)| a.abs_diff(*b) <= 1), "{pattern}{depth}");
        }
    }
    let patterns = ["srggb8", "sbggr10", "sgrbg12p"].map(|name| format(name, 0).encoding.layout());
    assert!(matches!(patterns[0], Layout::Bayer(BayerPattern::Rggb, BayerDepth::Eight)));
    assert!(matches!(patterns[1], Layout::Bayer(BayerPattern::Bggr, BayerDepth::Ten)));
    assert!(matches!(patterns[2], Layout::Packed(Some(BayerPattern::Grbg), 2)));
}

#[test]
fn colours_are_what_the_driver_says() {
    let red_of = |yuv| {
        let format = BufferFormat { yuv, ..format("yuyv", 0) };
        raster(&format, &[81, 90, 81, 240].repeat(SIZE.pixels() / 2)).to_rgb().pixels()[..3].to_vec()
    };
    assert_eq!(red_of(YuvEncoding::Bt601Limited)[1..], [0, 0]);
    assert_ne!(red_of(YuvEncoding::Bt709Full)[1..], [0, 0]);
}

#[test]
fn buffers_that_are_short_or_impossible_are_errors() {
    for (encoding, bytes) in [
        ("yuyv", 48),
        ("nv12", 36),
        ("yuv420", 36),
        ("rgb24", 72),
        ("xbgr32", 96),
        ("grey", 24),
        ("y10", 48),
        ("srggb8", 24),
        ("srggb10p", 40),
        ("srggb12p", 36),
    ] {
        let whole = format(encoding, 0);
        assert!(whole.check(&vec![0; bytes]).is_ok() && whole.pixels(vec![0; bytes]).is_ok(), "{encoding}");
        assert!(whole.pixels(vec![0; bytes + 4096]).is_ok(), "{encoding}: what is behind a frame is not looked at");
        for short in [bytes - 1, bytes / 2, 1, 0] {
            assert!(whole.check(&vec![0; short]).is_err(), "{encoding}");
            let error = whole.pixels(vec![0; short]).unwrap_err().to_string();
            assert!(error.contains(&format!("{short} bytes came of {bytes}")), "{error}");
        }
        let narrow = format(encoding, 5);
        assert!(!narrow.is_possible());
        assert!(narrow.pixels(vec![0; 4096]).unwrap_err().to_string().contains("rows of 5 bytes"));
        for size in
            [Size::new(0, 4), Size::new(4, 0), Size::new(usize::MAX, 1), Size::new(1, usize::MAX), Size::new(40_000, 1)]
        {
            assert!(BufferFormat { size, ..whole }.pixels(vec![0; 400_000]).is_err(), "{size}");
        }
    }
    let jpeg = format("mjpeg", 0);
    assert!(jpeg.check(b"\xff\xd8\xff\xd9\0\0").is_ok());
    let Ok(Pixels::Compressed(bytes)) = jpeg.pixels(b"\xff\xd8\xff\xd9\0\0".to_vec()) else { panic!("not compressed") };
    assert_eq!(bytes, b"\xff\xd8\xff\xd9", "what fills up the buffer is no part of the picture");
    assert!(jpeg.check(b"\xff\xd8\xff").is_err() && jpeg.pixels(Vec::new()).is_err());
}

#[test]
fn any_bytes_are_a_frame_or_an_error() {
    let names = Encoding::names();
    for (round, name) in names.split(", ").cycle().take(6000).enumerate() {
        let [a, b, c, d, ..] = noise(8, round as u64)[..] else { panic!("eight bytes") };
        let size = Size::new(usize::from(a) % 40, usize::from(b) % 24);
        let format = BufferFormat { size, stride: usize::from(c) % 130, ..format(name, 0) };
        let buffer = noise(usize::from(d) * 16, round as u64 + 99);
        let whole = format.is_possible() && format.check(&buffer).is_ok();
        match format.pixels(buffer) {
            Ok(Pixels::Raw(raster)) => assert_eq!((raster.size(), raster.to_rgb().size(), whole), (size, size, true)),
            Ok(Pixels::Compressed(_)) => assert!(whole),
            Err(_) => assert!(!whole || size.pixels() == 0, "{format:?}"),
        }
    }
}

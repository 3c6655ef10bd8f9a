//! Promise: preprocessing, coordinates, upscaling, stability scores and run-length strings are those of the official
//! code. The answers in `data/expected.json` are Pillow's, PyTorch's and pycocotools'; `data/make_expected.py` got them.

use cutout_runtime::{
    CocoRle, ImageView, LowResLogits, Mask, Normalization, PixelFormat, Point, Preprocessor, ResizeLongestSide, Size,
    stability_score, upscale_to_image,
};
use serde_json::Value;

fn expected(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("data/expected.json")).unwrap();
    all[part].as_array().unwrap().clone()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn size(value: &Value) -> Size {
    Size { width: number(&value[0]), height: number(&value[1]) }
}

/// The integer hash that `make_expected.py` makes its inputs from.
fn mix(seed: usize, index: usize) -> u32 {
    let mut x = (index as u32).wrapping_add(seed as u32).wrapping_mul(0x9E37_79B1);
    for (shift, factor) in [(15, 0x85EB_CA77), (13, 0xC2B2_AE3D)] {
        x = (x ^ (x >> shift)).wrapping_mul(factor);
    }
    x ^ (x >> 16)
}

fn pixels(seed: usize, size: Size) -> Vec<u8> {
    (0..3 * size.pixels())
        .map(|index| match mix(seed, index) {
            x if x & 7 == 0 => 255,
            x if x & 7 == 1 => 0,
            x => (x >> 24) as u8,
        })
        .collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[test]
fn resize_is_pillows_to_the_byte() {
    // One preprocessor for all sizes: nothing may stay behind from the image before.
    let mut preprocessor = Preprocessor::new(Size::new(64, 64), Normalization::SEGMENT_ANYTHING);
    for case in expected("resize") {
        let (from, to) = (size(&case["from"]), size(&case["to"]));
        let data = pixels(number(&case["seed"]), from);
        let out = preprocessor.resize(&ImageView::rgb8(&data, from).unwrap(), to).unwrap();
        if let Some(hex) = case["hex"].as_str() {
            let text: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, hex, "{from} -> {to}");
        }
        assert_eq!(crc32(out), number(&case["crc32"]) as u32, "{from} -> {to}");
    }
}

#[test]
fn what_lies_between_rows_is_not_seen() {
    let (from, stride) = (Size::new(33, 21), 117);
    let tight = pixels(5, from);
    let mut padded = vec![0xAA; stride * 21];
    for (row, tight) in padded.chunks_mut(stride).zip(tight.chunks(99)) {
        row[..99].copy_from_slice(tight);
    }
    let view = ImageView::new(&padded, from, stride, PixelFormat::Rgb8).unwrap();
    let mut preprocessor = Preprocessor::new(Size::new(64, 64), Normalization::SEGMENT_ANYTHING);
    for to in [Size::new(10, 6), Size::new(33, 6), Size::new(10, 21), from] {
        let strided = preprocessor.resize(&view, to).unwrap().to_vec();
        let plain = preprocessor.resize(&ImageView::rgb8(&tight, from).unwrap(), to).unwrap();
        assert_eq!(strided, plain, "{from} -> {to}");
    }
}

#[test]
fn normalisation_has_pytorchs_bits_and_padding_is_zero() {
    let planes = expected("normalized");
    // Every grey level once, in all channels; 256 wide already, so nothing is resized.
    let data: Vec<u8> = (0..=255).flat_map(|level| [level; 3]).collect();
    let image = ImageView::rgb8(&data, Size::new(256, 1)).unwrap();
    let mut preprocessor = Preprocessor::new(Size::new(256, 256), Normalization::SEGMENT_ANYTHING);
    let mut out = vec![f32::NAN; 7];
    for _ in 0..2 {
        let transform = preprocessor.run(&image, &mut out).unwrap();
        assert_eq!(transform.resized_size(), Size::new(256, 1));
        assert_eq!(out.len(), 3 * 256 * 256);
        for (plane, expected) in out.chunks(256 * 256).zip(&planes) {
            let bits: Vec<u64> = plane[..256].iter().map(|value| u64::from(value.to_bits())).collect();
            let expected: Vec<u64> = expected.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
            assert_eq!(bits, expected);
            assert!(plane[256..].iter().all(|value| value.to_bits() == 0));
        }
        out.fill(f32::NAN);
    }
}

#[test]
fn the_input_is_the_resized_image_at_the_top_left_and_scratch_stays() {
    let (from, model) = (Size::new(90, 130), Size::new(96, 64));
    let mut preprocessor = Preprocessor::new(model, Normalization { mean: [0.0; 3], std: [1.0; 3] });
    let (mut out, mut before) = (Vec::new(), None);
    for seed in 0..3 {
        let data = pixels(seed, from);
        let image = ImageView::rgb8(&data, from).unwrap();
        let resized = preprocessor.run(&image, &mut out).unwrap().resized_size();
        assert_eq!(resized, Size::new(44, 64), "130 * 64/130 and int(90 * 64/130 + 0.5)");
        let bytes = preprocessor.resize(&image, resized).unwrap();
        for (index, value) in out.iter().enumerate() {
            let (channel, y, x) = (index / model.pixels(), index / 96 % 64, index % 96);
            let byte = if x < 44 { bytes[3 * (44 * y + x) + channel] } else { 0 };
            assert_eq!(*value, f32::from(byte), "channel {channel} at ({x}, {y})");
        }
        let scratch = (bytes.as_ptr(), out.as_ptr());
        assert_eq!(*before.get_or_insert(scratch), scratch, "nothing is allocated anew");
    }
}

#[test]
fn threads_change_nothing() {
    let (from, model) = (Size::new(517, 311), Size::new(256, 256));
    let data = pixels(3, from);
    let low =
        LowResLogits { height: 64, width: 64, values: (0..4096).map(|i| mix(4, i) as f32 / 1e8 - 20.0).collect() };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut input = Vec::new();
            let mut preprocessor = Preprocessor::new(model, Normalization::SEGMENT_ANYTHING);
            let transform = preprocessor.run(&ImageView::rgb8(&data, from).unwrap(), &mut input).unwrap();
            (input, upscale_to_image(&low, &transform).unwrap())
        })
    };
    let alone = on(1);
    assert!([2, 3, 7].into_iter().all(|threads| on(threads) == alone));
}

#[test]
fn shapes_and_coordinates_are_the_official_ones() {
    for case in expected("shape") {
        let transform = ResizeLongestSide::new(size(&case["image"]), Size::new(1024, 1024)).unwrap();
        assert_eq!(transform.resized_size(), size(&case["resized"]), "{}", transform.image_size());
        let coordinate = |name: &str, axis: usize| case[name][axis].as_f64().unwrap() as f32;
        let to = transform.to_model(Point::new(coordinate("at", 0), coordinate("at", 1)));
        assert_eq!((to.x, to.y), (coordinate("model", 0), coordinate("model", 1)), "{}", transform.image_size());
    }
}

#[test]
fn run_length_strings_are_those_of_pycocotools() {
    for (index, case) in expected("rle").iter().enumerate() {
        let (height, width) = (number(&case["size"][0]), number(&case["size"][1]));
        let inside = |i: usize| match case["kind"].as_str().unwrap() {
            "noise" => (mix(number(&case["seed"]), i) % 100) < number(&case["percent"]) as u32,
            "ellipse" => {
                let [x, y, w, h] = [i % width, i / width, width, height].map(|v| v as i64);
                ((2 * x + 1 - w) * h).pow(2) + ((2 * y + 1 - h) * w).pow(2) < (w * h).pow(2) * 9 / 10
            }
            kind => kind == "full",
        };
        let values: Vec<bool> = (0..width * height).map(inside).collect();
        let mask = Mask::from_bools(Size { width, height }, &values).unwrap();
        let rle: CocoRle = serde_json::from_value(case.clone()).unwrap();
        assert_eq!(CocoRle::encode(&mask), rle, "case {index}");
        assert_eq!(rle.decode().unwrap(), mask, "case {index}");
        assert_eq!(mask.area(), case["area"].as_u64().unwrap(), "case {index}");
        let (x, y, w, h) = mask.bbox().unwrap_or_default();
        assert_eq!(serde_json::json!([x, y, w, h]), case["bbox"], "case {index}");
    }
}

#[test]
fn upscaling_and_stability_are_those_of_the_official_postprocessing() {
    for case in expected("upscale") {
        let low = size(&case["low"]);
        let logit = |index| ((mix(number(&case["seed"]), index) >> 20) as f32 - 2048.0) / 64.0;
        let values = (0..low.pixels()).map(logit).collect();
        let low_res = LowResLogits { height: low.height, width: low.width, values };
        let transform = ResizeLongestSide::new(size(&case["image"]), size(&case["model"])).unwrap();
        assert_eq!(transform.resized_size(), size(&case["resized"]));
        let logits = upscale_to_image(&low_res, &transform).unwrap();
        assert_eq!(logits.len(), transform.image_size().pixels());
        let sampled = logits.iter().step_by(number(&case["step"]));
        let wanted: Vec<f64> = case["values"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(sampled.len(), wanted.len());
        for (index, (value, wanted)) in sampled.zip(wanted).enumerate() {
            // Logits up to 32, stored to 5 decimals; PyTorch sums in another order.
            assert!((f64::from(*value) - wanted).abs() < 2e-5, "{low} value {index}: {value}, not {wanted}");
        }
        let stability = f64::from(stability_score(&logits, 0.0, 1.0));
        let wanted = case["stability"].as_f64().unwrap();
        assert!((stability - wanted).abs() < 1e-4, "{low}: stability {stability}, not {wanted}");
    }
}

#[test]
fn a_mask_that_no_threshold_finds_has_no_stability() {
    assert_eq!(stability_score(&[-5.0; 9], 0.0, 1.0), 0.0);
    assert_eq!(stability_score(&[5.0; 9], 0.0, 1.0), 1.0);
    assert_eq!(stability_score(&[1.5, 0.5, 1.0, -0.5, -1.0, -2.0], 0.0, 1.0), 0.25, "above 1 of those above -1");
}

#[test]
fn logits_of_the_wrong_length_are_refused() {
    let transform = ResizeLongestSide::new(Size::new(9, 7), Size::new(16, 16)).unwrap();
    let low_res = LowResLogits { height: 4, width: 4, values: vec![0.0; 15] };
    assert!(upscale_to_image(&low_res, &transform).is_err());
}

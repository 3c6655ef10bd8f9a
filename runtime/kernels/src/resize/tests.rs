//! Every level against the specification, and the specification against sums in f64.

use super::*;
use crate::testing::bytes;

/// Widths and heights that meet whole blocks, odd ends, one group of taps, two and many.
const SIZES: [(usize, usize); 22] = [
    (1, 1),
    (1, 9),
    (2, 5),
    (5, 2),
    (7, 7),
    (6, 1),
    (16, 16),
    (17, 31),
    (64, 64),
    (65, 33),
    (100, 101),
    (30, 200),
    (40, 3),
    (63, 16),
    (64, 15),
    (120, 64),
    (240, 64),
    (301, 40),
    (320, 170),
    (513, 129),
    (700, 21),
    (1000, 7),
];

fn planes(across: &Across, level: SimdLevel, pixel: usize, rows: [&[u8]; 4]) -> [Vec<u32>; 3] {
    let mut planes = [(); 3].map(|()| vec![0; padded(across.output())]);
    let [a, b, c] = &mut planes;
    assert_eq!(across.level(), level);
    match pixel {
        3 => horizontal::<3>(across, rows, [a, b, c]),
        _ => horizontal::<4>(across, rows, [a, b, c]),
    }
    planes.map(|mut plane| {
        plane.truncate(across.output());
        plane
    })
}

#[test]
fn horizontal_passes_give_the_same_bytes_at_every_level() {
    for (input, output) in SIZES {
        for level in SimdLevel::available() {
            let (mut across, mut plain) = (Across::default(), Across::default());
            for pixel in [3, 4] {
                across.prepare(level, pixel, input, output);
                plain.prepare(SimdLevel::Scalar, pixel, input, output);
                let source: [Vec<u8>; 4] = std::array::from_fn(|row| bytes(row as u32, pixel * input));
                let rows = source.each_ref().map(Vec::as_slice);
                let expected = planes(&plain, SimdLevel::Scalar, pixel, rows);
                assert!(planes(&across, level, pixel, rows) == expected, "{level}: {input} -> {output}, {pixel}");
            }
            let source = bytes(9, 4 * input);
            let mut expected = vec![0; padded(output)];
            horizontal_quads(&plain, &source, &mut expected);
            let mut plane = vec![0; padded(output)];
            horizontal_quads(&across, &source, &mut plane);
            assert!(plane[..output] == expected[..output], "{level}: {input} -> {output}, quads");
        }
    }
}

#[test]
fn quads_are_four_rows_of_one_channel() {
    let (input, output) = (37, 11);
    let mut across = Across::default();
    across.prepare(SimdLevel::Scalar, 3, input, output);
    let source: [Vec<u8>; 4] = std::array::from_fn(|row| bytes(row as u32, 3 * input));
    let planes = planes(&across, SimdLevel::Scalar, 3, source.each_ref().map(Vec::as_slice));
    for (channel, plane) in planes.iter().enumerate() {
        let quads: Vec<u8> = (0..4 * input).map(|i| source[i % 4][i / 4 * 3 + channel]).collect();
        let (mut same, mut across) = (vec![0; padded(output)], Across::default());
        across.prepare(SimdLevel::Scalar, 4, input, output);
        horizontal_quads(&across, &quads, &mut same);
        assert_eq!(same[..output], plane[..]);
    }
}

#[test]
fn vertical_passes_give_the_same_values_at_every_level() {
    let channels = [Channel::new(123.675, 58.395), Channel::new(127.5, 127.5), Channel::new(3.0, 0.0)];
    for (input, output) in SIZES {
        for (width, level) in
            [1, 15, 64, 130].into_iter().flat_map(|w| SimdLevel::available().into_iter().map(move |l| (w, l)))
        {
            let (mut down, mut plain) = (Down::default(), Down::default());
            down.prepare(level, input, output);
            plain.prepare(SimdLevel::Scalar, input, output);
            let quads = bytes(5, 4 * padded(width) * input.div_ceil(4));
            let quads: Vec<u32> = quads.as_chunks().0.iter().map(|&quad| u32::from_le_bytes(quad)).collect();
            let quad = |q: usize| &quads[padded(width) * q..][..padded(width)];
            for i in 0..output {
                assert!(down.quads(i).len() <= down.most_quads());
                let (mut expected, mut row) = (vec![0; width], vec![1; width]);
                vertical_u8(&plain, i, quad, &mut expected);
                vertical_u8(&down, i, quad, &mut row);
                assert_eq!(row, expected, "{level}: row {i} of {input} -> {output}, {width} wide");
                for channel in &channels {
                    let mut row = vec![f32::NAN; width];
                    vertical_f32(&down, i, quad, channel, &mut row);
                    let same = |(value, &byte): (&f32, &u8)| value.to_bits() == channel.value(byte).to_bits();
                    assert!(row.iter().zip(&expected).all(same), "{level}: row {i} of {input} -> {output}");
                }
            }
        }
    }
}

#[test]
fn extremes_survive_both_passes() {
    for level in SimdLevel::available() {
        for (input, output) in SIZES {
            let (mut across, mut down) = (Across::default(), Down::default());
            across.prepare(level, 3, input, output);
            down.prepare(level, input, output);
            for value in [0, 255] {
                let row = vec![value; 3 * input];
                for plane in planes(&across, level, 3, [&row; 4]) {
                    assert!(plane.iter().all(|quad| quad.to_le_bytes() == [value; 4]), "{level}: {input} -> {output}");
                }
                let quad = vec![u32::from_le_bytes([value; 4]); padded(70)];
                let mut out = [7; 70];
                vertical_u8(&down, output / 2, |_| &quad, &mut out);
                assert_eq!(out, [value; 70], "{level}: {input} -> {output}");
            }
        }
    }
}

#[test]
fn an_axis_of_more_pixels_than_sums_can_hold_unclipped_is_the_specifications() {
    for level in SimdLevel::available() {
        let mut down = Down::default();
        down.prepare(level, 65_535, 3);
        assert_eq!(down.level(), SimdLevel::Scalar);
        let quad = vec![u32::MAX; padded(5)];
        let mut out = [0; 5];
        vertical_u8(&down, 1, |_| &quad, &mut out);
        assert_eq!(out, [255; 5]);
    }
}

#[test]
fn one_pass_is_within_half_a_level_of_the_formula() {
    for (input, output) in SIZES {
        let mut across = Across::default();
        across.prepare(SimdLevel::Scalar, 4, input, output);
        let source = bytes(3, 4 * input);
        let mut plane = vec![0; padded(output)];
        horizontal_quads(&across, &source, &mut plane);
        let scale = input as f64 / output as f64;
        for (i, quad) in plane[..output].iter().enumerate() {
            let centre = (i as f64 + 0.5) * scale;
            let weight = |x: usize| (1.0 - (x as f64 + 0.5 - centre).abs() / scale.max(1.0)).max(0.0);
            let total: f64 = (0..input).map(weight).sum();
            for (row, value) in quad.to_le_bytes().into_iter().enumerate() {
                let mean = (0..input).map(|x| weight(x) * f64::from(source[4 * x + row])).sum::<f64>() / total;
                assert!((f64::from(value) - mean).abs() < 0.501, "{input} -> {output} at {i}: {value}, not {mean}");
            }
        }
    }
}

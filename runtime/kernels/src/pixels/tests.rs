//! Against the formulas in f64, and each level against the specification.

use super::*;
use crate::testing::bytes;

const BT601: YuvMatrix = YuvMatrix::new(0.299, 0.114, false);

/// The exact colour of luma and chroma of BT.601 (or, with `full`, of JPEG), not rounded.
fn exact(y: u8, u: u8, v: u8, full: bool) -> [f64; 3] {
    let [y, u, v] = [y, u, v].map(f64::from);
    let (luma, chroma) = if full { (y, 1.0) } else { ((y - 16.0) * 255.0 / 219.0, 255.0 / 224.0) };
    let (u, v) = ((u - 128.0) * chroma, (v - 128.0) * chroma);
    [luma + 1.402 * v, luma - 0.114 * 1.772 / 0.587 * u - 0.299 * 1.402 / 0.587 * v, luma + 1.772 * u]
        .map(|value| value.clamp(0.0, 255.0))
}

#[test]
fn luma_and_chroma_are_within_half_a_level_of_the_formula() {
    for full in [false, true] {
        let matrix = YuvMatrix::new(0.299, 0.114, full);
        for y in 0..=255 {
            for (u, v) in (0..=255).step_by(5).flat_map(|u| (0..=255).step_by(3).map(move |v| (u, v))) {
                let mut out = [0; 8];
                to_rgbx(SimdLevel::Scalar, ColourRow::Yuyv(matrix, &[y, u, 255 - y, v]), &mut out);
                for (pixel, y) in out.as_chunks::<4>().0.iter().zip([y, 255 - y]) {
                    for (value, exact) in pixel.iter().zip(exact(y, u, v, full)) {
                        assert!((f64::from(*value) - exact).abs() < 0.51, "{y} {u} {v}: {value}, not {exact}");
                    }
                }
            }
        }
    }
}

#[test]
fn nv12_is_yuyv_in_two_rows() {
    let (luma, chroma) = (bytes(1, 90), bytes(2, 90));
    let pairs = luma.as_chunks::<2>().0.iter().zip(chroma.as_chunks::<2>().0);
    let yuyv: Vec<u8> = pairs.flat_map(|(y, c)| [y[0], c[0], y[1], c[1]]).collect();
    let (mut a, mut b) = (vec![0; 360], vec![0; 360]);
    to_rgbx(SimdLevel::Scalar, ColourRow::Nv12(BT601, &luma, &chroma), &mut a);
    to_rgbx(SimdLevel::Scalar, ColourRow::Yuyv(BT601, &yuyv), &mut b);
    assert_eq!(a, b);
}

#[test]
fn colour_filters_are_interpolated_from_the_neighbours_that_have_the_colour() {
    // Columns: padding, two pixels, padding.
    let rows: [&[u16]; 3] = [&[10, 21, 30, 40], &[50, 60, 74, 80], &[90, 100, 110, 121]];
    let row = |red, green_first, depth| BayerRow { rows, red, green_first, depth };
    let convert = |row| {
        let mut out = [0; 8];
        to_rgbx(SimdLevel::Scalar, ColourRow::Bayer(row), &mut out);
        [[out[0], out[1], out[2]], [out[4], out[5], out[6]]]
    };
    // Red at 60: green of 21, 50, 74 and 100; blue of 10, 30, 90 and 110. At 74, green: red of 60 and 80, blue of 30 and 110.
    assert_eq!(convert(row(true, false, 8)), [[60, 61, 60], [70, 74, 70]]);
    // At 60, green: blue of 50 and 74, red of 21 and 100. Blue at 74: green of 30, 60, 80 and 110, red of 21, 40, 100 and 121.
    assert_eq!(convert(row(false, true, 8)), [[61, 60, 62], [71, 70, 74]]);
    let rows: [&[u16]; 3] = [&[1, 2, 3, 4], &[5, 600, 7, 8], &[9, 10, 12, 1023]];
    // Green at 600 is of 2, 5, 7 and 10, 6 of 1023.
    assert_eq!(convert(BayerRow { rows, red: true, green_first: false, depth: 10 }), [[150, 1, 1], [76, 1, 2]]);
}

#[test]
fn every_level_gives_the_same_bytes() {
    for level in SimdLevel::available() {
        for pairs in (0..40).chain([257]) {
            let (luma, chroma) = (bytes(1, 2 * pairs), bytes(2, 2 * pairs));
            let wide: [Vec<u16>; 3] = std::array::from_fn(|row| {
                let samples = bytes(row as u32, 2 * (2 * pairs + 2));
                samples.as_chunks().0.iter().map(|&sample| u16::from_le_bytes(sample) >> 4).collect()
            });
            let wide = wide.each_ref().map(Vec::as_slice);
            let bayer = |red, green_first| ColourRow::Bayer(BayerRow { rows: wide, red, green_first, depth: 12 });
            let source = bytes(3, 4 * pairs);
            let rows = [ColourRow::Yuyv(BT601, &source), ColourRow::Nv12(BT601, &luma, &chroma)];
            let bayers = [(false, false), (false, true), (true, false), (true, true)].map(|(r, g)| bayer(r, g));
            for row in rows.into_iter().chain(bayers) {
                let (mut expected, mut out) = (vec![0; 8 * pairs], vec![1; 8 * pairs]);
                to_rgbx(SimdLevel::Scalar, row, &mut expected);
                to_rgbx(level, row, &mut out);
                assert_eq!(out, expected, "{level}: {row:?}");
            }
            let greys: [Vec<u8>; 4] = std::array::from_fn(|row| bytes(row as u32, 2 * pairs));
            let rows = greys.each_ref().map(Vec::as_slice);
            let (mut eight, mut sixteen) = (vec![0; 8 * pairs], vec![0; 4 * pairs]);
            grey_quads::<1>(level, rows, &mut eight);
            grey_quads::<2>(level, rows, &mut sixteen);
            assert!(eight.iter().enumerate().all(|(i, &value)| value == rows[i % 4][i / 4]), "{level}");
            assert!(sixteen.iter().enumerate().all(|(i, &value)| value == rows[i % 4][i / 4 * 2 + 1]), "{level}");
        }
    }
}

#[test]
fn samples_above_their_depth_are_white() {
    let mut out = [0; 3];
    samples(&[255, 0, 255, 3, 0, 4], 10, &mut out);
    assert_eq!(out, [255, 1023, 1023]);
    samples(&[0, 7, 255], 8, &mut out);
    assert_eq!(out, [0, 7, 255]);
}

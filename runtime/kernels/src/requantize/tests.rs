use super::*;
use crate::SimdLevel;
use crate::testing::bytes;

#[test]
fn a_sum_becomes_the_byte_of_the_formula() {
    let plain = Requantize { multipliers: &[0.5, -0.25], residual: None, zero: 100, low: 90, high: 210, table: None };
    // Ties go to even: 2.5, 3.5, -0.5 and, by the other multiplier, 1.5 and -2.5.
    for (sum, j, q) in [(5, 0, 102), (7, 0, 104), (-1, 0, 100), (-6, 1, 102), (10, 1, 98)] {
        assert_eq!(plain.value(sum, j, 7), q, "{sum}");
    }
    for (sum, j, q) in [(219, 0, 210), (i32::MAX, 0, 210), (i32::MIN, 0, 90), (41, 1, 90), (i32::MIN, 1, 210)] {
        assert_eq!(plain.value(sum, j, 7), q, "{sum}");
    }
    // 5 * 0.5 + (9 - 12) * 0.75 = 0.25; with 10 instead of 5 it is 2.75.
    let residual = Residual { values: &[], stride: 0, zero: 12, multiplier: 0.75 };
    let added = Requantize { residual: Some(residual), ..plain };
    assert_eq!([added.value(5, 0, 9), added.value(10, 0, 9)], [100, 103]);
    // A sum of more than 24 bits is rounded to even before anything else: 2^25 + 2 to 2^25, 2^25 + 6 to 2^25 + 8.
    let (zero, multipliers) = (0, &[1.0][..]);
    let residual = Some(Residual { values: &[], stride: 0, zero: 1, multiplier: (1 << 25) as f32 });
    let wide = Requantize { multipliers, zero, low: 0, high: 255, residual, ..plain };
    assert_eq!([wide.value((1 << 25) + 2, 0, 0), wide.value((1 << 25) + 6, 0, 0)], [0, 8]);
    // Neither product is fused with the addition: 8193^2 is 67125249, and 255 * 131073 is 33423615, but for f32 they end with an 8 and a 6.
    let table: Table = std::array::from_fn(|i| 255 - i as u8);
    for (multiplier, sum, by, q) in [(8193.0, 8193, -67_125_248.0, 1), (1.0, -33_423_616, 131_073.0, 255)] {
        let residual = Some(Residual { values: &[], stride: 0, zero: 0, multiplier: by });
        let rounded = Requantize { multipliers: &[multiplier], residual, table: Some(&table), ..plain };
        assert_eq!(rounded.value(sum, 0, q), 155, "{sum}");
    }
}

#[test]
fn every_byte_is_looked_up_at_every_level() {
    let noise = bytes(5, 256);
    let tables: [Table; 3] =
        [std::array::from_fn(|i| noise[i]), std::array::from_fn(|i| i as u8), std::array::from_fn(|i| 255 - i as u8)];
    for level in SimdLevel::available() {
        for table in &tables {
            for len in (0..=140).chain([255, 256, 1000]) {
                let before: Vec<u8> = bytes(len as u32, len).iter().enumerate().map(|(i, b)| b ^ i as u8).collect();
                let mut after = before.clone();
                map(level, table, &mut after);
                assert!(before.iter().zip(&after).all(|(&b, &a)| table[usize::from(b)] == a), "{level} {len}");
            }
            let mut all: Vec<u8> = (0..=255).collect();
            map(level, table, &mut all);
            assert_eq!(all, table, "{level}");
        }
    }
}

#[test]
fn rows_alone_are_mapped() {
    for level in SimdLevel::available() {
        let (table, before): (Table, Vec<u8>) = (std::array::from_fn(|i| 255 - i as u8), bytes(1, 7 * 101));
        let mut after = before.clone();
        // SAFETY: seven rows, of which the last ends early.
        unsafe { table::map_rows(level, &table, after.as_mut_ptr(), 101, 7, 83) };
        for (i, (b, a)) in before.into_iter().zip(after).enumerate() {
            assert_eq!(a, if i % 101 < 83 { 255 - b } else { b }, "{level} at {i}");
        }
    }
}

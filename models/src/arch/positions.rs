//! Learned positions of Segment Anything's ViT, brought to other grids.
//!
//! The tables were learned on the square grid of the square, padded input. A grid of another shape is
//! read as that square with the rows or columns of the padding cut off: tables are resampled to the
//! longer side `long` of the grid, then cropped. So a 16:9 grid of the native width uses the learned
//! values unchanged, and each token keeps the position that it has in the square.

use ndarray::{ArrayD, IxDyn};

use super::Grid;

/// Absolute positions for the tokens of `grid`: `(1, side, side, channels)` to `(cells, channels)`.
///
/// Resampling is bicubic as `torch.nn.functional.interpolate(mode="bicubic", align_corners=False)`.
pub(super) fn absolute(table: &ArrayD<f32>, grid: Grid) -> ArrayD<f32> {
    let (side, channels) = (table.shape()[1], table.shape()[3]);
    let long = grid.height.max(grid.width);
    let rows: Vec<_> = (0..grid.height).map(|i| cubic_taps(i, side, long)).collect();
    let columns: Vec<_> = (0..grid.width).map(|i| cubic_taps(i, side, long)).collect();
    ArrayD::from_shape_fn(IxDyn(&[grid.cells(), channels]), |at| {
        let mut sum = 0.0;
        for &(y, wy) in &rows[at[0] / grid.width] {
            for &(x, wx) in &columns[at[0] % grid.width] {
                sum += wy * wx * f64::from(table[[0, y, x, at[1]]]);
            }
        }
        sum as f32
    })
}

/// Relative positions along one axis as a stack of matrices (query, head_dim, key): the product of a
/// query row with matrix `q` gives the score that each key's distance earns.
///
/// `table` is (2 n - 1, head_dim), from the farthest key after the query to the farthest before it.
/// Where n is not `long` it is resampled linearly, as the official `get_rel_pos` does.
pub(super) fn relative(table: &ArrayD<f32>, length: usize, long: usize) -> ArrayD<f32> {
    let (entries, dim) = (table.shape()[0], table.shape()[1]);
    ArrayD::from_shape_fn(IxDyn(&[length, dim, length]), |at| {
        let entry = at[0] + (long - 1) - at[2];
        let [(i, wi), (j, wj)] = linear_taps(entry, entries, 2 * long - 1);
        (wi * f64::from(table[[i, at[1]]]) + wj * f64::from(table[[j, at[1]]])) as f32
    })
}

/// Centre of output sample `i` of `outputs`, on the axis of `inputs` samples.
fn centre(i: usize, inputs: usize, outputs: usize) -> f64 {
    (i as f64 + 0.5) * inputs as f64 / outputs as f64 - 0.5
}

fn linear_taps(i: usize, inputs: usize, outputs: usize) -> [(usize, f64); 2] {
    let at = centre(i, inputs, outputs).max(0.0);
    let (low, t) = (at.floor() as usize, at.fract());
    [(low.min(inputs - 1), 1.0 - t), ((low + 1).min(inputs - 1), t)]
}

/// The cubic convolution kernel (Keys 1981) with a = -3/4; samples beyond the edge repeat the edge.
fn cubic_taps(i: usize, inputs: usize, outputs: usize) -> [(usize, f64); 4] {
    const A: f64 = -0.75;
    let at = centre(i, inputs, outputs);
    let (low, t) = (at.floor(), at - at.floor());
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let clamp = |offset: f64| (low + offset).clamp(0.0, (inputs - 1) as f64) as usize;
    [(clamp(-1.0), far(1.0 + t)), (clamp(0.0), near(t)), (clamp(1.0), near(1.0 - t)), (clamp(2.0), far(2.0 - t))]
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, ArrayD};

    use super::{Grid, absolute, relative};

    fn close(found: &ArrayD<f32>, expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-5, "{found} is not {expected:?}");
        }
    }

    fn table_3x3() -> ArrayD<f32> {
        let values = vec![1.0, 4.0, -2.0, 0.0, 3.0, 8.0, 5.0, -1.0, 2.0];
        Array1::from(values).into_shape_with_order(vec![1, 3, 3, 1]).unwrap()
    }

    // Expected values here and below: torch.nn.functional.interpolate of PyTorch 2 on the same numbers.
    #[test]
    fn absolute_positions_are_resampled_bicubically() {
        let smaller = absolute(&table_3x3(), Grid { height: 2, width: 2 });
        close(&smaller, &[1.469_879_2, 1.371_963_5, 2.799_636_8, 2.701_721_2]);
        let larger = absolute(&table_3x3(), Grid { height: 5, width: 5 });
        close(
            &larger,
            &[
                0.808_000_74,
                2.768_032_8,
                4.096_001_6,
                -0.006_272_193_5,
                -3.637_377_5,
                -0.098_208_06,
                1.781_759_3,
                3.899_999,
                3.190_799_5,
                2.159_554,
                -0.287_999_87,
                0.803_999_9,
                3.0,
                6.276,
                8.480_003,
                3.228_769_8,
                1.686_000_2,
                0.480_001_1,
                3.095_040_8,
                5.486_527_4,
                6.138_947_5,
                2.614_591_1,
                -1.384_000_3,
                -0.159_708_65,
                1.693_569_5,
            ],
        );
    }

    #[test]
    fn a_rectangle_keeps_the_positions_of_the_square() {
        let top = absolute(&table_3x3(), Grid { height: 2, width: 3 });
        close(&top, &[1.0, 4.0, -2.0, 0.0, 3.0, 8.0]);
        let left = absolute(&table_3x3(), Grid { height: 3, width: 1 });
        close(&left, &[1.0, 0.0, 5.0]);
    }

    /// Scores of a query at cell 0 of `long`, by distance from the farthest key to itself.
    fn resampled(long: usize) -> Vec<f32> {
        let table = Array2::from_shape_vec((5, 1), vec![1.0, 4.0, -2.0, 0.0, 6.0]).unwrap().into_dyn();
        let all = relative(&table, long, long);
        let after = (0..long).rev().map(|key| all[[0, 0, key]]);
        let before = (1..long).map(|query| all[[query, 0, 0]]);
        after.chain(before).collect()
    }

    #[test]
    fn relative_positions_are_indexed_by_distance() {
        assert_eq!(resampled(3), [1.0, 4.0, -2.0, 0.0, 6.0]);
    }

    #[test]
    fn relative_positions_are_resampled_linearly() {
        let table = |values: Vec<f32>| Array1::from(values).into_dyn();
        close(&table(resampled(2)), &[2.0, -2.0, 4.0]);
        close(&table(resampled(4)), &[1.0, 2.714_286, 2.285_713_7, -2.0, -0.571_428_3, 2.571_428_8, 6.0]);
        close(
            &table(resampled(5)),
            &[1.0, 2.0, 3.666_667, 1.333_332_8, -2.0, -0.888_888_36, 0.666_666_7, 4.000_002, 6.0],
        );
    }

    #[test]
    fn a_shorter_axis_uses_the_middle_of_the_table() {
        let table = Array2::from_shape_vec((5, 1), vec![1.0, 4.0, -2.0, 0.0, 6.0]).unwrap().into_dyn();
        close(&relative(&table, 2, 3), &[-2.0, 4.0, 0.0, -2.0]);
    }
}

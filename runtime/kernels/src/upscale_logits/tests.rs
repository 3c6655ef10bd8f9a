use super::*;
use crate::testing::Values;

#[test]
fn enlarging_by_two_takes_three_quarters_and_one_quarter() {
    let taps: Vec<Tap> = (0..4).map(|i| Tap::new(i, 2, 4)).collect();
    let tap = |a, b, wa, wb| Tap { indices: [a, b], weights: [wa, wb] };
    assert_eq!(taps[..3], [tap(0, 1, 1.0, 0.0), tap(0, 1, 0.75, 0.25), tap(0, 1, 0.25, 0.75)]);
    // Beyond the last centre both taps are the last pixel, whatever the weights.
    assert_eq!(taps[3].indices, [1, 1]);
}

#[test]
fn an_axis_stays_inside_its_input_and_never_goes_back() {
    for (low, model, resized, image) in [(1, 4, 1, 9), (256, 1024, 683, 1200), (64, 256, 256, 17), (16, 64, 3, 1)] {
        let mut axis = Axis::default();
        axis.prepare(low, model, resized, image);
        assert!(axis.indices.iter().all(|all| all.len() == image && all.iter().all(|&i| (i as usize) < low)));
        for i in 0..image {
            let (indices, weights) = axis.output(i);
            assert!(weights.chunks(2).all(|pair| pair[0] + pair[1] == 1.0 && pair[0] >= 0.0 && pair[1] >= 0.0));
            assert!(indices.iter().all(|index| (indices[0]..=indices[3]).contains(index)));
            assert!(i == 0 || axis.output(i - 1).0.iter().zip(indices).all(|(before, index)| *before <= index));
        }
    }
}

/// Columns and rows of a low-resolution grid, those of the model's, of the resized image and of the image.
type Spans = [[usize; 2]; 4];

const LOW: [usize; 2] = [40, 13];

/// Images of every width around a register and a word, larger than the grid and smaller, with and without padding.
fn spans() -> impl Iterator<Item = Spans> {
    let widths = (1..=70).chain([127, 128, 129, 200, 333, 777]);
    widths.flat_map(|width| [[160, 52], [151, 40], [7, 1]].map(|resized| [LOW, [160, 52], resized, [width, 31]]))
}

fn axes(spans: Spans) -> [Axis; 2] {
    [0, 1].map(|i| {
        let [low, model, resized, image] = spans.map(|span| span[i]);
        let mut axis = Axis::default();
        axis.prepare(low, model, resized, image);
        axis
    })
}

/// The low-resolution rows at image width, in whole words; what lies beyond the width is above any threshold.
fn widen(level: SimdLevel, across: &Axis, low: &[f32]) -> Vec<f32> {
    let mut wide = vec![f32::INFINITY; LOW[1] * across.image().next_multiple_of(WORD)];
    for (wide, low) in wide.chunks_mut(across.image().next_multiple_of(WORD)).zip(low.chunks(LOW[0])) {
        horizontal(level, across, low, &mut wide[..across.image()]);
    }
    wide
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect()
}

#[test]
fn every_level_gives_the_same_logits() {
    let mut low = Values::new(3).vec(LOW[0] * LOW[1], 4.0);
    low[77] = f32::NAN;
    low[200] = f32::INFINITY;
    for spans in spans() {
        let [across, down] = axes(spans);
        let wide = widen(SimdLevel::Scalar, &across, &low);
        let stride = wide.len() / LOW[1];
        for level in SimdLevel::available() {
            assert_eq!(bits(&widen(level, &across, &low)), bits(&wide), "{level} {spans:?}");
            for y in 0..down.image() {
                let row = |y: usize| &wide[y * stride..][..stride];
                let (mut expected, mut out) = (vec![0.0; across.image()], vec![f32::NAN; across.image()]);
                vertical(SimdLevel::Scalar, &down, y, row, &mut expected);
                vertical(level, &down, y, row, &mut out);
                assert_eq!(bits(&out), bits(&expected), "{level} {spans:?} row {y}");
            }
        }
    }
}

/// Plateaus around the limits of threshold 0.25, slopes between them, and logits that have no mean.
fn scene() -> Vec<f32> {
    let mut values = Values::new(5);
    let levels = [-9.0, -0.75, -0.75001, -0.7499, 0.25, 0.3, 1.25, 1.250_001, 1.2501, 1.6, 9.0, f32::MAX, f32::MIN];
    let mut low: Vec<f32> = (0..LOW[0] * LOW[1])
        .map(|i| {
            let plateau = levels[(i % LOW[0] / 8 + i / LOW[0] / 4 * 5) % levels.len()];
            if values.bits().is_multiple_of(8) { plateau + values.vec(1, 0.5)[0] } else { plateau }
        })
        .collect();
    low[3 * LOW[0] + 5] = f32::NAN;
    low[9 * LOW[0] + 30] = f32::INFINITY;
    low[11 * LOW[0] + 38] = f32::NEG_INFINITY;
    low
}

#[test]
fn bits_and_counts_are_those_of_the_logits_at_every_level() {
    let (low, mut known) = (scene(), 0);
    for threshold in [Threshold { at: 0.25, offset: 1.0 }, Threshold { at: -1.25, offset: 0.0 }] {
        for spans in spans() {
            let [across, down] = axes(spans);
            let wide = widen(SimdLevel::Scalar, &across, &low);
            let (stride, words) = (wide.len() / LOW[1], wide.len() / LOW[1] / WORD);
            let mut classes = vec![Class::default(); LOW[1] * words];
            for (low, classes) in low.chunks(LOW[0]).zip(classes.chunks_mut(words)) {
                classify(&across, low, threshold, classes);
            }
            known += classes.iter().filter(|&&class| class != Class::default()).count();
            for y in 0..down.image() {
                let mut logits = vec![0.0; across.image()];
                vertical(SimdLevel::Scalar, &down, y, |y| &wide[y * stride..][..stride], &mut logits);
                let above = |limit: f32| logits.iter().filter(|&&logit| logit > limit).count() as u64;
                let [at, high, low] = threshold.limits();
                let expected = Counts { inside: above(high), around: above(low) };
                for level in SimdLevel::available() {
                    let mut bits = vec![u64::MAX; words];
                    let row = |y: usize| (&wide[y * stride..][..stride], &classes[y * words..][..words]);
                    let counts = threshold_row(level, &down, y, row, threshold, across.image(), &mut bits);
                    assert_eq!(counts, expected, "{level} {spans:?} row {y}");
                    for x in 0..words * WORD {
                        let inside = logits.get(x).is_some_and(|&logit| logit > at);
                        assert_eq!(
                            bits[x / WORD] >> (x % WORD) & 1 == 1,
                            inside,
                            "{level} {spans:?} row {y} pixel {x}"
                        );
                    }
                }
            }
        }
    }
    assert!(known > 1000, "words that need no arithmetic: {known}");
}

#[test]
fn runs_are_the_stretches_of_ones() {
    let found = |words: &[u64]| {
        let mut runs = Vec::new();
        for_each_run(words, |x, len| runs.push((x, len)));
        runs
    };
    assert_eq!(found(&[]), []);
    assert_eq!(found(&[0, 0]), []);
    assert_eq!(found(&[0b1011_0010]), [(1, 1), (4, 2), (7, 1)]);
    assert_eq!(found(&[u64::MAX, u64::MAX, 0, 1]), [(0, 128), (192, 1)]);
    assert_eq!(found(&[1 << 63, 0b101, 0, 3 << 62]), [(63, 2), (66, 1), (254, 2)]);
    assert_eq!(found(&[1 << 63 | 1, u64::MAX]), [(0, 1), (63, 65)]);
}

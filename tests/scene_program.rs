//! The sample scene is what its program renders, on this machine too.

use cutout_runtime::Mask;
use cutout_tests::{scene, scene_objects, scene_photo};

#[test]
fn the_masks_are_exactly_those_of_the_program() {
    let size = scene_photo().size();
    let labels = scene::labels(size.width as u32, size.height as u32);
    let objects = scene_objects();
    assert_eq!(objects.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), scene::names());
    for (id, object) in (1..).zip(&objects) {
        let rendered = Mask::from_bools(size, &labels.mask(id)).unwrap();
        assert_eq!(rendered, object.mask, "{}: run the example render_scene", object.name);
        assert!(object.mask.contains(object.point.x as usize, object.point.y as usize), "{}", object.name);
    }
}

/// A quarter of the size is enough to see that light and colour are the same, and takes a second. Sensor noise and the
/// samples of soft shadows differ from size to size, so blocks are compared.
#[test]
fn the_photo_is_that_of_the_program() {
    let photo = scene_photo();
    let (width, height) = (photo.size().width / 4, photo.size().height / 4);
    let rendered = scene::render(width as u32, height as u32);
    let expected = block_means(photo.pixels(), photo.size().width, 32);
    let found = block_means(&rendered.rgb, width, 8);
    assert_eq!(found.len(), expected.len());
    let differences: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let largest = differences.iter().copied().fold(0.0, f64::max);
    assert!(mean < 1.5 && largest < 15.0, "mean {mean:.2}, largest {largest:.1} grey levels");
}

/// Mean of each channel in each block of `side` by `side` pixels.
fn block_means(rgb: &[u8], width: usize, side: usize) -> Vec<f64> {
    let blocks = width / side;
    let mut means = vec![0.0; rgb.len() / (side * side)];
    for (i, &value) in rgb.iter().enumerate() {
        let (x, y, channel) = (i / 3 % width, i / 3 / width, i % 3);
        means[(y / side * blocks + x / side) * 3 + channel] += f64::from(value) / (side * side) as f64;
    }
    means
}

#[test]
fn rendering_is_deterministic() {
    assert_eq!(scene::render(60, 40), scene::render(60, 40));
}

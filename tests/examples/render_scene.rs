//! Renders the sample scene into `assets/`: the photo, and the exact mask of each thing in it.
//!
//! ```text
//! cargo run --release -p cutout-tests --example render_scene
//! ```
//!
//! writes `assets/scene.jpg` (960 x 640) and `assets/scene_masks.json`: for each object its name, its mask as COCO RLE, its
//! box (x, y, width, height) and a pixel well inside it, to point at it by. The bytes are the same on
//! every machine. Takes 20 to 30 seconds.

use std::error::Error;

use cutout_runtime::{CocoRle, Mask, Size};
use cutout_tests::scene;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use serde_json::json;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 640;
const QUALITY: u8 = 90;

fn main() -> Result<(), Box<dyn Error>> {
    let assets = cutout_tests::root().join("assets");
    std::fs::create_dir_all(&assets)?;
    let picture = scene::render(WIDTH, HEIGHT);

    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(&picture.rgb, WIDTH, HEIGHT, ExtendedColorType::Rgb8)?;
    cutout::output::write(&assets.join("scene.jpg"), &jpeg)?;

    let mut objects = Vec::new();
    for (id, name) in (1..).zip(scene::names()) {
        let mask = Mask::from_bools(Size::new(WIDTH as usize, HEIGHT as usize), &picture.labels.mask(id))?;
        let (Some(bbox), Some(point)) = (mask.bbox(), picture.labels.inner_point(id)) else {
            return Err(format!("{name} is not seen").into());
        };
        objects.push(json!({"name": name, "rle": CocoRle::encode(&mask), "bbox": bbox, "point": point}));
    }
    let list = objects.iter().map(|object| format!("    {object}")).collect::<Vec<_>>().join(",\n");
    let masks = format!("{{\n  \"width\": {WIDTH},\n  \"height\": {HEIGHT},\n  \"objects\": [\n{list}\n  ]\n}}\n");
    cutout::output::write(&assets.join("scene_masks.json"), masks.as_bytes())?;
    Ok(())
}

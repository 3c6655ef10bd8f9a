//! What most tests start from: the photo in `assets/` and the objects in it, and the shipped model.

use std::path::PathBuf;
use std::sync::OnceLock;

use cutout::photo::Photo;
use cutout_models::arch::InputSize;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::onnx::Dim;
use cutout_models::{Bundle, Quantization};
use cutout_quantize::points::Points;
use cutout_quantize::ranges;
use cutout_runtime::{BBox, CocoRle, LowResLogits, Mask, Model, ModelOptions, Point, Prompt};
use serde_json::Value;

use crate::root;

/// An object of the sample scene.
pub struct SceneObject {
    /// What it is.
    pub name: String,
    /// Its exact mask.
    pub mask: Mask,
    /// The box around the mask.
    pub bbox: BBox,
    /// The pixel deepest inside it.
    pub point: Point,
}

/// The file of the photo.
pub fn scene_path() -> PathBuf {
    root().join("assets/scene.jpg")
}

/// The photo, read once.
///
/// # Panics
/// If the repository's own file is damaged.
pub fn scene_photo() -> &'static Photo {
    static PHOTO: OnceLock<Photo> = OnceLock::new();
    PHOTO.get_or_init(|| Photo::open(&scene_path()).expect("assets/scene.jpg is part of the repository"))
}

/// The shipped model as it is by default, loaded once.
///
/// # Panics
/// If it cannot be loaded.
pub fn shipped_model() -> Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let load = || Model::load(Bundle::shipped().expect("it is in the program"), ModelOptions::default());
    MODEL.get_or_init(|| load().expect("it runs here")).clone()
}

/// The shipped model in int8, roughly: all values of the image encoder have the same range.
///
/// # Panics
/// If it cannot be quantised.
pub fn shipped_int8() -> Bundle {
    let folded = Bundle::shipped().and_then(|bundle| bundle.folded()).expect("it is in the program");
    let shape = DecoderShape { prompts: Dim::Fixed(1), points: Dim::Fixed(2), embedding: (4, 4) };
    let encoder = folded.image_encoder_onnx(InputSize::square(64)).expect("its own architecture");
    let decoder = folded.mask_decoder_onnx(shape).expect("its own architecture");
    let points = Points::of(&encoder).expect("a graph of known operators");
    let layers = points.layers.into_iter().chain(Points::layers_of(&decoder).expect("a graph of known operators"));
    // Some constants are computed of weights.
    let stored = layers.map(|layer| layer.weight).filter(|weight| folded.weights().contains(weight));
    let weights = stored.map(|weight| (weight, None)).collect();
    let range = ranges::affine(-8.0, 8.0);
    let activations = points.points.into_iter().map(|point| (point.value, range)).collect();
    folded.to_int8(&weights, Quantization { activations, ..Quantization::default() }).expect("sound scales")
}

/// The objects in the photo.
///
/// # Panics
/// If the repository's own file is damaged.
pub fn scene_objects() -> Vec<SceneObject> {
    let text = std::fs::read_to_string(root().join("assets/scene_masks.json")).expect("assets/scene_masks.json");
    let file: Value = serde_json::from_str(&text).expect("assets/scene_masks.json is JSON");
    let objects = file["objects"].as_array().expect("a list of objects");
    objects.iter().map(object).collect()
}

/// Prompts that every way of asking about the photo must refuse as `InvalidPrompt`.
pub fn senseless_prompts() -> Vec<Prompt> {
    let wide = scene_photo().size().width as f32;
    vec![
        Prompt::new(),
        Prompt::new().with_point(-1.0, 5.0, true),
        Prompt::new().with_point(wide + 1.0, 5.0, true),
        Prompt::new().with_point(f32::NAN, 5.0, true),
        Prompt::new().with_box(BBox::new(10.0, 10.0, 10.0, 50.0)),
        Prompt::new().with_box(BBox::new(50.0, 10.0, 10.0, 50.0)),
        Prompt::new().with_box(BBox::new(0.0, 0.0, wide + 9.0, 50.0)),
        Prompt::new().with_mask(LowResLogits { height: 3, width: 3, values: vec![0.0; 9] }),
        Prompt::new().with_mask(LowResLogits { height: 0, width: 0, values: Vec::new() }),
        (0..257).fold(Prompt::new(), |p, _| p.with_point(5.0, 5.0, true)),
    ]
}

fn object(value: &Value) -> SceneObject {
    let rle: CocoRle = serde_json::from_value(value["rle"].clone()).expect("a COCO RLE");
    let mask = rle.decode().expect("an RLE of the photo's size");
    let (x, y, w, h) = mask.bbox().expect("a mask that is not empty");
    let number = |v: &Value| v.as_f64().expect("a number") as f32;
    SceneObject {
        name: value["name"].as_str().expect("a name").to_owned(),
        bbox: BBox::new(x as f32, y as f32, (x + w) as f32, (y + h) as f32),
        point: Point::new(number(&value["point"][0]), number(&value["point"][1])),
        mask,
    }
}

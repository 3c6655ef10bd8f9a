//! What displays show, as PNG files: `cargo run --release -p cutout --example displays [FOLDER]`.
//!
//! The sample scene is shown on a framebuffer of 800x480 (made of plain files, as the tests have it), on one of 320x240 in
//! 16 bits, which is what LCD panels hold, and on a monochrome panel of 128x64, enlarged.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use cutout::display::framebuffer::Framebuffer;
use cutout::display::{BitCanvas, FramebufferSpec, MonoPainter, Object, Scene, Screen, Track, Turn};
use cutout::output::write_rgb_png;
use cutout::overlay::{FrameAge, Status};
use cutout::photo::Photo;
use cutout_runtime::{BBox, CocoRle, Mask, Point, Prompt, Size, Tracked};

/// Side of a monochrome pixel in the picture, a dark seam included.
const DOT: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/displays".into()));
    fs::create_dir_all(&folder)?;
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    let photo = Photo::open(&assets.join("scene.jpg"))?;
    let masks = masks(&assets.join("scene_masks.json"))?;
    let (Some(mug), Some(bottle), Some(carton)) = (masks.first(), masks.get(1), masks.get(2)) else {
        return Err("assets/scene_masks.json has lost its objects".into());
    };
    let ground = Scene::of(photo.view());
    let status = Status {
        predicted_iou: Some(0.94),
        frame: Some(FrameAge { id: 12, age_ms: 40 }),
        cut: &["contour"],
        ..Status::new("cutout-s", 83.0)
    };

    let asked = Prompt::new().with_point(255.0, 321.0, true).with_point(320.0, 236.0, false);
    let found = [Object { mask: Some(mug), ..Object::default() }];
    let click = Scene { objects: &found, prompt: Some(&asked), status: Some(status), ..ground };

    let boxed = Prompt::new().with_box(bounds(carton)?);
    let found = [Object { mask: Some(carton), ..Object::default() }];
    let in_box = Scene { objects: &found, prompt: Some(&boxed), status: Some(Status { cut: &[], ..status }), ..ground };

    let trail: Vec<Point> = (0..14).map(|i| Point::new(380.0 + 22.0 * i as f32, 470.0 - 19.0 * i as f32)).collect();
    let followed = |mask: &'static str, state, bbox, trail| (mask, Track { state, bbox, trail });
    let (_, there) = followed("bottle", Tracked::Found, bounds(bottle)?, trail.as_slice());
    let (_, gone) = followed("mug", Tracked::Lost, bounds(mug)?, &[]);
    let found = [
        Object { mask: Some(bottle), colour: 1, track: Some(there) },
        Object { mask: None, colour: 0, track: Some(gone) },
    ];
    let tracking = Scene { objects: &found, status: Some(Status { note: "1 lost", cut: &[], ..status }), ..ground };

    let wide = Scene { picture: None, ..Scene::new(Size::new(960, 540)) };
    let flat = Scene { objects: in_box.objects, prompt: in_box.prompt, status: in_box.status, ..wide };
    for (name, scene) in [("click", &click), ("box", &in_box), ("track", &tracking)] {
        framebuffer(&folder.join(format!("framebuffer-800x480-{name}.png")), scene, (800, 480), 32)?;
        framebuffer(&folder.join(format!("lcd-320x240-{name}.png")), scene, (320, 240), 16)?;
        framebuffer(&folder.join(format!("lcd-240x240-{name}.png")), scene, (240, 240), 16)?;
        oled(&folder.join(format!("oled-128x64-{name}.png")), scene, (128, 64))?;
    }
    oled(&folder.join("oled-128x64-wide.png"), &flat, (128, 64))?;
    oled(&folder.join("oled-64x128-track.png"), &tracking, (64, 128))
}

fn masks(file: &Path) -> Result<Vec<Mask>, Box<dyn Error>> {
    let mut file: serde_json::Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let objects = file["objects"].as_array_mut().ok_or("no list of objects")?;
    let decoded =
        objects.iter_mut().map(|object| Ok(serde_json::from_value::<CocoRle>(object["rle"].take())?.decode()?));
    decoded.collect()
}

fn bounds(mask: &Mask) -> Result<BBox, Box<dyn Error>> {
    let (x, y, w, h) = mask.bbox().ok_or("an empty mask")?;
    Ok(BBox::new(x as f32, y as f32, (x + w) as f32, (y + h) as f32))
}

/// Shows a scene on a framebuffer, and reads back what it holds.
fn framebuffer(
    to: &Path,
    scene: &Scene<'_>,
    (width, height): (usize, usize),
    bits: usize,
) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let about = folder.path().join("graphics/fb0");
    fs::create_dir_all(&about)?;
    fs::write(about.join("virtual_size"), format!("{width},{height}\n"))?;
    fs::write(about.join("bits_per_pixel"), format!("{bits}\n"))?;
    fs::write(about.join("stride"), format!("{}\n", width * bits / 8))?;
    let device = folder.path().join("fb0");
    fs::write(&device, [])?;
    let spec = FramebufferSpec { device: device.clone(), turn: Turn::None, bgr: false };
    Framebuffer::open(&spec, &folder.path().join("graphics"))?.show(scene)?;
    let rgb = |pixel: &[u8]| match *pixel {
        [low, high] => {
            let word = u16::from_le_bytes([low, high]);
            let level = |bits: u16, most: u16| (bits * 255 / most) as u8;
            [level(word >> 11, 31), level(word >> 5 & 63, 63), level(word & 31, 31)]
        }
        [b, g, r, ..] => [r, g, b],
        _ => [0; 3],
    };
    let pixels: Vec<u8> = fs::read(&device)?.chunks(bits / 8).flat_map(rgb).collect();
    Ok(write_rgb_png(to, Size::new(width, height), &pixels)?)
}

/// Shows a scene on a monochrome panel, enlarged.
fn oled(to: &Path, scene: &Scene<'_>, (width, height): (u32, u32)) -> Result<(), Box<dyn Error>> {
    let mut canvas = BitCanvas::new(embedded_graphics::geometry::Size::new(width, height));
    let Ok(()) = MonoPainter::default().paint(&mut canvas, scene);
    let size = Size::new(width as usize * DOT, height as usize * DOT);
    let mut pixels = Vec::with_capacity(size.pixels() * 3);
    for y in 0..size.height {
        for x in 0..size.width {
            let seam = x % DOT == DOT - 1 || y % DOT == DOT - 1;
            let lit = canvas.lit()[y / DOT * width as usize + x / DOT];
            pixels.extend_from_slice(if lit && !seam { &[170, 225, 255] } else { &[6, 8, 12] });
        }
    }
    Ok(write_rgb_png(to, size, &pixels)?)
}

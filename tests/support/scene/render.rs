//! Pixels of the scene: sampling, smoothing of the bounced light, development, sensor noise.

use super::camera::{Camera, developed};
use super::labels::{Labels, labels};
use super::light::{from_room, from_window, hit, mirrored};
use super::noise::{Random, hash};
use super::vec3::Vec3;

/// Samples of a pixel are a square of this side.
const SIDE: u32 = 4;

/// The scene as a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// RGB triples, rows from the top.
    pub rgb: Vec<u8>,
    /// What each pixel shows.
    pub labels: Labels,
}

/// What is known of a pixel before its bounced light is smoothed.
#[derive(Clone, Copy, Default)]
struct Pixel {
    /// Light of the window and of mirrors.
    sharp: Vec3,
    /// Mean diffuse reflectance.
    albedo: Vec3,
    /// Bounced light, over pi.
    bounced: Vec3,
    normal: Vec3,
    place: Vec3,
}

/// Renders the scene, `width` by `height` pixels. The view is fixed by the width; a taller picture shows more.
pub fn render(width: u32, height: u32) -> Picture {
    let camera = Camera::new(width, height);
    let points = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let labels = labels(width, height);
    let mut pixels: Vec<Pixel> = points().map(|(x, y)| sample(&camera, x, y)).collect();
    for reach in [1, 2, 4] {
        smooth(&mut pixels, &labels.ids, width as usize, reach);
    }
    let rgb = points().zip(&pixels).flat_map(|((x, y), pixel)| {
        let light = (pixel.sharp + pixel.albedo * pixel.bounced) * camera.falloff(x as f32 + 0.5, y as f32 + 0.5);
        let mut grain = Random::new(hash(y * 8191 + x) ^ 0x51ed);
        // Two uniform numbers each make a triangle: near enough to the bell of a sensor's noise.
        let mut noise = |strength: f32| (grain.next() + grain.next() - 1.0) * strength;
        let shared = noise(0.011);
        let value = developed(light);
        [value.x, value.y, value.z].map(|v| ((v + shared + noise(0.006)).clamp(0.0, 1.0) * 255.0 + 0.5) as u8)
    });
    Picture { rgb: rgb.collect(), labels }
}

fn sample(camera: &Camera, x: u32, y: u32) -> Pixel {
    let seed = hash(x ^ hash(y));
    let mut random = Random::new(seed);
    // Each use shifts its own grid of strata, and pairs them in another order.
    let mut grids = [(0.0, 0.0); 4];
    grids.iter_mut().for_each(|shift| *shift = (random.next(), random.next()));
    let stratum = |grid: usize, i: u32| {
        let i = (i * [1, 5, 7, 11][grid] + grid as u32 * 3) % (SIDE * SIDE);
        let (u, v) = ((i % SIDE) as f32 / SIDE as f32, (i / SIDE) as f32 / SIDE as f32);
        let (a, b) = (grids[grid].0 / SIDE as f32, grids[grid].1 / SIDE as f32);
        (u + a, v + b)
    };
    let mut sum = Pixel::default();
    for i in 0..SIDE * SIDE {
        let ((dx, dy), (u, v)) = (stratum(0, i), stratum(1, i));
        let (origin, direction) = camera.ray(x as f32 + dx, y as f32 + dy, u, v);
        let Some(hit) = hit(origin, direction, f32::MAX) else { continue };
        let normal = if hit.normal.dot(direction) > 0.0 { -hit.normal } else { hit.normal };
        let (share, mirrored) = mirrored(&hit, direction, &mut random);
        let albedo = hit.surface.albedo * (1.0 - share);
        let (u, v) = stratum(2, i);
        // Opposite points of the window, as the near half of it is the brighter one.
        let window = from_window(hit.place, normal, u, v) + from_window(hit.place, normal, 1.0 - u, 1.0 - v);
        sum.sharp = sum.sharp + albedo * window * 0.5 + mirrored * share;
        let (u, v) = stratum(3, i);
        sum.bounced = sum.bounced + from_room(hit.place, normal, u, v, &mut random);
        sum.albedo = sum.albedo + albedo;
        sum.normal = sum.normal + normal;
        sum.place = sum.place + hit.place;
    }
    let mean = |v: Vec3| v / (SIDE * SIDE) as f32;
    Pixel {
        sharp: mean(sum.sharp),
        albedo: mean(sum.albedo),
        bounced: mean(sum.bounced),
        normal: mean(sum.normal),
        place: mean(sum.place),
    }
}

/// One pass of an edge-stopping filter over the bounced light (Dammertz et al., "Edge-avoiding A-trous wavelet
/// transform", 2010): neighbours `reach` apart count as far as they belong to the same surface.
fn smooth(pixels: &mut [Pixel], ids: &[u8], width: usize, reach: isize) {
    const WEIGHTS: [f32; 3] = [0.375, 0.25, 0.0625];
    let height = pixels.len() / width.max(1);
    let smoothed: Vec<Vec3> = (0..pixels.len())
        .map(|i| {
            let (here, x, y) = (&pixels[i], (i % width) as isize, (i / width) as isize);
            let (mut sum, mut total) = (Vec3::ZERO, 0.0);
            for (dx, dy) in (-2..=2).flat_map(|dy: isize| (-2..=2).map(move |dx: isize| (dx, dy))) {
                let (x, y) = (x + dx * reach, y + dy * reach);
                if x < 0 || y < 0 || x >= width as isize || y >= height as isize {
                    continue;
                }
                let j = y as usize * width + x as usize;
                let there = &pixels[j];
                let off_plane = (there.place - here.place).dot(here.normal);
                let facing = here.normal.dot(there.normal).max(0.0);
                let facing = facing * facing * facing * facing;
                let alike = facing * facing / (1.0 + 400.0 * off_plane * off_plane);
                let same = if ids[i] == ids[j] { 1.0 } else { 0.02 };
                let weight = WEIGHTS[dx.unsigned_abs()] * WEIGHTS[dy.unsigned_abs()] * alike * same;
                sum = sum + there.bounced * weight;
                total += weight;
            }
            if total > 0.0 { sum / total } else { here.bounced }
        })
        .collect();
    pixels.iter_mut().zip(smoothed).for_each(|(pixel, bounced)| pixel.bounced = bounced);
}

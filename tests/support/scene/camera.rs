//! From the scene's light to the numbers of a photo.

use super::light::disc;
use super::vec3::{Vec3, vec3};

/// A lens, where it stands and where it looks.
pub(super) struct Camera {
    eye: Vec3,
    forward: Vec3,
    right: Vec3,
    up: Vec3,
    /// Half the width of the picture at distance one.
    half_width: f32,
    width: f32,
    height: f32,
}

const EYE: Vec3 = vec3(0.75, 4.35, 8.6);
const TARGET: Vec3 = vec3(0.16, 0.62, -0.35);
const APERTURE: f32 = 0.075;
/// Distance, along the view, of what is sharp.
const FOCUS: f32 = 9.3;

impl Camera {
    pub(super) fn new(width: u32, height: u32) -> Self {
        let forward = (TARGET - EYE).unit();
        let right = forward.cross(vec3(0.0, 1.0, 0.0)).unit();
        let up = right.cross(forward);
        Camera { eye: EYE, forward, right, up, half_width: 0.366, width: width as f32, height: height as f32 }
    }

    /// The ray through (x, y) in pixels, and the point (u, v) of the lens in the unit square; its middle is (0.5, 0.5).
    pub(super) fn ray(&self, x: f32, y: f32, u: f32, v: f32) -> (Vec3, Vec3) {
        let scale = 2.0 * self.half_width / self.width;
        let (across, along) = ((x - 0.5 * self.width) * scale, (0.5 * self.height - y) * scale);
        let sharp = self.eye + (self.forward + self.right * across + self.up * along) * FOCUS;
        let (a, b) = disc(u, v);
        let origin = self.eye + (self.right * a + self.up * b) * APERTURE;
        (origin, (sharp - origin).unit())
    }

    /// How much light the lens lets through at (x, y), falling towards the corners.
    pub(super) fn falloff(&self, x: f32, y: f32) -> f32 {
        let (a, b) = (2.0 * x / self.width - 1.0, 2.0 * y / self.height - 1.0);
        1.0 - 0.13 * (a * a + b * b)
    }
}

/// Light to display values in [0, 1]: exposure, a film-like curve (Narkowicz's fit of ACES, 2016), sRGB.
pub(super) fn developed(light: Vec3) -> Vec3 {
    const EXPOSURE: f32 = 0.92;
    let film = |v: f32| ((v * (2.51 * v + 0.03)) / (v * (2.43 * v + 0.59) + 0.14)).clamp(0.0, 1.0);
    (light * EXPOSURE).map(film).map(srgb)
}

/// The sRGB curve, to within 0.004, from square roots, which are exact on every machine.
fn srgb(v: f32) -> f32 {
    let a = v.sqrt();
    let b = a.sqrt();
    let c = b.sqrt();
    (0.585_122_4 * a + 0.783_140_36 * b - 0.368_262_74 * c).max(12.92 * v.min(0.003)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_srgb_curve_is_near_the_standard() {
        for i in 0..=1000 {
            let v = i as f32 / 1000.0;
            let exact = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
            assert!((srgb(v) - exact).abs() < 0.006, "{v}: {} and {exact}", srgb(v));
        }
    }
}

//! The room around the desk: a tall window on the left that lights it, a pale ceiling, warm walls.

use super::noise::field;
use super::vec3::{Vec3, vec3};

/// The window: the plane x = `X`, between these corners in y and z.
const X: f32 = -5.4;
const LOW: (f32, f32) = (1.3, -2.3);
const HIGH: (f32, f32) = (6.0, 3.6);
/// Its light, as radiance: an overcast sky.
const SKY: Vec3 = vec3(10.2, 10.9, 11.6);

/// The walls of the room, where the desk's own wall is none of them.
const FAR: Vec3 = vec3(9.0, 9.0, 14.0);

/// A point of the window for (u, v) in the unit square, the light that it sends, and its area divided by pi.
pub(super) fn window(u: f32, v: f32) -> (Vec3, Vec3, f32) {
    let (height, width) = (HIGH.0 - LOW.0, HIGH.1 - LOW.1);
    let point = vec3(X, LOW.0 + u * height, LOW.1 + v * width);
    (point, sky(u), height * width * std::f32::consts::FRAC_1_PI)
}

/// The direction in which the window shines.
pub(super) const WINDOW_NORMAL: Vec3 = vec3(1.0, 0.0, 0.0);

/// Brighter towards the top.
fn sky(u: f32) -> Vec3 {
    SKY * (0.72 + 0.5 * u)
}

/// What a ray from the desk sees of the room. `with_window` is false for light that bounces off matt things, as the
/// window's own is counted by sampling it.
pub(super) fn seen(origin: Vec3, direction: Vec3, with_window: bool) -> Vec3 {
    let distance = |o: f32, d: f32, low: f32, high: f32| if d < 0.0 { (low - o) / d } else { (high - o) / d.max(1e-9) };
    let tx = distance(origin.x, direction.x, X, FAR.x);
    let ty = distance(origin.y, direction.y, -7.0, FAR.y);
    let tz = distance(origin.z, direction.z, -30.0, FAR.z);
    let t = tx.min(ty).min(tz);
    let p = origin + direction * t;
    // Things near the window are lighter.
    let near = 1.0 / (1.0 + 0.012 * (p - vec3(X, 4.0, 0.5)).dot(p - vec3(X, 4.0, 0.5)));
    if t == tx && direction.x < 0.0 {
        let (u, v) = ((p.y - LOW.0) / (HIGH.0 - LOW.0), (p.z - LOW.1) / (HIGH.1 - LOW.1));
        if (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v) {
            let bar = |w: f32, at: f32, half: f32| (w - at).abs() < half;
            let frame = bar(u, 0.0, 0.03) || bar(u, 1.0, 0.03) || bar(u, 0.62, 0.018) || bar(v, 0.5, 0.03);
            return match (frame || bar(v, 0.0, 0.03) || bar(v, 1.0, 0.03), with_window) {
                (true, _) => Vec3::all(0.35),
                (false, true) => sky(u),
                (false, false) => Vec3::ZERO,
            };
        }
        return vec3(0.24, 0.22, 0.19);
    }
    if t == ty {
        return if direction.y > 0.0 { vec3(1.05, 1.0, 0.92) * (0.14 + 0.62 * near) } else { vec3(0.12, 0.10, 0.08) };
    }
    // Shelves and a door, never seen but in reflections.
    let clutter = 0.5 + 0.9 * field(vec3(p.x * 0.7, p.y * 0.5, p.z * 0.7));
    vec3(0.42, 0.375, 0.32) * (0.14 + 0.5 * near) * clutter
}

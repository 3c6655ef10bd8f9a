//! Distances from a point to simple solids: negative inside. The formulas are the usual ones of sphere tracing
//! (Hart, "Sphere tracing", 1996).

use super::vec3::{Vec3, vec3};

/// A box of half sides `half`, its edges rounded by `radius`.
pub(super) fn block(p: Vec3, half: Vec3, radius: f32) -> f32 {
    let q = p.abs() - half + Vec3::all(radius);
    q.map(|v| v.max(0.0)).length() + q.largest().min(0.0) - radius
}

/// An upright cylinder between the heights `low` and `high`, its edges rounded by `round`.
pub(super) fn cylinder(p: Vec3, radius: f32, low: f32, high: f32, round: f32) -> f32 {
    let across = (p.x * p.x + p.z * p.z).sqrt() - radius + round;
    let along = (p.y - 0.5 * (low + high)).abs() - 0.5 * (high - low) + round;
    let (a, b) = (across.max(0.0), along.max(0.0));
    (a * a + b * b).sqrt() + across.max(along).min(0.0) - round
}

/// A flat ring around the y axis: the square of half sides (`half_width`, `half_height`) at `radius`, turned about it.
pub(super) fn ring(p: Vec3, radius: f32, half_width: f32, half_height: f32, round: f32) -> f32 {
    let across = (p.x * p.x + p.z * p.z).sqrt() - radius;
    block(vec3(across, p.y, 0.0), vec3(half_width, half_height, 1.0), round)
}

/// A link of a chain in the xy plane: a torus of the radii `large` and `small`, drawn out along y by `half` both ways.
pub(super) fn link(p: Vec3, half: f32, large: f32, small: f32) -> f32 {
    let y = p.y - p.y.clamp(-half, half);
    let across = (p.x * p.x + y * y).sqrt() - large;
    (across * across + p.z * p.z).sqrt() - small
}

/// A rod of hexagonal section along x, from 0 to `length`, `radius` being that of the inner circle.
pub(super) fn hexagon_rod(p: Vec3, length: f32, radius: f32) -> f32 {
    const HALF: f32 = 0.866_025_4;
    let (y, z) = (p.y.abs(), p.z.abs());
    let section = y.max(0.5 * y + HALF * z) - radius;
    section.max((p.x - 0.5 * length).abs() - 0.5 * length)
}

/// The union of two solids, their meeting filled over a width of about `k`.
pub(super) fn blend(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.min(b) - 0.25 * h * h * k
}

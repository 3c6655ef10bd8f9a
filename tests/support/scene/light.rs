//! How light comes from the window and the room to the eye.

use super::noise::Random;
use super::objects::OBJECTS;
use super::room::{WINDOW_NORMAL, seen, window};
use super::surface::{self, Surface};
use super::vec3::{Vec3, vec3};

/// Where the desk ends and the brick wall stands.
const WALL_Z: f32 = -3.4;
/// Distance by which a new ray starts off the surface.
const OFF: f32 = 0.004;

/// Ids of what is no object.
pub(super) const NOTHING: u8 = 0;

/// Where a ray ends.
pub(super) struct Hit {
    pub(super) place: Vec3,
    pub(super) normal: Vec3,
    pub(super) surface: Surface,
}

/// The nearest object, desk or wall that the ray meets within `limit`: its distance and what it is (`None`: desk, wall).
fn nearest(origin: Vec3, direction: Vec3, limit: f32) -> Option<(f32, Option<usize>)> {
    let mut best = None;
    let mut limit = limit;
    let planes = [-origin.y / direction.y, (WALL_Z - origin.z) / direction.z];
    for t in planes {
        if t > 1e-4 && t < limit {
            (best, limit) = (Some((t, None)), t);
        }
    }
    for (index, object) in OBJECTS.iter().enumerate() {
        if let Some(t) = object.meet(origin, direction, limit) {
            (best, limit) = (Some((t, Some(index))), t);
        }
    }
    best
}

/// The id of what is seen along a ray.
pub(super) fn id(origin: Vec3, direction: Vec3) -> u8 {
    match nearest(origin, direction, f32::MAX) {
        Some((_, Some(index))) => index as u8 + 1,
        _ => NOTHING,
    }
}

pub(super) fn hit(origin: Vec3, direction: Vec3, limit: f32) -> Option<Hit> {
    let (t, index) = nearest(origin, direction, limit)?;
    let place = origin + direction * t;
    let (normal, surface) = match index {
        Some(index) => {
            let object = &OBJECTS[index];
            let own = object.place(place);
            let (normal, surface) = (object.normal(own), object.surface(own));
            (object.to_room((normal + surface.relief).unit()), surface)
        }
        None if place.z < WALL_Z + 0.01 => (vec3(0.0, 0.0, 1.0), surface::wall(place)),
        None => (vec3(0.0, 1.0, 0.0), surface::table(place)),
    };
    Some(Hit { place, normal, surface })
}

/// Light that falls from the window on a surface, by the point (u, v) of it: irradiance over pi.
pub(super) fn from_window(place: Vec3, normal: Vec3, u: f32, v: f32) -> Vec3 {
    let (point, radiance, area_over_pi) = window(u, v);
    let to = point - place;
    let distance = to.length();
    let direction = to / distance;
    let (here, there) = (normal.dot(direction), -WINDOW_NORMAL.dot(direction));
    if here <= 0.0 || there <= 0.0 || nearest(place + normal * OFF, direction, distance - 0.01).is_some() {
        return Vec3::ZERO;
    }
    radiance * (area_over_pi * here * there / (distance * distance))
}

/// Light that falls from everywhere but the window, by one ray chosen as a matt surface scatters, from (u, v) in the unit
/// square: irradiance over pi.
pub(super) fn from_room(place: Vec3, normal: Vec3, u: f32, v: f32, random: &mut Random) -> Vec3 {
    let origin = place + normal * OFF;
    let direction = scattered(normal, u, v);
    match hit(origin, direction, 9.0) {
        Some(hit) => once(&hit, random),
        None => seen(origin, direction, false),
    }
}

/// What is seen along a ray that is the second of its path or a later one: light of the window by one shadow ray, and a
/// guess for the rest.
pub(super) fn once(hit: &Hit, random: &mut Random) -> Vec3 {
    let window = from_window(hit.place, hit.normal, random.next(), random.next());
    let rest = vec3(0.17, 0.155, 0.135) * (0.65 + 0.35 * hit.normal.y);
    hit.surface.albedo * (window + rest)
}

/// What the coat of a surface mirrors towards the eye, with the share of light that it takes.
pub(super) fn mirrored(hit: &Hit, direction: Vec3, random: &mut Random) -> (f32, Vec3) {
    if hit.surface.coat <= 0.0 {
        return (0.0, Vec3::ZERO);
    }
    let facing = (-direction.dot(hit.normal)).clamp(0.0, 1.0);
    // Schlick's approximation of Fresnel's law; products rather than `powi`, whose rounding is not promised.
    let away = 1.0 - facing;
    let grazing = away * away * away * away * away * (1.0 - hit.surface.rough).max(0.2);
    let share = hit.surface.coat + (1.0 - hit.surface.coat) * grazing;
    let (x, y) = disc(random.next(), random.next());
    let straight = direction.reflected(hit.normal);
    let (a, b) = straight.basis();
    let bent = (straight + (a * x + b * y) * hit.surface.rough).unit();
    let bent = if bent.dot(hit.normal) > 0.0 { bent } else { straight };
    let origin = hit.place + hit.normal * OFF;
    let light = match self::hit(origin, bent, 12.0) {
        Some(second) => once(&second, random),
        None => seen(origin, bent, true),
    };
    (share, light)
}

/// A point of the unit disc for one of the unit square, by the elliptical mapping. It is not quite even, and needs no
/// trigonometry, whose rounding differs between machines.
pub(super) fn disc(u: f32, v: f32) -> (f32, f32) {
    let (x, y) = (2.0 * u - 1.0, 2.0 * v - 1.0);
    (x * (1.0 - 0.5 * y * y).sqrt(), y * (1.0 - 0.5 * x * x).sqrt())
}

/// A direction about `normal`, chosen with the cosine's density (Malley's method).
fn scattered(normal: Vec3, u: f32, v: f32) -> Vec3 {
    let (x, y) = disc(u, v);
    let (a, b) = normal.basis();
    (a * x + b * y + normal * (1.0 - x * x - y * y).max(0.0).sqrt()).unit()
}

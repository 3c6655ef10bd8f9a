//! The things on the desk: their shapes, where they stand, and where a ray meets them.

use super::shapes::{blend, block, cylinder, hexagon_rod, link, ring};
use super::surface::{self, Surface};
use super::vec3::{Vec3, vec3};

/// What a thing is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Mug,
    Bottle,
    Carton,
    Orange,
    TennisBall,
    Tape,
    Notebook,
    Pencil,
}

/// A thing on the desk.
pub(super) struct Object {
    /// Its name in the list of masks.
    pub(super) name: &'static str,
    kind: Kind,
    /// Origin of its own frame.
    at: Vec3,
    /// The direction of its own x axis in the plane of the desk, of any length.
    facing: (f32, f32),
    /// A box around it in its own frame.
    low: Vec3,
    high: Vec3,
}

const CARTON: Vec3 = vec3(0.86, 0.62, 0.52);
const NOTEBOOK: Vec3 = vec3(1.06, 0.085, 0.74);
const PENCIL: (f32, f32) = (1.62, 0.043);
const BALL: f32 = 0.335;
const ORANGE: f32 = 0.40;

/// The things, in the order of their ids, which begin at 1.
pub(super) const OBJECTS: [Object; 8] = [
    Object {
        name: "mug",
        kind: Kind::Mug,
        at: vec3(-1.62, 0.0, -0.55),
        facing: (0.97, 0.24),
        low: vec3(-0.45, 0.0, -0.45),
        high: vec3(0.82, 0.97, 0.45),
    },
    Object {
        name: "bottle",
        kind: Kind::Bottle,
        at: vec3(1.72, 0.0, -1.25),
        facing: (0.96, -0.28),
        low: vec3(-0.42, 0.0, -0.42),
        high: vec3(0.42, 2.66, 0.42),
    },
    Object {
        name: "carton",
        kind: Kind::Carton,
        at: vec3(0.02, CARTON.y, -1.35),
        facing: (0.92, -0.39),
        low: vec3(-CARTON.x, -CARTON.y, -CARTON.z),
        high: CARTON,
    },
    Object {
        name: "orange",
        kind: Kind::Orange,
        at: vec3(-0.42, 0.375, 0.42),
        facing: (0.9, 0.43),
        low: vec3(-0.41, -0.39, -0.41),
        high: vec3(0.41, 0.39, 0.41),
    },
    Object {
        name: "tennis ball",
        kind: Kind::TennisBall,
        at: vec3(1.02, BALL, 0.30),
        facing: (0.55, 0.83),
        low: vec3(-BALL, -BALL, -BALL),
        high: vec3(BALL, BALL, BALL),
    },
    Object {
        name: "tape",
        kind: Kind::Tape,
        at: vec3(2.42, 0.14, 0.42),
        facing: (1.0, 0.0),
        low: vec3(-0.56, -0.15, -0.56),
        high: vec3(0.56, 0.15, 0.56),
    },
    Object {
        name: "notebook",
        kind: Kind::Notebook,
        at: vec3(-1.95, NOTEBOOK.y, 1.05),
        facing: (0.94, -0.34),
        low: vec3(-NOTEBOOK.x, -NOTEBOOK.y, -NOTEBOOK.z),
        high: NOTEBOOK,
    },
    Object {
        name: "pencil",
        kind: Kind::Pencil,
        at: vec3(0.30, PENCIL.1, 1.62),
        facing: (0.93, -0.37),
        low: vec3(0.0, -0.05, -0.05),
        high: vec3(PENCIL.0 + 0.26, 0.05, 0.05),
    },
];

impl Object {
    fn cosine_sine(&self) -> (f32, f32) {
        let (c, s) = self.facing;
        let length = (c * c + s * s).sqrt();
        (c / length, s / length)
    }

    /// A direction of the room in the thing's own frame.
    pub(super) fn to_own(&self, v: Vec3) -> Vec3 {
        let (c, s) = self.cosine_sine();
        vec3(c * v.x + s * v.z, v.y, c * v.z - s * v.x)
    }

    /// The inverse of [`to_own`](Self::to_own).
    pub(super) fn to_room(&self, v: Vec3) -> Vec3 {
        let (c, s) = self.cosine_sine();
        vec3(c * v.x - s * v.z, v.y, c * v.z + s * v.x)
    }

    /// A place of the room in the thing's own frame.
    pub(super) fn place(&self, p: Vec3) -> Vec3 {
        self.to_own(p - self.at)
    }

    /// Distance from `p`, in the own frame; never more than the true one.
    fn distance(&self, p: Vec3) -> f32 {
        match self.kind {
            Kind::Mug => {
                let outer = cylinder(p, 0.43, 0.0, 0.95, 0.05);
                let inner = cylinder(p, 0.385, 0.06, 1.4, 0.04);
                let handle = link(p - vec3(0.47, 0.49, 0.0), 0.09, 0.205, 0.052);
                let handle = handle.max(0.40 - (p.x * p.x + p.z * p.z).sqrt());
                let wall = blend(outer, handle, 0.07).max(-inner);
                wall.min(cylinder(p, 0.40, 0.1, 0.775, 0.001))
            }
            Kind::Bottle => {
                let body = cylinder(p, 0.40, 0.0, 1.52, 0.09);
                let neck = cylinder(p, 0.135, 0.2, 2.60, 0.02);
                let glass = blend(body, neck, 0.62).min(cylinder(p, 0.158, 2.44, 2.50, 0.02));
                let foil = cylinder(p, 0.147, 2.15, 2.63, 0.02);
                glass.min(foil)
            }
            Kind::Carton => block(p, CARTON, 0.02),
            Kind::Orange => {
                let squashed = vec3(p.x, p.y * 1.06, p.z);
                let body = squashed.length() - ORANGE;
                // The dent around the stalk.
                let dent = (p - vec3(0.0, ORANGE + 0.035, 0.0)).length() - 0.085;
                (-blend(-body, dent, 0.08)).max(body) * 0.9
            }
            Kind::TennisBall => p.length() - BALL,
            Kind::Tape => ring(p, 0.47, 0.08, 0.13, 0.012).min(ring(p, 0.392, 0.016, 0.14, 0.006)),
            Kind::Notebook => {
                let cover = vec3(NOTEBOOK.x, 0.014, NOTEBOOK.z);
                let lift = vec3(0.0, NOTEBOOK.y - 0.014, 0.0);
                let covers = block(p - lift, cover, 0.012).min(block(p + lift, cover, 0.012));
                let pages = block(p, vec3(NOTEBOOK.x - 0.04, NOTEBOOK.y - 0.02, NOTEBOOK.z - 0.035), 0.004);
                let spine = block(p + vec3(NOTEBOOK.x - 0.012, 0.0, 0.0), vec3(0.012, NOTEBOOK.y, NOTEBOOK.z), 0.01);
                covers.min(pages).min(spine)
            }
            Kind::Pencil => {
                let body = hexagon_rod(p, PENCIL.0, PENCIL.1);
                let radius = (p.y * p.y + p.z * p.z).sqrt();
                // The sharpened end: 0.19 of radius for each unit of length.
                let cone = ((radius - 0.19 * (PENCIL.0 + 0.245 - p.x)) * 0.98).max(PENCIL.0 - 0.03 - p.x);
                body.min(cone.max(radius - PENCIL.1))
            }
        }
    }

    /// How the thing looks at `p`, in its own frame.
    pub(super) fn surface(&self, p: Vec3) -> Surface {
        match self.kind {
            Kind::Mug => surface::mug(p),
            Kind::Bottle => surface::bottle(p),
            Kind::Carton => surface::carton(p, CARTON),
            Kind::Orange => surface::orange(p),
            Kind::TennisBall => surface::tennis_ball(p, BALL),
            Kind::Tape => surface::tape(p),
            Kind::Notebook => surface::notebook(p, NOTEBOOK),
            Kind::Pencil => surface::pencil(p, PENCIL.0),
        }
    }

    /// The normal at `p`, both in the own frame, by four samples at the corners of a tetrahedron.
    pub(super) fn normal(&self, p: Vec3) -> Vec3 {
        const H: f32 = 0.0015;
        let corners = [vec3(1.0, -1.0, -1.0), vec3(-1.0, -1.0, 1.0), vec3(-1.0, 1.0, -1.0), vec3(1.0, 1.0, 1.0)];
        corners.iter().fold(Vec3::ZERO, |sum, &corner| sum + corner * self.distance(p + corner * H)).unit()
    }

    /// Where the ray from `origin` along the unit `direction` first meets the thing, before `limit`: the distance.
    pub(super) fn meet(&self, origin: Vec3, direction: Vec3, limit: f32) -> Option<f32> {
        let (o, d) = (self.place(origin), self.to_own(direction));
        let (mut from, mut to) = (0.0_f32, limit);
        for (o, d, low, high) in [
            (o.x, d.x, self.low.x, self.high.x),
            (o.y, d.y, self.low.y, self.high.y),
            (o.z, d.z, self.low.z, self.high.z),
        ] {
            let inverse = 1.0 / if d.abs() < 1e-9 { 1e-9 } else { d };
            let (a, b) = ((low - o) * inverse, (high - o) * inverse);
            from = from.max(a.min(b));
            to = to.min(a.max(b));
        }
        let mut t = from;
        for _ in 0..80 {
            if t >= to {
                return None;
            }
            let distance = self.distance(o + d * t);
            if distance < 0.0006 {
                return Some(t);
            }
            t += distance;
        }
        None
    }
}

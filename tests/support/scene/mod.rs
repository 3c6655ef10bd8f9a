//! The sample scene: a desk by a window, made of formulas, so that the repository has a photo of its own with exact masks.
//!
//! A small ray tracer: solids as distance functions, one window as a light with soft shadows, one bounce of diffuse light,
//! glossy coats, a lens with depth of field and a sensor with noise. All randomness is hashed from pixel and sample, and
//! no function is used whose rounding differs between machines, so the picture is the same everywhere.

mod camera;
mod labels;
mod light;
mod noise;
mod objects;
mod render;
mod room;
mod shapes;
mod surface;
mod vec3;

pub use labels::{Labels, labels};
pub use render::{Picture, render};

/// Names of the objects; the object at index `i` has the id `i + 1` in [`Labels::ids`].
pub fn names() -> [&'static str; 8] {
    objects::OBJECTS.each_ref().map(|object| object.name)
}

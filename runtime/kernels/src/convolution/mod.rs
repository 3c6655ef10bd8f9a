//! Dense convolutions of channel-last maps, as products of patches with [linear](crate::linear) weights.

mod patches;
mod stem;

pub use patches::gather_patches;
pub use stem::{Planes, Stem};

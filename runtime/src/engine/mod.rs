//! What runs the graphs, and the wall around tract: nothing outside this folder names it.
//!
//! A [`Network`] is a graph that has been made ready for this machine and can be run any number of times, from any thread. Our own
//! operators run it where they cover it (the `program` folder), tract where they do not.

mod compiled;
mod layer;
mod network;
mod own;
mod precision;
mod program;
mod tensor;
mod threads;
#[cfg_attr(not(feature = "tract"), path = "without_tract.rs")]
mod tract;
mod workspace;

pub(crate) use compiled::{level_of, wrong_size};
pub use layer::Layer;
pub use network::{InF32, Inputs, Network, Operators};
pub use own::Prepared;
pub use precision::Precision;
pub use tensor::{LevelImage, Tensor};
pub use threads::Threads;

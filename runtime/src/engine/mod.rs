//! The wall around tract: nothing outside this folder names it.
//!
//! A [`Network`] is a graph that has been optimised for this machine and can be run any number of
//! times, from any thread.

mod network;
mod tensor;
mod threads;

pub use network::Network;
pub use tensor::Tensor;
pub use threads::Threads;

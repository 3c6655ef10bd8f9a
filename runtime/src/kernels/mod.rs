//! The arithmetic that runs once per pixel: one folder per operation.
//!
//! Each `mod.rs` is the operation's contract (formula, rounding, layout, tolerance); each `scalar.rs` is its
//! specification, which every other implementation must meet. Kernels return no errors: their callers have checked
//! the shapes. No value depends on the number of threads or on the machine: integers are exact, and floats are
//! computed in one written order without contraction.

pub(crate) mod normalize;
pub(crate) mod resize;
pub(crate) mod upscale_logits;

//! Normalisation of 8-bit pixels into the model's input planes.
//!
//! Formula: `(value - mean) / std` per channel, in this order, in f32, as `Sam.preprocess` has it.
//!
//! Layout: interleaved 8-bit RGB in; one row of each of three f32 planes out, zero to the right of the image. (The
//! padding is zero *after* normalisation: it is not black.)
//!
//! Tolerance: none; a correctly rounded subtraction and division give the same bits everywhere.

mod scalar;

pub use scalar::rgb8_to_planes;

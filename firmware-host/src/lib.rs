//! The program `cutout` as a library: its commands, and the parts that they are made of.
#![forbid(unsafe_code)]

pub mod answer;
mod board;
pub mod cache;
pub mod cli;
pub mod client;
mod disk;
pub mod display;
#[cfg(feature = "pull")]
pub mod download;
pub mod mavlink;
pub mod model_source;
pub mod output;
pub mod overlay;
pub mod parity;
pub mod photo;
pub mod picture;
#[cfg(feature = "quantize")]
pub mod pictures;
pub mod progress;
#[cfg(feature = "pull")]
pub mod pull;
pub mod service;
#[cfg(feature = "quantize")]
mod sheet;
pub mod source;
pub mod transport;

//! [`Layer`]: one step of a network, for people to read.

use std::time::Duration;

use serde::Serialize;

use super::Precision;

/// One step of a network as it runs here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The node of the graph that it ends with.
    pub name: String,
    /// The operator.
    pub operator: &'static str,
    /// Of what it gives.
    pub shape: Vec<usize>,
    /// Multiply-accumulates of one run; zero where there are none to speak of.
    pub macs: u64,
    /// What its weights are kept and multiplied in, where it has any that [`Precision`] is about; else f32.
    pub precision: Precision,
    /// The instruction that multiplies and adds; empty where that is not what takes the time.
    pub kernel: &'static str,
    /// How long it took, in milliseconds when serialised.
    #[serde(rename = "ms", serialize_with = "crate::timings::milliseconds")]
    pub time: Duration,
}

//! The service as a MAVLink camera component: a tap in a ground station tracks what was tapped.
//!
//! [`Component`] speaks the [camera protocol](https://mavlink.io/en/services/camera.html) (version 2, with the requests of
//! version 1 that ground stations still make) and knows no line; [`Link`] is a line, and [`run`] serves one. What the
//! component needs of the service is [`Camera`]. `docs/mavlink.md` says which messages and commands there are.
//!
//! Packets of both versions of MAVLink are read and those of version 2 are written. Signatures are not checked: who can
//! send to the line can tap.

mod channel;
mod command;
mod component;
mod execute;
mod framer;
mod link;
mod message;
mod port;
mod requests;
mod run;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use channel::Channel;
pub use command::{Command, Incoming};
pub use component::{Component, Options, OptionsError};
pub use framer::{Framer, Header};
pub use link::{Link, LinkError};
pub use message::{Ack, Outgoing};
pub use run::{RunError, Running, run};
pub use stream::{Stream, StreamError};

/// What the component asks of the service. Every call returns at once; what takes time happens elsewhere.
pub trait Camera: Send + Sync {
    /// Width and height of the frames in pixels, or `None` while there is none.
    fn frame_size(&self) -> Option<(u16, u16)>;

    /// Tracks something else from now on.
    ///
    /// # Errors
    /// If that cannot be, and why; what was tracked before is then tracked on.
    fn track(&self, what: Target) -> Result<(), Refusal>;

    /// Tracks nothing.
    fn stop(&self);

    /// What is tracked.
    fn tracked(&self) -> Tracked;

    /// Is told of what went over the line, for whoever counts it.
    fn traffic(&self, traffic: Traffic) {
        let _ = traffic;
    }
}

/// What to track. Coordinates go from 0, the left or upper edge of the frame, to 1, the right or lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// What is at a point.
    Point {
        /// From the left edge.
        x: f32,
        /// From the upper edge.
        y: f32,
        /// Part of the frame's width around the point that was meant; 0 is the pixel alone.
        radius: f32,
    },
    /// What is in a rectangle, which has a left edge before its right one and an upper one before its lower one.
    Rectangle {
        /// The left edge.
        x0: f32,
        /// The upper edge.
        y0: f32,
        /// The right edge.
        x1: f32,
        /// The lower edge.
        y1: f32,
    },
}

/// Why something is not tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no frame yet. Trying again may help.
    NoFrame,
    /// The service has too much to do. Trying again may help.
    Busy,
    /// The service is broken.
    Failed,
}

/// What is tracked. Coordinates are those of [`Target`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tracked {
    /// Nothing.
    Idle,
    /// An object.
    Active {
        /// Its centre, x and y.
        centre: (f32, f32),
        /// Its left, upper, right and lower edge.
        rectangle: [f32; 4],
        /// How old the frame is in which it was seen there.
        age: Duration,
    },
    /// An object that was there and is not found any more.
    Lost,
}

/// What went over a line since it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that came.
    pub received_bytes: u64,
    /// Bytes that went.
    pub sent_bytes: u64,
    /// Packets that came with a wrong checksum.
    pub bad_packets: u64,
    /// How many others the line has at the moment: ground stations, autopilots, routers.
    pub peers: usize,
}

//! The client against a service in memory, over real sockets and pseudo-terminals, and over bad lines.

mod fake;
mod faults;
mod line;
mod loss;
mod scene;
mod talk;

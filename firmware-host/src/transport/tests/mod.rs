//! Transports from outside in: real sockets and pseudo-terminals, and what peers do to them.

mod endpoint;
mod serial;
mod support;
mod tcp;
mod threads;
mod udp;
mod unix;
mod websocket;

//! Pulling a model: it is in the cache whole or not at all, and what went wrong is said.

mod cli;
mod download;
mod full_disk;
mod models;
mod server;

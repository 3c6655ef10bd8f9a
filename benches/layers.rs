//! Where does the image encoder's time go?
//!
//! `cargo bench -p cutout-benches --bench layers [-- ROUNDS]`
#![allow(clippy::print_stdout, reason = "a bench's result is its output")]

use std::error::Error;

use cutout_benches::cpu;
use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_runtime::{Model, ModelOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(15);
    let model = Model::load(Bundle::shipped()?, ModelOptions { threads: 1, ..ModelOptions::default() })?;
    let layers = model.profile_encoder(InputSize::new(512, 512), rounds)?;
    let total: f64 = layers.iter().map(|l| l.time.as_secs_f64()).sum();
    println!("{} at 512x512, one thread, {rounds} rounds, {:.2} ms; cpu: {}", model.id(), total * 1e3, cpu());
    println!("{:52} {:>12} {:>8} {:>6} {:>8}", "step", "operator", "ms", "%", "GMAC/s");
    for layer in &layers {
        let time = layer.time.as_secs_f64();
        let share = 100.0 * time / total;
        let rate = layer.macs as f64 / time / 1e9;
        println!("{:52} {:>12} {:8.3} {share:6.1} {rate:8.1}", layer.name, layer.operator, time * 1e3);
    }
    Ok(())
}

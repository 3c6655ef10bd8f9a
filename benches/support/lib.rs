//! A small harness: medians of interleaved runs, printed as a table with the machine they were taken on.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// One thing to be timed.
pub struct Case<'a> {
    /// What the table calls it.
    pub name: String,
    /// Runs it once.
    pub run: Box<dyn FnMut() + 'a>,
}

/// Runs all cases in turn, `rounds` times after one warm-up, and returns each case's times in ascending order.
///
/// Interleaving spreads a noisy neighbour over all cases alike, so that their ratios stay meaningful.
pub fn interleave(cases: &mut [Case<'_>], rounds: usize) -> Vec<Vec<Duration>> {
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    for case in cases.iter_mut() {
        (case.run)();
    }
    for _ in 0..rounds {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (case.run)();
            times.push(start.elapsed());
        }
    }
    times.iter_mut().for_each(|t| t.sort());
    times
}

/// Prints one line for each case: median, best and the ratio of its median to the first case's.
#[allow(clippy::print_stdout, reason = "a bench's result is its output")]
pub fn print(cases: &[Case<'_>], times: &[Vec<Duration>]) {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let median = |t: &[Duration]| ms(t[t.len() / 2]);
    println!("cpu: {}", cpu());
    println!("{:40} {:>10} {:>10} {:>8}", "case", "median ms", "best ms", "ratio");
    for (case, t) in cases.iter().zip(times) {
        println!("{:40} {:10.2} {:10.2} {:8.2}", case.name, median(t), ms(t[0]), median(t) / median(&times[0]));
    }
}

/// The processor's name, as the system gives it.
pub fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("model name") || l.starts_with("CPU part"));
    line.and_then(|l| l.split(':').nth(1)).map_or_else(|| std::env::consts::ARCH.to_owned(), |n| n.trim().to_owned())
}

//! A table of the steps of a network, as they run here.

use std::fmt::Write;

use cutout_runtime::engine::Layer;

/// The steps as Markdown, below an empty line; nothing if there are none.
pub(crate) fn table(what: &str, layers: &[Layer]) -> String {
    if layers.is_empty() {
        return String::new();
    }
    let width = layers.iter().map(|l| l.name.len()).max().unwrap_or(0).max(20);
    let mut out = format!(
        "\n| {:width$} | {:18} | {:16} | {:14} | {:13} | {:>8} | {:>7} |\n",
        format!("step of the {what}"),
        "operator",
        "shape",
        "precision",
        "kernel",
        "ms",
        "GMAC/s",
    );
    let line = |n: usize| "-".repeat(n);
    let _ = writeln!(
        out,
        "|{}|{}|{}|{}|{}|{}:|{}:|",
        line(width + 2),
        line(20),
        line(18),
        line(16),
        line(15),
        line(9),
        line(8)
    );
    for l in layers {
        let ms = l.time.as_secs_f64() * 1e3;
        let rate = if l.macs > 0 { format!("{:.1}", l.macs as f64 / ms / 1e6) } else { String::new() };
        let shape = l.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        let (precision, kernel) = (l.precision.name(), l.kernel);
        // To write to a string does not fail.
        let _ = writeln!(
            out,
            "| {:width$} | {:18} | {shape:16} | {precision:14} | {kernel:13} | {ms:8.3} | {rate:>7} |",
            l.name, l.operator
        );
    }
    out
}

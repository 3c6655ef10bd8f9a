//! [`ParityReport`]: how far Cutout is from the official code, quantity by quantity.

use std::fmt;

use serde::Serialize;

/// Differences to a folder of reference answers.
#[derive(Clone, Debug, Serialize)]
pub struct ParityReport {
    /// The official code's name of the network.
    pub model: String,
    /// Seed of the stand-in weights.
    pub seed: u64,
    /// Height and width of the network's input.
    pub input: [usize; 2],
    /// Number of prompts compared.
    pub cases: usize,
    /// Whether every quantity is within its tolerance.
    pub ok: bool,
    /// The quantities, in the order in which they arise.
    pub quantities: Vec<Quantity>,
}

/// One quantity, the worst of all cases.
#[derive(Clone, Debug, Serialize)]
pub struct Quantity {
    /// What it is.
    pub name: &'static str,
    /// The worst value; `null` in JSON if it is not a number.
    pub worst: f64,
    /// The case that has it; empty for what is not of a prompt.
    pub case: String,
    /// What is allowed, or `None` for what is only told.
    pub tolerance: Option<Tolerance>,
    /// Whether it is within the tolerance.
    pub ok: bool,
}

/// What is allowed of a quantity.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// A difference of at most this.
    AtMost(f64),
    /// An agreement of at least this.
    AtLeast(f64),
}

impl Quantity {
    /// A quantity of which nothing is known yet.
    pub(super) fn new(name: &'static str, tolerance: Option<Tolerance>) -> Self {
        let worst = if matches!(tolerance, Some(Tolerance::AtLeast(_))) { f64::INFINITY } else { 0.0 };
        Quantity { name, worst, case: String::new(), tolerance, ok: true }
    }

    /// Takes in a value; what is not a number counts as worst of all.
    pub(super) fn see(&mut self, value: f64, case: &str) {
        let (worse, ok) = match self.tolerance {
            Some(Tolerance::AtLeast(bound)) => (value < self.worst, value >= bound),
            Some(Tolerance::AtMost(bound)) => (value > self.worst, value <= bound),
            None => (value > self.worst, true),
        };
        if (worse || value.is_nan()) && !self.worst.is_nan() {
            (self.worst, self.case) = (value, case.into());
        }
        self.ok &= ok;
    }
}

impl fmt::Display for ParityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.input;
        writeln!(
            f,
            "{} with stand-in weights of seed {}, input {height}x{width}, {} prompts",
            self.model, self.seed, self.cases
        )?;
        writeln!(f, "{:<34} {:>12} {:>12}  {:<6} case", "quantity", "worst", "allowed", "")?;
        for quantity in &self.quantities {
            let (allowed, verdict) = match quantity.tolerance {
                Some(Tolerance::AtMost(bound)) => (format!("<= {bound}"), if quantity.ok { "ok" } else { "FAIL" }),
                Some(Tolerance::AtLeast(bound)) => (format!(">= {bound}"), if quantity.ok { "ok" } else { "FAIL" }),
                None => (String::new(), ""),
            };
            let worst = if quantity.worst.fract() == 0.0 {
                format!("{}", quantity.worst)
            } else if quantity.worst.abs() < 1e-3 {
                format!("{:.2e}", quantity.worst)
            } else {
                format!("{:.6}", quantity.worst)
            };
            let line = format!("{:<34} {worst:>12} {allowed:>12}  {verdict:<6} {}", quantity.name, quantity.case);
            writeln!(f, "{}", line.trim_end())?;
        }
        write!(f, "{}", if self.ok { "parity holds" } else { "parity FAILS" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_decides_and_nan_is_worst() {
        let mut logits = Quantity::new("logits", Some(Tolerance::AtMost(0.01)));
        logits.see(0.004, "a");
        logits.see(0.002, "b");
        assert_eq!((logits.worst, logits.case.as_str(), logits.ok), (0.004, "a", true));
        logits.see(f64::NAN, "c");
        logits.see(1.0, "d");
        assert!(logits.worst.is_nan() && logits.case == "c" && !logits.ok);

        let mut iou = Quantity::new("iou", Some(Tolerance::AtLeast(0.999)));
        iou.see(1.0, "a");
        iou.see(0.9985, "b");
        assert_eq!((iou.worst, iou.case.as_str(), iou.ok), (0.9985, "b", false));

        let mut told = Quantity::new("area", None);
        told.see(1e9, "a");
        assert!(told.ok);
    }
}

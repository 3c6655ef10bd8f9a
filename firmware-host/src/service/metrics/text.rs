//! The page: Prometheus' text exposition format, version 0.0.4.

use std::fmt::{Display, Write};

use super::values::{BOUNDS_US, Counter, Family, Gauge, Histogram, Label, Measure};

/// The page as it grows. Writing to a string does not fail.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// The text.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample without labels.
    fn sample(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// A sample with one label, whose value needs no escape.
    fn labelled(&mut self, name: &str, (label, of): (&str, &str), value: impl Display) {
        let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
    }

    /// A counter; its name ends in `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        self.sample(name, counter.get());
    }

    /// Counters by label; their name ends in `_total`.
    pub(super) fn counters<L: Label>(&mut self, name: &str, help: &str, family: &Family<L, Counter>) {
        self.head(name, "counter", help);
        for (value, counter) in family.iter() {
            self.labelled(name, (L::NAME, value), counter.get());
        }
    }

    /// A whole number.
    pub(super) fn gauge(&mut self, name: &str, help: &str, gauge: &Gauge) {
        self.head(name, "gauge", help);
        self.sample(name, gauge.get());
    }

    /// Whole numbers by label.
    pub(super) fn gauges<L: Label>(&mut self, name: &str, help: &str, family: &Family<L, Gauge>) {
        self.head(name, "gauge", help);
        for (value, gauge) in family.iter() {
            self.labelled(name, (L::NAME, value), gauge.get());
        }
    }

    /// A measured value, or nothing while it is unknown.
    pub(super) fn measure(&mut self, name: &str, help: &str, measure: &Measure) {
        if let Some(value) = measure.get() {
            self.head(name, "gauge", help);
            self.sample(name, value);
        }
    }

    /// A gauge that is always 1 and says something in its labels, which may be any text.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.head(name, "gauge", help);
        self.0.push_str(name);
        for (i, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if i == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        self.0.push_str("} 1\n");
    }

    /// Durations; the name ends in `_seconds`.
    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        self.buckets(name, None, histogram);
    }

    /// Durations by label; the name ends in `_seconds`.
    pub(super) fn histograms<L: Label>(&mut self, name: &str, help: &str, family: &Family<L, Histogram>) {
        self.head(name, "histogram", help);
        for (value, histogram) in family.iter() {
            self.buckets(name, Some((L::NAME, value)), histogram);
        }
    }

    fn buckets(&mut self, name: &str, label: Option<(&str, &str)>, histogram: &Histogram) {
        let (sum_us, buckets) = histogram.read();
        let outer = label.map_or_else(String::new, |(label, value)| format!("{label}=\"{value}\""));
        let comma = if outer.is_empty() { "" } else { "," };
        let mut count = 0;
        for (i, n) in buckets.into_iter().enumerate() {
            count += n;
            let bound = BOUNDS_US.get(i).map_or_else(|| "+Inf".into(), |&us| seconds(us).to_string());
            let _ = writeln!(self.0, "{name}_bucket{{{outer}{comma}le=\"{bound}\"}} {count}");
        }
        let all = if outer.is_empty() { outer } else { format!("{{{outer}}}") };
        let _ = write!(self.0, "{name}_sum{all} {}\n{name}_count{all} {count}\n", seconds(sum_us));
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

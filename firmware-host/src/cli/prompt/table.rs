//! How long answers take: the table of `--repeat`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::report::{ms, rounded_ms};
use crate::client::{Answer, Client};

const STAGES: [&str; 7] = ["whole", "line", "waited", "preprocess", "encode", "decode", "postprocess"];

/// Times and bytes of many answers.
#[derive(Debug, Default)]
pub(super) struct Table {
    times: [Vec<Duration>; STAGES.len()],
    sent: Vec<u64>,
    received: Vec<u64>,
}

impl Table {
    pub(super) fn add(&mut self, answer: &Answer) {
        let s = &answer.stages;
        let line = answer.round_trip.saturating_sub(s.total());
        let stages = [answer.round_trip, line, s.waited, s.preprocess, s.encode, s.decode, s.postprocess];
        self.times.iter_mut().zip(stages).for_each(|(times, time)| times.push(time));
        self.sent.push(answer.sent);
        self.received.push(answer.received);
    }

    fn rows(&self, in_ms: fn(Duration) -> f64) -> impl Iterator<Item = (&'static str, [f64; 3])> {
        let row = move |times: &Vec<Duration>| quantiles(times.clone()).map(in_ms);
        STAGES.into_iter().zip(self.times.iter().map(row))
    }

    /// As Markdown.
    pub(super) fn text(&self, out: &mut impl Write, client: &Client) -> io::Result<()> {
        let traffic = client.traffic();
        let answers = if self.sent.len() == 1 { "answer" } else { "answers" };
        writeln!(out, "{} {answers} of {} by {}\n", self.sent.len(), client.caps().model, client.peer())?;
        writeln!(out, "| {:14} | {:>9} | {:>9} | {:>9} |", "stage", "ms p50", "ms p90", "ms p99")?;
        writeln!(out, "|{:-<16}|{:->10}:|{:->10}:|{:->10}:|", "", "", "", "")?;
        for (name, [p50, p90, p99]) in self.rows(ms) {
            writeln!(out, "| {name:14} | {p50:9.2} | {p90:9.2} | {p99:9.2} |")?;
        }
        for (name, bytes) in [("bytes sent", &self.sent), ("bytes received", &self.received)] {
            let [p50, p90, p99] = quantiles(bytes.clone());
            writeln!(out, "| {name:14} | {p50:9} | {p90:9} | {p99:9} |")?;
        }
        if traffic.lost + traffic.damaged + traffic.retries > 0 {
            let (lost, damaged, retries) = (traffic.lost, traffic.damaged, traffic.retries);
            writeln!(out, "\n{lost} packets lost, {damaged} damaged, {retries} times asked again")?;
        }
        Ok(())
    }

    /// For programs.
    pub(super) fn json(&self, client: &Client) -> Value {
        let stage = |(name, [p50, p90, p99]): (&str, [f64; 3])| json!({ "name": name, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99 });
        let traffic = client.traffic();
        let [sent, received] = [&self.sent, &self.received].map(|bytes| quantiles(bytes.clone()));
        json!({
            "answers": self.sent.len(),
            "model": client.caps().model.as_str(),
            "peer": client.peer(),
            "stages": self.rows(rounded_ms).map(stage).collect::<Vec<Value>>(),
            "bytes_sent": { "p50": sent[0], "p90": sent[1], "p99": sent[2] },
            "bytes_received": { "p50": received[0], "p90": received[1], "p99": received[2] },
            "packets_lost": traffic.lost,
            "packets_damaged": traffic.damaged,
            "retries": traffic.retries,
        })
    }
}

/// p50, p90 and p99: the smallest values that so many percent do not exceed.
fn quantiles<T: Ord + Copy + Default>(mut values: Vec<T>) -> [T; 3] {
    values.sort_unstable();
    [50, 90, 99].map(|percent| {
        let rank = (values.len() * percent).div_ceil(100);
        values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(quantiles((1..=100).rev().collect::<Vec<u32>>()), [50, 90, 99]);
        assert_eq!(quantiles((1..=1000).collect::<Vec<u32>>()), [500, 900, 990]);
        assert_eq!(quantiles(vec![7_u32]), [7; 3]);
        assert_eq!(quantiles(vec![1_u32, 2, 3]), [2, 3, 3]);
        assert_eq!(quantiles(Vec::<u32>::new()), [0; 3]);
    }
}

//! [`Metrics`]: what the service counts and measures, and the page on which Prometheus reads it.

mod endpoint;
#[cfg(test)]
mod tests;
mod text;
mod values;

use std::time::{SystemTime, UNIX_EPOCH};

pub use endpoint::{Endpoint, EndpointError};
pub use values::{BOUNDS_US, Counter, Family, Gauge, Held, Histogram, Label, Measure};

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A mask for a prompt.
    Prompt,
    /// A mask of a track.
    Track,
    /// A frame that was captured.
    Capture,
    /// A picture that was uploaded whole.
    Upload,
    /// A frame's picture.
    Picture,
    /// All others: status, ping, settings.
    Other,
}

impl Label for Answer {
    const NAME: &'static str = "kind";
    const VALUES: &'static [&'static str] = &["prompt", "track", "capture", "upload", "picture", "other"];

    fn index(self) -> usize {
        self as usize
    }
}

/// Ways by which clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A serial line.
    Serial,
    /// TCP.
    Tcp,
    /// A Unix socket.
    Unix,
    /// UDP.
    Udp,
    /// WebSocket.
    WebSocket,
    /// MAVLink, over whatever it runs.
    Mavlink,
}

impl Label for Via {
    const NAME: &'static str = "transport";
    const VALUES: &'static [&'static str] = &["serial", "tcp", "unix", "udp", "websocket", "mavlink"];

    fn index(self) -> usize {
        self as usize
    }
}

/// Stages of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In the queue.
    Wait,
    /// Pixels to the model's input.
    Preprocess,
    /// The image encoder.
    Encode,
    /// The mask decoder.
    Decode,
    /// Logits to masks, contours and runs.
    Postprocess,
}

impl Label for Stage {
    const NAME: &'static str = "stage";
    const VALUES: &'static [&'static str] = &["wait", "preprocess", "encode", "decode", "postprocess"];

    fn index(self) -> usize {
        self as usize
    }
}

/// A code of the wire's `Error` message. Codes that it does not know are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u8);

impl Label for Code {
    const NAME: &'static str = "code";
    const VALUES: &'static [&'static str] = &[
        "other",
        "busy",
        "bad_crc",
        "bad_prompt",
        "no_frame",
        "stale_frame",
        "deadline",
        "too_large",
        "unsupported",
        "version",
        "unauthorized",
        "internal",
        "malformed",
        "cancelled",
    ];

    fn index(self) -> usize {
        Some(usize::from(self.0)).filter(|&code| code < Self::VALUES.len()).unwrap_or(0)
    }
}

/// What the service is, for the page's `cutout_info`.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Version of the program.
    pub version: String,
    /// Name of the model.
    pub model: String,
    /// Precision that it computes in.
    pub precision: String,
}

/// The service's numbers. Any thread may change any of them at any time; none waits for another.
#[derive(Debug)]
pub struct Metrics {
    info: Info,
    started: Measure,
    /// Frames that the source gave.
    pub frames: Counter,
    /// Frames that the image encoder has seen.
    pub encoded: Counter,
    /// Answers, by what was asked.
    pub answered: Family<Answer, Counter>,
    /// Errors told to clients, by code.
    pub errors: Family<Code, Counter>,
    /// Answers that would have come, or came, too late.
    pub deadlines_missed: Counter,
    /// Bytes that came from clients.
    pub received_bytes: Family<Via, Counter>,
    /// Bytes that went to clients.
    pub sent_bytes: Family<Via, Counter>,
    /// Packets that were dropped for their form or their checksum.
    pub bad_packets: Family<Via, Counter>,
    /// Clients connected.
    pub clients: Family<Via, Gauge>,
    /// Requests that wait.
    pub queue: Gauge,
    /// Time of each stage.
    pub stages: Family<Stage, Histogram>,
    /// Time from a prompt's arrival to its answer.
    pub answer_time: Histogram,
    /// Age of a frame when it was answered about.
    pub frame_age: Histogram,
    /// Memory that the process holds, in bytes.
    pub resident_bytes: Measure,
    /// The hottest sensor, in degrees Celsius.
    pub temperature: Measure,
    /// 1 while the processor is slowed down, or else 0.
    pub throttled: Measure,
}

impl Metrics {
    /// All at zero, of a process that starts now.
    pub fn new(info: Info) -> Self {
        let started = Measure::default();
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64()));
        Metrics {
            info,
            started,
            frames: Counter::default(),
            encoded: Counter::default(),
            answered: Family::default(),
            errors: Family::default(),
            deadlines_missed: Counter::default(),
            received_bytes: Family::default(),
            sent_bytes: Family::default(),
            bad_packets: Family::default(),
            clients: Family::default(),
            queue: Gauge::default(),
            stages: Family::default(),
            answer_time: Histogram::default(),
            frame_age: Histogram::default(),
            resident_bytes: Measure::default(),
            temperature: Measure::default(),
            throttled: Measure::default(),
        }
    }

    /// The page, in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut page = text::Page::default();
        let Info { version, model, precision } = &self.info;
        page.info(
            "cutout_info",
            "What the service is.",
            &[("version", version), ("model", model), ("precision", precision)],
        );
        page.counter("cutout_frames_total", "Frames that the source gave.", &self.frames);
        page.counter("cutout_encoded_frames_total", "Frames that the image encoder has seen.", &self.encoded);
        page.counters("cutout_answers_total", "Answers, by what was asked.", &self.answered);
        page.counters("cutout_errors_total", "Errors told to clients, by code.", &self.errors);
        page.counter("cutout_deadlines_missed_total", "Answers that were too late.", &self.deadlines_missed);
        page.counters("cutout_received_bytes_total", "Bytes that came from clients.", &self.received_bytes);
        page.counters("cutout_sent_bytes_total", "Bytes that went to clients.", &self.sent_bytes);
        page.counters("cutout_bad_packets_total", "Packets of bad form or checksum.", &self.bad_packets);
        page.gauges("cutout_clients", "Clients connected.", &self.clients);
        page.gauge("cutout_queue_depth", "Requests that wait.", &self.queue);
        page.histograms("cutout_stage_duration_seconds", "Time of each stage of an answer.", &self.stages);
        let whole = "Time from a prompt's arrival to its answer.";
        page.histogram("cutout_answer_duration_seconds", whole, &self.answer_time);
        let age = "Age of a frame when it was answered about.";
        page.histogram("cutout_answered_frame_age_seconds", age, &self.frame_age);
        page.measure("cutout_temperature_celsius", "The hottest sensor.", &self.temperature);
        page.measure("cutout_throttled", "Whether the processor is slowed down.", &self.throttled);
        page.measure("process_resident_memory_bytes", "Memory that the process holds.", &self.resident_bytes);
        page.measure("process_start_time_seconds", "When the process began, in Unix time.", &self.started);
        page.into_text()
    }
}

//! What the service says of its work, on standard error: lines for people, or JSON for programs.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use clap::ValueEnum;
use serde::Deserialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// What stands in the log where a secret would.
const REDACTED: &str = "***";

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogArgs {
    /// Form of the log.
    pub form: LogForm,
    /// How much is logged.
    pub level: LogLevel,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogForm {
    /// A line for people: time, level, text, and `name=value` for what belongs to it.
    #[default]
    Text,
    /// A JSON object per line, with `timestamp`, `level`, `target`, `message` and the fields.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What makes the service fail.
    Error,
    /// What it worked around, too.
    Warn,
    /// What it does, too.
    #[default]
    Info,
    /// Each request, too.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

/// Begins to log to standard error, for the whole program; panics are logged as errors. `secrets` are struck out wherever
/// they would appear, a client's own words included. A program that logs already goes on as it does.
pub fn start(args: LogArgs, secrets: &[&str]) {
    let subscriber = subscriber(args, secrets, io::stderr);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let text = panic.payload_as_str().unwrap_or("a panic without words");
        tracing::error!(thread = thread.name().unwrap_or("?"), place, "{text}");
    }));
}

/// What [`start`] makes the program's, writing elsewhere.
fn subscriber<W, O>(args: LogArgs, secrets: &[&str], out: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: Fn() -> O + Send + Sync + 'static,
    O: Write,
{
    let built = tracing_subscriber::fmt().with_max_level(args.level.filter()).with_writer(Scrubbed::new(secrets, out));
    match args.form {
        LogForm::Text => Box::new(built.event_format(Lines).finish()),
        LogForm::Json => {
            Box::new(built.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
        }
    }
}

/// The form for people. Each event is one line, whatever it quotes: control characters are escaped.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        SystemTime.format_time(&mut out)?;
        write!(out, " {:5} ", event.metadata().level())?;
        let mut line = Line::default();
        event.record(&mut line);
        writeln!(out, "{}{}", line.message, line.fields)
    }
}

/// An event's text and, behind it, its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn field(&mut self, name: &str, value: &str) {
        if name == "message" {
            escape(&mut self.message, value);
            return;
        }
        self.fields.push(' ');
        self.fields.push_str(name);
        self.fields.push('=');
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
        if plain {
            escape(&mut self.fields, value);
        } else {
            self.fields.push('"');
            escape(&mut self.fields, &value.replace('\\', "\\\\").replace('"', "\\\""));
            self.fields.push('"');
        }
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        // Besides C0 and C1, those that break lines or turn the direction of writing.
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field.name(), &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.field(field.name(), &value.to_string());
    }
}

/// Strikes secrets out of what is written. An event is one call of `write`.
struct Scrubbed<W> {
    /// Each secret as it is, and as it stands in quotes, and in quotes within quotes.
    secrets: Arc<[String]>,
    out: W,
}

impl<W> Scrubbed<W> {
    fn new(secrets: &[&str], out: W) -> Self {
        let mut forms: BTreeSet<_> =
            secrets.iter().filter(|secret| !secret.is_empty()).map(|s| (*s).to_owned()).collect();
        // Rust's `{:?}` within a field of either form quotes twice.
        for _ in 0..2 {
            let quoted: Vec<_> = forms.iter().flat_map(|form| [in_json(form), in_debug(form)]).collect();
            forms.extend(quoted);
        }
        let mut forms: Vec<_> = forms.into_iter().collect();
        // A secret may hold another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Scrubbed { secrets: forms.into(), out }
    }
}

/// The text as it stands in a JSON string.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    without_quotes(&quoted).to_owned()
}

/// The text as it stands in what `{:?}` makes of it.
fn in_debug(text: &str) -> String {
    without_quotes(&format!("{text:?}")).to_owned()
}

fn without_quotes(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

impl<'a, W: Fn() -> O, O: Write> MakeWriter<'a> for Scrubbed<W> {
    type Writer = Scrubbing<O>;

    fn make_writer(&'a self) -> Scrubbing<O> {
        Scrubbing { secrets: Arc::clone(&self.secrets), out: (self.out)() }
    }
}

/// One event's way out.
struct Scrubbing<O> {
    secrets: Arc<[String]>,
    out: O,
}

impl<O: Write> Write for Scrubbing<O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.secrets.is_empty() {
            self.out.write_all(bytes)?;
        } else {
            let mut text = String::from_utf8_lossy(bytes).into_owned();
            for secret in self.secrets.iter() {
                text = text.replace(secret, REDACTED);
            }
            self.out.write_all(text.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

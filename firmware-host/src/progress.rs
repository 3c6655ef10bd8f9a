//! [`Progress`]: what a long task says while it runs, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar of bytes, with notes above it. Silent where nobody watches: in tests, and, but for the notes, where
/// standard error is not a terminal.
pub struct Progress {
    bar: ProgressBar,
    notes: bool,
}

impl Progress {
    /// On standard error.
    pub fn on_stderr() -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.set_style(Self::style(false));
        Progress { bar, notes: true }
    }

    /// Says nothing.
    pub fn silent() -> Self {
        Progress { bar: ProgressBar::hidden(), notes: false }
    }

    fn style(length_known: bool) -> ProgressStyle {
        let template = if length_known {
            "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left"
        } else {
            "{spinner} {msg}"
        };
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
    }

    /// Names what is being done, without a known length.
    pub fn start(&self, what: &str) {
        self.bar.reset();
        self.bar.unset_length();
        self.bar.set_style(Self::style(false));
        self.bar.set_message(what.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// Sets the number of bytes that the task will take, if it is known.
    pub fn expect(&self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.bar.set_length(bytes);
            self.bar.set_style(Self::style(true));
        }
    }

    /// Sets the number of bytes done.
    pub fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Says something in a line of its own.
    pub fn note(&self, text: &str) {
        if self.notes {
            // Nothing can be done for a reader who has closed standard error.
            let _ = self.bar.suspend(|| writeln!(io::stderr(), "{text}"));
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// A progress bar of steps, with notes above it. It draws nothing where standard error is no terminal; notes are said in any case.
#[cfg(feature = "quantize")]
pub(crate) struct Steps(ProgressBar);

#[cfg(feature = "quantize")]
impl Steps {
    /// On standard error.
    pub(crate) fn on_stderr() -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{msg:24} [{bar:32}] {pos}/{len}, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        Steps(bar)
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(feature = "quantize")]
impl cutout_quantize::calibrate::Watch for Steps {
    fn begin(&mut self, what: &str, steps: usize) {
        self.0.reset();
        self.0.set_length(steps as u64);
        self.0.set_message(what.to_owned());
    }

    fn advance(&mut self, steps: usize) {
        self.0.inc(steps as u64);
    }

    fn note(&mut self, text: &str) {
        // Nothing can be done for a reader who has closed standard error.
        let _ = self.0.suspend(|| writeln!(io::stderr(), "{text}"));
    }
}

//! [`Paced`]: files, shown as a camera would: so many a second, by the clock.

use std::time::{Duration, Instant};

use super::skipped::Skipped;
use super::{Collection, FilesSpec, Frame, ImageSource, Pixels, SourceError};

/// Pictures of a folder per second, unless another rate is asked for.
const PICTURES: f64 = 1.0;
/// Frames per second of a recording that does not say.
const FRAMES: f64 = 30.0;

/// Opens a folder, a recording or a picture.
pub(super) fn open(spec: &FilesSpec) -> Result<Box<dyn ImageSource>, SourceError> {
    Ok(Box::new(Paced::open(spec)?))
}

/// Pictures by the clock. One that is due while nobody asks is passed over, as a camera's are; the last one is given however
/// late it is.
struct Paced {
    spec: FilesSpec,
    pictures: Collection,
    /// Frames per second.
    rate: f64,
    /// When the first frame was due: when it was asked for.
    started: Option<Instant>,
    /// Frames that were due so far.
    due: u64,
    /// The picture that comes next.
    position: usize,
    finished: bool,
    skipped: Skipped,
}

/// What a source can do at an instant.
enum Step {
    /// Give this.
    Frame(Frame),
    /// Nothing before then.
    Wait(Instant),
    /// Nothing any more.
    End,
}

impl Paced {
    fn open(spec: &FilesSpec) -> Result<Self, SourceError> {
        let pictures = Collection::open(&spec.path).map_err(|error| with_options(spec, error))?;
        if pictures.is_empty() {
            return Err(SourceError::file(
                &spec.path,
                "holds no picture: put some in, as JPEG or PNG files or frames of a recording",
            ));
        }
        let usual = match &pictures {
            Collection::Folder(_) => PICTURES,
            Collection::Recording(recording) => recording.rate().unwrap_or(FRAMES),
        };
        let rate = spec.rate.unwrap_or(usual);
        let (due, position, finished) = Default::default();
        Ok(Paced {
            spec: spec.clone(),
            pictures,
            rate,
            started: None,
            due,
            position,
            finished,
            skipped: Skipped::default(),
        })
    }

    /// How long after the first a frame is due.
    fn offset(&self, frame: u64) -> Duration {
        Duration::try_from_secs_f64(frame as f64 / self.rate).unwrap_or(Duration::MAX)
    }

    /// What there is to give at this instant.
    fn at(&mut self, now: Instant) -> Step {
        let started = *self.started.get_or_insert(now);
        while !self.finished {
            let Some(at) = started.checked_add(self.offset(self.due)) else { break };
            if now < at {
                return Step::Wait(at);
            }
            // Rounding must not make this one of a time that is past.
            let frame = (((now - started).as_secs_f64() * self.rate) as u64).max(self.due);
            let passed = frame - self.due;
            self.due = frame + 1;
            if let Some(pixels) = self.take(passed) {
                return Step::Frame(Frame { pixels, taken: started + self.offset(frame) });
            }
        }
        Step::End
    }

    /// The picture that is due, after so many that nobody asked for in time.
    fn take(&mut self, passed: u64) -> Option<Pixels> {
        let mut position = self.position.saturating_add(usize::try_from(passed).unwrap_or(usize::MAX));
        if position >= self.pictures.len() {
            if self.spec.repeat {
                // What was added or taken away in this round is seen in the next.
                self.look_again(self.pictures.len().saturating_sub(1));
                position = position.checked_rem(self.pictures.len())?;
            } else {
                position = self.pictures.len().checked_sub(1)?;
            }
        }
        self.position = position + 1;
        let pixels = match self.pictures.read(position) {
            Ok(pixels) => Some(pixels),
            Err(error) => {
                self.skipped.count(self.pictures.name(position), &error);
                if let SourceError::File { .. } = error {
                    self.position = self.look_again(position);
                }
                None
            }
        };
        if !self.spec.repeat && self.position >= self.pictures.len() {
            self.position = self.look_again(position);
            self.finished = self.position >= self.pictures.len();
        }
        pixels
    }

    /// Looks again for what is there, and says which picture comes after this one.
    fn look_again(&mut self, position: usize) -> usize {
        self.pictures.refresh(position).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            position + 1
        })
    }
}

/// What was taken for a part of the name may have been meant as an option.
fn with_options(spec: &FilesSpec, error: SourceError) -> SourceError {
    match error {
        SourceError::File { path, why } if !spec.path.exists() => {
            SourceError::File { path, why: why + " (options come after it: @5 for five a second, then ,loop)" }
        }
        other => other,
    }
}

impl ImageSource for Paced {
    fn describe(&self) -> String {
        let (path, pictures) = (self.spec.path.display(), self.pictures.len());
        let what = match self.pictures {
            Collection::Folder(_) => "pictures",
            Collection::Recording(_) => "frames",
        };
        let repeat = if self.spec.repeat { ", again and again" } else { "" };
        format!("{path}: {pictures} {what}, {:.4} a second{repeat}", self.rate)
    }

    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError> {
        let mut now = Instant::now();
        let until = now.checked_add(patience);
        loop {
            match self.at(now) {
                Step::Frame(frame) => return Ok(Some(frame)),
                Step::Wait(at) if until.is_none_or(|until| at <= until) => {
                    std::thread::sleep(at.saturating_duration_since(now));
                    now = Instant::now().max(at);
                }
                Step::Wait(_) => {
                    std::thread::sleep(until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)));
                    return Ok(None);
                }
                Step::End => return Ok(None),
            }
        }
    }

    fn is_live(&self) -> bool {
        false
    }

    fn finished(&self) -> bool {
        self.finished
    }

    fn skipped(&self) -> u64 {
        self.skipped.total()
    }
}

#[cfg(test)]
mod tests;

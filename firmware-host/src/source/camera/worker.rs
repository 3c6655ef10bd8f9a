//! [`Worker`]: takes buffers from a driver as they are filled, and opens the camera again when it is lost.

use std::time::{Duration, Instant};

use super::driver::{Buffer, Driver, Opened};
use super::{BufferFormat, opening};
use crate::source::CameraSpec;
use crate::source::described::Described;
use crate::source::newest::Newest;
use crate::source::skipped::Skipped;

/// How soon, at first and at most, a lost camera is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long a buffer is waited for before looking whether to stop.
const GLANCE: Duration = Duration::from_millis(100);
/// Without a frame for so long, a camera is opened again, at first and at most: some drivers stall, others wait for a trigger.
const SILENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// A buffer's bytes, and what they are.
pub(super) struct Filled {
    pub(super) format: BufferFormat,
    pub(super) bytes: Vec<u8>,
    pub(super) taken: Instant,
}

/// What runs in the camera's thread.
pub(super) struct Worker {
    pub(super) driver: Box<dyn Driver>,
    pub(super) spec: CameraSpec,
    pub(super) newest: Newest<Filled>,
    pub(super) skipped: Skipped,
    pub(super) description: Described,
}

impl Worker {
    /// Runs until the place for frames is closed.
    pub(super) fn run(mut self, first: Opened) {
        let mut opened = first;
        let (mut pause, mut silence) = (BACK_OFF.0, SILENCE.0);
        loop {
            let mut frames = 0_u64;
            let Err(why) = self.capture(&mut opened, silence, &mut frames) else { return };
            // A camera that is found again but gives nothing is left alone for longer and longer.
            if frames > 0 {
                (pause, silence) = (BACK_OFF.0, SILENCE.0);
            } else {
                silence = (silence * 2).min(SILENCE.1);
            }
            tracing::warn!("camera {} is lost and will be tried again: {why}", opened.path.display());
            // The device must be closed to get its name again.
            drop(opened);
            opened = loop {
                if self.newest.closes_within(pause) {
                    return;
                }
                pause = (pause * 2).min(BACK_OFF.1);
                match opening::open(&mut *self.driver, &self.spec) {
                    Ok(opened) => break opened,
                    Err(error) => tracing::debug!("{error}"),
                }
            };
            tracing::info!("{} is back", opened.describe());
            self.description.set(opened.describe());
        }
    }

    /// Takes buffers until there is reason to stop (`Ok`) or to open the camera again (`Err`).
    fn capture(&self, opened: &mut Opened, silence: Duration, frames: &mut u64) -> Result<(), String> {
        let format = opened.stream.format();
        let mut spare = Vec::new();
        let mut last = Instant::now();
        while !self.newest.closes_within(Duration::ZERO) {
            let mut bytes = std::mem::take(&mut spare);
            let mut fault = None;
            let mut is_whole = false;
            let filled = opened.stream.next(GLANCE, &mut |buffer: Buffer<'_>| {
                if buffer.is_damaged {
                    fault = Some("its driver says that some of it is missing".into());
                } else if !self.newest.is_asked_for() {
                    // The memory of a driver may be slow to read: it is left alone while nobody looks.
                } else {
                    bytes.clear();
                    bytes.extend_from_slice(buffer.bytes);
                    fault = format.check(&bytes).err();
                    is_whole = fault.is_none();
                }
            });
            match filled {
                Ok(true) => {}
                Ok(false) if last.elapsed() > silence => {
                    return Err(format!("it gave no frame for {} seconds", silence.as_secs()));
                }
                Ok(false) => {
                    spare = bytes;
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            }
            last = Instant::now();
            *frames += 1;
            if let Some(fault) = fault {
                self.skipped.count(format_args!("a frame of {}", opened.path.display()), fault);
            } else if is_whole {
                // What nobody has taken makes room for the next.
                let old = self.newest.put(Filled { format, bytes, taken: last });
                spare = old.map_or_else(Vec::new, |old| old.bytes);
                continue;
            } else if let Some(old) = self.newest.clear() {
                bytes = old.bytes;
            }
            spare = bytes;
        }
        Ok(())
    }
}

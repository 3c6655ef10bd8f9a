//! [`Stream`]: frames that another program writes to standard input or a named pipe, motion JPEG or YUV4MPEG2, as they come.
//!
//! So come cameras that only some other program drives: libcamera's, GStreamer's, those behind RTSP.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::described::Described;
use super::newest::Newest;
use super::recording::y4m;
use super::skipped::Skipped;
use super::{Frame, ImageSource, Pixels, SourceError, jpeg};

/// Longest compressed frame, in bytes.
const LONGEST: usize = 1 << 26;
/// How long bytes are waited for before looking whether to stop.
#[cfg(unix)]
const GLANCE: Duration = Duration::from_millis(100);

/// What is read.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// Standard input, once.
    Standard,
    /// A named pipe, again for each program that opens it.
    Pipe(PathBuf),
}

impl Input {
    fn name(&self) -> String {
        match self {
            Input::Standard => "standard input".into(),
            Input::Pipe(path) => path.display().to_string(),
        }
    }
}

/// Whether a path is that of a named pipe.
pub(super) fn is_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        std::fs::metadata(path).is_ok_and(|kind| kind.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Begins to read a stream.
pub(super) fn open(input: Input) -> Result<Box<dyn ImageSource>, SourceError> {
    let (newest, skipped, ended) = (Newest::new(), Skipped::default(), Arc::new(AtomicBool::new(false)));
    let description = Described::default();
    let reading = Reading { input, newest: newest.clone(), skipped: skipped.clone(), description: description.clone() };
    reading.say("nobody writes to it yet");
    let end = Arc::clone(&ended);
    let run = move || {
        reading.run();
        end.store(true, Ordering::Release);
        reading.newest.close();
    };
    let thread = std::thread::Builder::new().name("stream".into()).spawn(run);
    let thread =
        thread.map_err(|error| SourceError::file(Path::new("-"), format!("cannot be given a thread: {error}")))?;
    Ok(Box::new(Stream { description, newest, skipped, ended, thread: Some(thread) }))
}

/// A stream that is read.
struct Stream {
    description: Described,
    newest: Newest<Frame>,
    skipped: Skipped,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ImageSource for Stream {
    fn describe(&self) -> String {
        self.description.get()
    }

    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, SourceError> {
        Ok(self.newest.take(Instant::now().checked_add(patience)))
    }

    fn is_live(&self) -> bool {
        true
    }

    fn finished(&self) -> bool {
        self.ended.load(Ordering::Acquire) && self.newest.is_empty()
    }

    fn skipped(&self) -> u64 {
        self.skipped.total()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.newest.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What runs in the stream's thread.
struct Reading {
    input: Input,
    newest: Newest<Frame>,
    skipped: Skipped,
    description: Described,
}

impl Reading {
    fn say(&self, what: &str) {
        self.description.set(format!("{}: {what}", self.input.name()));
    }

    fn run(&self) {
        while !self.is_over() {
            let result = self.opened().and_then(|input| self.frames(&mut BufReader::with_capacity(1 << 16, input)));
            self.say("nobody writes to it any more");
            match result {
                Ok(()) => tracing::info!("{} has ended", self.input.name()),
                Err(_) if self.is_over() => return,
                Err(error) => tracing::warn!("{}: {error}", self.input.name()),
            }
            // A pipe that fails at once must not keep the processor busy.
            if matches!(self.input, Input::Standard) || self.newest.closes_within(Duration::from_millis(100)) {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.newest.closes_within(Duration::ZERO)
    }

    #[cfg(unix)]
    fn opened(&self) -> io::Result<impl Read + '_> {
        use rustix::fs::{Mode, OFlags};
        let file = match &self.input {
            Input::Standard => io::stdin().as_fd().try_clone_to_owned()?,
            // Opened at once, whether anybody writes to it or not.
            Input::Pipe(path) => {
                rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?
            }
        };
        Ok(Patient { file: file.into(), reading: self })
    }

    #[cfg(not(unix))]
    fn opened(&self) -> io::Result<impl Read + '_> {
        Ok(io::stdin())
    }

    /// Hands on frames until the stream ends.
    fn frames(&self, input: &mut impl BufRead) -> io::Result<()> {
        match input.fill_buf()?.first() {
            Some(b'Y') => self.planes(input),
            Some(_) => self.jpegs(input),
            None => Ok(()),
        }
    }

    fn planes(&self, input: &mut impl BufRead) -> io::Result<()> {
        let header = y4m::Header::read(input).map_err(io::Error::other)?;
        self.say(&format!("{header}, as it comes"));
        let mut bytes = Vec::new();
        while let Some(line) = y4m::line(input)? {
            if !line.starts_with(y4m::FRAME) {
                return Err(io::Error::other("it is damaged: no frame begins where one should"));
            }
            bytes.clear();
            input.take(header.bytes()).read_to_end(&mut bytes)?;
            let taken = Instant::now();
            if (bytes.len() as u64) < header.bytes() {
                break;
            }
            match y4m::nv12(&header, &bytes) {
                Ok(raster) => drop(self.newest.put(Frame { pixels: Pixels::Raw(raster), taken })),
                Err(error) => self.skipped.count(format_args!("a frame of {}", self.input.name()), error),
            }
        }
        Ok(())
    }

    fn jpegs(&self, input: &mut impl BufRead) -> io::Result<()> {
        self.say("motion JPEG, as it comes");
        let mut scanner = jpeg::Scanner::new(Kept { input, bytes: Vec::new(), warned: false });
        while let Some((_, length)) = scanner.next()? {
            let taken = Instant::now();
            let mut bytes = std::mem::take(&mut scanner.get_mut().bytes);
            match usize::try_from(length).ok().and_then(|length| bytes.len().checked_sub(length)) {
                Some(before) => {
                    bytes.drain(..before);
                    drop(self.newest.put(Frame { pixels: Pixels::Compressed(bytes), taken }));
                }
                None => self.skipped.count(format_args!("a frame of {}", self.input.name()), "it is too long"),
            }
        }
        Ok(())
    }
}

/// Keeps the bytes that are read, the last [`LONGEST`] of them or fewer.
struct Kept<R> {
    input: R,
    bytes: Vec<u8>,
    warned: bool,
}

impl<R: BufRead> Read for Kept<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Kept<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // What is consumed was in the buffer already, so that it is there without reading.
        if let Some(bytes) = self.input.fill_buf().ok().and_then(|bytes| bytes.get(..count)) {
            if self.bytes.len() + bytes.len() > LONGEST {
                self.bytes.clear();
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!("a stream has no frame in {} MB: give motion JPEG or YUV4MPEG2", LONGEST >> 20);
                }
            }
            self.bytes.extend_from_slice(bytes);
        }
        self.input.consume(count);
    }
}

/// A pipe that is not waited for after its reader is no longer wanted.
#[cfg(unix)]
struct Patient<'a> {
    file: std::fs::File,
    reading: &'a Reading,
}

#[cfg(unix)]
use std::os::fd::AsFd;

#[cfg(unix)]
impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let glance = Timespec::try_from(GLANCE).map_err(io::Error::other)?;
        loop {
            if self.reading.is_over() {
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            }
            let mut ready = [PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::IN)];
            match poll(&mut ready, Some(&glance)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match self.file.read(into) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                other => return other,
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests;

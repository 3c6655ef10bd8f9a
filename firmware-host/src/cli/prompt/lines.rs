//! Lines of the input, read in a thread of their own, so that one can come while something else goes on.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

/// Longest line, its end included.
const LONGEST: u64 = 4096;

/// Lines that wait to be taken; what comes then stays in the system's hands.
const WAITING: usize = 16;

/// Lines that come, one after the other.
pub(super) struct Lines {
    coming: Receiver<io::Result<String>>,
    /// The line that came while something else went on.
    kept: Option<io::Result<String>>,
}

impl Lines {
    /// Begins to read. The thread ends with the input, or with the program.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn of(input: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, coming) = sync_channel(WAITING);
        thread::Builder::new().name("input".into()).spawn(move || {
            let mut input = BufReader::new(input);
            while let Some(line) = read(&mut input).transpose() {
                let is_last = line.is_err();
                if sender.send(line).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Lines { coming, kept: None })
    }

    /// Waits for the next line; `None` at the end.
    ///
    /// # Errors
    /// If the input cannot be read, or a line is too long to be one.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        match self.kept.take() {
            Some(line) => line.map(Some),
            None => self.coming.recv().map_or(Ok(None), |line| line.map(Some)),
        }
    }

    /// Whether something came that ends what goes on: a line, which is kept for [`next`](Self::next), or the end. Empty
    /// lines are skipped.
    pub(super) fn interrupt(&mut self) -> bool {
        loop {
            if self.kept.is_some() {
                return true;
            }
            match self.coming.try_recv() {
                Ok(Ok(line)) if line.trim().is_empty() => {}
                Ok(line) => self.kept = Some(line),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    /// Drops the kept line, if it is such.
    pub(super) fn drop_if(&mut self, is_such: impl Fn(&str) -> bool) {
        if matches!(&self.kept, Some(Ok(line)) if is_such(line)) {
            self.kept = None;
        }
    }
}

fn read(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let got = input.take(LONGEST).read_until(b'\n', &mut bytes)?;
    if got as u64 == LONGEST && !bytes.ends_with(b"\n") {
        let what = format!("a line of the input has more than {LONGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok((got > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};
    use std::time::{Duration, Instant};

    use super::*;

    fn comes(lines: &mut Lines) {
        let until = Instant::now() + Duration::from_secs(30);
        while !lines.interrupt() {
            assert!(Instant::now() < until, "nothing came");
            thread::yield_now();
        }
    }

    #[test]
    fn lines_come_in_order_and_interrupt_once_they_are_there() {
        let (input, mut output) = pipe().unwrap();
        let mut lines = Lines::of(input).unwrap();
        assert!(!lines.interrupt());
        output.write_all(b"\n  \nSTOP\nGO\n\xff").unwrap();
        comes(&mut lines);
        assert!(lines.interrupt());
        lines.drop_if(|line| line == "GO\n");
        lines.drop_if(|line| line == "STOP\n");
        assert_eq!(lines.next().unwrap().unwrap(), "GO\n");
        assert!(!lines.interrupt());
        drop(output);
        assert_eq!(lines.next().unwrap().unwrap(), "\u{fffd}");
        comes(&mut lines);
        assert!(lines.next().unwrap().is_none() && lines.interrupt());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::of(io::repeat(b'x')).unwrap();
        assert!(lines.next().unwrap_err().to_string().contains("4096"));
        assert!(lines.next().unwrap().is_none());
    }
}

//! [`Port`]: one open serial port.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, Termios, ioctl_tiocexcl, isatty, tcdrain, tcflush, tcgetattr,
    tcsetattr,
};

use super::Settings;
use crate::transport::TransportError;
use crate::transport::stop::Stop;
use crate::transport::stream::ByteStream;

/// Longest time that what was written may take to leave before the speed is changed.
const DRAIN: Duration = Duration::from_secs(3);

/// An open serial port that never blocks.
///
/// The descriptor is ours rather than a serial library's: theirs block in `write` when the line is held back, whatever
/// time-out they are given.
pub(super) struct Port {
    /// Shared with a thread that drains; see [`Port::drain`].
    fd: Arc<OwnedFd>,
    path: PathBuf,
    shut: Stop,
    /// Its other end sees when the port is dropped.
    _held: UnixStream,
}

impl Port {
    pub(super) fn open(settings: &Settings, held: UnixStream) -> Result<Self, TransportError> {
        let path = &settings.path;
        let failed = |error: Errno| match error {
            Errno::BUSY => TransportError::PortInUse { path: path.clone() },
            Errno::NOTTY => TransportError::NoPort { path: path.clone() },
            // A port whose device has just gone, or a UART that the board does not have.
            error => TransportError::port(path, error.into()),
        };
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        if !isatty(&fd) {
            return Err(TransportError::NoPort { path: path.clone() });
        }
        // Not all devices can be locked.
        if flock(&fd, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(TransportError::PortInUse { path: path.clone() });
        }
        // It keeps out those who do not look at locks; some pseudo-terminals know none of it.
        let _ = ioctl_tiocexcl(&fd);
        let mut termios = tcgetattr(&fd).map_err(failed)?;
        raw(&mut termios, settings.rts_cts);
        let shut = Stop::new().map_err(|e| TransportError::port(path, e))?;
        let port = Port { fd: Arc::new(fd), path: path.clone(), shut, _held: held };
        port.apply(termios, settings.baud)?;
        Ok(port)
    }

    /// Sets the port up with a speed, or says what it does instead.
    fn apply(&self, mut termios: Termios, baud: u32) -> Result<(), TransportError> {
        let refused = |actual| TransportError::Baud { path: self.path.clone(), wanted: baud, actual };
        if baud == 0 || termios.set_speed(baud).is_err() {
            return Err(refused(None));
        }
        match tcsetattr(&*self.fd, OptionalActions::Now, &termios) {
            Ok(()) => {}
            Err(Errno::INVAL) => return Err(refused(None)),
            Err(error) => return Err(TransportError::port(&self.path, error.into())),
        }
        // Drivers round to what their clock can do; receivers bear about 2 % on each side.
        let actual = tcgetattr(&*self.fd).map_err(|e| TransportError::port(&self.path, e.into()))?.output_speed();
        let off = u64::from(actual.abs_diff(baud)) * 100;
        if actual > 0 && off > u64::from(baud) * 3 {
            return Err(refused(Some(actual)));
        }
        Ok(())
    }

    /// Waits until what was written has left. What cannot leave, the line being held back, is thrown away.
    fn drain(&self) -> io::Result<()> {
        // The system's call has no time-out and waits until the line moves or is emptied.
        let (done, waiting) = mpsc::channel();
        let fd = Arc::clone(&self.fd);
        let drain = move || {
            let _ = done.send(tcdrain(&*fd));
        };
        let thread = thread::Builder::new().name("drain".into()).spawn(drain)?;
        let drained = match waiting.recv_timeout(DRAIN) {
            // A pseudo-terminal need not know how.
            Ok(Ok(()) | Err(Errno::NOTTY | Errno::INVAL)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                tcflush(&*self.fd, QueueSelector::OFlush)?;
                Err(io::Error::new(io::ErrorKind::TimedOut, "the line is held back, so its speed cannot be changed"))
            }
        };
        let _ = thread.join();
        drained
    }
}

/// Bytes as they are, 8N1; breaks and bytes with faults come as bytes, which the packets' checksums tell apart.
fn raw(termios: &mut Termios, rts_cts: bool) {
    termios.make_raw();
    termios.control_modes -= ControlModes::PARENB | ControlModes::CSTOPB | ControlModes::CSIZE | ControlModes::CRTSCTS;
    // A closed port keeps DTR, so that boards which reset on its edge are left in peace.
    termios.control_modes -= ControlModes::HUPCL;
    termios.control_modes |= ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL;
    termios.control_modes.set(ControlModes::CRTSCTS, rts_cts);
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl ByteStream for Port {
    fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&*self.fd, into)?)
    }

    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.shut.is_set() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(rustix::io::write(&*self.fd, bytes)?)
    }

    fn shut(&self) {
        self.shut.set();
    }

    fn was_shut(&self) -> Option<&Stop> {
        Some(&self.shut)
    }

    fn survives_cuts(&self) -> bool {
        true
    }

    fn set_baud(&self, baud: u32) -> io::Result<()> {
        self.drain()?;
        let before = tcgetattr(&*self.fd)?;
        self.apply(before.clone(), baud).map_err(|error| {
            // Nothing more can be done if the old speed is refused as well.
            let _ = tcsetattr(&*self.fd, OptionalActions::Now, &before);
            match error {
                TransportError::Port { source, .. } => source,
                refused => io::Error::new(io::ErrorKind::Unsupported, refused.to_string()),
            }
        })
    }
}

//! [`SerialLine`]: a cable between two serial ports that are no ports, as slow as a real one.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Bytes that a cable carries at a time: a real UART's buffer.
const PIECE: usize = 16;

/// One end: the device that a program opens, and the master behind it.
struct End {
    path: PathBuf,
    master: File,
    /// Held open, so that the master outlives a program that closes and opens it again.
    _device: OwnedFd,
}

impl End {
    fn new() -> std::io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path: PathBuf = std::ffi::OsString::from_vec(ptsname(&master, Vec::new())?.into_bytes()).into();
        let device = File::options().read(true).write(true).open(&path)?;
        let mut raw = tcgetattr(&device)?;
        raw.make_raw();
        tcsetattr(&device, OptionalActions::Now, &raw)?;
        Ok(End { path, master: File::from(master), _device: device.into() })
    }
}

/// See the module. Dropping it is pulling out the cable, with both ports.
pub struct SerialLine {
    near: PathBuf,
    far: PathBuf,
    cut: Arc<AtomicBool>,
    carriers: Vec<JoinHandle<()>>,
}

impl SerialLine {
    /// A cable of `baud` bits per second, ten to a byte, both ways at once.
    ///
    /// # Panics
    /// If the system gives no pseudo-terminals.
    pub fn new(baud: u32) -> Self {
        let (near, far) = (End::new().expect("a pseudo-terminal"), End::new().expect("a pseudo-terminal"));
        let cut = Arc::new(AtomicBool::new(false));
        let paths = (near.path.clone(), far.path.clone());
        let masters = [&near.master, &far.master].map(|master| master.try_clone().expect("a file"));
        let carriers = [(near, masters[1].try_clone()), (far, masters[0].try_clone())].map(|(from, to)| {
            let (cut, to) = (cut.clone(), to.expect("a file"));
            thread::spawn(move || carry(&from, to, baud, &cut))
        });
        SerialLine { near: paths.0, far: paths.1, cut, carriers: carriers.into() }
    }

    /// The port for the service.
    pub fn service(&self) -> &Path {
        &self.near
    }

    /// The port for the client.
    pub fn client(&self) -> &Path {
        &self.far
    }
}

impl Drop for SerialLine {
    fn drop(&mut self) {
        self.cut.store(true, Ordering::Release);
        self.carriers.drain(..).for_each(|carrier| drop(carrier.join()));
    }
}

fn carry(from: &End, mut to: File, baud: u32, cut: &AtomicBool) {
    let mut bytes = [0; PIECE];
    let mut free = Instant::now();
    let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !cut.load(Ordering::Acquire) {
        let ready = poll(&mut [PollFd::new(&from.master, PollFlags::IN)], Some(&wait));
        if !ready.is_ok_and(|count| count > 0) {
            continue;
        }
        let count = match (&from.master).read(&mut bytes) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => continue,
            Err(_) => return,
        };
        free = free.max(Instant::now()) + Duration::from_secs_f64(count as f64 * 10.0 / f64::from(baud));
        thread::sleep(free.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

//! Services to connect to, and patience for loaded machines.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::super::*;

/// Long enough for anything that does happen.
pub(super) const LONG: Duration = Duration::from_secs(30);
/// Long enough to see that nothing happens.
pub(super) const SHORT: Duration = Duration::from_millis(100);

/// Says what this machine cannot check, past the test runner, which keeps what passing tests print.
pub(super) fn not_checked(what: &str) {
    let _ = writeln!(io::stderr(), "NOT CHECKED: {what}");
}

/// A listener that sends back what it gets, until its client leaves or it stops.
pub(super) struct Echo {
    pub(super) listener: Listener,
    stop: Stop,
}

impl Echo {
    pub(super) fn at(endpoint: &Endpoint, options: &Options) -> Self {
        Echo::try_at(endpoint, options).unwrap()
    }

    pub(super) fn try_at(endpoint: &Endpoint, options: &Options) -> Result<Self, TransportError> {
        let stop = Stop::new().unwrap();
        let stopped = stop.clone();
        let listener = listen(endpoint, options, stop.clone(), move |connection| echo(connection, &stopped))?;
        Ok(Echo { listener, stop })
    }

    pub(super) fn local(&self) -> Endpoint {
        self.listener.local().clone()
    }

    /// Ends all, and waits for it.
    pub(super) fn end(self) {
        self.stop.set();
        self.listener.join();
    }
}

pub(super) fn echo(mut connection: Connection, stop: &Stop) {
    let mut bytes = [0; 4096];
    while !stop.is_set() {
        let Ok(got) = connection.reader.read(&mut bytes, Duration::from_millis(50)) else { return };
        if got > 0 && connection.writer.write(&bytes[..got], LONG).is_err() {
            return;
        }
    }
}

/// A listener whose connections a test takes by hand.
pub(super) struct Taker {
    pub(super) listener: Listener,
    pub(super) taken: Receiver<Connection>,
    pub(super) stop: Stop,
}

impl Taker {
    pub(super) fn at(endpoint: &Endpoint, options: &Options) -> Self {
        let stop = Stop::new().unwrap();
        let (give, taken) = channel();
        let listener =
            listen(endpoint, options, stop.clone(), move |connection| give.send(connection).unwrap()).unwrap();
        Taker { listener, taken, stop }
    }

    pub(super) fn take(&self) -> Connection {
        self.taken.recv_timeout(LONG).unwrap()
    }

    pub(super) fn end(self) {
        self.stop.set();
        drop(self.taken);
        self.listener.join();
    }
}

/// Reads until `wanted` bytes are there.
pub(super) fn read_exactly(reader: &mut dyn Reader, wanted: usize) -> Vec<u8> {
    let deadline = Instant::now() + LONG;
    let mut all = Vec::new();
    let mut bytes = [0; 4096];
    while all.len() < wanted {
        assert!(Instant::now() < deadline, "{} of {wanted} bytes came", all.len());
        let room = bytes.len().min(wanted - all.len());
        let got = reader.read(&mut bytes[..room], SHORT).unwrap();
        all.extend_from_slice(&bytes[..got]);
    }
    all
}

/// Reads until the end, and says why it ended.
pub(super) fn read_to_end(reader: &mut dyn Reader) -> io::ErrorKind {
    let deadline = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < deadline, "no end came");
        if let Err(error) = reader.read(&mut [0; 4096], SHORT) {
            return error.kind();
        }
    }
}

/// Bytes that repeat late enough to show displaced ones, and none of which ends a line.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8 ^ (i / 251) as u8 | 0x80).collect()
}

/// The client says something and hears it.
pub(super) fn echoes(connection: &mut Connection) -> io::Result<()> {
    connection.writer.write(b"are you there?\0", LONG)?;
    let deadline = Instant::now() + LONG;
    let mut heard = Vec::new();
    let mut bytes = [0; 64];
    while heard.len() < 15 && Instant::now() < deadline {
        let got = connection.reader.read(&mut bytes, SHORT)?;
        heard.extend_from_slice(&bytes[..got]);
    }
    assert_eq!(heard, b"are you there?\0");
    Ok(())
}

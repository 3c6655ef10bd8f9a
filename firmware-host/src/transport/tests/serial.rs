//! Serial ports, played by pseudo-terminals.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, LocalModes, tcgetattr};
use tempfile::TempDir;

use super::super::*;
use super::support::*;

/// A cable: the far end, and a link to the device of the near one.
struct Cable {
    far: File,
    port: PathBuf,
}

impl Cable {
    fn plug(port: &Path) -> Self {
        let far: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let device = ptsname(&far, Vec::new()).unwrap();
        std::os::unix::fs::symlink(device.to_str().unwrap(), port).unwrap();
        Cable { far: File::from(far), port: port.into() }
    }

    fn unplug(self) {
        fs::remove_file(&self.port).unwrap();
    }

    fn hear(&mut self, wanted: usize) -> Vec<u8> {
        let mut bytes = vec![0; wanted];
        self.far.read_exact(&mut bytes).unwrap();
        bytes
    }
}

fn endpoint(port: &Path) -> Endpoint {
    Endpoint::Serial { path: port.into(), baud: 921_600, rts_cts: false }
}

#[test]
fn every_byte_passes_unchanged_both_ways() {
    let folder = TempDir::new().unwrap();
    let port = folder.path().join("port");
    let mut cable = Cable::plug(&port);
    let echo = Echo::at(&endpoint(&port), &Options::default());
    let bytes: Vec<u8> = (0..=255).collect();
    for _ in 0..20 {
        cable.far.write_all(&bytes).unwrap();
        assert_eq!(cable.hear(256), bytes);
    }
    echo.end();
}

#[test]
fn a_port_that_is_missing_and_vanishes_is_served_whenever_it_is_there() {
    let folder = TempDir::new().unwrap();
    let port = folder.path().join("port");
    let service = Taker::at(&endpoint(&port), &Options::default());
    for round in 0..3 {
        let mut cable = Cable::plug(&port);
        let mut connection = service.take();
        cable.far.write_all(&[round; 10]).unwrap();
        assert_eq!(read_exactly(connection.reader.as_mut(), 10), [round; 10]);
        connection.writer.write(b"here", LONG).unwrap();
        assert_eq!(cable.hear(4), b"here");
        cable.unplug();
        read_to_end(connection.reader.as_mut());
        assert!(connection.writer.write(b"gone", LONG).is_err());
    }
    service.end();
}

#[test]
fn the_line_is_raw_and_its_speed_can_be_changed() {
    let folder = TempDir::new().unwrap();
    let port = folder.path().join("port");
    let mut cable = Cable::plug(&port);
    let service = Taker::at(&Endpoint::Serial { path: port, baud: 57_600, rts_cts: true }, &Options::default());
    let mut connection = service.take();
    assert_eq!((connection.peer.baud, connection.peer.trusted), (Some(57_600), true));
    let line = tcgetattr(&cable.far).unwrap();
    assert_eq!(line.output_speed(), 57_600);
    assert!(!line.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
    assert!(line.control_modes.contains(ControlModes::CS8 | ControlModes::CRTSCTS));
    assert!(!line.control_modes.intersects(ControlModes::PARENB | ControlModes::CSTOPB));

    // Any number of bauds, not only those with a name.
    for baud in [115_200, 250_000, 1_234_567] {
        connection.writer.set_baud(baud).unwrap();
        let line = tcgetattr(&cable.far).unwrap();
        assert_eq!((line.output_speed(), line.input_speed()), (baud, baud));
        cable.far.write_all(b"still here").unwrap();
        assert_eq!(read_exactly(connection.reader.as_mut(), 10), b"still here");
    }
    let refused = connection.writer.set_baud(0).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    assert_eq!(tcgetattr(&cable.far).unwrap().output_speed(), 1_234_567);
    service.end();
}

#[test]
fn a_far_end_that_does_not_read_times_out_and_can_go_on() {
    let folder = TempDir::new().unwrap();
    let port = folder.path().join("port");
    let mut cable = Cable::plug(&port);
    let service = Taker::at(&endpoint(&port), &Options::default());
    let mut connection = service.take();
    let mut sent = 0;
    let error = loop {
        match connection.writer.write(&[b'a'; 1000], SHORT) {
            Ok(()) => sent += 1000,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // The line is not lost for that: the far end reads on, and finds the next packet behind a delimiter.
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut byte = [0];
        while !all.ends_with(b"\0next\0") {
            cable.far.read_exact(&mut byte).unwrap();
            all.extend_from_slice(&byte);
        }
        (cable, all.len())
    });
    connection.writer.write(b"\0next\0", LONG).unwrap();
    let (cable, heard) = reading.join().unwrap();
    assert!((sent + 6..sent + 1006).contains(&heard), "{heard} bytes of {sent} and a part");
    drop(cable);
    service.end();
}

#[test]
fn closing_wakes_the_reader_and_the_port_is_opened_anew() {
    let folder = TempDir::new().unwrap();
    let port = folder.path().join("port");
    let _cable = Cable::plug(&port);
    let service = Taker::at(&endpoint(&port), &Options::default());
    let Connection { mut reader, mut writer, .. } = service.take();
    let waiting = std::thread::spawn(move || reader.read(&mut [0; 8], LONG * 10).unwrap_err().kind());
    writer.close();
    assert_eq!(waiting.join().unwrap(), io::ErrorKind::UnexpectedEof);
    assert!(writer.write(b"more", LONG).is_err());
    drop(writer);
    service.take();
    service.end();
}

#[test]
fn what_cannot_be_a_port_is_told_at_the_start() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, Path::new("/dev/null")] {
        let error = Echo::try_at(&endpoint(path), &Options::default()).err().unwrap().to_string();
        assert!(error.contains("no serial port"), "{error}");
    }
    assert!(Echo::try_at(&endpoint(folder.path()), &Options::default()).is_err());
    let missing = connect(&endpoint(&folder.path().join("missing")), LONG).unwrap_err().to_string();
    assert!(missing.contains("plugged in"), "{missing}");

    let port = folder.path().join("port");
    let _cable = Cable::plug(&port);
    let service = Taker::at(&endpoint(&port), &Options::default());
    let first = service.take();
    let second = connect(&endpoint(&port), LONG).unwrap_err().to_string();
    assert!(second.contains("in use"), "{second}");
    drop(first);
    service.end();
}

/// Two pseudo-terminals and a process that carries bytes between them.
struct Socat(Child);

impl Socat {
    fn between(one: &Path, other: &Path) -> Option<Self> {
        let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
        let mut command = Command::new("socat");
        let child = command.args([end(one), end(other)]).stderr(Stdio::null()).spawn().ok()?;
        let start = Instant::now();
        while !(one.exists() && other.exists()) {
            assert!(start.elapsed() < LONG, "socat makes no terminals");
            std::thread::yield_now();
        }
        Some(Socat(child))
    }
}

impl Drop for Socat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_line_whose_carrier_is_killed_and_brought_back_is_served_again() {
    let folder = TempDir::new().unwrap();
    let (near, far) = (folder.path().join("near"), folder.path().join("far"));
    let Some(mut socat) = Socat::between(&near, &far) else {
        not_checked("a serial line carried by another process (socat is not installed)");
        return;
    };
    let service = Taker::at(&endpoint(&near), &Options::default());
    for round in 0..3 {
        let mut served = service.take();
        let mut client = connect(&endpoint(&far), LONG).unwrap();
        client.writer.write(b"hello", LONG).unwrap();
        assert_eq!(read_exactly(served.reader.as_mut(), 5), b"hello", "round {round}");
        served.writer.write(b"there", LONG).unwrap();
        assert_eq!(read_exactly(client.reader.as_mut(), 5), b"there");
        drop(socat);
        read_to_end(served.reader.as_mut());
        read_to_end(client.reader.as_mut());
        // A killed process leaves its links.
        let _ = (fs::remove_file(&near), fs::remove_file(&far));
        drop(served);
        socat = Socat::between(&near, &far).unwrap();
    }
    service.end();
}

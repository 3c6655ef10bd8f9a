//! Serial lines: their speed, and changing it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;
use tempfile::TempDir;

use super::super::*;
use super::fake::*;
use super::talk::{asked, is_right, patient};

/// Two pseudo-terminals and a thread that carries bytes between them; wrongly, while the two are set to different speeds, or
/// to more than the cable can carry.
struct Cable {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    fn between(one: &Path, other: &Path) -> Self {
        let ends = [one, other].map(|link| {
            let end: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
            grantpt(&end).unwrap();
            unlockpt(&end).unwrap();
            std::os::unix::fs::symlink(ptsname(&end, Vec::new()).unwrap().to_str().unwrap(), link).unwrap();
            File::from(end)
        });
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(u32::MAX)));
        let (stopped, limit) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = thread::spawn(move || carry(ends, &stopped, &limit));
        Cable { stop, most, thread: Some(thread) }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn carry(mut ends: [File; 2], stop: &AtomicBool, most: &AtomicU32) {
    let mut bytes = [0; 1024];
    while !stop.load(Ordering::SeqCst) {
        let soon = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        let ready: Vec<bool> = {
            let mut fds = [PollFd::new(&ends[0], PollFlags::IN), PollFd::new(&ends[1], PollFlags::IN)];
            poll(&mut fds, Some(&soon)).unwrap();
            fds.iter().map(|fd| fd.revents().contains(PollFlags::IN)).collect()
        };
        if !ready.contains(&true) {
            // An end that nobody has open hangs up at once.
            thread::sleep(Duration::from_millis(1));
        }
        for (from, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            let Ok(got) = ends[from].read(&mut bytes) else { continue };
            let speeds = [0, 1].map(|end| tcgetattr(&ends[end]).unwrap().output_speed());
            if speeds[0] != speeds[1] || speeds[0] > most.load(Ordering::SeqCst) {
                bytes[..got].iter_mut().for_each(|byte| *byte = byte.rotate_left(3) ^ 0x5a);
            }
            let _ = ends[1 - from].write_all(&bytes[..got]);
        }
    }
}

/// A service at one end of a cable, and a client at the other.
fn line(fake: &Fake, folder: &TempDir) -> (Cable, Served, Client) {
    let [near, far] = ["near", "far"].map(|name| folder.path().join(name));
    let cable = Cable::between(&near, &far);
    let served = fake.at(&Endpoint::Serial { path: near, baud: 115_200, rts_cts: false });
    let client = Client::connect(&Endpoint::Serial { path: far, baud: 115_200, rts_cts: false }, patient()).unwrap();
    (cable, served, client)
}

#[test]
fn the_speed_is_changed_on_both_sides() {
    let folder = TempDir::new().unwrap();
    let (cable, served, mut client) = line(&Fake::default(), &folder);
    for baud in [921_600, 57_600] {
        client.set_baud(baud).unwrap();
        is_right(&client.prompt(&asked()).unwrap(), &asked());
        assert_eq!(client.link.baud(), baud);
    }
    drop(cable);
    served.end();
}

#[test]
fn a_speed_that_the_line_does_not_carry_is_taken_back() {
    let folder = TempDir::new().unwrap();
    // The service falls back by not having changed: the fake has no clock for that.
    let (cable, served, mut client) = line(&Fake { keeps_speed: true, ..Fake::default() }, &folder);
    cable.most.store(500_000, Ordering::SeqCst);
    let error = client.set_baud(921_600).unwrap_err();
    assert!(matches!(error, ClientError::Baud { wanted: 921_600, kept: 115_200 }), "{error}");
    is_right(&client.prompt(&asked()).unwrap(), &asked());
    drop(cable);
    served.end();
}

#[test]
fn a_cable_that_is_unplugged_and_plugged_in_again_is_used_again() {
    let folder = TempDir::new().unwrap();
    let fake = Fake::default();
    let (cable, served, mut client) = line(&fake, &folder);
    is_right(&client.prompt(&asked()).unwrap(), &asked());
    drop(cable);
    let [near, far] = ["near", "far"].map(|name| folder.path().join(name));
    fs::remove_file(&near).unwrap();
    fs::remove_file(&far).unwrap();
    let _cable = Cable::between(&near, &far);
    is_right(&client.prompt(&asked()).unwrap(), &asked());
    assert!(fake.count("Hello") >= 2);
    served.end();
}

#[test]
fn sockets_have_no_speed() {
    let served = Fake::default().at(&super::talk::tcp());
    let mut client = Client::connect(&served.local(), patient()).unwrap();
    assert!(client.set_baud(9600).unwrap_err().to_string().contains("serial lines"));
    served.end();
}

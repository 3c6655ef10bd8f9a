//! A real service manager's socket, and this program run again as the service.

use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_part_is_missed_when_its_time_is_up_and_not_before() {
    let heart = Heart::new();
    assert_eq!(heart.check(), Ok(()));
    let quick = heart.pulse("the source", Duration::ZERO);
    let slow = heart.pulse("the worker", Duration::from_secs(3600));
    thread::sleep(Duration::from_millis(1));
    let reason = heart.check().unwrap_err();
    assert!(reason.starts_with("the source does not answer: it is "), "{reason}");
    quick.rest();
    assert_eq!(heart.check(), Ok(()));
    quick.beat(Duration::MAX);
    assert_eq!(heart.check(), Ok(()));
    slow.beat(Duration::ZERO);
    thread::sleep(Duration::from_millis(1));
    assert!(heart.check().unwrap_err().contains("the worker"));
    drop(slow);
    assert_eq!(heart.check(), Ok(()), "a part that ends in peace is not missed");
}

#[test]
fn a_part_that_panics_is_not_forgotten() {
    let heart = Heart::new();
    let pulse = heart.pulse("the worker", PATIENCE);
    let crashed = thread::spawn(move || {
        let _pulse = pulse;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(crashed.join().is_err());
    assert_eq!(heart.check(), Err("the worker has crashed".into()));
}

/// Not a test of its own: the service of the tests below, a step for each byte that it reads.
#[test]
fn service() {
    if std::env::var_os("CUTOUT_TEST_SERVICE").is_none() {
        return;
    }
    let step = || std::io::stdin().read_exact(&mut [0]).unwrap();
    let readiness = Readiness::new();
    let heart = Heart::new();
    readiness.ready("serving\nMAINPID=1\non two ports");
    step();
    let pulse = heart.pulse("the worker", PATIENCE);
    let watchdog = readiness.watch(&heart);
    step();
    pulse.beat(Duration::ZERO);
    step();
    pulse.beat(PATIENCE);
    step();
    drop(watchdog);
    readiness.stopping();
}

fn run(socket: &std::path::Path, watchdog_usec: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["service::readiness::tests::service", "--exact"]).stdin(Stdio::piped()).stdout(Stdio::null());
    command.env("CUTOUT_TEST_SERVICE", "1").env("NOTIFY_SOCKET", socket);
    command.env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
    if let Some(usec) = watchdog_usec {
        command.env("WATCHDOG_USEC", usec);
    }
    command.spawn().unwrap()
}

fn manager(folder: &tempfile::TempDir) -> (UnixDatagram, std::path::PathBuf) {
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (socket, path)
}

fn told(socket: &UnixDatagram) -> String {
    let mut datagram = [0; 512];
    let n = socket.recv(&mut datagram).expect("the service tells something");
    String::from_utf8(datagram[..n].to_vec()).unwrap()
}

#[test]
fn the_manager_is_told_of_start_life_trouble_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, path) = manager(&folder);
    let mut service = run(&path, Some("20000"));
    let mut step = service.stdin.take().unwrap();
    assert_eq!(told(&socket), "READY=1\nSTATUS=serving MAINPID=1 on two ports\n");
    step.write_all(b".").unwrap();
    for _ in 0..3 {
        assert_eq!(told(&socket), "WATCHDOG=1\n");
    }
    step.write_all(b".").unwrap();
    let reason = (0..).map(|_| told(&socket)).find(|state| state != "WATCHDOG=1\n").unwrap();
    assert!(reason.starts_with("STATUS=the worker does not answer"), "{reason}");
    // Ten intervals of silence: the watchdog is not fed.
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(socket.recv(&mut [0; 512]).is_err());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    step.write_all(b".").unwrap();
    assert_eq!(told(&socket), "WATCHDOG=1\nSTATUS=well again\n");
    step.write_all(b".").unwrap();
    let end = (0..).map(|_| told(&socket)).find(|state| state != "WATCHDOG=1\n").unwrap();
    assert_eq!(end, "STOPPING=1\nSTATUS=stopping\n");
    assert!(service.wait().unwrap().success());
}

#[test]
fn without_a_watchdog_or_with_a_manager_that_has_gone_the_service_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    for interval in [None, Some("0"), Some("soon")] {
        let (socket, path) = manager(&folder);
        let mut service = run(&path, interval);
        assert!(told(&socket).starts_with("READY=1\n"));
        std::fs::remove_file(&path).unwrap();
        drop(socket);
        service.stdin.take().unwrap().write_all(b"....").unwrap();
        assert!(service.wait().unwrap().success());
    }
}

#[test]
fn systemd_understands_the_unit() {
    let unit = include_str!("../../../../docs/cutout.service");
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nWatchdogSec="));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cutout.service");
    // systemd looks for the program, too: any will do.
    let program = std::env::current_exe().unwrap();
    std::fs::write(&path, unit.replace("/usr/local/bin/cutout", &program.to_string_lossy())).unwrap();
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
        let _ = writeln!(std::io::stderr(), "NOT CHECKED: docs/cutout.service: systemd-analyze is not installed");
        return;
    };
    // What it does not understand is a warning only.
    let said = String::from_utf8_lossy(&output.stderr);
    let about_it: Vec<_> = said.lines().filter(|line| line.contains("cutout.service")).collect();
    assert!(output.status.success() && about_it.is_empty(), "{said}");
}

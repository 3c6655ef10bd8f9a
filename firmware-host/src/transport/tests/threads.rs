//! Nothing is left when all has ended.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::*;
use super::support::*;

/// Threads of this process whose names begin so. Names end in ports or file names of this test alone.
fn threads(label: &str) -> usize {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0 };
    let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == label).count()
}

#[test]
fn stopping_ends_every_thread_with_clients_of_all_kinds_connected() {
    if !fs::exists("/proc/self/task").unwrap() {
        not_checked("threads that are left (this system has no /proc)");
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("of-threads");
    let label = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(address) => format!("tcp:{}", address.port()),
        Endpoint::Udp(address) => format!("udp:{}", address.port()),
        Endpoint::WebSocket(address) => format!("ws:{}", address.port()),
        Endpoint::Unix(_) => "unix:of-threads".into(),
        Endpoint::Serial { .. } => "serial:missing".into(),
    };
    let endpoints = [
        super::tcp::anywhere(),
        super::udp::anywhere(),
        super::websocket::anywhere(),
        Endpoint::Unix(path),
        Endpoint::Serial { path: folder.path().join("missing"), baud: 9600, rts_cts: false },
    ];
    let echoes_of: Vec<Echo> = endpoints.iter().map(|e| Echo::at(e, &Options::default())).collect();
    let mut clients = Vec::new();
    let mut loiterers = Vec::new();
    for echo in &echoes_of {
        if let Endpoint::WebSocket(address) = echo.local() {
            let mut loiterer = TcpStream::connect(address).unwrap();
            loiterer.write_all(b"GET / HTTP/1.1\r\n").unwrap();
            loiterers.push(loiterer);
        }
        if !matches!(echo.local(), Endpoint::Serial { .. }) {
            for _ in 0..3 {
                let mut client = connect(&echo.local(), LONG).unwrap();
                echoes(&mut client).unwrap();
                clients.push(client);
            }
        }
    }
    let labels: Vec<String> = echoes_of.iter().map(|echo| label(&echo.local())).collect();
    for label in &labels {
        assert!(threads(label) >= 1, "no thread is called {label}");
    }
    let start = Instant::now();
    echoes_of.into_iter().for_each(Echo::end);
    // Patience of tens of seconds is nowhere waited for.
    assert!(start.elapsed() < Duration::from_secs(20), "stopping took {:?}", start.elapsed());
    // A thread that has been joined may still be listed for a moment.
    while labels.iter().any(|label| threads(label) > 0) {
        assert!(start.elapsed() < LONG, "threads are left");
        std::thread::yield_now();
    }
    drop((clients, loiterers));
}

#[test]
fn a_flag_wakes_all_who_wait_and_stays_set() {
    let stop = Stop::new().unwrap();
    assert!(!stop.wait(Duration::from_millis(1)) && !stop.is_set());
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || stop.wait(LONG * 10))
        })
        .collect();
    let flag = stop.flag();
    stop.set();
    stop.set();
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
    assert!(stop.is_set() && flag.load(std::sync::atomic::Ordering::SeqCst) && stop.wait(Duration::MAX));
}

#[test]
fn descriptors_are_given_back() {
    let Ok(count) = fs::read_dir("/proc/self/fd").map(Iterator::count) else { return };
    let echo = Echo::at(&super::tcp::anywhere(), &Options::default());
    for _ in 0..300 {
        echoes(&mut connect(&echo.local(), LONG).unwrap()).unwrap();
    }
    echo.end();
    // Tests beside this one have descriptors of their own, but not hundreds more.
    assert!(fs::read_dir("/proc/self/fd").unwrap().count() < count + 250);
}

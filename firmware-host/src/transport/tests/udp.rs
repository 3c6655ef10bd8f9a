//! UDP: a virtual connection per peer, and strangers who send.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::*;
use super::support::*;

pub(super) fn anywhere() -> Endpoint {
    Endpoint::Udp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn raw(endpoint: &Endpoint) -> UdpSocket {
    let Endpoint::Udp(address) = endpoint else { panic!("{endpoint} is no UDP endpoint") };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

#[test]
fn each_peer_has_a_connection_and_each_packet_a_datagram() {
    let service = Taker::at(&anywhere(), &Options::default());
    let local = service.listener.local().clone();
    let (one, two) = (raw(&local), raw(&local));
    one.send(b"first of one\0").unwrap();
    let mut to_one = service.take();
    assert!(to_one.peer.trusted);
    assert_eq!(to_one.peer.name, format!("udp {}", one.local_addr().unwrap()));
    two.send(b"first of two\0").unwrap();
    let mut to_two = service.take();
    one.send(b"second of one\0").unwrap();

    let mut bytes = [0; 8];
    let mut read = |connection: &mut Connection| {
        let got = connection.reader.read(&mut bytes, LONG).unwrap();
        bytes[..got].to_vec()
    };
    // A datagram that is longer than the buffer comes in parts, and its end ends a read.
    for part in [b"first of".as_slice(), b" one\0", b"second o", b"f one\0"] {
        assert_eq!(read(&mut to_one), part);
    }
    assert_eq!(read(&mut to_two), b"first of");

    // The socket of the answer is the one that was asked: a connected socket takes no others.
    to_one.writer.write(b"a\0", LONG).unwrap();
    to_one.writer.write(b"bc\0", LONG).unwrap();
    to_two.writer.write(b"d\0", LONG).unwrap();
    for (socket, packet) in [(&one, b"a\0".as_slice()), (&one, b"bc\0"), (&two, b"d\0")] {
        let mut bytes = [0; 100];
        let got = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..got], packet);
    }
    let too_long = to_one.writer.write(&vec![0; 70_000], LONG).unwrap_err();
    assert_ne!(too_long.kind(), io::ErrorKind::TimedOut);
    service.end();
}

#[test]
fn our_client_and_service_understand_each_other() {
    let echo = Echo::at(&anywhere(), &Options::default());
    let mut client = connect(&echo.local(), LONG).unwrap();
    for _ in 0..100 {
        echoes(&mut client).unwrap();
    }
    client.writer.close();
    assert_eq!(read_to_end(client.reader.as_mut()), io::ErrorKind::UnexpectedEof);
    let nobody = echo.local();
    echo.end();
    // The refusal comes with the system's next error.
    let mut client = connect(&nobody, LONG).unwrap();
    client.writer.write(b"anybody?\0", LONG).unwrap();
    assert_eq!(client.reader.read(&mut [0; 8], LONG).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn silent_peers_are_forgotten_and_may_come_again() {
    let options = Options { udp_idle: Duration::from_millis(200), ..Options::default() };
    let service = Taker::at(&anywhere(), &options);
    let socket = raw(service.listener.local());
    for _ in 0..2 {
        socket.send(b"hello\0").unwrap();
        let mut connection = service.take();
        assert_eq!(read_exactly(connection.reader.as_mut(), 6), b"hello\0");
        // Answers are no sign of life: else a forged address could be sent to for ever.
        let ended = loop {
            let _ = connection.writer.write(b"still there?\0", LONG);
            if let Err(error) = connection.reader.read(&mut [0; 8], Duration::from_millis(20)) {
                break error;
            }
        };
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted);
        assert!(connection.writer.write(b"gone\0", LONG).is_err());
    }
    service.end();
}

#[test]
fn who_is_not_read_loses_the_oldest_datagrams() {
    let service = Taker::at(&anywhere(), &Options::default());
    let socket = raw(service.listener.local());
    socket.send(&u32::to_le_bytes(0)).unwrap();
    let mut connection = service.take();
    let other = raw(service.listener.local());
    other.send(b"hello").unwrap();
    let mut pace = service.take();
    read_exactly(pace.reader.as_mut(), 5);
    for number in 1..2000_u32 {
        socket.send(&number.to_le_bytes()).unwrap();
        // What comes behind has arrived, so this has: the system's buffer must not be what loses datagrams.
        if number % 50 == 0 || number == 1999 {
            other.send(b"!").unwrap();
            read_exactly(pace.reader.as_mut(), 1);
        }
    }
    let mut numbers = Vec::new();
    let mut bytes = [0; 4];
    while connection.reader.read(&mut bytes, Duration::ZERO).unwrap() > 0 {
        numbers.push(u32::from_le_bytes(bytes));
    }
    assert_eq!(numbers, (2000 - 64..2000).collect::<Vec<u32>>());
    service.end();
}

#[test]
fn a_flood_of_strangers_is_bounded_and_does_not_lock_others_out() {
    let options = Options { max_clients: 8, ..Options::default() };
    let stop = Stop::new().unwrap();
    let (stopped, now, most) = (stop.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let serve = move |connection: Connection| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        echo(connection, &stopped);
        now.fetch_sub(1, Ordering::SeqCst);
    };
    let listener = listen(&anywhere(), &options, stop.clone(), serve).unwrap();
    let local = listener.local().clone();
    let mut friend = connect(&local, LONG).unwrap();
    echoes(&mut friend).unwrap();
    echoes(&mut friend).unwrap();
    let strangers: Vec<UdpSocket> = (0..200).map(|_| raw(&local)).collect();
    for stranger in &strangers {
        stranger.send(b"?").unwrap();
    }
    echoes(&mut friend).unwrap();
    // A newcomer who keeps asking gets the place of one who sent a single datagram.
    let newcomer = raw(&local);
    newcomer.set_read_timeout(Some(SHORT)).unwrap();
    let start = Instant::now();
    while newcomer.recv(&mut [0; 8]).is_err() {
        assert!(start.elapsed() < LONG, "the newcomer is locked out");
        newcomer.send(b"please\0").unwrap();
    }
    echoes(&mut friend).unwrap();
    stop.set();
    listener.join();
    // A connection's thread counts a moment longer than its place.
    let most = most.load(Ordering::SeqCst);
    assert!((2..=9).contains(&most), "{most} at once");
}

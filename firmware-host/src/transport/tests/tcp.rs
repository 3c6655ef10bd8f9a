//! TCP: many clients, bad clients, clients that leave in every way.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::super::*;
use super::support::*;

pub(super) fn anywhere() -> Endpoint {
    Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn raw(endpoint: &Endpoint) -> TcpStream {
    let Endpoint::Tcp(address) = endpoint else { panic!("{endpoint} is no TCP endpoint") };
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

#[test]
fn both_directions_carry_bytes_as_they_are() {
    let echo = Echo::at(&anywhere(), &Options::default());
    let mut client = connect(&echo.local(), LONG).unwrap();
    assert_eq!(client.peer.name, echo.local().to_string().replacen(':', " ", 1));
    assert!(client.peer.trusted && client.peer.baud.is_none());
    let bytes = pattern(300_000);
    let Connection { reader, writer, .. } = &mut client;
    thread::scope(|scope| {
        scope.spawn(|| bytes.chunks(1045).for_each(|packet| writer.write(packet, LONG).unwrap()));
        assert_eq!(read_exactly(reader.as_mut(), bytes.len()), bytes);
    });
    assert!(writer.set_baud(9600).is_err_and(|e| e.kind() == io::ErrorKind::Unsupported));
    echo.end();
}

#[test]
fn sixty_four_clients_are_served_at_once() {
    let echo = Echo::at(&anywhere(), &Options::default());
    let mut clients: Vec<Connection> = (0..64).map(|_| connect(&echo.local(), LONG).unwrap()).collect();
    for client in &mut clients {
        echoes(client).unwrap();
    }
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || (0..20).for_each(|_| echoes(client).unwrap()));
        }
    });
    echo.end();
}

#[test]
fn who_finds_no_place_is_closed_at_once_and_a_place_is_free_again() {
    let service = Taker::at(&anywhere(), &Options { max_clients: 2, ..Options::default() });
    let local = service.listener.local().clone();
    let _first = connect(&local, LONG).unwrap();
    let second = connect(&local, LONG).unwrap();
    let (_served, left) = (service.take(), service.take());
    let mut third = connect(&local, LONG).unwrap();
    read_to_end(third.reader.as_mut());
    // Half a connection keeps the place, nothing frees it.
    drop((second, left.reader));
    read_to_end(connect(&local, LONG).unwrap().reader.as_mut());
    drop(left.writer);
    let _fourth = connect(&local, LONG).unwrap();
    service.take();
    service.end();
}

#[test]
fn a_client_that_stops_reading_times_out_and_disturbs_nobody() {
    let service = Taker::at(&anywhere(), &Options::default());
    let local = service.listener.local().clone();
    let deaf = raw(&local);
    let mut to_deaf = service.take();
    let packet = [7; 65_536];
    thread::scope(|scope| {
        let full = scope.spawn(move || {
            loop {
                if let Err(error) = to_deaf.writer.write(&packet, SHORT) {
                    return (to_deaf, error);
                }
            }
        });
        let mut client = connect(&local, LONG).unwrap();
        let mut served = service.take();
        for _ in 0..50 {
            client.writer.write(b"ping", LONG).unwrap();
            assert_eq!(read_exactly(served.reader.as_mut(), 4), b"ping");
            served.writer.write(b"pong", LONG).unwrap();
            assert_eq!(read_exactly(client.reader.as_mut(), 4), b"pong");
        }
        let (mut to_deaf, error) = full.join().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // A part of a packet is out, so nothing that follows could be understood.
        assert_eq!(to_deaf.writer.write(b"more", LONG).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        read_to_end(to_deaf.reader.as_mut());
    });
    drop(deaf);
    service.end();
}

#[test]
fn patience_ends_on_time_and_not_before() {
    let service = Taker::at(&anywhere(), &Options::default());
    let _silent = raw(service.listener.local());
    let mut connection = service.take();
    for patience in [Duration::ZERO, Duration::from_micros(300), SHORT] {
        let start = Instant::now();
        assert_eq!(connection.reader.read(&mut [0; 8], patience).unwrap(), 0);
        assert!(start.elapsed() >= patience && start.elapsed() < LONG);
    }
    // Patience beyond all clocks is no overflow.
    assert_eq!(connection.reader.read(&mut [], Duration::MAX).unwrap(), 0);
    connection.writer.write(b"x", Duration::MAX).unwrap();
    connection.writer.write(b"x", Duration::ZERO).unwrap();
    service.end();
}

#[test]
fn who_has_said_all_still_gets_the_answer() {
    let service = Taker::at(&anywhere(), &Options::default());
    let mut client = raw(service.listener.local());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut connection = service.take();
    assert_eq!(read_exactly(connection.reader.as_mut(), 8), b"question");
    assert_eq!(read_to_end(connection.reader.as_mut()), io::ErrorKind::UnexpectedEof);
    connection.writer.write(b"answer", LONG).unwrap();
    drop(connection);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    service.end();
}

#[test]
fn closing_delivers_what_was_written_and_wakes_the_reader() {
    let service = Taker::at(&anywhere(), &Options::default());
    let mut client = raw(service.listener.local());
    let Connection { mut reader, mut writer, .. } = service.take();
    let waiting = thread::spawn(move || reader.read(&mut [0; 8], LONG * 10).unwrap_err().kind());
    writer.write(b"farewell", LONG).unwrap();
    writer.close();
    assert_eq!(waiting.join().unwrap(), io::ErrorKind::UnexpectedEof);
    assert!(writer.write(b"more", LONG).is_err());
    let mut last = Vec::new();
    client.read_to_end(&mut last).unwrap();
    assert_eq!(last, b"farewell");
    service.end();
}

#[test]
fn a_client_whose_service_panics_takes_nobody_along() {
    let stop = Stop::new().unwrap();
    let refuse = |mut connection: Connection| {
        let mut byte = [0];
        let _ = connection.reader.read(&mut byte, LONG);
        assert_ne!(byte, *b"!", "this panic is part of the test");
        let _ = connection.writer.write(&byte, LONG);
    };
    let options = Options { max_clients: 1, ..Options::default() };
    let listener = listen(&anywhere(), &options, stop.clone(), refuse).unwrap();
    let mut bad = raw(listener.local());
    bad.write_all(b"!").unwrap();
    assert_eq!(bad.read(&mut [0]).unwrap(), 0);
    // The place of the one is free for the next.
    let mut good = raw(listener.local());
    good.write_all(b".").unwrap();
    good.read_exact(&mut [0]).unwrap();
    stop.set();
    listener.join();
}

#[test]
fn all_addresses_of_ipv6_are_those_of_ipv4_as_well() {
    let everywhere = Endpoint::Tcp("[::]:0".parse().unwrap());
    let Ok(echo) = Echo::try_at(&everywhere, &Options::default()) else {
        not_checked("this machine has no IPv6");
        return;
    };
    assert!(!echo.local().is_loopback());
    let Endpoint::Tcp(address) = echo.local() else { unreachable!() };
    for host in ["127.0.0.1", "[::1]"] {
        let endpoint: Endpoint = format!("{host}:{}", address.port()).parse().unwrap();
        echoes(&mut connect(&endpoint, LONG).unwrap()).unwrap();
    }
    echo.end();
}

#[test]
fn errors_name_the_endpoint_and_who_must_act() {
    let echo = Echo::at(&anywhere(), &Options::default());
    let taken = Echo::try_at(&echo.local(), &Options::default()).err().unwrap().to_string();
    assert!(taken.contains(&echo.local().to_string()) && taken.contains("another program"), "{taken}");
    let elsewhere = Endpoint::Tcp("192.0.2.1:1".parse().unwrap());
    let foreign = Echo::try_at(&elsewhere, &Options::default()).err().unwrap().to_string();
    assert!(foreign.contains("no such address"), "{foreign}");
    let local = echo.local();
    echo.end();
    let nobody = connect(&local, LONG).unwrap_err().to_string();
    assert!(nobody.contains(&local.to_string()) && nobody.contains("cutout serve"), "{nobody}");
}

//! WebSockets, spoken with an independent implementation, with browsers' headers and with bad clients.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket, client};

use super::super::*;
use super::support::*;

pub(super) fn anywhere() -> Endpoint {
    Endpoint::WebSocket(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn address(endpoint: &Endpoint) -> SocketAddr {
    let Endpoint::WebSocket(address) = endpoint else { panic!("{endpoint} is no WebSocket endpoint") };
    *address
}

fn dial(endpoint: &Endpoint) -> TcpStream {
    let stream = TcpStream::connect(address(endpoint)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// A client of another implementation.
fn foreign(endpoint: &Endpoint) -> WebSocket<TcpStream> {
    client(format!("ws://{}/any/path", address(endpoint)), dial(endpoint)).unwrap().0
}

#[test]
fn messages_of_another_implementation_are_packets_and_lines() {
    let service = Taker::at(&anywhere(), &Options::default());
    let mut page = foreign(service.listener.local());
    let mut connection = service.take();
    assert_eq!(connection.peer.kind, Kind::WebSocket);
    assert!(connection.peer.trusted);
    page.send(Message::binary(b"packet\0".to_vec())).unwrap();
    page.send(Message::text("P 320 240")).unwrap();
    assert_eq!(read_exactly(connection.reader.as_mut(), 17), b"packet\0P 320 240\n");
    connection.writer.write(b"\x01answer\0", LONG).unwrap();
    connection.writer.write("a line: \u{fc}\n".as_bytes(), LONG).unwrap();
    assert_eq!(page.read().unwrap(), Message::binary(b"\x01answer\0".to_vec()));
    assert_eq!(page.read().unwrap(), Message::text("a line: \u{fc}"));

    let long = pattern(1 << 20);
    thread::scope(|scope| {
        scope.spawn(|| page.send(Message::binary(long.clone())).unwrap());
        assert!(read_exactly(connection.reader.as_mut(), long.len()) == long);
    });
    page.close(None).unwrap();
    assert_eq!(read_to_end(connection.reader.as_mut()), io::ErrorKind::UnexpectedEof);
    assert!(connection.writer.write(b"late\0", LONG).is_err());
    let farewell = page.read().unwrap();
    assert!(matches!(farewell, Message::Close(_)), "{farewell:?}");
    service.end();
}

#[test]
fn our_client_talks_to_another_implementation() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = Endpoint::WebSocket(listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        socket.send(Message::Ping(b"ping".to_vec().into())).unwrap();
        loop {
            match socket.read() {
                Ok(Message::Pong(bytes)) => assert_eq!(bytes, b"ping".as_slice()),
                Ok(message @ (Message::Binary(_) | Message::Text(_))) => socket.send(message).unwrap(),
                Ok(Message::Close(frame)) => return frame.unwrap().code,
                other => panic!("{other:?}"),
            }
        }
    });
    let mut client = connect(&local, LONG).unwrap();
    for length in [1, 125, 126, 65_536] {
        let packet = pattern(length);
        client.writer.write(&packet, LONG).unwrap();
        assert!(read_exactly(client.reader.as_mut(), length) == packet);
    }
    client.writer.write(b"GO\n", LONG).unwrap();
    assert_eq!(read_exactly(client.reader.as_mut(), 3), b"GO\n");
    client.writer.close();
    assert_eq!(serving.join().unwrap(), CloseCode::Normal);
}

#[test]
fn both_threads_work_at_once_and_pings_are_answered_between() {
    let echo = Echo::at(&anywhere(), &Options::default());
    let mut client = connect(&echo.local(), LONG).unwrap();
    let bytes = pattern(500_000);
    let Connection { reader, writer, .. } = &mut client;
    thread::scope(|scope| {
        scope.spawn(|| bytes.chunks(1045).for_each(|packet| writer.write(packet, LONG).unwrap()));
        assert!(read_exactly(reader.as_mut(), bytes.len()) == bytes);
    });

    let mut page = foreign(&echo.local());
    for round in 0..200_u32 {
        let (ping, packet) = (round.to_le_bytes().to_vec(), vec![round as u8 | 0x80; 2000]);
        page.send(Message::binary(packet.clone())).unwrap();
        page.send(Message::Ping(ping.clone().into())).unwrap();
        let mut echoed = Vec::new();
        let mut is_answered = false;
        while echoed.len() < packet.len() || !is_answered {
            match page.read().unwrap() {
                Message::Binary(part) => echoed.extend_from_slice(&part),
                Message::Pong(pong) => is_answered = pong == ping,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(echoed, packet);
    }
    echo.end();
}

#[test]
fn a_silent_writer_keeps_no_pong_back() {
    let service = Taker::at(&anywhere(), &Options::default());
    let mut page = foreign(service.listener.local());
    let Connection { mut reader, .. } = service.take();
    let reading = thread::spawn(move || read_to_end(reader.as_mut()));
    page.send(Message::Ping(b"x".to_vec().into())).unwrap();
    assert_eq!(page.read().unwrap(), Message::Pong(b"x".to_vec().into()));
    drop(page);
    reading.join().unwrap();
    service.end();
}

#[test]
fn a_page_that_stops_reading_times_out() {
    let service = Taker::at(&anywhere(), &Options::default());
    let deaf = foreign(service.listener.local());
    let mut connection = service.take();
    let error = loop {
        if let Err(error) = connection.writer.write(&[0; 65_536], SHORT) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(connection.writer.write(b"\0", LONG).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(deaf);
    service.end();
}

#[test]
fn a_message_against_the_rules_is_answered_with_its_code() {
    let service = Taker::at(&anywhere(), &Options::default());
    for (bytes, code) in [
        ([0x82, 0x01, b'x', 0, 0, 0, 0].as_slice(), CloseCode::Protocol),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 2, 3, 4], CloseCode::Size),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], CloseCode::Invalid),
    ] {
        let mut page = foreign(service.listener.local());
        let mut connection = service.take();
        page.get_mut().write_all(bytes).unwrap();
        assert_eq!(read_to_end(connection.reader.as_mut()), io::ErrorKind::InvalidData);
        match page.read().unwrap() {
            Message::Close(Some(frame)) => assert_eq!(frame.code, code),
            other => panic!("{other:?}"),
        }
    }
    service.end();
}

/// What the service answers to this request.
fn answer(endpoint: &Endpoint, request: &[u8]) -> String {
    let mut stream = dial(endpoint);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_no_request_for_a_websocket_is_told_why() {
    let echo = Echo::at(&anywhere(), &Options::default());
    let local = echo.local();
    let upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let long = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(9000));
    for (request, status, word) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_string(), "426", "WebSocket only"),
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n".into(), "400", ""),
        (format!("GET / HTTP/1.1\r\n{upgrade}\r\n"), "400", "Sec-WebSocket-Version"),
        ("\x01\x02\x03\r\n\r\n".into(), "400", ""),
        (long, "431", "8192"),
        (
            format!("GET / HTTP/1.1\r\n{upgrade}Origin: https://evil.example\r\n\r\n"),
            "403",
            "--allow-origin https://evil.example",
        ),
    ] {
        let answer = answer(&local, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(word), "{request:.80}: {answer}");
    }
    echo.end();
}

#[test]
fn pages_of_other_sites_are_refused_unless_they_are_allowed() {
    let service =
        Taker::at(&anywhere(), &Options { origins: vec!["https://ops.example".into()], ..Options::default() });
    let local = service.listener.local().clone();
    let ask = |origin: &str| {
        let mut request = format!("ws://{}/", address(&local)).into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        client(request, dial(&local)).map(|(socket, _)| socket).map_err(|error| error.to_string())
    };
    for origin in ["http://localhost:8000", "http://127.0.0.1", "https://ops.example"] {
        let _page = ask(origin).unwrap();
        service.take();
    }
    for origin in ["https://evil.example", "null"] {
        let error = ask(origin).unwrap_err();
        assert!(error.contains("403"), "{error}");
    }
    service.end();
}

#[test]
fn who_dawdles_with_the_handshake_is_cut_off_and_holds_nobody_up() {
    let options = Options { handshake: Duration::from_millis(300), ..Options::default() };
    let echo = Echo::at(&anywhere(), &options);
    let mut slow: Vec<TcpStream> = (0..20).map(|_| dial(&echo.local())).collect();
    slow[0].write_all(b"GET / HTTP/1.1\r\n").unwrap();
    echoes(&mut connect(&echo.local(), LONG).unwrap()).unwrap();
    // A byte now and then does not help.
    let start = Instant::now();
    while slow[0].write_all(b"x").is_ok() {
        assert!(start.elapsed() < LONG, "it is never cut off");
        thread::sleep(Duration::from_millis(20));
    }
    for mut stream in slow.drain(1..) {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    echo.end();
}

#[test]
fn our_client_says_why_it_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = Endpoint::WebSocket(listener.local_addr().unwrap());
    let good = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    for (answer, word) in [
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nfull\n".to_string(), "full"),
        (format!("{good}Sec-WebSocket-Accept: nonsense\r\n\r\n"), "another question"),
        ("SSH-2.0-OpenSSH\r\n\r\n".into(), "HTTP"),
        (String::new(), "closed"),
    ] {
        let listener = listener.try_clone().unwrap();
        let serving = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut request = [0; 4096];
            let got = stream.read(&mut request).unwrap();
            assert!(request[..got].starts_with(b"GET / HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = connect(&local, LONG).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        serving.join().unwrap();
    }
    // Who takes the call and says nothing.
    let error = connect(&local, SHORT).unwrap_err().to_string();
    assert!(error.contains("no answer"), "{error}");
}

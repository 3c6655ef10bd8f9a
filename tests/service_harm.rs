//! What one client does, or stops doing, is no harm to the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cutout::client::{Client, ClientError, Prompt, point};
use cutout::service::settings::Settings;
use cutout::transport::Endpoint;
use cutout_protocol::message::{Hello, Message, UploadBegin};
use cutout_protocol::{ErrorCode, Format, ItemSet, SCHEMA_HASH, Tag, encode};
use cutout_tests::service::{ask_in_text, client, scene_settings, small_model, start, tcp_of};

fn asked() -> Prompt {
    let mut prompt = Prompt { wanted: ItemSet::BBOX | ItemSet::RLE, ..Prompt::default() };
    prompt.points.extend([point(680.0, 200.0, true)]);
    prompt
}

fn packet(request: u32, message: &Message<'_>) -> Vec<u8> {
    let mut packet = vec![0; cutout_protocol::MAX_PACKET];
    let length = encode(Tag { flags: 0, seq: 1, request }, message, &mut packet).unwrap();
    packet.truncate(length);
    packet
}

fn hello() -> Vec<u8> {
    let token = Default::default();
    packet(1, &Hello { client: 77, schema: SCHEMA_HASH, max_payload: 1024, window: 0, token }.into())
}

/// Tests that count threads, and those that make some, one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads of this process; one more look where some are about to end.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn sixty_four_clients_at_once_are_all_answered_and_one_more_is_turned_away() {
    let _alone = alone();
    let settings = Settings { max_clients: Some(64), ..scene_settings() };
    let service = start(settings, small_model());
    let endpoint = Endpoint::Tcp(tcp_of(&service));
    let mut clients: Vec<Client> = (0..64).map(|_| client(&endpoint)).collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || (0..5).for_each(|_| drop(client.prompt(&asked()).unwrap())));
        }
    });
    assert_eq!(clients[0].status().unwrap().clients, 64);
    let mut extra = TcpStream::connect(tcp_of(&service)).unwrap();
    extra.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(extra.read(&mut [0]).unwrap_or(0), 0, "it is closed at once");
    // Where one leaves, one can come.
    clients.pop();
    let patience = Instant::now() + Duration::from_secs(30);
    while Client::connect(&endpoint, cutout::client::Options::default()).is_err() {
        assert!(Instant::now() < patience, "the place stays taken");
    }
}

#[test]
fn a_client_that_stops_reading_is_sent_away_and_holds_up_nobody() {
    let _alone = alone();
    let service = start(scene_settings(), small_model());
    let address = tcp_of(&service);
    let mut deaf = TcpStream::connect(address).unwrap();
    deaf.write_all(&hello()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            // Pictures fill what the system holds for it within seconds. Then nothing can be written any more, either.
            deaf.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            let mut request = 2;
            while !over.load(Ordering::Acquire) {
                let picture = cutout_protocol::message::GetPicture { frame: 0, max_side: 0, quality: 95 };
                if deaf.write_all(&packet(request, &picture.into())).is_err() {
                    std::thread::sleep(Duration::from_millis(50));
                }
                request += 1;
            }
        });
        let mut other = client(&Endpoint::Tcp(address));
        for _ in 0..50 {
            other.prompt(&asked()).unwrap();
        }
        let patience = Instant::now() + Duration::from_secs(120);
        while other.status().unwrap().clients > 1 {
            assert!(Instant::now() < patience, "it is never sent away");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

/// Sets a flag when a test ends, be it by a failure.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn an_upload_that_is_too_large_is_refused_before_it_is_sent() {
    let _alone = alone();
    let service = start(Settings::default(), small_model());
    let mut stream = TcpStream::connect(tcp_of(&service)).unwrap();
    stream.write_all(&hello()).unwrap();
    let begin = UploadBegin { width: 0, height: 0, format: Format::Picture, bytes: 200_000_000, crc: 1 };
    stream.write_all(&packet(2, &begin.into())).unwrap();
    let mut client = client(&Endpoint::Tcp(tcp_of(&service)));
    let limit = client.caps().max_upload;
    assert_eq!(limit, 16 << 20);
    let refused = client.upload(&vec![0; limit as usize + 1], (0, 0), Format::Picture, |_| {}).unwrap_err();
    assert!(matches!(refused, ClientError::UploadTooLarge { .. }));
    // The other one gets the error that says the limit.
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut bytes = Vec::new();
    while bytes.iter().filter(|byte| **byte == 0).count() < 2 {
        let mut some = [0; 512];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0);
        bytes.extend_from_slice(&some[..count]);
    }
    let mut accumulator = cutout_protocol::Accumulator::<2048>::new();
    let mut rest = bytes.as_slice();
    let mut last = None;
    while !rest.is_empty() {
        let (consumed, found) = accumulator.feed(rest);
        rest = &rest[consumed..];
        if let cutout_protocol::Feed::Packet(packet) = found {
            let (header, payload) = cutout_protocol::open(packet).unwrap();
            if let Message::Error(error) = Message::decode(header.kind, payload).unwrap() {
                last = Some((error.code, error.detail));
            }
        }
    }
    assert_eq!(last, Some((ErrorCode::TooLarge, limit)));
}

#[test]
fn who_says_nothing_or_little_or_nonsense_costs_the_others_nothing() {
    let _alone = alone();
    let settings = Settings { ws: vec!["127.0.0.1:0".into()], ..scene_settings() };
    let service = start(settings, small_model());
    let address = tcp_of(&service);
    let web = service.endpoints().into_iter().find_map(|endpoint| match endpoint {
        Endpoint::WebSocket(address) => Some(address),
        _ => None,
    });
    // Silent ones, halves of a packet, of a line and of a web request, and noise.
    let mut idle: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
    idle.push(TcpStream::connect(web.unwrap()).unwrap());
    let hello = hello();
    idle[0].write_all(&hello[..hello.len() / 2]).unwrap();
    idle[1].write_all(b"GO ").unwrap();
    idle[10].write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    let noise: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // It may be sent away for what it says.
    let _ = idle[2].write_all(&noise);
    let mut client = client(&Endpoint::Tcp(address));
    for round in 0..30 {
        client.prompt(&asked()).unwrap();
        // A packet a byte at a time.
        if let Some(byte) = hello.get(hello.len() / 2 + round) {
            idle[0].write_all(&[*byte]).unwrap();
        }
    }
    assert_eq!(ask_in_text(&mut idle[1], "64")[0].split(' ').next(), Some("ERR"), "nothing is asked for yet");
    drop(idle);
    client.ping().unwrap();
}

#[test]
fn clients_vanish_in_the_middle_of_things_and_nothing_is_left_of_them() {
    let _alone = alone();
    let service = start(scene_settings(), small_model());
    let address = tcp_of(&service);
    let before = threads();
    for round in 0..60 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&hello()).unwrap();
        for request in 2..8 {
            stream.write_all(&packet(request, &asked().into())).unwrap();
        }
        let track = cutout_protocol::message::Track { interval_ms: 0, prompt: asked() };
        stream.write_all(&packet(9, &track.into())).unwrap();
        if round % 2 == 0 {
            // Gone before the answers, with a reset.
            drop(stream);
        } else {
            let mut some = [0; 64];
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            assert!(stream.read(&mut some).unwrap() > 0);
        }
    }
    let patience = Instant::now() + Duration::from_secs(60);
    let mut client = client(&Endpoint::Tcp(address));
    loop {
        let status = client.status().unwrap();
        // Its own two threads may be there or not.
        if status.clients == 1 && status.queue == 0 && threads() <= before + 3 {
            break;
        }
        assert!(Instant::now() < patience, "{status:?}, {} threads, {before} before", threads());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_service_ends_while_clients_talk() {
    let _alone = alone();
    let before = threads();
    let service = start(scene_settings(), small_model());
    let endpoint = Endpoint::Tcp(tcp_of(&service));
    let talking: Vec<_> = (0..4)
        .map(|_| {
            let mut client = client(&endpoint);
            std::thread::spawn(move || while client.prompt(&asked()).is_ok() {})
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    service.stop();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    drop(talking);
    let patience = Instant::now() + Duration::from_secs(60);
    // Those who talked try to come back for a while.
    while threads() > before + 8 {
        assert!(Instant::now() < patience, "{} threads, {before} before", threads());
        std::thread::sleep(Duration::from_millis(100));
    }
}

//! Bad lines, services that forget, connections that break.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutout_protocol::Format;

use super::super::*;
use super::fake::*;
use super::faults::*;
use super::talk::{asked, is_right, patient, tcp};
use crate::transport::connect;

/// A client over a line with these laws. The Hello is packet 0 both ways.
fn over(fake: &Fake, out: Law, into: Law) -> (Served, Client) {
    let served = fake.at(&tcp());
    let connection = spoil(connect(&served.local(), LONG).unwrap(), out, into);
    let client = Client::over(connection, Options { work: Duration::from_millis(200), ..patient() }).unwrap();
    (served, client)
}

#[test]
fn a_request_that_is_lost_or_damaged_is_sent_again_and_worked_on_once() {
    use Fate::*;
    for fate in [IsLost, IsDamaged, ComesTwice, HasNoise] {
        for way in ["out", "in"] {
            let fake = Fake::default();
            let hit = || only(&[(0, fate), (2, fate)]);
            let all = || only(&[]);
            let (served, mut client) = if way == "out" { over(&fake, hit(), all()) } else { over(&fake, all(), hit()) };
            for _ in 0..3 {
                is_right(&client.prompt(&asked()).unwrap(), &asked());
            }
            client.status().unwrap();
            let works = fake.works.load(Ordering::SeqCst);
            // A request that comes twice without RETRY is a new one each time.
            let most = if (fate, way) == (ComesTwice, "out") { 4 } else { 3 };
            assert!((3..=most).contains(&works), "{fate:?} {way}: {works} works");
            served.end();
        }
    }
}

#[test]
fn parts_that_are_lost_are_fetched_and_no_others() {
    use Fate::*;
    let fake = Fake::default();
    // Packet 0 is Caps, 1 the Result, 2 to 20 the chunks of the picture.
    let fates = [(3, IsLost), (7, IsDamaged), (8, IsLost), (12, ComesTwice), (20, IsLost)];
    let (served, mut client) = over(&fake, only(&[]), only(&fates));
    let answer = client.picture(0, 2000, 80).unwrap();
    assert!(answer.picture().unwrap().iter().enumerate().all(|(i, byte)| *byte == (i * 7 + i / 256) as u8));
    assert!(fake.count("Fetch") >= 3, "{} fetches", fake.count("Fetch"));
    assert_eq!((fake.count("GetPicture"), client.traffic().damaged), (1, 1));
    assert!(client.traffic().lost >= 3, "{:?}", client.traffic());
    assert!(answer.received < 20_000 + 20 * 24 + 4 * 1048 + 1000, "{} bytes came", answer.received);
    served.end();
}

#[test]
fn a_line_that_spoils_a_fifth_of_all_packets_carries_everything_in_the_end() {
    for seed in 1..=6 {
        let fake = Fake::default();
        let served = fake.at(&tcp());
        let connection = spoil(connect(&served.local(), LONG).unwrap(), random(seed, 20), random(seed + 100, 20));
        let options =
            Options { work: Duration::from_millis(100), tries: 30, window: (seed % 3) as u16 * 2, ..patient() };
        let mut client = Client::over(connection, options).unwrap();
        for _ in 0..5 {
            is_right(&client.prompt(&asked()).unwrap(), &asked());
        }
        let picture = client.picture(0, 1500, 80).unwrap();
        assert!(picture.picture().unwrap().iter().enumerate().all(|(i, byte)| *byte == (i * 7 + i / 256) as u8));
        let photo: Vec<u8> = (0..8000_u32).map(|i| (i * i) as u8).collect();
        assert_eq!(client.upload(&photo, (80, 100), Format::Grey8, |_| {}).unwrap(), 17);
        assert!(fake.kept.lock().unwrap().uploads.values().all(|(_, bytes)| *bytes == photo));
        let mut seen = 0;
        client
            .track(&asked(), Duration::from_millis(20), |tracked| {
                seen += u32::from(matches!(tracked, Tracked::Answer(_)));
                if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        served.end();
    }
}

#[test]
fn a_service_that_has_forgotten_the_client_is_greeted_again() {
    let fake = Fake { forgets_after: Some(3), ..Fake::default() };
    let served = fake.at(&tcp());
    let mut client = Client::connect(&served.local(), patient()).unwrap();
    for _ in 0..3 {
        is_right(&client.prompt(&asked()).unwrap(), &asked());
    }
    assert_eq!(fake.count("Hello"), 2);
    served.end();
}

#[test]
fn a_connection_that_breaks_is_opened_anew_and_the_request_goes_on() {
    let fake = Fake::default();
    let served = fake.at(&tcp());
    let mut client = Client::connect(&served.local(), patient()).unwrap();
    *fake.drops_after.lock().unwrap() = Some(3);
    for _ in 0..3 {
        is_right(&client.prompt(&asked()).unwrap(), &asked());
    }
    assert_eq!(fake.count("Hello"), 2);
    // In the middle of an upload: what has arrived is not sent again.
    *fake.drops_after.lock().unwrap() = Some(20);
    let photo = vec![7; 30_000];
    assert_eq!(client.upload(&photo, (0, 0), Format::Picture, |_| {}).unwrap(), 17);
    let chunks = fake.count("UploadChunk");
    assert!((60..75).contains(&chunks), "{chunks} chunks for 60");

    // A connection that was given is not opened anew, and the error says so.
    let mut given = Client::over(connect(&served.local(), LONG).unwrap(), patient()).unwrap();
    served.end();
    let error = given.prompt(&asked()).unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }), "{error}");
    let mut gone = client;
    gone.options.patience = Duration::from_millis(200);
    let error = gone.prompt(&asked()).unwrap_err().to_string();
    assert!(error.contains("cutout serve"), "{error}");
}

#[test]
fn who_never_answers_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let error = Client::connect(&endpoint, Options { tries: 2, ..Options::default() }).err().unwrap().to_string();
    assert!(error.contains("does not answer Hello") && error.contains("2 tries"), "{error}");
}

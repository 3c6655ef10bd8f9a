//! What a client asks and is answered over a good line.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutout_protocol::message::Error;
use cutout_protocol::{AnswerFlags, ErrorCode, Features, Format, ItemSet};
use tempfile::TempDir;

use super::super::*;
use super::fake::*;
use super::scene::{SIZE, rectangle};

pub(super) fn tcp() -> Endpoint {
    Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// Tests on loaded machines: no service is given up because it had to wait for the processor.
pub(super) fn patient() -> Options {
    Options { tries: 20, ..Options::default() }
}

pub(super) fn asked() -> Prompt {
    let mut prompt = Prompt { wanted: ItemSet::BBOX | ItemSet::AREA | ItemSet::RLE, ..Prompt::default() };
    prompt.points.push(point(100.0, 50.0, true)).unwrap();
    prompt
}

/// The answer is the rectangle that the prompt means.
pub(super) fn is_right(answer: &Answer, prompt: &Prompt) {
    let bbox = rectangle(prompt);
    assert_eq!(answer.bbox(), Some(bbox));
    assert_eq!(answer.area(), Some(u32::from(bbox.width) * u32::from(bbox.height)));
    let spans: Vec<_> = answer.mask().unwrap().map(Result::unwrap).collect();
    assert_eq!(spans.len(), usize::from(bbox.height));
    assert!(spans.iter().all(|s| s.x == u32::from(bbox.x) && s.len == u32::from(bbox.width)));
    assert_eq!(spans[0].y, u32::from(bbox.y));
}

#[test]
fn every_request_is_answered_over_every_kind_of_socket() {
    let folder = TempDir::new().unwrap();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let fake = Fake::default();
    let endpoints =
        [tcp(), Endpoint::Unix(folder.path().join("socket")), Endpoint::Udp(local), Endpoint::WebSocket(local)];
    for endpoint in endpoints {
        let served = fake.at(&endpoint);
        let mut client = Client::connect(&served.local(), patient()).unwrap();
        assert_eq!((client.caps().service.as_str(), client.caps().newest), ("fake 1", 12));
        assert!(client.caps().features.contains(Features::UPLOAD));

        let frame = client.capture(Duration::ZERO, None).unwrap();
        assert_eq!((frame.frame, frame.width, frame.height), (12, SIZE.0, SIZE.1));

        let mut prompt = asked();
        let answer = client.prompt(&prompt).unwrap();
        is_right(&answer, &prompt);
        assert_eq!((answer.frame, answer.sequence, answer.is_empty()), (12, 0, false));
        assert!((answer.predicted_iou() - 0.9412).abs() < 1e-6 && (answer.stability() - 0.973).abs() < 1e-6);
        assert_eq!(answer.stages.total(), Duration::from_micros(37_500));
        assert!(answer.sent > 30 && answer.received > 60 && answer.round_trip > Duration::ZERO);
        prompt.points.clear();
        prompt.bbox = Some(rect(300.0, 200.0, 10.0, 20.0));
        prompt.frame = 11;
        let answer = client.prompt(&prompt).unwrap();
        is_right(&answer, &prompt);
        assert_eq!(answer.frame, 11);

        let picture = client.picture(0, 5000, 80).unwrap();
        let jpeg = picture.picture().unwrap();
        assert_eq!(jpeg.len(), 50_000);
        assert!(jpeg.iter().enumerate().all(|(i, byte)| *byte == (i * 7 + i / 256) as u8));

        assert_eq!(client.status().unwrap().temperature_cc, 4150);
        assert!(client.ping().unwrap() < LONG);

        let photo: Vec<u8> = (0..30_000_u32).map(|i| (i * i) as u8).collect();
        let mut told = Vec::new();
        assert_eq!(client.upload(&photo, (0, 0), Format::Picture, |bytes| told.push(bytes)).unwrap(), 17);
        assert!(told.len() > 10 && told.is_sorted() && told.last() == Some(&30_000));
        let kept = fake.kept.lock().unwrap().uploads.drain().next().unwrap().1;
        assert!(kept.1 == photo && kept.0.format == Format::Picture);
        served.end();
    }
}

#[test]
fn a_track_is_followed_until_it_is_broken_off() {
    let served = Fake::default().at(&tcp());
    let mut client = Client::connect(&served.local(), patient()).unwrap();
    let prompt = asked();
    let (mut sequences, mut waits) = (Vec::new(), 0);
    let interval = Duration::from_millis(250);
    client
        .track(&prompt, interval, |tracked| match tracked {
            Tracked::Answer(answer) => {
                is_right(answer, &prompt);
                assert!(!answer.flags.contains(AnswerFlags::TRACK_LOST));
                sequences.push(answer.sequence);
                if sequences.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Tracked::Waiting => {
                waits += 1;
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert!(waits > 0, "a caller that waits is asked");
    // Nothing of it is in the way of what comes after.
    is_right(&client.prompt(&prompt).unwrap(), &prompt);
    served.end();
}

#[test]
fn a_small_window_is_kept_and_granted_on() {
    let fake = Fake::default();
    let served = fake.at(&tcp());
    let mut client = Client::connect(&served.local(), Options { window: 3, ..patient() }).unwrap();
    for _ in 0..3 {
        assert_eq!(client.picture(0, 2000, 80).unwrap().picture().unwrap().len(), 20_000);
    }
    // 20 packets an answer, two of three credits given back at a time.
    assert!(fake.count("Grant") >= 20, "{} grants", fake.count("Grant"));
    assert_eq!(fake.count("Fetch"), 0, "credits were enough");
    served.end();
}

#[test]
fn what_the_service_refuses_is_told_in_its_words() {
    let fake = Fake { token: "s3cret".into(), ..Fake::default() };
    let served = fake.at(&tcp());
    let error = Client::connect(&served.local(), patient()).err().unwrap().to_string();
    assert!(error.contains("UNAUTHORIZED") && error.contains("token"), "{error}");
    let long = Options { token: "x".repeat(65), ..patient() };
    assert!(matches!(Client::connect(&served.local(), long), Err(ClientError::LongToken)));
    let mut client = Client::connect(&served.local(), Options { token: "s3cret".into(), ..patient() }).unwrap();

    let refusal = |code, detail, frame| Error { detail, frame, ..Error::new(code, Prompt::KIND, "") };
    let worded = |code| Error { detail: 130, frame: 27, ..Error::new(code, Prompt::KIND, "so it is") };
    for (error, words) in [
        (worded(ErrorCode::BadPrompt), "BAD_PROMPT (so it is)"),
        (worded(ErrorCode::Deadline), "DEADLINE (so it is)"),
        (refusal(ErrorCode::StaleFrame, 0, 7), "the oldest that is has number 7"),
        (refusal(ErrorCode::Deadline, 130, 27), "it would take 130 ms"),
        (refusal(ErrorCode::TooLarge, 99, 0), "99 bytes"),
        (refusal(ErrorCode::Other(77), 0, 0), "OTHER 77"),
        (refusal(ErrorCode::Busy, u32::MAX, 0), "BUSY"),
    ] {
        fake.errors.lock().unwrap().push_back(error);
        let error = client.prompt(&asked()).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("Prompt"), "{error}");
    }
    // None of it was asked a second time, and the connection is as good as before.
    assert_eq!((fake.count("Prompt"), fake.works.load(Ordering::SeqCst)), (7, 0));
    is_right(&client.prompt(&asked()).unwrap(), &asked());

    let bytes = vec![0; (1 << 20) + 1];
    let error = client.upload(&bytes, (0, 0), Format::Picture, |_| {}).unwrap_err();
    assert!(matches!(error, ClientError::UploadTooLarge { limit: 1_048_576, .. }), "{error}");
    served.end();
}

#[test]
fn a_busy_service_is_waited_for() {
    let fake = Fake::default();
    let served = fake.at(&tcp());
    let mut client = Client::connect(&served.local(), Options { tries: 2, ..Options::default() }).unwrap();
    let busy = Error { detail: 10, ..Error::new(ErrorCode::Busy, Prompt::KIND, "") };
    fake.errors.lock().unwrap().extend(std::iter::repeat_n(busy, 6));
    is_right(&client.prompt(&asked()).unwrap(), &asked());
    assert!(fake.count_retries() >= 6);
    served.end();
}

#[test]
fn services_of_another_schema_are_told_apart() {
    let served = Fake { schema: Some(0x1234_5678), ..Fake::default() }.at(&tcp());
    let error = Client::connect(&served.local(), patient()).err().unwrap().to_string();
    assert!(error.contains("VERSION") && error.contains("0x12345678") && error.contains("update"), "{error}");
    served.end();
}

#[test]
fn an_answer_beyond_the_limit_is_refused_before_it_is_kept() {
    let served = Fake::default().at(&tcp());
    let mut client = Client::connect(&served.local(), Options { max_answer: 10_000, ..patient() }).unwrap();
    let error = client.picture(0, 2000, 80).unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: 10_000, bytes: 20_004 }), "{error}");
    served.end();
}

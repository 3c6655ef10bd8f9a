//! Work is known by a number of its own: clients may use theirs again, start anew, or change their minds.

use super::*;
use crate::service::work::{FrameChoice, TrackAsk};
use cutout_protocol::{ErrorCode, Format};

impl Talk {
    /// The engine takes the next job and is busy with it.
    fn busy(&mut self) -> (Job, Arc<KeptFrame>) {
        match self.shared.hub.next() {
            Some(Task::Job(job, frame)) => (job, frame),
            _ => panic!("nothing to do"),
        }
    }

    fn finish(&mut self, (mut job, frame): (Job, Arc<KeptFrame>), x: u32) {
        let reply = std::mem::replace(&mut job.reply, Box::new(|_| {}));
        reply(Ok(answered(&job, &frame, scored(x))));
        self.events();
    }

    fn upload(&mut self, request: u32) -> u32 {
        let bytes = [7; 600];
        let crc = crc32fast::hash(&bytes);
        let begin = message::UploadBegin { width: 20, height: 10, format: Format::Rgb8, bytes: 600, crc };
        self.send(request, &begin.into());
        self.send(request, &message::UploadChunk { offset: 0, data: &bytes }.into());
        match self.replies().pop().map(|reply| reply.message) {
            Some(Said::Upload(state)) => state.frame,
            other => panic!("{other:?}"),
        }
    }
}

/// The column of the box that an answer holds.
fn column(reply: &Reply) -> u8 {
    match &reply.message {
        Said::Result(_, body) => body[2],
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_board_that_starts_anew_gets_no_answer_to_what_it_asked_before() {
    let mut talk = Talk::new();
    talk.send(2, &point(ItemSet::BBOX).into());
    let old = talk.busy();
    talk.greet(1, 0);
    talk.send(2, &point(ItemSet::BBOX).into());
    talk.finish(old, 33);
    assert!(talk.replies().is_empty());
    talk.work(8);
    assert_eq!(column(&talk.one()), 8);
}

#[test]
fn a_number_that_is_used_anew_means_the_new_question() {
    for retry in [false, true] {
        let mut talk = Talk::new();
        talk.send(2, &point(ItemSet::AREA).into());
        let old = talk.busy();
        match retry {
            false => talk.send(2, &point(ItemSet::BBOX).into()),
            true => talk.again(2, &point(ItemSet::BBOX).into()),
        }
        talk.finish(old, 33);
        assert!(talk.replies().is_empty());
        talk.work(8);
        assert_eq!(column(&talk.one()), 8);
        assert_eq!(talk.shared.hub.state().waiting, 0);
    }
}

#[test]
fn what_is_cancelled_is_answered_by_done_alone() {
    let mut talk = Talk::new();
    talk.send(7, &point(ItemSet::BBOX).into());
    talk.send(8, &point(ItemSet::BBOX).into());
    let running = talk.busy();
    for request in [7, 8] {
        talk.send(request, &message::Cancel {}.into());
        assert_eq!(talk.one().message, Said::Done);
    }
    talk.finish(running, 8);
    assert!(talk.replies().is_empty() && !talk.session.is_owing());
}

#[test]
fn a_track_that_is_begun_anew_is_not_ended_by_the_end_of_the_old_one() {
    let mut talk = Talk::new();
    let track: Message<'_> = message::Track { interval_ms: 0, prompt: point(ItemSet::BBOX) }.into();
    talk.send(7, &track);
    let mut both = talk.packet(7, &message::Cancel {}.into());
    both.extend(talk.packet(7, &track));
    talk.bytes(&both);
    assert_eq!(talk.one().message, Said::Done);
    assert_eq!(talk.shared.hub.state().waiting, 1);
    let (old, frame) = talk.busy();
    let tracker = talk.shared.hub.lock().tracks.take(old.serial).unwrap();
    talk.send(7, &track);
    assert!(talk.shared.hub.lock().tracks.put(old.serial, tracker, frame.id).is_none());
}

#[test]
fn numbers_of_several_meanings_do_not_spin_the_hub() {
    let mut talk = Talk::new();
    talk.send(5, &message::Capture { max_age_ms: 0, deadline_ms: 0 }.into());
    let first = talk.upload(10);
    talk.send(5, &message::Prompt { frame: first, ..point(ItemSet::BBOX) }.into());
    // Two more push the first one out.
    for request in 11..=12 {
        talk.upload(request);
    }
    talk.shared.hub.offer(pixels(), Instant::now());
    talk.send(6, &point(ItemSet::BBOX).into());
    talk.work(8);
    let replies = talk.replies();
    let stale = |reply: &Reply| matches!(&reply.message, Said::Error(error) if error.code == ErrorCode::StaleFrame);
    assert!(replies.iter().any(|reply| reply.header.request == 5 && stale(reply)), "{replies:?}");
    assert!(replies.iter().any(|reply| reply.header.request == 6), "{replies:?}");
}

#[test]
fn an_upload_whose_end_was_not_told_is_not_taken_twice() {
    let mut talk = Talk::with(&shared(false), true, None);
    talk.greet(1, 0);
    let frame = talk.upload(3);
    let bytes = [7; 600];
    let crc = crc32fast::hash(&bytes);
    let begin = message::UploadBegin { width: 20, height: 10, format: Format::Rgb8, bytes: 600, crc };
    talk.again(3, &begin.into());
    assert_eq!(talk.one().message, Said::Upload(message::UploadState { received: 600, frame }));
}

#[test]
fn hello_in_the_middle_of_a_line_leaves_nothing_waiting() {
    let mut talk = Talk::new();
    talk.bytes(b"P 10 6\r\nGO\r\nSTATUS\r\n");
    talk.replies();
    talk.greet(1, 0);
    talk.bytes(b"STATUS\r\n");
    assert_eq!(talk.replies().len(), 1);
    assert!(!talk.session.is_owing());
}

#[test]
fn a_track_holds_its_first_frame_and_goes_on_with_the_newest() {
    let talk = Talk::new();
    let hub = &talk.shared.hub;
    let frame = hub.frame(&FrameChoice::Latest, 1).unwrap();
    let serial = hub.serial();
    hub.track(TrackAsk {
        serial,
        client: 99,
        owner: 0,
        frame: FrameChoice::This(frame),
        prompt: cutout_runtime::Prompt::new().with_point(1.0, 1.0, true),
        interval: Duration::ZERO,
        deadline: None,
        reply: Arc::new(|_| {}),
        untaken: Arc::default(),
    })
    .unwrap();
    (0..5).for_each(|_| hub.offer(pixels(), Instant::now()));
    let Some(Task::Job(job, frame)) = hub.next() else { panic!() };
    assert_eq!((job.serial, frame.id), (serial, 1));
    let tracker = hub.lock().tracks.take(serial).unwrap();
    let (_, sequence) = hub.lock().tracks.put(serial, tracker, frame.id).unwrap();
    assert_eq!(sequence, 1);
    // Its answer is not taken yet; then it is, and the newest frame is newer.
    hub.follow_on();
    assert_eq!(hub.state().waiting, 0);
    hub.lock().tracks.skip(serial, None);
    hub.offer(pixels(), Instant::now());
    assert_eq!(hub.state().waiting, 0, "untaken");
}

#[test]
fn who_waits_for_a_frame_is_told_when_none_will_come() {
    let mut talk = Talk::new();
    talk.send(5, &message::Capture { max_age_ms: 0, deadline_ms: 0 }.into());
    talk.shared.hub.source_ended();
    talk.send(6, &point(ItemSet::BBOX).into());
    talk.work(8);
    let replies = talk.replies();
    let none = |reply: &Reply| matches!(&reply.message, Said::Error(error) if error.code == ErrorCode::NoFrame);
    assert!(replies.iter().any(|reply| reply.header.request == 5 && none(reply)), "{replies:?}");
}

#[test]
fn forged_senders_are_not_answered_at_length() {
    let peer = Peer { kind: Kind::Udp, name: "udp".into(), trusted: false, baud: None };
    let mut talk = Talk::with(&shared(true), true, None);
    talk.session = Session::new(talk.shared.clone(), &peer);
    talk.bytes(b"?\nHELP\nGO\nnonsense\n");
    talk.send(3, &point(ItemSet::RLE).into());
    talk.bytes(&[0xc3; 500]);
    assert!(talk.replies().is_empty());
    // A datagram needs no delimiter.
    let token = cutout_protocol::heapless::Vec::from_slice(TOKEN.as_bytes()).unwrap();
    let hello = Hello { client: 5, schema: SCHEMA_HASH, max_payload: 1024, window: 0, token };
    let packet = talk.packet(1, &hello.into());
    talk.bytes(&packet[..packet.len() - 1]);
    assert!(matches!(talk.one().message, Said::Caps(_)));
}

#[test]
fn a_browser_that_was_sent_here_is_hung_up_on() {
    let mut talk = Talk::new();
    talk.bytes(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:7700\r\n\r\nP 1 1\r\nGO\r\n");
    assert!(matches!(talk.session.actions().as_slice(), [Action::Close(_)]));
}

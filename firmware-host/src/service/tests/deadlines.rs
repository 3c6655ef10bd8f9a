//! What cannot be done in time is refused at once; what is asked for too much waits, or is refused.

use super::*;
use cutout_protocol::ErrorCode;

fn knowing(encode_ms: u64, decode_ms: u64) -> Talk {
    let talk = Talk::new();
    {
        let mut state = talk.shared.hub.lock();
        for _ in 0..50 {
            state.estimates.encoded(Duration::from_millis(encode_ms));
            state.estimates.decoded(Duration::from_millis(decode_ms));
        }
    }
    talk
}

#[test]
fn a_deadline_that_cannot_be_kept_is_refused_with_what_it_would_take() {
    let mut talk = knowing(200, 20);
    talk.send(7, &message::Prompt { deadline_ms: 100, ..point(ItemSet::BBOX) }.into());
    let error = talk.error();
    assert_eq!((error.code, error.frame), (ErrorCode::Deadline, 0));
    assert!((220..240).contains(&error.detail), "{}", error.detail);
    assert_eq!(talk.shared.metrics.deadlines_missed.get(), 1);
    // What can be kept is taken.
    talk.send(8, &message::Prompt { deadline_ms: 60_000, ..point(ItemSet::BBOX) }.into());
    talk.work(8);
    assert!(matches!(talk.one().message, Said::Result(..)));
}

#[test]
fn the_refusal_names_a_frame_that_is_quicker() {
    let mut talk = knowing(2000, 1);
    let frame = talk.shared.hub.frame(&super::super::work::FrameChoice::Latest, 1).unwrap();
    frame.pretend_encoded();
    talk.shared.hub.encoded(&frame, Duration::from_millis(2000));
    talk.shared.hub.offer(pixels(), Instant::now());
    talk.send(7, &message::Prompt { deadline_ms: 1000, ..point(ItemSet::BBOX) }.into());
    let error = talk.error();
    assert_eq!((error.code, error.frame), (ErrorCode::Deadline, 1));
    talk.send(8, &message::Prompt { frame: 1, deadline_ms: 1000, ..point(ItemSet::BBOX) }.into());
    talk.work(8);
    assert!(matches!(talk.one().message, Said::Result(..)));
}

#[test]
fn what_waits_too_long_is_refused_before_it_is_worked_on() {
    let mut talk = knowing(0, 5);
    talk.send(7, &message::Prompt { deadline_ms: 200, ..point(ItemSet::BBOX) }.into());
    let hub = talk.shared.hub.clone();
    let watching = std::thread::spawn(move || hub.watch_deadlines());
    let event = talk.events.recv_timeout(Duration::from_secs(20)).unwrap();
    let Event::Done(_, outcome) = event else { panic!() };
    assert!(matches!(outcome, Err(super::super::work::Refusal::Deadline { .. })));
    talk.shared.hub.stop();
    watching.join().unwrap();
}

#[test]
fn an_answer_that_comes_too_late_is_told_to_be_late_and_kept() {
    let mut talk = Talk::new();
    talk.send(7, &message::Prompt { deadline_ms: 30, ..point(ItemSet::BBOX) }.into());
    let Some(Task::Job(mut job, frame)) = talk.shared.hub.next() else { panic!() };
    let deadline = job.deadline.unwrap();
    std::thread::sleep(deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
    let reply = std::mem::replace(&mut job.reply, Box::new(|_| {}));
    reply(Ok(answered(&job, &frame, scored(8))));
    talk.events();
    assert_eq!(talk.error().code, ErrorCode::Deadline);
    talk.again(7, &message::Prompt { deadline_ms: 30, ..point(ItemSet::BBOX) }.into());
    assert!(matches!(talk.one().message, Said::Result(..)));
}

#[test]
fn too_many_requests_at_once_are_refused_and_the_others_answered() {
    let mut talk = Talk::new();
    for request in 1..=6 {
        talk.send(request, &point(ItemSet::BBOX).into());
    }
    let busy: Vec<u32> = talk
        .replies()
        .into_iter()
        .map(|reply| match reply.message {
            Said::Error(error) if error.code == ErrorCode::Busy => reply.header.request,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(busy, [5, 6]);
    for _ in 1..=4 {
        talk.work(8);
    }
    assert_eq!(talk.replies().len(), 4);
}

#[test]
fn a_client_that_leaves_takes_its_work_with_it() {
    let mut talk = Talk::new();
    talk.send(1, &point(ItemSet::BBOX).into());
    talk.send(2, &message::Track { interval_ms: 0, prompt: point(ItemSet::BBOX) }.into());
    talk.session.leave();
    assert_eq!(talk.shared.hub.state().waiting, 0);
}

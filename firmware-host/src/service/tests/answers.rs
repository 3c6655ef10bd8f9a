//! Prompts and their answers.

use super::*;
use cutout_protocol::body::{Items, rle};
use cutout_protocol::{ErrorCode, ItemKind, wire_size};

/// The answer that came, put together from all of its packets.
fn whole(replies: &[Reply]) -> (message::Result<'static>, Vec<u8>) {
    let mut head = None;
    let mut body = Vec::new();
    for reply in replies {
        match &reply.message {
            Said::Result(result, data) => {
                head = Some(*result);
                body.splice(.., data.iter().copied());
            }
            Said::Chunk(offset, data) => {
                assert_eq!(*offset as usize, body.len());
                body.extend(data);
            }
            other => panic!("{other:?}"),
        }
    }
    let head = head.unwrap();
    assert_eq!((head.total as usize, head.crc), (body.len(), crc32fast::hash(&body)));
    (head, body)
}

#[test]
fn a_prompt_is_answered_with_what_is_wanted() {
    let mut talk = Talk::new();
    talk.send(
        7,
        &point(ItemSet::BBOX | ItemSet::CENTROID | ItemSet::AREA | ItemSet::CONTOUR | ItemSet::RLE | ItemSet::COCO_RLE)
            .into(),
    );
    let job = talk.work(8);
    let Ask::Mask { prompt, .. } = &job.ask else { panic!() };
    assert_eq!((prompt.points[0].0.x, prompt.points[0].0.y), (10.0, 6.5));
    let replies = talk.replies();
    assert!(replies.iter().all(|reply| reply.header.request == 7));
    let (head, body) = whole(&replies);
    assert_eq!((head.frame, head.predicted_iou, head.stability, head.decode_us), (1, 8750, 7500, 1500));
    assert_eq!((head.included.0, head.cut.0, head.precision), (0b111_1110, 0, Precision::Int8));
    let items: Vec<_> = Items::new(&body).map(Result::unwrap).collect();
    assert_eq!(items[0].bytes, [8, 0, 5, 0, 4, 0, 3, 0]);
    assert_eq!(items[1].bytes, [160, 0, 0, 0, 104, 0, 0, 0], "(10, 6.5) in sixteenths");
    assert_eq!(items[2].bytes, [12, 0, 0, 0]);
    assert_eq!(items[4].kind, ItemKind::Rle);
    let spans: Vec<_> = rle::Spans::new(items[4].bytes).unwrap().map(Result::unwrap).collect();
    assert_eq!(spans, (5..8).map(|y| rle::Span { y, x: 8, len: 4 }).collect::<Vec<_>>());
    assert_eq!(items[5].bytes, cutout_runtime::CocoRle::encode(&scored(8).mask).counts.as_bytes());
}

#[test]
fn a_budget_is_kept_by_leaving_out_what_comes_last() {
    let all = ItemSet::BBOX | ItemSet::AREA | ItemSet::RLE | ItemSet::COCO_RLE;
    let mut seen = Vec::new();
    for budget in 60..240 {
        let mut talk = Talk::new();
        talk.send(7, &message::Prompt { budget, ..point(all) }.into());
        if talk.session.has_packets() {
            let error = talk.error();
            assert_eq!((error.code, error.detail), (ErrorCode::TooLarge, wire_size(message::Result::MIN_SIZE) as u32));
            assert!(budget < error.detail);
            continue;
        }
        talk.work(8);
        let mut bytes = 0;
        let mut replies = Vec::new();
        while let Some(packet) = talk.session.next_packet().map(<[u8]>::to_vec) {
            bytes += packet.len();
            let Feed::Packet(packet) = talk.replies.feed(&packet).1 else { panic!() };
            let (header, payload) = open(packet).unwrap();
            replies.push(Reply { header, message: said(Message::decode(header.kind, payload).unwrap()) });
        }
        assert!(bytes <= budget as usize, "{bytes} of {budget}");
        let (head, _) = whole(&replies);
        assert_eq!(head.included.0 | head.cut.0, all.0);
        assert_eq!(head.included.0 & head.cut.0, 0);
        seen.push(head.included.0);
    }
    assert!(seen.is_sorted_by_key(|items: &u16| items.count_ones()), "more bytes bring more items: {seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&all.0)));
}

#[test]
fn long_answers_come_in_pieces_that_are_granted_and_can_be_fetched_again() {
    let shared = shared(true);
    shared.hub.offer(pixels(), Instant::now());
    let mut talk = Talk::with(&shared, true, None);
    talk.greet_with(1, 1, 64);
    talk.send(
        7,
        &point(ItemSet::RLE | ItemSet::COCO_RLE | ItemSet::BBOX | ItemSet::CENTROID | ItemSet::CONTOUR).into(),
    );
    talk.work(8);
    // One packet is granted by Hello.
    let mut replies = talk.replies();
    assert_eq!(replies.len(), 1);
    assert!(replies.iter().all(|reply| match &reply.message {
        Said::Result(_, data) => message::Result::MIN_SIZE + data.len() <= 64,
        Said::Chunk(_, data) => data.len() + 4 <= 64,
        _ => false,
    }));
    talk.send(8, &message::Grant { packets: 1 }.into());
    replies.extend(talk.replies());
    assert_eq!(replies.len(), 2);
    talk.send(8, &message::Grant { packets: 10 }.into());
    replies.extend(talk.replies());
    let (head, body) = whole(&replies);
    talk.send(7, &message::Fetch { offset: 5, length: 3 }.into());
    assert_eq!(talk.one().message, Said::Chunk(5, body[5..8].to_vec()));
    talk.send(7, &message::Fetch { offset: head.total, length: 0 }.into());
    assert_eq!(talk.one().message, Said::Chunk(head.total, vec![]));
    talk.send(99, &message::Fetch { offset: 0, length: 0 }.into());
    assert_eq!(talk.error().code, ErrorCode::StaleFrame);
}

#[test]
fn a_request_that_comes_again_is_not_done_again() {
    let mut talk = Talk::new();
    let prompt: Message<'_> = point(ItemSet::BBOX).into();
    talk.send(7, &prompt);
    // While it is worked on, and twice after it.
    talk.again(7, &prompt);
    talk.work(8);
    let first = whole(&talk.replies());
    assert_eq!(talk.shared.hub.state().waiting, 0);
    for _ in 0..2 {
        talk.again(7, &prompt);
        assert_eq!(whole(&talk.replies()), first);
    }
    assert_eq!(talk.shared.hub.state().waiting, 0);
    // Also over another connection; but another question of the same number is a new one.
    let mut again = Talk::with(&talk.shared, true, None);
    again.greet(1, 0);
    again.again(7, &prompt);
    assert_eq!(whole(&again.replies()), first);
    let mut other = Talk::with(&talk.shared, true, None);
    other.greet(2, 0);
    other.again(7, &prompt);
    assert!(other.replies().is_empty());
    other.work(9);
    assert_ne!(whole(&other.replies()).1, first.1);
    talk.again(7, &point(ItemSet::AREA).into());
    talk.work(8);
    assert_ne!(whole(&talk.replies()).1, first.1);
    // Without RETRY, the number is used anew.
    talk.send(7, &prompt);
    assert!(talk.replies().is_empty());
    talk.work(9);
    assert_ne!(whole(&talk.replies()).1, first.1);
}

#[test]
fn an_answer_can_be_refined_while_it_is_kept() {
    let mut talk = Talk::new();
    talk.send(7, &point(ItemSet::BBOX).into());
    talk.work(8);
    talk.replies();
    talk.send(8, &message::Prompt { refine: 7, ..point(ItemSet::BBOX) }.into());
    let job = talk.work(9);
    let Ask::Mask { prompt, .. } = &job.ask else { panic!() };
    assert_eq!(prompt.mask.as_ref().unwrap().values, [8.0]);
    talk.replies();
    talk.send(9, &message::Prompt { refine: 66, ..point(ItemSet::BBOX) }.into());
    assert_eq!(talk.error().code, ErrorCode::BadPrompt);
}

#[test]
fn past_frames_are_known_by_their_numbers_until_they_are_gone() {
    let mut talk = Talk::new();
    for _ in 0..4 {
        talk.shared.hub.offer(pixels(), Instant::now());
    }
    talk.send(7, &message::Prompt { frame: 4, ..point(ItemSet::BBOX) }.into());
    talk.work(8);
    assert_eq!(whole(&talk.replies()).0.frame, 4);
    talk.send(8, &message::Prompt { frame: 2, ..point(ItemSet::BBOX) }.into());
    let error = talk.error();
    assert_eq!((error.code, error.frame), (ErrorCode::StaleFrame, 4));
    talk.send(9, &message::Prompt { frame: 99, ..point(ItemSet::BBOX) }.into());
    assert_eq!(talk.error().code, ErrorCode::NoFrame);
}

#[test]
fn capture_waits_for_a_frame_that_is_new_enough() {
    let mut talk = Talk::new();
    talk.send(7, &message::Capture { max_age_ms: 60_000, deadline_ms: 0 }.into());
    talk.work(0);
    let Said::Frame(frame) = talk.one().message else { panic!() };
    assert_eq!((frame.frame, frame.width, frame.height), (1, 64, 48));
    talk.send(8, &message::Capture { max_age_ms: 0, deadline_ms: 0 }.into());
    assert_eq!(talk.shared.hub.state().waiting, 1);
    talk.shared.hub.offer(pixels(), Instant::now());
    talk.work(0);
    let Said::Frame(frame) = talk.one().message else { panic!() };
    assert_eq!(frame.frame, 2);
    // Sent again, it is not a third frame.
    talk.again(8, &message::Capture { max_age_ms: 0, deadline_ms: 0 }.into());
    let Said::Frame(again) = talk.one().message else { panic!() };
    assert_eq!(again.frame, 2);
}

#[test]
fn tracks_answer_for_new_frames_until_they_are_cancelled() {
    let mut talk = Talk::new();
    let track = message::Track { interval_ms: 0, prompt: point(ItemSet::BBOX) };
    talk.send(7, &track.clone().into());
    assert_eq!(talk.shared.hub.state().waiting, 1);
    talk.again(7, &track.into());
    assert_eq!(talk.shared.hub.state().waiting, 1, "sent again, it is the same track");
    talk.send(7, &message::Cancel {}.into());
    let codes: Vec<_> = talk.replies().into_iter().map(|reply| reply.message).collect();
    assert!(codes.contains(&Said::Done), "{codes:?}");
    talk.shared.hub.offer(pixels(), Instant::now());
    assert_eq!(talk.shared.hub.state().waiting, 0);
}

#[test]
fn a_picture_of_a_frame_is_a_jpeg_of_the_size_that_was_asked_for() {
    let mut talk = Talk::new();
    talk.send(7, &message::GetPicture { frame: 0, max_side: 32, quality: 80 }.into());
    let (head, body) = whole(&talk.replies());
    assert_eq!(head.included, ItemSet::PICTURE);
    let item = Items::new(&body).next().unwrap().unwrap();
    let photo = crate::photo::Photo::decode(item.bytes).unwrap();
    assert_eq!(photo.size(), Size::new(32, 24));
    talk.send(8, &message::GetPicture { frame: 9, max_side: 32, quality: 80 }.into());
    assert_eq!(talk.error().code, ErrorCode::NoFrame);
}

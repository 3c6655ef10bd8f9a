//! Pictures that come in pieces.

use super::*;
use cutout_protocol::{ErrorCode, Format};

fn begin(bytes: &[u8]) -> message::UploadBegin {
    let crc = crc32fast::hash(bytes);
    message::UploadBegin { width: 20, height: 10, format: Format::Rgb8, bytes: bytes.len() as u32, crc }
}

#[test]
fn a_picture_that_came_whole_is_the_clients_latest_frame() {
    let mut talk = Talk::with(&shared(false), true, None);
    talk.greet(1, 0);
    talk.send(2, &point(ItemSet::BBOX).into());
    assert_eq!(talk.error().code, ErrorCode::NoFrame);
    let picture: Vec<u8> = (0..600).map(|i| i as u8).collect();
    talk.send(3, &begin(&picture).into());
    assert_eq!(talk.one().message, Said::Upload(message::UploadState { received: 0, frame: 0 }));
    let piece = |from: usize, to: usize| message::UploadChunk { offset: from as u32, data: &picture[from..to] };
    talk.send(3, &piece(0, 200).into());
    assert!(talk.replies().is_empty());
    // One is lost: the client is told where to go on. One comes twice: what is new in it counts.
    talk.send(3, &piece(400, 600).into());
    assert_eq!(talk.one().message, Said::Upload(message::UploadState { received: 200, frame: 0 }));
    talk.send(3, &piece(100, 400).into());
    talk.send(3, &piece(400, 600).into());
    let whole = Said::Upload(message::UploadState { received: 600, frame: 1 });
    assert_eq!(talk.one().message, whole);
    talk.send(3, &piece(400, 600).into());
    assert_eq!(talk.one().message, whole, "the answer was lost");
    talk.send(4, &point(ItemSet::BBOX).into());
    let Some(Task::Job(_, frame)) = talk.shared.hub.next() else { panic!() };
    assert_eq!((frame.id, frame.size()), (1, Some(Size::new(20, 10))));
    // Nobody else sees it.
    let mut other = Talk::with(&talk.shared, true, None);
    other.greet(2, 0);
    other.send(1, &message::Prompt { frame: 1, ..point(ItemSet::BBOX) }.into());
    assert_eq!(other.error().code, ErrorCode::StaleFrame);
}

#[test]
fn what_is_too_large_or_damaged_or_no_picture_is_refused() {
    let mut talk = Talk::with(&shared(false), true, None);
    talk.greet(1, 0);
    talk.send(3, &message::UploadBegin { bytes: 200_000_000, ..begin(&[]) }.into());
    let error = talk.error();
    assert_eq!((error.code, error.detail), (ErrorCode::TooLarge, 100_000));
    talk.send(3, &begin(&[]).into());
    assert_eq!(talk.error().code, ErrorCode::Malformed);
    talk.send(3, &message::UploadChunk { offset: 0, data: &[1] }.into());
    assert_eq!(talk.error().code, ErrorCode::Malformed);
    let picture = vec![7; 600];
    let mut send = |announced: message::UploadBegin| {
        talk.send(3, &announced.into());
        talk.replies();
        talk.send(3, &message::UploadChunk { offset: 0, data: &picture }.into());
        talk.error().code
    };
    assert_eq!(send(message::UploadBegin { crc: 1, ..begin(&picture) }), ErrorCode::BadCrc);
    assert_eq!(send(message::UploadBegin { width: 21, ..begin(&picture) }), ErrorCode::Malformed);
    assert_eq!(send(message::UploadBegin { width: 0, ..begin(&picture) }), ErrorCode::Malformed);
    assert_eq!(send(message::UploadBegin { format: Format::Other(99), ..begin(&picture) }), ErrorCode::Malformed);
}

#[test]
fn more_than_was_announced_is_not_taken() {
    let mut talk = Talk::with(&shared(false), true, None);
    talk.greet(1, 0);
    let picture = [7; 100];
    talk.send(3, &begin(&picture[..50]).into());
    talk.replies();
    talk.send(3, &message::UploadChunk { offset: 0, data: &picture }.into());
    assert_eq!(talk.one().message, Said::Upload(message::UploadState { received: 0, frame: 0 }));
    talk.send(3, &message::UploadChunk { offset: u32::MAX, data: &picture }.into());
    assert_eq!(talk.one().message, Said::Upload(message::UploadState { received: 0, frame: 0 }));
}

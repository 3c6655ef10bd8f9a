//! [`Assembly`]: an answer's body out of its packets.

use heapless::Vec;

use crate::checksum::crc32;
use crate::message;

/// Pieces behind a gap that are kept; a piece beyond these is forgotten, and asked for again.
const MAX_PIECES: usize = 8;

/// Bytes that have not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The first.
    pub offset: u32,
    /// How many, up to those that came or to the end.
    pub length: u32,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No [`Result`](message::Result) came, so that nobody knows how long the body is.
    Headless,
    /// These bytes are the first that have not come; to be asked for by [`Fetch`](message::Fetch) if they do not come by
    /// themselves.
    Missing(Missing),
    /// All bytes are there and their checksum is right: [`Assembly::body`].
    Complete,
    /// All bytes are there and their checksum is wrong. They are forgotten: all are to be asked for again.
    Corrupt,
    /// The body has so many bytes, and the buffer has not.
    TooLarge(u32),
    /// The packet is not of this answer: it has bytes behind the body's end. It is ignored.
    Foreign,
}

/// Puts the body of an answer together in the caller's buffer. Packets may come in any order, and more than once.
#[derive(Debug)]
pub struct Assembly<'b> {
    buffer: &'b mut [u8],
    head: Option<Head>,
    /// What is there: sorted, without overlap, none touching the next. From, to.
    pieces: Vec<(u32, u32), MAX_PIECES>,
    complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    sequence: u32,
    total: u32,
    crc: u32,
}

impl<'b> Assembly<'b> {
    /// Of nothing yet.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Assembly { buffer, head: None, pieces: Vec::new(), complete: false }
    }

    /// Forgets all, for another answer.
    pub fn reset(&mut self) {
        self.head = None;
        self.pieces.clear();
        self.complete = false;
    }

    /// Takes a [`Result`](message::Result). One that is not the same as before (the next of a track) begins another
    /// answer.
    pub fn result(&mut self, result: &message::Result<'_>) -> Progress {
        let head = Head { sequence: result.sequence, total: result.total, crc: result.crc };
        if self.head.is_some_and(|before| before != head) {
            self.reset();
        }
        if head.total as usize > self.buffer.len() {
            self.reset();
            return Progress::TooLarge(head.total);
        }
        if self.head.is_none() {
            // What came before the head and reaches beyond it was of another answer.
            if self.pieces.last().is_some_and(|&(_, end)| end > head.total) {
                self.pieces.clear();
            }
            self.head = Some(head);
        }
        self.piece(0, result.data)
    }

    /// Takes a [`Chunk`](message::Chunk).
    pub fn chunk(&mut self, chunk: &message::Chunk<'_>) -> Progress {
        self.piece(chunk.offset, chunk.data)
    }

    fn piece(&mut self, offset: u32, data: &[u8]) -> Progress {
        let limit = self.head.map_or(self.buffer.len(), |head| head.total as usize);
        let end = (offset as usize).checked_add(data.len()).filter(|&end| end <= limit);
        let Some(end) = end else { return Progress::Foreign };
        if self.complete {
            return Progress::Complete;
        }
        if !data.is_empty()
            && self.note(offset, end as u32)
            && let Some(place) = self.buffer.get_mut(offset as usize..end)
        {
            place.copy_from_slice(data);
        }
        self.progress()
    }

    /// Notes that bytes are there; false if there is no room to note it.
    fn note(&mut self, start: u32, end: u32) -> bool {
        let first = self.pieces.iter().take_while(|piece| piece.1 < start).count();
        let touching = self.pieces.iter().skip(first).take_while(|piece| piece.0 <= end).count();
        if touching == 0 {
            // What lies furthest behind gives way, so that the gap in front can always be filled.
            if self.pieces.is_full() {
                if first == MAX_PIECES {
                    return false;
                }
                self.pieces.pop();
            }
            return self.pieces.insert(first, (start, end)).is_ok();
        }
        let (mut low, mut high) = (start, end);
        for _ in 0..touching {
            let piece = self.pieces.remove(first);
            (low, high) = (low.min(piece.0), high.max(piece.1));
        }
        self.pieces.insert(first, (low, high)).is_ok()
    }

    fn progress(&mut self) -> Progress {
        let Some(head) = self.head else { return Progress::Headless };
        if let Some(missing) = self.missing() {
            return Progress::Missing(missing);
        }
        let body = self.buffer.get(..head.total as usize).unwrap_or_default();
        if crc32(body) == head.crc {
            self.complete = true;
            Progress::Complete
        } else {
            self.pieces.clear();
            Progress::Corrupt
        }
    }

    /// The first bytes that have not come; `None` if all are there, or there is no head.
    pub fn missing(&self) -> Option<Missing> {
        let total = self.head?.total;
        let (offset, next) = match *self.pieces {
            [(0, end), (next, _), ..] => (end, next),
            [(0, end)] => (end, total),
            [(next, _), ..] => (0, next),
            [] => (0, total),
        };
        (offset < total).then_some(Missing { offset, length: next - offset })
    }

    /// The body, once it is complete.
    pub fn body(&self) -> Option<&[u8]> {
        let head = self.head.filter(|_| self.complete)?;
        self.buffer.get(..head.total as usize)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::codes::{AnswerFlags, ItemSet, Precision};
    use std::vec::Vec;

    fn head<'a>(sequence: u32, body: &[u8], data: &'a [u8]) -> message::Result<'a> {
        message::Result {
            frame: 1,
            sequence,
            age_ms: 0,
            flags: AnswerFlags::default(),
            precision: Precision::F32,
            included: ItemSet::default(),
            cut: ItemSet::default(),
            predicted_iou: 0,
            stability: 0,
            waited_us: 0,
            preprocess_us: 0,
            encode_us: 0,
            decode_us: 0,
            postprocess_us: 0,
            total: body.len() as u32,
            crc: crc32(body),
            data,
        }
    }

    fn chunk(body: &[u8], range: core::ops::Range<usize>) -> message::Chunk<'_> {
        message::Chunk { offset: range.start as u32, data: &body[range] }
    }

    fn missing(offset: u32, length: u32) -> Progress {
        Progress::Missing(Missing { offset, length })
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn in_order() {
        let body = sample(100);
        let mut buffer = [0; 100];
        let mut assembly = Assembly::new(&mut buffer);
        assert_eq!(assembly.result(&head(0, &body, &body[..40])), missing(40, 60));
        assert_eq!(assembly.chunk(&chunk(&body, 40..80)), missing(80, 20));
        assert_eq!(assembly.body(), None);
        assert_eq!(assembly.chunk(&chunk(&body, 80..100)), Progress::Complete);
        assert_eq!(assembly.chunk(&chunk(&body, 40..80)), Progress::Complete);
        assert_eq!(assembly.body(), Some(&body[..]));
    }

    #[test]
    fn backwards_twice_and_with_a_gap() {
        let body = sample(100);
        let mut buffer = [0; 128];
        let mut assembly = Assembly::new(&mut buffer);
        assert_eq!(assembly.chunk(&chunk(&body, 80..100)), Progress::Headless);
        assert_eq!(assembly.chunk(&chunk(&body, 20..40)), Progress::Headless);
        assert_eq!(assembly.result(&head(0, &body, &body[..10])), missing(10, 10));
        assert_eq!(assembly.chunk(&chunk(&body, 10..30)), missing(40, 40));
        assert_eq!(assembly.chunk(&chunk(&body, 10..30)), missing(40, 40));
        assert_eq!(assembly.chunk(&chunk(&body, 35..90)), Progress::Complete);
        assert_eq!(assembly.body(), Some(&body[..]));
    }

    #[test]
    fn an_empty_body_is_complete_with_its_head() {
        let mut assembly = Assembly::new(&mut []);
        assert_eq!(assembly.result(&head(0, &[], &[])), Progress::Complete);
        assert_eq!(assembly.body(), Some(&[][..]));
    }

    #[test]
    fn a_wrong_checksum_asks_for_all_again() {
        let body = sample(50);
        let mut other = body.clone();
        other[45] ^= 1;
        let mut buffer = [0; 50];
        let mut assembly = Assembly::new(&mut buffer);
        assembly.result(&head(0, &body, &body[..40]));
        assert_eq!(assembly.chunk(&chunk(&other, 40..50)), Progress::Corrupt);
        assert_eq!(assembly.body(), None);
        assert_eq!(assembly.missing(), Some(Missing { offset: 0, length: 50 }));
        assert_eq!(assembly.chunk(&chunk(&body, 0..50)), Progress::Complete);
    }

    #[test]
    fn what_does_not_fit_is_told_and_what_is_foreign_ignored() {
        let body = sample(50);
        let mut buffer = [0; 49];
        let mut assembly = Assembly::new(&mut buffer);
        assert_eq!(assembly.result(&head(0, &body, &body[..40])), Progress::TooLarge(50));
        let short = &body[..30];
        assert_eq!(assembly.result(&head(0, short, &short[..10])), missing(10, 20));
        assert_eq!(assembly.chunk(&chunk(&body, 25..31)), Progress::Foreign);
        let far = message::Chunk { offset: u32::MAX, data: &body };
        assert_eq!(assembly.chunk(&far), Progress::Foreign);
        assert_eq!(assembly.missing(), Some(Missing { offset: 10, length: 20 }));
    }

    #[test]
    fn the_next_answer_of_a_track_begins_anew() {
        let (first, second) = (sample(50), sample(60));
        let mut buffer = [0; 64];
        let mut assembly = Assembly::new(&mut buffer);
        assembly.result(&head(1, &first, &first[..20]));
        assert_eq!(assembly.result(&head(2, &second, &second[..30])), missing(30, 30));
        assert_eq!(assembly.chunk(&chunk(&second, 30..60)), Progress::Complete);
        assert_eq!(assembly.result(&head(2, &second, &second[..30])), Progress::Complete);
        assert_eq!(assembly.result(&head(3, &first, &first)), Progress::Complete);
        assert_eq!(assembly.body(), Some(&first[..]));
    }

    /// Every second byte first: more pieces than are kept. Those that were forgotten are missing, and the end comes.
    #[test]
    fn more_gaps_than_are_kept() {
        let body = sample(100);
        let mut buffer = [0; 100];
        let mut assembly = Assembly::new(&mut buffer);
        assembly.result(&head(0, &body, &[]));
        for at in (1..100).step_by(2).rev() {
            assembly.chunk(&chunk(&body, at..at + 1));
        }
        let mut rounds = 0;
        while let Some(Missing { offset, length }) = assembly.missing() {
            let range = offset as usize..(offset + length) as usize;
            assembly.chunk(&chunk(&body, range));
            rounds += 1;
            assert!(rounds < 100);
        }
        assert_eq!(assembly.body(), Some(&body[..]));
    }
}

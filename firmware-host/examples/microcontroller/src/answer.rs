//! An answer's body on its way: what came of it, and what is to be done about the rest.

use cutout_protocol::message::{Chunk, Fetch, Result as Data};
use cutout_protocol::{
    AnswerFlags, Assembly, ErrorCode, ItemSet, Message, Missing, Precision, Progress, RETRY, wire_size,
};

use crate::client::TRIES;
use crate::link::{MAX_PAYLOAD, WINDOW};
use crate::trouble::{Refusal, Trouble};

/// What the service may take for what needs no work.
pub(crate) const AT_ONCE_MS: u32 = 100;

/// What a [`Result`](Data) says, without its data. Two of the same answer are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the message")]
pub(crate) struct Head {
    pub(crate) frame: u32,
    pub(crate) sequence: u32,
    pub(crate) age_ms: u32,
    pub(crate) flags: AnswerFlags,
    pub(crate) precision: Precision,
    pub(crate) included: ItemSet,
    pub(crate) cut: ItemSet,
    pub(crate) predicted_iou: u16,
    pub(crate) stability: u16,
    pub(crate) waited_us: u32,
    pub(crate) preprocess_us: u32,
    pub(crate) encode_us: u32,
    pub(crate) decode_us: u32,
    pub(crate) postprocess_us: u32,
    pub(crate) total: u32,
    pub(crate) crc: u32,
}

impl Head {
    fn of(result: &Data<'_>) -> Self {
        Head {
            frame: result.frame,
            sequence: result.sequence,
            age_ms: result.age_ms,
            flags: result.flags,
            precision: result.precision,
            included: result.included,
            cut: result.cut,
            predicted_iou: result.predicted_iou,
            stability: result.stability,
            waited_us: result.waited_us,
            preprocess_us: result.preprocess_us,
            encode_us: result.encode_us,
            decode_us: result.decode_us,
            postprocess_us: result.postprocess_us,
            total: result.total,
            crc: result.crc,
        }
    }

    /// Bytes of the whole answer on the wire, when it is sent in packets as large as this client takes.
    pub(crate) fn on_wire(&self) -> usize {
        let first = (self.total as usize).min(MAX_PAYLOAD - Data::MIN_SIZE);
        wire_size(Data::MIN_SIZE + first) + chunks_on_wire(self.total as usize - first)
    }
}

/// Bytes on the wire of so many bytes of a body, in chunks.
pub(crate) fn chunks_on_wire(bytes: usize) -> usize {
    const ROOM: usize = MAX_PAYLOAD - Chunk::MIN_SIZE;
    let last = match bytes % ROOM {
        0 => 0,
        rest => wire_size(Chunk::MIN_SIZE + rest),
    };
    bytes / ROOM * wire_size(MAX_PAYLOAD) + last
}

/// How often an answer, or parts of it, may be asked for before something is wrong with the line.
const MAX_ASKED: u32 = 64;

/// What is to be done next.
pub(crate) enum Next {
    /// Wait until the time is over that runs.
    Wait,
    /// Wait for so many bytes on the wire, after so much work.
    WaitFor {
        /// Bytes on the wire.
        bytes: usize,
        /// Milliseconds.
        work_ms: u32,
    },
    /// Ask for what lacks; for all of it, if nothing is there, with these flags.
    Ask(u8),
    /// The answer is whole.
    Done(Head),
}

/// See the module.
pub(crate) struct Parts<'b> {
    assembly: Assembly<'b>,
    head: Option<Head>,
    /// Where the bytes end that are on their way: when these are there, what still lacks was lost.
    end: u32,
    /// How often it was asked since something came, and at all.
    tries: u32,
    asked: u32,
    /// How often all was there, and wrong.
    corrupt: u32,
}

impl<'b> Parts<'b> {
    /// None, of an answer that has room in `body`.
    pub(crate) fn new(body: &'b mut [u8]) -> Self {
        Parts { assembly: Assembly::new(body), head: None, end: 0, tries: 0, asked: 0, corrupt: 0 }
    }

    /// Whether the service's Result is not there.
    pub(crate) fn is_headless(&self) -> bool {
        self.head.is_none()
    }

    /// Whether it may be asked once more, which is then counted.
    pub(crate) fn may_ask(&mut self) -> bool {
        self.tries += 1;
        self.asked += 1;
        self.tries <= TRIES && self.asked <= MAX_ASKED
    }

    /// The first bytes that lack, which are on their way from now on; `None` if all do.
    pub(crate) fn missing(&mut self) -> Option<Missing> {
        let missing = self.assembly.missing()?;
        self.end = missing.offset.saturating_add(missing.length);
        Some(missing)
    }

    /// Forgets all, if the service does not keep the answer any more; then the question is to be asked anew.
    pub(crate) fn forget(&mut self, why: &Refusal) -> bool {
        let is_gone = why.code == ErrorCode::StaleFrame && why.of == Fetch::KIND;
        if is_gone {
            self.assembly.reset();
            self.head = None;
        }
        is_gone
    }

    /// Takes a message about the request.
    ///
    /// # Errors
    /// If there is no room for the answer, or it cannot be had undamaged.
    pub(crate) fn take(&mut self, message: &Message<'_>) -> Result<Next, Trouble> {
        let (progress, until) = match message {
            Message::Result(result) => {
                self.head = Some(Head::of(result));
                self.end = result.total;
                (self.assembly.result(result), result.data.len())
            }
            Message::Chunk(chunk) => {
                (self.assembly.chunk(chunk), (chunk.offset as usize).saturating_add(chunk.data.len()))
            }
            _ => return Ok(Next::Wait),
        };
        Ok(match progress {
            Progress::Complete => self.head.map_or(Next::Wait, Next::Done),
            Progress::TooLarge(bytes) => return Err(Trouble::TooLarge(bytes)),
            // Every part was whole: they are of two answers, as the service has answered anew.
            Progress::Corrupt => {
                self.corrupt += 1;
                if self.corrupt > TRIES {
                    return Err(Trouble::Wrong("the answer's checksum"));
                }
                Next::Ask(RETRY)
            }
            Progress::Missing(missing) => {
                self.tries = 0;
                if until >= self.end as usize {
                    return Ok(Next::Ask(RETRY));
                }
                let left = self.end.saturating_sub(missing.offset) as usize;
                Next::WaitFor { bytes: chunks_on_wire(left), work_ms: AT_ONCE_MS }
            }
            // The head was lost, and will not come unasked; what is on the way will.
            Progress::Headless => Next::WaitFor { bytes: usize::from(WINDOW) * wire_size(MAX_PAYLOAD), work_ms: 0 },
            Progress::Foreign => Next::Wait,
        })
    }
}

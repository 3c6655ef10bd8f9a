//! The messages, as one table: structures, what they are on the wire and the [`SCHEMA`](crate::SCHEMA) are made of it.
//!
//! Sizes are in bytes, times in milliseconds (`_ms`) or microseconds (`_us`), image coordinates in [`Q4`](crate::Q4).

use heapless::{String, Vec};

use crate::codes::{AnswerFlags, ErrorCode, Features, Format, ItemSet, Key, Options, Precision, Throttled};
use crate::field::{Count, Field, Full, Malformed, Sink, Take, clipped};
use crate::packet::MAX_PAYLOAD;
use crate::table::{Line, layout, messages};

pub use crate::parts::{MAX_POINTS, Point, Rect};

messages! {
    /// A client says who it is; the first message of a connection, and again whenever it likes. Answered by [`Caps`].
    0x01 Hello {
        /// A random number that the client keeps while it runs, over reconnects too: its requests are known by it.
        client: u64,
        /// [`SCHEMA_HASH`](crate::SCHEMA_HASH) that the client was built with; 0 to have it not checked.
        schema: u32,
        /// Bytes of a payload that the client can take, 64 to 1024.
        max_payload: u16,
        /// Data packets ([`Result`], [`Chunk`]) that the client can take unasked; more only for [`Grant`]s. 0: no limit.
        window: u16,
        /// What a service that is reached over a network may demand; else empty.
        token: Vec<u8, 64>,
    }

    /// Asks for a frame of the service's camera. Answered by [`Frame`].
    #[derive(Copy)]
    0x02 Capture {
        /// A frame that is at most so old will do; 0 for one that is taken from now on.
        max_age_ms: u32,
        /// Time for it from arrival on; 0 for no limit.
        deadline_ms: u32,
    }

    /// Begins an upload of a frame. Answered by [`UploadState`].
    #[derive(Copy)]
    0x03 UploadBegin {
        /// Width in pixels; 0 for a picture file.
        width: u16,
        /// Height in pixels; 0 for a picture file.
        height: u16,
        /// How the bytes are to be read.
        format: Format,
        /// Number of bytes.
        bytes: u32,
        /// [`crc32`](crate::crc32) of all of them.
        crc: u32,
    }

    /// Some bytes of an upload; the packet's request is that of [`UploadBegin`]. Answered by [`UploadState`] now and then.
    #[derive(Copy)]
    0x04 UploadChunk<'a> {
        /// Where they belong.
        offset: u32,
        /// The bytes.
        data: &'a [u8],
    }

    /// Asks for a mask. Answered by [`Result`] and [`Chunk`]s.
    0x05 Prompt {
        /// The frame; 0 for the latest.
        frame: u32,
        /// Time for the answer from the request's arrival on; 0 for no limit.
        deadline_ms: u32,
        /// Bytes of the whole answer on the wire, by [`wire_size`](crate::wire_size) of its packets; 0 for no limit.
        budget: u32,
        /// The items wanted.
        wanted: ItemSet,
        /// Points of the contour at most; 0 for the service's choice.
        contour_points: u16,
        /// An earlier request of this client, whose answer's logits are the mask of this prompt; 0 for none.
        refine: u32,
        /// How to answer.
        options: Options,
        /// The box.
        bbox: Option<Rect>,
        /// The points.
        points: Vec<Point, MAX_POINTS>,
    }

    /// Asks for bytes of an answer again; the packet's request is the answer's. Answered by [`Chunk`]s.
    #[derive(Copy)]
    0x06 Fetch {
        /// The first byte wanted.
        offset: u32,
        /// How many; 0 for all to the end.
        length: u32,
    }

    /// The client can take so many data packets more.
    #[derive(Copy)]
    0x07 Grant {
        /// How many.
        packets: u16,
    }

    /// Asks for a mask on frame after frame. Answered by [`Result`]s and [`Chunk`]s until [`Cancel`].
    0x08 Track {
        /// Time between answers at least.
        interval_ms: u32,
        /// What to look for, on the first frame.
        prompt: Prompt,
    }

    /// Ends a request; the packet's request is the one to end. Answered by [`Done`].
    #[derive(Copy)]
    0x09 Cancel {}

    /// Changes a setting of the connection. Answered by [`Done`].
    #[derive(Copy)]
    0x0a Configure {
        /// Which.
        key: Key,
        /// Its new value.
        value: u32,
    }

    /// Asks how the service is. Answered by [`Status`].
    #[derive(Copy)]
    0x0b GetStatus {}

    /// Asks for its data back. Answered by [`Pong`].
    0x0c Ping {
        /// Anything.
        data: Vec<u8, 32>,
    }

    /// Asks for the picture of a frame. Answered by a [`Result`] whose body is a JPEG, and [`Chunk`]s.
    #[derive(Copy)]
    0x0d GetPicture {
        /// The frame; 0 for the latest.
        frame: u32,
        /// Its longer side at most, in pixels; 0 for the frame's own.
        max_side: u16,
        /// 1 to 100.
        quality: u8,
    }

    /// What the service is and can do.
    0x81 Caps {
        /// [`SCHEMA_HASH`](crate::SCHEMA_HASH) of the service.
        schema: u32,
        /// Program and version.
        service: String<32>,
        /// The model's name.
        model: String<64>,
        /// SHA-256 of the model's weights.
        sha256: [u8; 32],
        /// In which numbers it is computed.
        precision: Precision,
        /// Width of the model's input in its pixels.
        input_width: u16,
        /// Height of the model's input.
        input_height: u16,
        /// Bytes of a payload that the service can take.
        max_payload: u16,
        /// [`UploadChunk`]s that may be under way without an [`UploadState`].
        window: u16,
        /// Bytes of an upload at most.
        max_upload: u32,
        /// Points of a prompt at most.
        max_points: u8,
        /// Frames that are kept for prompts.
        ring: u8,
        /// What else it can do.
        features: Features,
        /// The newest frame; 0 for none.
        newest: u32,
    }

    /// A frame.
    #[derive(Copy)]
    0x82 Frame {
        /// Its number, never 0.
        frame: u32,
        /// Width in pixels.
        width: u16,
        /// Height in pixels.
        height: u16,
        /// How old it is.
        age_ms: u32,
        /// 1 if it is encoded already, so that prompts on it are answered at once.
        encoded: u8,
    }

    /// How far an upload is.
    #[derive(Copy)]
    0x83 UploadState {
        /// Bytes that are there from the first on without a gap: what comes next.
        received: u32,
        /// The number of the frame if it is complete, else 0.
        frame: u32,
    }

    /// What was asked is done.
    #[derive(Copy)]
    0x84 Done {}

    /// An answer: what is known of it, and the start of its [`body`](crate::body).
    #[derive(Copy)]
    0x85 Result<'a> {
        /// The frame that it is about.
        frame: u32,
        /// Counts the answers to a [`Track`] from 1 on; 0 for others.
        sequence: u32,
        /// How old the frame was when it was answered.
        age_ms: u32,
        /// What is to be said about it.
        flags: AnswerFlags,
        /// In which numbers it was computed.
        precision: Precision,
        /// The items in the body.
        included: ItemSet,
        /// The items that were wanted and left out for the budget.
        cut: ItemSet,
        /// The model's estimate of the mask's IoU, in 1/10000.
        predicted_iou: u16,
        /// How little the mask depends on the threshold, in 1/10000.
        stability: u16,
        /// From arrival until work began.
        waited_us: u32,
        /// Preprocessing.
        preprocess_us: u32,
        /// The image encoder; 0 if the frame was encoded before.
        encode_us: u32,
        /// The mask decoder.
        decode_us: u32,
        /// From logits to the body.
        postprocess_us: u32,
        /// Bytes of the body.
        total: u32,
        /// [`crc32`](crate::crc32) of the body.
        crc: u32,
        /// The body's first bytes; all of them if no [`Chunk`] follows.
        data: &'a [u8],
    }

    /// Further bytes of a body; the packet's request is the answer's.
    #[derive(Copy)]
    0x86 Chunk<'a> {
        /// Where they belong.
        offset: u32,
        /// The bytes.
        data: &'a [u8],
    }

    /// How the service is. Counts are since its start.
    #[derive(Copy)]
    0x8b Status {
        /// Since when, in seconds.
        uptime_s: u32,
        /// Connections.
        clients: u16,
        /// Requests that wait.
        queue: u16,
        /// Frames taken or uploaded.
        frames: u32,
        /// Frames encoded.
        encoded: u32,
        /// Answers.
        answered: u32,
        /// Requests that came too late.
        deadlines_missed: u32,
        /// Errors of all kinds.
        errors: u32,
        /// The oldest frame kept; 0 for none.
        oldest: u32,
        /// The newest frame; 0 for none.
        newest: u32,
        /// Memory, in KiB.
        resident_kib: u32,
        /// Temperature in hundredths of a degree Celsius; -32768 for unknown.
        temperature_cc: i16,
        /// Whether the board slows down.
        throttled: Throttled,
        /// The last run of the image encoder.
        encode_us: u32,
        /// The last run of the mask decoder.
        decode_us: u32,
        /// Packets on this line that were damaged.
        bad_packets: u32,
    }

    /// A [`Ping`]'s data.
    0x8c Pong {
        /// As it came.
        data: Vec<u8, 32>,
    }

    /// Why a request has no answer.
    0xff Error {
        /// Why.
        code: ErrorCode,
        /// The kind of the message that it is about; 0 if unknown.
        of: u8,
        /// See [`ErrorCode`]; else 0.
        detail: u32,
        /// See [`ErrorCode`]; else 0.
        frame: u32,
        /// For people: what is wrong, and what to do.
        text: String<96>,
    }
}

impl Message<'_> {
    /// Bytes of the payload. More than [`MAX_PAYLOAD`] if `data` is too long for a packet.
    pub fn payload_size(&self) -> usize {
        let mut count = Count(0);
        match self.put(&mut count) {
            Ok(()) => count.0,
            Err(Full) => usize::MAX,
        }
    }

    /// Shortens texts (an error's, then the service's and the model's name) so that the payload has at most `max` bytes; whether
    /// it has. Nothing that a service says to a client needs more than the 64 bytes that every client can take, but for
    /// `data`, which whoever makes it cuts.
    pub fn fit(&mut self, max: usize) -> bool {
        let over = self.payload_size().saturating_sub(max);
        match self {
            Message::Error(error) => {
                shorten(&mut error.text, over);
            }
            Message::Caps(caps) => {
                let over = over - shorten(&mut caps.service, over);
                shorten(&mut caps.model, over);
            }
            _ => {}
        }
        self.payload_size() <= max
    }

    /// The name of this message.
    pub fn name(&self) -> &'static str {
        Self::name_of(self.kind()).unwrap_or("")
    }

    /// The name of the message with this number.
    pub fn name_of(kind: u8) -> Option<&'static str> {
        Self::KINDS.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
    }

    /// Whether clients send this message, and the service answers it.
    pub const fn is_from_client(&self) -> bool {
        self.kind() < 0x80
    }
}

impl Error {
    /// An error about a message of kind `of`, its text cut to what fits.
    pub fn new(code: ErrorCode, of: u8, text: &str) -> Self {
        Error { code, of, detail: 0, frame: 0, text: clipped(text) }
    }
}

impl Default for Prompt {
    /// Of the latest frame, without limits: nothing is asked about, and nothing wanted.
    fn default() -> Self {
        Prompt {
            frame: 0,
            deadline_ms: 0,
            budget: 0,
            wanted: ItemSet::default(),
            contour_points: 0,
            refine: 0,
            options: Options::default(),
            bbox: None,
            points: Vec::new(),
        }
    }
}

/// Text of at most `N` bytes for a message: as much of `text` as fits, cut between characters.
pub fn text<const N: usize>(text: &str) -> String<N> {
    clipped(text)
}

/// Takes at least `over` bytes from the end of a text, or all of it; says how many of `over` are taken.
fn shorten<const N: usize>(text: &mut String<N>, over: usize) -> usize {
    let mut keep = text.len().saturating_sub(over);
    while !text.is_char_boundary(keep) {
        keep -= 1;
    }
    let taken = text.len() - keep;
    text.truncate(keep);
    taken.min(over)
}

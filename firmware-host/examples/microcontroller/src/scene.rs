//! What the client asks on the sample scene, and how it checks what it is told.

use core::fmt::Write;

use cutout_protocol::body::BBox;
use cutout_protocol::heapless::Vec;
use cutout_protocol::message::{Capture, Chunk, Fetch, GetStatus, Ping, Point, Prompt, Rect, Status, Track};
use cutout_protocol::{AnswerFlags, ErrorCode, ItemKind, ItemSet, Message, Q4, RETRY, crc32, wire_size};

use crate::answer::Head;
use crate::board::Console;
use crate::checks::{Hexadecimal, agree, check, item};
use crate::client::{Client, Question};
use crate::link::{MAX_PAYLOAD, Port, Traffic};
use crate::mask::{self, Picture};
use crate::trouble::{Refusal, Trouble};

/// The carton of `assets/scene.jpg`, in pixels: left, top, right, bottom.
const CARTON: [u32; 4] = [624, 24, 749, 374];
/// What a slow service may take to encode a frame, and to answer about one that is encoded.
const ENCODE_MS: u32 = 4000;
const DECODE_MS: u32 = 1000;
/// The tight request: bytes on the wire, and milliseconds.
const BUDGET: u32 = 240;
const DEADLINE_MS: u32 = 80;
/// Answers of the track that are waited for.
const ANSWERS: u32 = 3;
/// Small items, about which no budget is too small.
const PLACE: ItemSet = ItemSet(ItemSet::BBOX.0 | ItemSet::CENTROID.0 | ItemSet::AREA.0);
/// All that there is about a mask.
const ALL: ItemSet = ItemSet(PLACE.0 | ItemSet::CONTOUR.0 | ItemSet::RLE.0 | ItemSet::COCO_RLE.0);

macro_rules! say {
    ($scene:expr, $($text:tt)*) => {
        // Where nobody listens, the program goes on.
        let _ = writeln!($scene.console, $($text)*);
    };
}

/// A talk with the service.
pub(crate) struct Scene<'a, P> {
    /// Who talks.
    pub(crate) client: &'a mut Client<P>,
    /// Room for an answer.
    pub(crate) body: &'a mut [u8],
    /// What is read along.
    pub(crate) console: Console,
    /// When the step began, and what had gone over the line then.
    start: u32,
    before: Traffic,
}

/// The answer that the others are compared with.
struct Object {
    request: u32,
    head: Head,
    bbox: BBox,
}

/// Asks for items about the carton on a frame.
fn about(frame: u32, wanted: ItemSet) -> Prompt {
    let [x0, y0, x1, y1] = CARTON.map(|pixels| Q4(pixels * 16));
    Prompt { frame, wanted, contour_points: 48, bbox: Some(Rect { x0, y0, x1, y1 }), ..Prompt::default() }
}

impl<'a, P: Port> Scene<'a, P> {
    /// Before its first step.
    pub(crate) fn new(client: &'a mut Client<P>, body: &'a mut [u8], console: Console) -> Self {
        let (start, before) = (client.link.port.now_ms(), client.link.traffic);
        Scene { client, body, console, start, before }
    }

    /// All of it.
    ///
    /// # Errors
    /// Where the talk breaks off, or an answer is not what it should be.
    pub(crate) fn play(&mut self) -> Result<(), Trouble> {
        self.hello()?;
        self.ping()?;
        self.status()?;
        let frame = self.capture()?;
        let object = self.object(frame)?;
        self.retry(&object)?;
        self.fetch(&object)?;
        self.tight(&object)?;
        self.refused()?;
        self.track(&object)?;
        self.status()
    }

    /// Tells of a step: milliseconds, and bytes sent and received.
    fn step(&mut self, name: &str) {
        let (now, traffic) = (self.client.link.port.now_ms(), self.client.link.traffic);
        let ms = now.wrapping_sub(self.start);
        let (sent, received) = (traffic.sent - self.before.sent, traffic.received - self.before.received);
        say!(self, "{name}: {ms} ms, {sent} bytes sent, {received} received");
        (self.start, self.before) = (now, traffic);
    }

    // Steps are not inlined: their frames would all be on the stack at once.
    #[inline(never)]
    fn hello(&mut self) -> Result<(), Trouble> {
        let caps = self.client.hello()?;
        self.step("hello");
        say!(self, "  {} with {}, schema {:08x} as here", caps.service, caps.model, caps.schema);
        say!(
            self,
            "  input {}x{}, {}, {} frames kept, features {:#x}",
            caps.input_width,
            caps.input_height,
            caps.precision.name(),
            caps.ring,
            caps.features.0
        );
        Ok(())
    }

    #[inline(never)]
    fn ping(&mut self) -> Result<(), Trouble> {
        // All that stuffing and checksums could trip over: zeros, long runs without any, and what looks like text.
        let mut data = Vec::new();
        data.extend((0..32u8).map(|at| match at {
            0..8 => 0,
            8..16 => 0xff,
            16..24 => b'\r' - at % 2 * 3,
            _ => at.wrapping_mul(29),
        }));
        let request = self.client.number();
        let ping = Ping { data: data.clone() }.into();
        let back = self.client.ask(request, &ping, 0, |message| match message {
            Message::Pong(pong) => Some(pong.data.clone()),
            _ => None,
        })?;
        check(back == data, "the data of Pong")?;
        self.step("ping");
        Ok(())
    }

    #[inline(never)]
    fn status(&mut self) -> Result<(), Trouble> {
        let request = self.client.number();
        let status: Status = self.client.ask(request, &GetStatus {}.into(), 0, |message| match message {
            Message::Status(status) => Some(*status),
            _ => None,
        })?;
        check(status.clients >= 1, "the number of clients")?;
        self.step("status");
        say!(
            self,
            "  up {} s, {} frames taken, {} encoded, {} answers, {} errors, {} KiB, {} bad packets on this line",
            status.uptime_s,
            status.frames,
            status.encoded,
            status.answered,
            status.errors,
            status.resident_kib,
            status.bad_packets
        );
        Ok(())
    }

    /// The number of a frame that is encoded.
    #[inline(never)]
    fn capture(&mut self) -> Result<u32, Trouble> {
        let request = self.client.number();
        let capture = Capture { max_age_ms: 2000, deadline_ms: 0 }.into();
        let frame = self.client.ask(request, &capture, ENCODE_MS, |message| match message {
            Message::Frame(frame) => Some(*frame),
            _ => None,
        })?;
        check(frame.frame > 0, "the frame's number")?;
        self.step("capture");
        say!(self, "  frame {}, {}x{}, {} ms old", frame.frame, frame.width, frame.height, frame.age_ms);
        Ok(frame.frame)
    }

    /// Asks about the carton for all that there is, and checks one item against the others.
    #[inline(never)]
    fn object(&mut self, frame: u32) -> Result<Object, Trouble> {
        let (request, head) = self.ask(about(frame, ALL))?;
        check(head.frame == frame, "the frame of the answer")?;
        check(head.included == ALL && head.cut.is_empty(), "the items of an answer without a budget")?;
        check(head.total > MAX_PAYLOAD as u32, "an answer of several packets")?;
        self.step("object");
        self.told(&head);

        let mut picture = Picture::new();
        let rle = item(self.body, &head, ItemKind::Rle)?;
        let measured = mask::measure(rle, &mut picture)?;
        let coco = item(self.body, &head, ItemKind::CocoRle)?;
        let (area, pixels) = mask::coco_area(coco).ok_or(Trouble::Wrong("COCO's text"))?;
        let frame_pixels = measured.size.0 * measured.size.1;
        check(area == measured.area && pixels <= frame_pixels, "the areas of both run-length codes")?;
        // For who compares with other programs.
        let coco = core::str::from_utf8(coco).map_err(|_| Trouble::Wrong("COCO's text"))?;
        say!(self, "coco rle: {coco}\ncoco rle crc32: {:08x}", crc32(coco.as_bytes()));
        say!(self, "row rle: {}\nrow rle crc32: {:08x}", Hexadecimal(rle), crc32(rle));
        say!(self, "mask at 64x32, {} pixels lit:\n{picture}", picture.lit());
        let bbox = agree(self.body, &head, Some(measured), &mut self.console)?;
        Ok(Object { request, head, bbox })
    }

    /// The same request again: it is not worked on again, and nothing of the answer is different, times included.
    #[inline(never)]
    fn retry(&mut self, object: &Object) -> Result<(), Trouble> {
        let message = about(object.head.frame, ALL).into();
        let question = Question { message: &message, answer_bytes: wire_size(self.body.len()), work_ms: DECODE_MS };
        self.body.fill(0);
        let head = self.client.collect(object.request, &question, RETRY, self.body)?;
        check(head == object.head, "the answer to a request that was sent again")?;
        self.step("retry");
        say!(self, "  the same {} bytes, crc32 {:08x}", head.total, head.crc);
        Ok(())
    }

    /// Bytes from the middle of the answer again.
    #[inline(never)]
    fn fetch(&mut self, object: &Object) -> Result<(), Trouble> {
        let length = 200.min(object.head.total / 2);
        let offset = object.head.total / 2;
        let expected = self.body.get(offset as usize..(offset + length) as usize).unwrap_or_default();
        let fetch = Fetch { offset, length }.into();
        let same = self.client.ask(object.request, &fetch, 0, |message| match message {
            Message::Chunk(Chunk { offset: at, data }) if *at == offset => Some(*data == expected),
            _ => None,
        })?;
        check(same, "the bytes that were fetched")?;
        self.step("fetch");
        say!(self, "  {length} bytes from {offset} on, the same");
        Ok(())
    }

    /// The same object, in few bytes and little time. A service that cannot says what it could.
    #[inline(never)]
    fn tight(&mut self, object: &Object) -> Result<(), Trouble> {
        let (mut frame, mut deadline_ms) = (object.head.frame, DEADLINE_MS);
        let head = loop {
            match self.ask(Prompt { budget: BUDGET, deadline_ms, ..about(frame, ALL) }) {
                Err(Trouble::Refused(Refusal { code: ErrorCode::Deadline, detail, frame: encoded, .. }))
                    if deadline_ms < ENCODE_MS =>
                {
                    say!(self, "tight: {deadline_ms} ms are too few, {detail} would do, on frame {encoded}");
                    deadline_ms = detail.max(deadline_ms).saturating_mul(2).min(ENCODE_MS);
                    frame = if encoded > 0 { encoded } else { frame };
                }
                ended => break ended?.1,
            }
        };
        check(head.on_wire() <= BUDGET as usize, "the answer's bytes, within the budget")?;
        check(head.included | head.cut == ALL && !head.cut.is_empty(), "what was left out for the budget")?;
        check(head.included.contains(PLACE), "what fits any budget")?;
        self.step("tight");
        self.told(&head);
        check(agree(self.body, &head, None, &mut self.console)? == object.bbox, "the same box as without a budget")
    }

    /// A point outside of the frame.
    #[inline(never)]
    fn refused(&mut self) -> Result<(), Trouble> {
        let mut prompt = Prompt { wanted: PLACE, ..Prompt::default() };
        prompt.points.extend([Point { x: Q4(5000 * 16), y: Q4(16), label: 1 }]);
        match self.ask(prompt) {
            Err(Trouble::Refused(why)) => {
                check(why.code == ErrorCode::BadPrompt && why.of == Prompt::KIND, "the reason of the refusal")?;
                self.step("refused");
                say!(self, "  {}: {}", why.code.name(), why.text);
                Ok(())
            }
            Err(trouble) => Err(trouble),
            Ok(_) => Err(Trouble::Wrong("an answer about a point outside of the frame")),
        }
    }

    /// Follows the object for a few answers.
    #[inline(never)]
    fn track(&mut self, object: &Object) -> Result<(), Trouble> {
        let prompt = Prompt { budget: BUDGET, ..about(object.head.frame, PLACE) };
        let message = Track { interval_ms: 100, prompt }.into();
        // The first answer is about a frame that is encoded, the others are not.
        let first = Question { message: &message, answer_bytes: BUDGET as usize, work_ms: DECODE_MS };
        let question = Question { work_ms: ENCODE_MS, ..first };
        let request = self.client.number();
        let mut sequence = 0;
        for answer in 0..ANSWERS {
            let head = match answer {
                0 => self.client.collect(request, &first, 0, self.body)?,
                _ => self.client.next_answer(request, &question, self.body)?,
            };
            check(head.sequence > 0 && head.sequence != sequence, "the number of a track's answer")?;
            check(!head.flags.contains(AnswerFlags::TRACK_LOST), "an object that does not move is not lost")?;
            sequence = head.sequence;
            self.step("track");
            say!(self, "  answer {sequence} on frame {}, {} ms old", head.frame, head.age_ms);
            let bbox = agree(self.body, &head, None, &mut self.console)?;
            let shifts = [bbox.x.abs_diff(object.bbox.x), bbox.y.abs_diff(object.bbox.y)];
            check(shifts.iter().all(|shift| *shift <= 8), "an object that does not move")?;
        }
        self.client.cancel(request)?;
        self.step("cancel");
        Ok(())
    }

    /// Asks, and gives the request's number and what was answered.
    fn ask(&mut self, prompt: Prompt) -> Result<(u32, Head), Trouble> {
        let answer_bytes = match prompt.budget {
            0 => wire_size(self.body.len()),
            budget => budget as usize,
        };
        let work_ms = if prompt.deadline_ms > 0 { prompt.deadline_ms } else { DECODE_MS };
        let request = self.client.number();
        let question = Question { message: &prompt.into(), answer_bytes, work_ms };
        let head = self.client.collect(request, &question, 0, self.body)?;
        Ok((request, head))
    }

    fn told(&mut self, head: &Head) {
        say!(
            self,
            "  {} bytes, {} on the wire, items {:#x}, without {:#x}, IoU {}/10000, stability {}/10000",
            head.total,
            head.on_wire(),
            head.included.0,
            head.cut.0,
            head.predicted_iou,
            head.stability
        );
        say!(
            self,
            "  waited {} us, preprocessing {}, encoder {}, decoder {}, postprocessing {}",
            head.waited_us,
            head.preprocess_us,
            head.encode_us,
            head.decode_us,
            head.postprocess_us
        );
    }
}

//! [`Reply`]: what the service says, as a line.

use core::fmt::{self, Display, Write};

use crate::body::contour::{Contour, Part};
use crate::body::{BBox, Centroid, Items, area_from_bytes};
use crate::codes::{AnswerFlags, ErrorCode, ItemKind, ItemSet, Throttled};
use crate::message::{self, Message};
use crate::q4::Q4;

/// A message of the service as one line of the text mode, without its end. Of a body whose bytes are not as they should
/// be, what can be read is written.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The message.
    pub message: &'a Message<'a>,
    /// The whole body, if it is a [`Result`](message::Result).
    pub body: &'a [u8],
}

impl Display for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message {
            Message::Error(error) => write_error(f, error),
            Message::Result(result) => {
                f.write_str("OK")?;
                write_result(f, result)?;
                write_body(f, self.body)?;
                write_words(f, result)
            }
            Message::Status(status) => write_status(f, status),
            Message::Frame(frame) => {
                let message::Frame { frame, width, height, age_ms, encoded } = frame;
                write!(f, "OK frame={frame} width={width} height={height} age_ms={age_ms} encoded={encoded}")
            }
            Message::UploadState(state) => write!(f, "OK received={} frame={}", state.received, state.frame),
            Message::Caps(caps) => {
                write!(f, "OK service=\"{}\" model=\"{}\"", Printable(&caps.service), Printable(&caps.model))?;
                let message::Caps { input_width, input_height, newest, .. } = caps;
                write!(f, " precision={} input={input_width}x{input_height} newest={newest}", caps.precision.name())
            }
            _ => f.write_str("OK"),
        }
    }
}

fn write_error(f: &mut fmt::Formatter<'_>, error: &message::Error) -> fmt::Result {
    match error.code {
        ErrorCode::Other(number) => write!(f, "ERR {number}")?,
        code => write!(f, "ERR {}", code.name())?,
    }
    if error.detail != 0 {
        write!(f, " detail={}", error.detail)?;
    }
    if error.frame != 0 {
        write!(f, " frame={}", error.frame)?;
    }
    if error.text.is_empty() { Ok(()) } else { write!(f, " {}", Printable(&error.text)) }
}

fn write_result(f: &mut fmt::Formatter<'_>, result: &message::Result<'_>) -> fmt::Result {
    write!(f, " frame={} age_ms={}", result.frame, result.age_ms)?;
    if result.sequence != 0 {
        write!(f, " sequence={}", result.sequence)?;
    }
    let stages = [result.waited_us, result.preprocess_us, result.encode_us, result.decode_us, result.postprocess_us];
    let whole_us = stages.into_iter().fold(0, u32::saturating_add);
    write!(f, " ms={}", whole_us.div_ceil(1000))?;
    write!(f, " iou={} stability={}", Fraction(result.predicted_iou), Fraction(result.stability))
}

fn write_body(f: &mut fmt::Formatter<'_>, body: &[u8]) -> fmt::Result {
    for item in Items::new(body).flatten() {
        match item.kind {
            ItemKind::BBox => {
                if let Ok(BBox { x, y, width, height }) = BBox::from_bytes(item.bytes) {
                    write!(f, " bbox={x},{y},{width},{height}")?;
                }
            }
            ItemKind::Centroid => {
                if let Ok(Centroid { x, y }) = Centroid::from_bytes(item.bytes) {
                    write!(f, " centroid={},{}", Pixels(x), Pixels(y))?;
                }
            }
            ItemKind::Area => {
                if let Ok(area) = area_from_bytes(item.bytes) {
                    write!(f, " area={area}")?;
                }
            }
            ItemKind::Contour => write_contour(f, item.bytes)?,
            _ => {}
        }
    }
    Ok(())
}

fn write_contour(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let Ok(contour) = Contour::new(bytes) else { return Ok(()) };
    let mut before = " contour=";
    let mut first = true;
    for part in contour {
        match part {
            Ok(Part::Ring { hole, .. }) => {
                f.write_str(before)?;
                f.write_str(if hole { "-" } else { "" })?;
                (before, first) = (";", true);
            }
            Ok(Part::Point { x, y }) => {
                f.write_str(if first { "" } else { "/" })?;
                write!(f, "{x},{y}")?;
                first = false;
            }
            Err(_) => break,
        }
    }
    Ok(())
}

fn write_words(f: &mut fmt::Formatter<'_>, result: &message::Result<'_>) -> fmt::Result {
    let words =
        [(AnswerFlags::ZOOMED, " zoomed"), (AnswerFlags::EMPTY_MASK, " empty"), (AnswerFlags::TRACK_LOST, " lost")];
    for (flag, word) in words {
        if result.flags.contains(flag) {
            f.write_str(word)?;
        }
    }
    let mut before = " cut=";
    for &kind in ItemKind::ALL {
        if result.cut.contains(ItemSet::of(kind)) {
            write!(f, "{before}{}", kind.name())?;
            before = ",";
        }
    }
    Ok(())
}

fn write_status(f: &mut fmt::Formatter<'_>, status: &message::Status) -> fmt::Result {
    let message::Status { uptime_s, clients, queue, frames, encoded, answered, errors, .. } = status;
    write!(f, "OK uptime_s={uptime_s} clients={clients} queue={queue} frames={frames} encoded={encoded}")?;
    write!(f, " answered={answered} deadlines_missed={} errors={errors}", status.deadlines_missed)?;
    let message::Status { oldest, newest, resident_kib, temperature_cc, throttled, .. } = status;
    write!(f, " oldest={oldest} newest={newest} resident_kib={resident_kib}")?;
    if *temperature_cc != i16::MIN {
        let (sign, size) = (if *temperature_cc < 0 { "-" } else { "" }, temperature_cc.unsigned_abs());
        write!(f, " temperature={sign}{}.{:02}", size / 100, size % 100)?;
    }
    match throttled {
        Throttled::Yes => f.write_str(" throttled")?,
        Throttled::No | Throttled::Unknown | Throttled::Other(_) => {}
    }
    let message::Status { encode_us, decode_us, bad_packets, .. } = status;
    write!(f, " encode_us={encode_us} decode_us={decode_us} bad_packets={bad_packets}")
}

/// In 1/10000.
struct Fraction(u16);

impl Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

struct Pixels(Q4);

impl Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let q4 = self.0.0;
        write!(f, "{}.{:02}", q4 / 16, q4 % 16 * 100 / 16)
    }
}

/// Text of which nothing can end the line or start a packet.
struct Printable<'a>(&'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if matches!(c, ' '..='~') { c } else { '?' }))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::body::{ItemWriter, contour};
    use crate::codes::{Precision, Throttled};
    use std::string::ToString;

    fn result() -> message::Result<'static> {
        message::Result {
            frame: 12,
            sequence: 0,
            age_ms: 40,
            flags: AnswerFlags::default(),
            precision: Precision::F32,
            included: ItemSet::BBOX,
            cut: ItemSet::default(),
            predicted_iou: 9412,
            stability: 9730,
            waited_us: 100,
            preprocess_us: 2000,
            encode_us: 71_000,
            decode_us: 9000,
            postprocess_us: 1,
            total: 0,
            crc: 0,
            data: &[],
        }
    }

    fn line(message: impl Into<Message<'static>>, body: &[u8]) -> std::string::String {
        Reply { message: &message.into(), body }.to_string()
    }

    #[test]
    fn an_answer_as_the_document_shows_it() {
        let mut out = [0; 200];
        let mut items = ItemWriter::new(&mut out);
        items.bbox(BBox { x: 251, y: 187, width: 140, height: 96 }).unwrap();
        items.centroid(Centroid { x: Q4::from_px(320.5), y: Q4::from_px(233.0625) }).unwrap();
        items.area(9120).unwrap();
        let length = items.len();
        assert_eq!(
            line(result(), &out[..length]),
            "OK frame=12 age_ms=40 ms=83 iou=0.9412 stability=0.9730 bbox=251,187,140,96 centroid=320.50,233.06 area=9120"
        );
    }

    #[test]
    fn contours_words_and_what_was_cut() {
        let rings = [
            contour::Ring { hole: false, points: &[[1, 2], [5, 2], [5, 9]] },
            contour::Ring { hole: true, points: &[[2, 3], [4, 3]] },
        ];
        let mut out = [0; 200];
        let mut items = ItemWriter::new(&mut out);
        items.item(ItemKind::Contour, |out| contour::encode(9000, &rings, out)).unwrap();
        let length = items.len();
        let flags = AnswerFlags::ZOOMED | AnswerFlags::TRACK_LOST | AnswerFlags::ENCODED;
        let result = message::Result { sequence: 3, flags, cut: ItemSet::RLE | ItemSet::PICTURE, ..result() };
        let expected = "OK frame=12 age_ms=40 sequence=3 ms=83 iou=0.9412 stability=0.9730 \
            contour=1,2/5,2/5,9;-2,3/4,3 zoomed lost cut=RLE,PICTURE";
        assert_eq!(line(result, &out[..length]), expected);
    }

    #[test]
    fn errors_stay_in_their_line() {
        let mut error = message::Error::new(ErrorCode::Deadline, 5, "too\r\nlate \u{e9}\0");
        (error.detail, error.frame) = (130, 27);
        assert_eq!(line(error, &[]), "ERR DEADLINE detail=130 frame=27 too??late ??");
        assert_eq!(line(message::Error::new(ErrorCode::Other(77), 5, ""), &[]), "ERR 77");
    }

    #[test]
    fn the_others() {
        assert_eq!(line(message::Done {}, &[]), "OK");
        let frame = message::Frame { frame: 3, width: 640, height: 480, age_ms: 7, encoded: 1 };
        assert_eq!(line(frame, &[]), "OK frame=3 width=640 height=480 age_ms=7 encoded=1");
        let status = message::Status {
            uptime_s: 1,
            clients: 2,
            queue: 3,
            frames: 4,
            encoded: 5,
            answered: 6,
            deadlines_missed: 7,
            errors: 8,
            oldest: 9,
            newest: 10,
            resident_kib: 11,
            temperature_cc: -1205,
            throttled: Throttled::Yes,
            encode_us: 12,
            decode_us: 13,
            bad_packets: 14,
        };
        let expected = "OK uptime_s=1 clients=2 queue=3 frames=4 encoded=5 answered=6 deadlines_missed=7 errors=8 \
            oldest=9 newest=10 resident_kib=11 temperature=-12.05 throttled encode_us=12 decode_us=13 bad_packets=14";
        assert_eq!(line(status, &[]), expected);
        let unknown = message::Status { temperature_cc: i16::MIN, throttled: Throttled::Unknown, ..status };
        assert_eq!(line(unknown, &[]), expected.replace(" temperature=-12.05 throttled", ""));
    }
}

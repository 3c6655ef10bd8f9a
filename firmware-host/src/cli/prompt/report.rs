//! What is said of answers, for people and for programs.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use cutout_protocol::body::contour::Part;
use cutout_protocol::message::{Caps, Status};
use cutout_protocol::{AnswerFlags, ErrorCode, ItemKind, ItemSet, Precision, Throttled};
use serde_json::{Value, json};

use super::coco::coco_rle;
use super::draw::spans;
use crate::client::{Answer, Client, Refusal};

/// Who reads a hint, and how they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// By flags, about this frame; 0 for the newest.
    Flags(u32),
    /// By flags, about a photo that was uploaded.
    Photo,
    /// By lines of a talk, about this frame.
    Talk(u32),
}

/// What the person at the keyboard can do about an error, beyond what the service says; to be put behind that.
pub(super) fn hint(refusal: &Refusal, reader: Reader) -> String {
    use Reader::{Flags, Photo, Talk};
    let encoded = refusal.frame;
    match (refusal.code, reader) {
        (ErrorCode::Unauthorized, Talk(_)) => "; type TOKEN and the service's token".into(),
        (ErrorCode::Unauthorized, _) => "; give its token in CUTOUT_TOKEN, or in a file with --token-file".into(),
        (ErrorCode::NoFrame, Flags(0)) => "; --image FILE uploads a photo".into(),
        (ErrorCode::NoFrame | ErrorCode::StaleFrame, Flags(1..)) => "; leave out --frame for the newest".into(),
        (ErrorCode::NoFrame | ErrorCode::StaleFrame, Talk(1..)) => "; FRAME latest means the newest".into(),
        (ErrorCode::Deadline, Flags(asked)) if encoded > 0 && encoded != asked => {
            format!(", but frame {encoded} is encoded already: ask about that one with --frame {encoded}")
        }
        (ErrorCode::Deadline, Talk(asked)) if encoded > 0 && encoded != asked => {
            format!(", but frame {encoded} is encoded already: ask about that one with FRAME {encoded}")
        }
        (ErrorCode::Deadline, Flags(_) | Photo) => ": give --deadline more".into(),
        _ => String::new(),
    }
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Milliseconds to the microsecond, as programs get them.
pub(super) fn rounded_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn precision(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
        Precision::F16Arithmetic => "f16-arithmetic",
        Precision::Int8 => "int8",
        Precision::Other(_) => "an unknown precision",
    }
}

fn names(items: ItemSet) -> Vec<&'static str> {
    ItemKind::ALL.iter().filter(|kind| items.contains(ItemSet::of(**kind))).map(|kind| kind.name()).collect()
}

/// Where the mask is, as far as the answer says.
fn place(answer: &Answer) -> String {
    if answer.is_empty() {
        return "nothing found".into();
    }
    let mut text = match answer.area() {
        Some(area) => format!("{area} pixels"),
        None => "a mask".into(),
    };
    if let Some(b) = answer.bbox() {
        text += &format!(" in {}x{} at {},{}", b.width, b.height, b.x, b.y);
    }
    if let Some(c) = answer.centroid() {
        text += &format!(", centre {:.1},{:.1}", c.x.to_px(), c.y.to_px());
    }
    text
}

/// An answer in a line.
pub(super) fn line(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let lost = if answer.flags.contains(AnswerFlags::TRACK_LOST) { "lost; " } else { "" };
    writeln!(
        out,
        "#{} frame {} ({} ms old): {lost}{}, IoU {:.2}, {:.0} ms",
        answer.sequence,
        answer.frame,
        answer.age.as_millis(),
        place(answer),
        answer.predicted_iou(),
        ms(answer.stages.total())
    )
}

/// An answer for people.
pub(super) fn text(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    writeln!(out, "frame {} ({} ms old): {}", answer.frame, answer.age.as_millis(), place(answer))?;
    if answer.is_empty() {
        writeln!(out, "  try another point, or a box")?;
    }
    let zoomed = if answer.flags.contains(AnswerFlags::ZOOMED) { ", looked at twice, closer" } else { "" };
    writeln!(
        out,
        "  predicted IoU {:.2}, stability {:.2}, {}{zoomed}",
        answer.predicted_iou(),
        answer.stability(),
        precision(answer.precision)
    )?;
    if !answer.cut.is_empty() {
        writeln!(out, "  left out for the budget: {}", names(answer.cut).join(", "))?;
    }
    if let Some(contour) = answer.contour() {
        let iou = f32::from(contour.iou()) / 10_000.0;
        let rings = rings(answer);
        let points: usize = rings.iter().map(|ring| ring.points.len()).sum();
        writeln!(out, "  contour of {points} points, IoU {iou:.3} with the mask:")?;
        for ring in rings {
            let points: Vec<String> = ring.points.iter().map(|[x, y]| format!("{x},{y}")).collect();
            writeln!(out, "    {}{}", if ring.hole { "hole: " } else { "" }, points.join(" "))?;
        }
    }
    let s = &answer.stages;
    let line = answer.round_trip.saturating_sub(s.total());
    writeln!(
        out,
        "  {:.1} ms: waited {:.1}, preprocess {:.1}, encode {:.1}, decode {:.1}, postprocess {:.1}, line {:.1}; \
         {} bytes sent, {} received",
        ms(answer.round_trip),
        ms(s.waited),
        ms(s.preprocess),
        ms(s.encode),
        ms(s.decode),
        ms(s.postprocess),
        ms(line),
        answer.sent,
        answer.received
    )
}

struct Ring {
    hole: bool,
    points: Vec<[u16; 2]>,
}

fn rings(answer: &Answer) -> Vec<Ring> {
    let mut rings: Vec<Ring> = Vec::new();
    for part in answer.contour().into_iter().flatten().map_while(Result::ok) {
        match part {
            Part::Ring { hole, .. } => rings.push(Ring { hole, points: Vec::new() }),
            Part::Point { x, y } => {
                if let Some(ring) = rings.last_mut() {
                    ring.points.push([x, y]);
                }
            }
        }
    }
    rings
}

/// An answer for programs. What the answer does not have is `null`.
pub(super) fn answer_json(answer: &Answer) -> Value {
    let s = &answer.stages;
    let contour = answer.contour().map(|contour| {
        let rings: Vec<Value> =
            rings(answer).into_iter().map(|ring| json!({ "hole": ring.hole, "points": ring.points })).collect();
        json!({ "iou": f64::from(contour.iou()) / 1e4, "rings": rings })
    });
    let mask = answer.mask().and_then(|mask| coco_rle((mask.width(), mask.height()), spans(&mask)));
    json!({
        "frame": answer.frame,
        "sequence": answer.sequence,
        "age_ms": answer.age.as_millis() as u64,
        "empty": answer.is_empty(),
        "zoomed": answer.flags.contains(AnswerFlags::ZOOMED),
        "lost": answer.flags.contains(AnswerFlags::TRACK_LOST),
        "precision": precision(answer.precision),
        "predicted_iou": round(answer.predicted_iou()),
        "stability": round(answer.stability()),
        "bbox": answer.bbox().map(|b| [b.x, b.y, b.width, b.height]),
        "centroid": answer.centroid().map(|c| [c.x.to_px(), c.y.to_px()]),
        "area": answer.area(),
        "contour": contour,
        "mask": mask,
        "cut": names(answer.cut),
        "timings": {
            "round_trip_ms": rounded_ms(answer.round_trip),
            "waited_ms": rounded_ms(s.waited),
            "preprocess_ms": rounded_ms(s.preprocess),
            "encode_ms": rounded_ms(s.encode),
            "decode_ms": rounded_ms(s.decode),
            "postprocess_ms": rounded_ms(s.postprocess),
        },
        "bytes": { "sent": answer.sent, "received": answer.received },
    })
}

/// As it was on the wire: in 1/10000.
fn round(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// An answer, who gave it, and the files that were written.
pub(super) fn json(answer: &Answer, client: &Client, files: Option<&[PathBuf; 2]>) -> Value {
    let mut value = answer_json(answer);
    value["service"] = service(client.caps());
    value["peer"] = client.peer().into();
    if let Some([overlay, mask]) = files {
        value["overlay_file"] = json!(overlay);
        value["mask_file"] = json!(mask);
    }
    value
}

fn service(caps: &Caps) -> Value {
    let sha256: String = caps.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "program": caps.service.as_str(),
        "model": caps.model.as_str(),
        "sha256": sha256,
        "precision": precision(caps.precision),
        "input_size": [caps.input_height, caps.input_width],
    })
}

/// What the service is and how it is.
pub(super) fn status(out: &mut impl Write, caps: &Caps, status: &Status, ping: Duration) -> io::Result<()> {
    writeln!(out, "{}: {} in {}", caps.service, caps.model, precision(caps.precision))?;
    writeln!(
        out,
        "  input {}x{}, up for {} s, {}, {} waiting, {} MB of memory",
        caps.input_height,
        caps.input_width,
        status.uptime_s,
        counted(status.clients.into(), "client"),
        status.queue,
        status.resident_kib / 1024
    )?;
    writeln!(
        out,
        "  frames kept: {}; {} came, {} encoded ({:.1} ms), {} answered ({:.1} ms)",
        kept(status),
        status.frames,
        status.encoded,
        f64::from(status.encode_us) / 1e3,
        counted(status.answered, "prompt"),
        f64::from(status.decode_us) / 1e3
    )?;
    writeln!(
        out,
        "  {}, {} missed, {} on this line",
        counted(status.errors, "error"),
        counted(status.deadlines_missed, "deadline"),
        counted(status.bad_packets, "damaged packet")
    )?;
    let heat = temperature(status).map_or("temperature unknown".into(), |c| format!("{c:.1} degrees Celsius"));
    let throttled = match status.throttled {
        Throttled::Yes => ", and slowed down for heat or want of power",
        Throttled::No => ", not slowed down",
        _ => "",
    };
    writeln!(out, "  {heat}{throttled}; a packet there and back takes {:.2} ms", ms(ping))
}

fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Only frames that were asked about are kept, so that there may be gaps.
fn kept(status: &Status) -> String {
    match (status.oldest, status.newest) {
        (0, 0) => "none".into(),
        (oldest, newest) => format!("oldest {oldest}, newest {newest}"),
    }
}

fn temperature(status: &Status) -> Option<f64> {
    (status.temperature_cc != i16::MIN).then_some(f64::from(status.temperature_cc) / 100.0)
}

pub(super) fn status_json(caps: &Caps, status: &Status, ping: Duration) -> Value {
    let throttled = match status.throttled {
        Throttled::Yes => Some(true),
        Throttled::No => Some(false),
        _ => None,
    };
    json!({
        "service": service(caps),
        "uptime_s": status.uptime_s,
        "clients": status.clients,
        "queue": status.queue,
        "frames": status.frames,
        "encoded": status.encoded,
        "answered": status.answered,
        "deadlines_missed": status.deadlines_missed,
        "errors": status.errors,
        "bad_packets": status.bad_packets,
        "oldest": status.oldest,
        "newest": status.newest,
        "resident_kib": status.resident_kib,
        "temperature_c": temperature(status),
        "throttled": throttled,
        "encode_ms": f64::from(status.encode_us) / 1e3,
        "decode_ms": f64::from(status.decode_us) / 1e3,
        "ping_ms": rounded_ms(ping),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_frame_is_offered_to_who_can_ask_about_it_and_has_not() {
        let late = |frame| Refusal { code: ErrorCode::Deadline, of: 0, detail: 130, frame, text: String::new() };
        let offer = |frame, reader| hint(&late(frame), reader);
        assert!(
            offer(27, Reader::Flags(0)).ends_with("frame 27 is encoded already: ask about that one with --frame 27")
        );
        assert!(offer(27, Reader::Talk(26)).ends_with("ask about that one with FRAME 27"));
        for (frame, reader) in [(27, Reader::Flags(27)), (0, Reader::Flags(0)), (27, Reader::Photo)] {
            assert_eq!(offer(frame, reader), ": give --deadline more", "{reader:?}");
        }
        assert_eq!(offer(27, Reader::Talk(27)), "");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "client")), ["0 clients", "1 client", "2 clients"]);
    }

    #[test]
    fn programs_get_microseconds() {
        assert_eq!(rounded_ms(Duration::from_nanos(1_234_567)), 1.235);
        assert_eq!(rounded_ms(Duration::from_secs(3)), 3000.0);
    }
}

//! Messages from the fields that stand in the vectors.

use cutout_protocol::heapless::Vec as List;
use cutout_protocol::message::*;
use cutout_protocol::{Message, Q4};
use serde_json::Value;

/// Bytes of a string of hexadecimal digits.
pub(crate) fn hex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().expect("hexadecimal digits").as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hexadecimal digits");
    digits.chunks(2).map(pair).collect()
}

/// Fields by their names.
struct Fields<'v>(&'v Value);

impl Fields<'_> {
    fn number<T: TryFrom<u64>>(&self, name: &str) -> T {
        let number = self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is no number in {}", self.0));
        T::try_from(number).ok().unwrap_or_else(|| panic!("{name} is too large in {}", self.0))
    }

    fn code<T: From<u8>>(&self, name: &str) -> T {
        T::from(self.number::<u8>(name))
    }

    fn text<const N: usize>(&self, name: &str) -> cutout_protocol::heapless::String<N> {
        let text = self.0[name].as_str().unwrap();
        let out = cutout_protocol::message::text(text);
        assert_eq!(out, text, "{name} fits");
        out
    }

    fn bytes<const N: usize>(&self, name: &str) -> List<u8, N> {
        List::from_slice(&hex(&self.0[name])).unwrap()
    }
}

fn q4(value: &Value) -> Q4 {
    let pixels = value.as_f64().expect("pixels");
    Q4((pixels * 16.0) as u32)
}

fn prompt(value: &Value) -> Prompt {
    let fields = Fields(value);
    let point = |point: &Value| Point { x: q4(&point[0]), y: q4(&point[1]), label: point[2].as_u64().unwrap() as u8 };
    let sides = |b: &Value| Rect { x0: q4(&b[0]), y0: q4(&b[1]), x1: q4(&b[2]), y1: q4(&b[3]) };
    Prompt {
        frame: fields.number("frame"),
        deadline_ms: fields.number("deadline_ms"),
        budget: fields.number("budget"),
        wanted: cutout_protocol::ItemSet(fields.number("wanted")),
        contour_points: fields.number("contour_points"),
        refine: fields.number("refine"),
        options: cutout_protocol::Options(fields.number("options")),
        bbox: (!value["bbox"].is_null()).then(|| sides(&value["bbox"])),
        points: value["points"].as_array().unwrap().iter().map(point).collect(),
    }
}

/// The message of that name; `data` is the field of that name, if it goes to the payload's end.
pub(crate) fn message<'a>(name: &str, value: &Value, data: &'a [u8]) -> Message<'a> {
    let f = Fields(value);
    match name {
        "Hello" => Message::Hello(Hello {
            client: f.number("client"),
            schema: f.number("schema"),
            max_payload: f.number("max_payload"),
            window: f.number("window"),
            token: f.bytes("token"),
        }),
        "Capture" => {
            Message::Capture(Capture { max_age_ms: f.number("max_age_ms"), deadline_ms: f.number("deadline_ms") })
        }
        "UploadBegin" => Message::UploadBegin(UploadBegin {
            width: f.number("width"),
            height: f.number("height"),
            format: f.code("format"),
            bytes: f.number("bytes"),
            crc: f.number("crc"),
        }),
        "UploadChunk" => Message::UploadChunk(UploadChunk { offset: f.number("offset"), data }),
        "Prompt" => Message::Prompt(prompt(value)),
        "Fetch" => Message::Fetch(Fetch { offset: f.number("offset"), length: f.number("length") }),
        "Grant" => Message::Grant(Grant { packets: f.number("packets") }),
        "Track" => Message::Track(Track { interval_ms: f.number("interval_ms"), prompt: prompt(&value["prompt"]) }),
        "Cancel" => Message::Cancel(Cancel {}),
        "Configure" => Message::Configure(Configure { key: f.code("key"), value: f.number("value") }),
        "GetStatus" => Message::GetStatus(GetStatus {}),
        "Ping" => Message::Ping(Ping { data: f.bytes("data") }),
        "GetPicture" => Message::GetPicture(GetPicture {
            frame: f.number("frame"),
            max_side: f.number("max_side"),
            quality: f.number("quality"),
        }),
        "Caps" => Message::Caps(Caps {
            schema: f.number("schema"),
            service: f.text("service"),
            model: f.text("model"),
            sha256: hex(&value["sha256"]).try_into().unwrap(),
            precision: f.code("precision"),
            input_width: f.number("input_width"),
            input_height: f.number("input_height"),
            max_payload: f.number("max_payload"),
            window: f.number("window"),
            max_upload: f.number("max_upload"),
            max_points: f.number("max_points"),
            ring: f.number("ring"),
            features: cutout_protocol::Features(f.number("features")),
            newest: f.number("newest"),
        }),
        "Frame" => Message::Frame(Frame {
            frame: f.number("frame"),
            width: f.number("width"),
            height: f.number("height"),
            age_ms: f.number("age_ms"),
            encoded: f.number("encoded"),
        }),
        "UploadState" => Message::UploadState(UploadState { received: f.number("received"), frame: f.number("frame") }),
        "Done" => Message::Done(Done {}),
        "Result" => Message::Result(cutout_protocol::message::Result {
            frame: f.number("frame"),
            sequence: f.number("sequence"),
            age_ms: f.number("age_ms"),
            flags: cutout_protocol::AnswerFlags(f.number("flags")),
            precision: f.code("precision"),
            included: cutout_protocol::ItemSet(f.number("included")),
            cut: cutout_protocol::ItemSet(f.number("cut")),
            predicted_iou: f.number("predicted_iou"),
            stability: f.number("stability"),
            waited_us: f.number("waited_us"),
            preprocess_us: f.number("preprocess_us"),
            encode_us: f.number("encode_us"),
            decode_us: f.number("decode_us"),
            postprocess_us: f.number("postprocess_us"),
            total: f.number("total"),
            crc: f.number("crc"),
            data,
        }),
        "Chunk" => Message::Chunk(Chunk { offset: f.number("offset"), data }),
        "Status" => Message::Status(Status {
            uptime_s: f.number("uptime_s"),
            clients: f.number("clients"),
            queue: f.number("queue"),
            frames: f.number("frames"),
            encoded: f.number("encoded"),
            answered: f.number("answered"),
            deadlines_missed: f.number("deadlines_missed"),
            errors: f.number("errors"),
            oldest: f.number("oldest"),
            newest: f.number("newest"),
            resident_kib: f.number("resident_kib"),
            temperature_cc: value["temperature_cc"].as_i64().unwrap() as i16,
            throttled: f.code("throttled"),
            encode_us: f.number("encode_us"),
            decode_us: f.number("decode_us"),
            bad_packets: f.number("bad_packets"),
        }),
        "Pong" => Message::Pong(Pong { data: f.bytes("data") }),
        "Error" => Message::Error(Error {
            code: f.code("code"),
            of: f.number("of"),
            detail: f.number("detail"),
            frame: f.number("frame"),
            text: f.text("text"),
        }),
        other => panic!("the vectors have a message {other}"),
    }
}

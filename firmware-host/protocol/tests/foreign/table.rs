//! `vectors.json` as tables of C, for `c/test_wire.c`.

use std::collections::BTreeMap;
use std::fmt::Write;

use cutout_protocol::SCHEMA;
use serde_json::Value;

/// Fields of messages and structures, as the schema says: name and type of each.
type Layouts<'s> = BTreeMap<&'s str, Vec<(&'s str, &'s str)>>;

fn layouts() -> Layouts<'static> {
    let fields = |line: &'static str| {
        let mut words = line.split(' ').skip(1);
        let name = words.next().unwrap();
        (name, words.map(|field| field.split_once(':').unwrap()).collect())
    };
    SCHEMA.lines().skip(2).map(fields).collect()
}

/// `UploadBegin` as `upload_begin`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A literal of C.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(byte)),
            b' '..=b'~' => write!(out, "{}", char::from(byte)),
            _ => write!(out, "\\{byte:03o}"),
        }
        .unwrap();
    }
    out + "\""
}

/// An array, and what refers to it.
#[derive(Default)]
struct Arrays {
    text: String,
    count: usize,
}

impl Arrays {
    fn bytes(&mut self, hex: &Value) -> String {
        let hex = text(hex);
        if hex.is_empty() {
            return "{NULL, 0}".into();
        }
        let bytes: Vec<_> = (0..hex.len()).step_by(2).map(|at| format!("0x{}", &hex[at..at + 2])).collect();
        let name = self.add("uint8_t", &bytes);
        format!("{{{name}, {}}}", bytes.len())
    }

    fn add(&mut self, kind: &str, values: &[String]) -> String {
        let name = format!("v{}", self.count);
        self.count += 1;
        writeln!(self.text, "static const {kind} {name}[] = {{{}}};", values.join(", ")).unwrap();
        name
    }
}

/// Sixteenths of a pixel.
fn q4(pixels: &Value) -> i64 {
    (pixels.as_f64().unwrap() * 16.0) as i64
}

/// Conditions that hold of a field which is `value`, written `place` in C.
fn conditions(layouts: &Layouts<'_>, place: &str, of: &str, value: &Value, arrays: &mut Arrays) -> Vec<String> {
    let all =
        |fields: &[(&str, String)]| fields.iter().map(|(name, value)| format!("{place}.{name} == {value}")).collect();
    match of {
        "u8" | "u16" | "u32" => vec![format!("{place} == {}u", value.as_u64().unwrap())],
        "u64" => vec![format!("{place} == UINT64_C({})", value.as_u64().unwrap())],
        "i16" => vec![format!("{place} == {}", value.as_i64().unwrap())],
        "u8x32" => vec![format!("equal({place}, 32, (struct bytes){})", arrays.bytes(value))],
        "rest" => vec![format!("equal({place}.data, {place}.length, (struct bytes){})", arrays.bytes(value))],
        "option(Rect)" => match value.as_array() {
            None => vec![format!("!{place}.there")],
            Some(sides) => {
                let sides: Vec<_> =
                    ["x0", "y0", "x1", "y1"].into_iter().zip(sides.iter().map(|s| format!("{}u", q4(s)))).collect();
                [vec![format!("{place}.there")], all(&sides)].concat()
            }
        },
        "list16(Point)" => {
            let points = value.as_array().unwrap();
            let mut out = vec![format!("{place}.count == {}", points.len())];
            for (index, point) in points.iter().enumerate() {
                out.push(format!("{place}.at[{index}].x == {}u", q4(&point[0])));
                out.push(format!("{place}.at[{index}].y == {}u", q4(&point[1])));
                out.push(format!("{place}.at[{index}].label == {}", point[2]));
            }
            out
        }
        _ if of.starts_with("bytes") => {
            vec![format!("equal({place}.data, {place}.length, (struct bytes){})", arrays.bytes(value))]
        }
        _ if of.starts_with("str") => {
            let value = text(value);
            vec![format!("{place}.length == {}", value.len()), format!("strcmp({place}.data, {}) == 0", quoted(value))]
        }
        _ => layouts[of]
            .iter()
            .flat_map(|(name, of)| conditions(layouts, &format!("{place}.{name}"), of, &value[name], arrays))
            .collect(),
    }
}

/// What an item says, as `read_item` of the C test reads it.
fn numbers(kind: u64, value: &Value) -> Vec<String> {
    fn flat(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| flat(value, out)),
            value => out.push(value.to_string()),
        }
    }
    let mut out = Vec::new();
    match kind {
        1 | 3 | 5 => flat(value, &mut out),
        2 => out.extend(value.as_array().unwrap().iter().map(|pixels| q4(pixels).to_string())),
        4 => {
            out.push(value[0].to_string());
            for ring in value[1].as_array().unwrap() {
                for (index, point) in ring[1].as_array().unwrap().iter().enumerate() {
                    let (first, hole) = (u8::from(index == 0), u8::from(ring[0].as_bool().unwrap()));
                    out.extend([first.to_string(), hole.to_string(), point[0].to_string(), point[1].to_string()]);
                }
            }
        }
        6 => out.extend(text(value).bytes().map(|byte| byte.to_string())),
        _ => {
            let hex = text(value);
            out.extend((0..hex.len()).step_by(2).map(|at| format!("0x{}", &hex[at..at + 2])));
        }
    }
    out
}

/// The outcome that C has for an error of the vectors.
fn outcome(name: &Value) -> String {
    let name = match text(name) {
        "Kind" => "unknown_kind".into(),
        other => snake(other),
    };
    format!("CUTOUT_{}", name.to_uppercase())
}

/// Writes `vectors.inc`.
pub(crate) fn tables(vectors: &Value) -> String {
    let layouts = layouts();
    let mut arrays = Arrays::default();
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let cases = |name: &str| vectors[name].as_array().unwrap();
    let note = |case: &Value, name: &str| quoted(&format!("{name} ({})", text(&case["note"])));
    let mut checks = String::new();

    for (index, case) in cases("messages").iter().enumerate() {
        let name = text(&case["name"]);
        let place = format!("m->as.{}", snake(name));
        let mut conditions = conditions(&layouts, &place, name, &case["fields"], &mut arrays);
        conditions.push(format!("m->kind == {}", case["kind"]));
        let all = conditions.join(" && ");
        writeln!(checks, "static bool check{index}(const struct cutout_message *m) {{ return {all}; }}").unwrap();
        let (packet, payload) = (arrays.bytes(&case["packet"]), arrays.bytes(&case["payload"]));
        let head: Vec<_> = ["kind", "flags", "seq", "request"].map(|field| format!("{}u", case[field])).into();
        let row = format!("{{{}, {packet}, {payload}, {}, check{index}}}", note(case, name), head.join(", "));
        tables.entry("message_case").or_default().push(row);
    }
    for case in cases("bad_packets") {
        let about = |field: &str| case[field].as_u64().unwrap_or(0);
        let decoded = arrays.bytes(&case["decoded"]);
        let (outcome, kind, request) = (outcome(&case["error"]), about("kind"), about("request"));
        let row = format!("{{{}, {decoded}, {outcome}, {kind}, {request}u}}", note(case, "packet"));
        tables.entry("packet_case").or_default().push(row);
    }
    for case in cases("bad_payloads") {
        let payload = arrays.bytes(&case["payload"]);
        let row = format!("{{{}, {}, {payload}, {}}}", note(case, "payload"), case["kind"], outcome(&case["error"]));
        tables.entry("payload_case").or_default().push(row);
    }
    for case in cases("streams") {
        let found: String = case["found"].as_array().unwrap().iter().map(|line| format!("{}\n", text(line))).collect();
        let row = format!("{{{}, {}, {}}}", note(case, "stream"), arrays.bytes(&case["bytes"]), quoted(&found));
        tables.entry("stream_case").or_default().push(row);
    }
    for case in cases("bodies") {
        let mut items = Vec::new();
        for item in case["items"].as_array().unwrap() {
            let kind = item["kind"].as_u64().unwrap();
            let said = if item["value"].is_null() { Vec::new() } else { numbers(kind, &item["value"]) };
            let (name, count) =
                if said.is_empty() { ("NULL".into(), 0) } else { (arrays.add("int64_t", &said), said.len()) };
            items.push(format!("{{{kind}, {name}, {count}}}"));
        }
        let name = if items.is_empty() { "NULL".into() } else { arrays.add("struct item_case", &items) };
        let row = format!("{{{}, {}, {name}, {}}}", note(case, "body"), arrays.bytes(&case["body"]), items.len());
        tables.entry("body_case").or_default().push(row);
    }
    for case in cases("bad_items") {
        let row = format!("{{{}, {}, {}}}", case["kind"], arrays.bytes(&case["bytes"]), outcome(&case["error"]));
        tables.entry("bad_item_case").or_default().push(row);
    }

    let mut out = format!("#define VECTORS_SCHEMA_HASH {}u\n{}{checks}", vectors["schema_hash"], arrays.text);
    for (name, rows) in tables {
        writeln!(out, "static const struct {name} {name}s[] = {{\n  {}\n}};", rows.join(",\n  ")).unwrap();
    }
    out
}

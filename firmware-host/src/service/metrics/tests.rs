//! The page is read by a strict parser of its own, the endpoint by real sockets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;

type Labels = Vec<(String, String)>;

/// A sample: its name, its labels in order, its value.
type Sample = (String, Labels, f64);

/// One metric of a page.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    samples: Vec<Sample>,
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// Reads `name{a="b",…} value`.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect("a number") };
    let Some((name, rest)) = series.split_once('{') else { return (series.into(), Vec::new(), value) };
    let mut rest = rest.strip_suffix('}').expect("a closing brace");
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").expect("a quoted value");
        assert!(is_name(label), "{label}");
        let (mut of, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next().expect("an escaped character").1 {
                    'n' => of.push('\n'),
                    c @ ('\\' | '"') => of.push(c),
                    c => panic!("\\{c} is no escape"),
                },
                (_, c) => of.push(c),
            }
        };
        labels.push((label.to_owned(), of));
        rest = &after[end..];
        rest = rest.strip_prefix(',').unwrap_or_else(|| {
            assert!(rest.is_empty(), "{rest}");
            rest
        });
    }
    (name.into(), labels, value)
}

/// Reads a page, and holds it to the rules of the format and of promtool.
fn parse(page: &str) -> BTreeMap<String, Metric> {
    assert!(page.ends_with('\n') && !page.contains('\r'));
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let (mut current, mut helped) = (String::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(is_name(name) && !help.is_empty() && !metrics.contains_key(name), "{line}");
            helped = name.into();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, helped, "HELP stands before TYPE");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            let new = metrics.insert(name.into(), Metric { kind: kind.into(), samples: Vec::new() });
            assert!(new.is_none(), "{name} twice");
            current = name.into();
        } else {
            let (name, labels, value) = sample(line);
            let metric = metrics.get_mut(&current).expect("a TYPE before the first sample");
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} among {current}"));
            let allowed: &[&str] = if metric.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{line}");
            assert!(metric.kind == "gauge" || value >= 0.0, "{line}");
            assert!(!metric.samples.iter().any(|(n, l, _)| (n, l) == (&name, &labels)), "{line} twice");
            metric.samples.push((name, labels, value));
        }
    }
    for (name, metric) in &metrics {
        assert!(!metric.samples.is_empty(), "{name} has no samples");
        if metric.kind == "histogram" {
            check_buckets(name, metric);
        }
    }
    metrics
}

fn check_buckets(name: &str, metric: &Metric) {
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (sample, labels, value) in &metric.samples {
        if sample.ends_with("_bucket") {
            let (le, outer): (Vec<_>, Vec<_>) = labels.iter().cloned().partition(|(label, _)| label == "le");
            let [(_, bound)] = &le[..] else { panic!("{name}: a bucket without its bound") };
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            series.entry(outer).or_default().push((bound, *value));
        }
    }
    for (outer, buckets) in series {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
        let &(last, all) = buckets.last().unwrap();
        assert_eq!(last, f64::INFINITY, "{name}");
        let value = |suffix: &str| {
            let of = |(n, l, _): &&Sample| *n == format!("{name}{suffix}") && *l == outer;
            metric.samples.iter().find(of).unwrap_or_else(|| panic!("{name}{suffix}")).2
        };
        assert_eq!(value("_count"), all, "{name}");
        assert!(value("_sum") >= 0.0);
    }
}

/// The value of one sample.
fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let metrics = parse(page);
    let labels: Vec<_> = labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let mut found = metrics.values().flat_map(|m| &m.samples).filter(|(n, l, _)| n == name && *l == labels);
    let value = found.next().unwrap_or_else(|| panic!("no {name} {labels:?} on\n{page}")).2;
    assert!(found.next().is_none());
    value
}

#[test]
fn a_new_page_is_valid_and_says_all_that_is_known() {
    let odd = Info { version: "1 \"x\"".into(), model: "a\\b\nc".into(), precision: "f32".into() };
    let page = Metrics::new(odd).render();
    let labels = [("version", "1 \"x\""), ("model", "a\\b\nc"), ("precision", "f32")];
    assert_eq!(value(&page, "cutout_info", &labels), 1.0);
    assert_eq!(value(&page, "cutout_frames_total", &[]), 0.0);
    assert_eq!(value(&page, "cutout_clients", &[("transport", "mavlink")]), 0.0);
    assert_eq!(value(&page, "cutout_errors_total", &[("code", "cancelled")]), 0.0);
    assert!(value(&page, "process_start_time_seconds", &[]) > 1.6e9);
    assert!(!page.contains("cutout_temperature_celsius"), "what is unknown is left out");
}

#[test]
fn what_is_counted_is_on_the_page() {
    let metrics = Metrics::new(Info::default());
    metrics.frames.add(7);
    metrics.answered[Answer::Track].inc();
    metrics.received_bytes[Via::WebSocket].add(300);
    metrics.errors[Code(6)].inc();
    for unknown in [0, 14, 255] {
        metrics.errors[Code(unknown)].inc();
    }
    metrics.temperature.set(61.5);
    metrics.throttled.set(1.0);
    metrics.throttled.set(None);
    metrics.queue.set(3);
    let one = metrics.clients[Via::Tcp].hold();
    let two = metrics.clients[Via::Tcp].hold();
    drop(one);
    let page = metrics.render();
    drop(two);
    assert_eq!(value(&page, "cutout_frames_total", &[]), 7.0);
    assert_eq!(value(&page, "cutout_answers_total", &[("kind", "track")]), 1.0);
    assert_eq!(value(&page, "cutout_received_bytes_total", &[("transport", "websocket")]), 300.0);
    assert_eq!(value(&page, "cutout_errors_total", &[("code", "deadline")]), 1.0);
    assert_eq!(value(&page, "cutout_errors_total", &[("code", "other")]), 3.0);
    assert_eq!(value(&page, "cutout_temperature_celsius", &[]), 61.5);
    assert_eq!(value(&page, "cutout_queue_depth", &[]), 3.0);
    assert_eq!(value(&page, "cutout_clients", &[("transport", "tcp")]), 1.0);
    assert!(!page.contains("throttled"));
    assert_eq!((metrics.clients[Via::Tcp].get(), metrics.errors.total()), (0, 4));
}

#[test]
fn a_duration_falls_into_the_bucket_that_holds_it_and_all_above() {
    let metrics = Metrics::new(Info::default());
    // A bound belongs to its bucket.
    for us in [0, 1_000, 1_001, 60_000_000, 60_000_001] {
        metrics.stages[Stage::Encode].observe(Duration::from_micros(us));
    }
    let page = metrics.render();
    let below = |le| value(&page, "cutout_stage_duration_seconds_bucket", &[("stage", "encode"), ("le", le)]);
    assert_eq!([below("0.001"), below("0.002"), below("30"), below("60"), below("+Inf")], [2.0, 3.0, 3.0, 4.0, 5.0]);
    assert_eq!(value(&page, "cutout_stage_duration_seconds_sum", &[("stage", "encode")]), 120.002002);
    assert_eq!(value(&page, "cutout_stage_duration_seconds_count", &[("stage", "decode")]), 0.0);
    metrics.answer_time.observe(Duration::MAX);
    assert_eq!(metrics.answer_time.count(), 1);
    parse(&metrics.render());
}

#[test]
fn a_page_made_while_others_count_is_consistent() {
    let metrics = Metrics::new(Info::default());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..50_000 {
                metrics.answer_time.observe(Duration::from_micros(i * 97 % 90_000_000));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            parse(&metrics.render());
        }
    });
    assert_eq!(metrics.answer_time.count(), 50_000);
}

fn endpoint(health: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> (Endpoint, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new(Info { version: "1".into(), ..Info::default() }));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    (Endpoint::start(any, Arc::clone(&metrics), health).unwrap(), metrics)
}

fn connect(to: &Endpoint) -> TcpStream {
    let stream = TcpStream::connect(to.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Sends a request as it stands and gives the status, the head and the body.
fn ask(to: &Endpoint, request: &str) -> (u16, String, String) {
    let mut stream = connect(to);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an empty line");
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    (status, head.into(), body.into())
}

fn get(to: &Endpoint, path: &str) -> (u16, String) {
    let (status, _, body) = ask(to, &format!("GET {path} HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n"));
    (status, body)
}

#[test]
fn prometheus_reads_the_page_over_a_real_socket() {
    let (endpoint, metrics) = endpoint(|| Ok(()));
    metrics.encoded.add(12);
    let (status, head, body) = ask(&endpoint, "GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(status, 200);
    assert!(head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert_eq!(value(&body, "cutout_encoded_frames_total", &[]), 12.0);
    let (status, head, body) = ask(&endpoint, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(!head.contains("Content-Length: 0"), "{head}");
}

#[test]
fn health_is_what_the_service_says_at_that_moment() {
    let well = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&well);
    let (endpoint, _) = endpoint(move || match asked.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("the worker is stuck".into()),
    });
    assert_eq!(get(&endpoint, "/healthz"), (200, "ok\n".into()));
    well.store(false, Ordering::Relaxed);
    assert_eq!(get(&endpoint, "/healthz"), (503, "the worker is stuck\n".into()));
}

#[test]
fn other_requests_are_refused_by_name() {
    let (endpoint, _) = endpoint(|| Ok(()));
    assert_eq!(get(&endpoint, "/").0, 404);
    assert_eq!(get(&endpoint, "/metrics/../etc/passwd").0, 404);
    let (status, head, _) = ask(&endpoint, "POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(status, 405);
    assert!(head.contains("Allow: GET, HEAD"), "{head}");
    for bad in
        ["\r\n\r\n", "GET\r\n\r\n", "GET /metrics\r\n\r\n", "GET /metrics HTTP/2\r\n\r\n", "GET / x HTTP/1.1\r\n\r\n"]
    {
        assert_eq!(ask(&endpoint, bad).0, 400, "{bad:?}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "a".repeat(8 << 10));
    assert_eq!(ask(&endpoint, &long).0, 431);
}

#[test]
fn silent_and_broken_clients_keep_nobody_out() {
    let (endpoint, _) = endpoint(|| Ok(()));
    let mut silent: Vec<_> = (0..40).map(|_| connect(&endpoint)).collect();
    for stream in &mut silent {
        // The endpoint may have let it go already.
        let _ = stream.write_all(b"GET /metr\xff\xfe");
    }
    assert_eq!(get(&endpoint, "/healthz").0, 200);
    // The oldest were let go; those that remain are told nothing, and lose their place in time.
    let mut byte = [0];
    assert!(matches!(silent[0].read(&mut byte), Ok(0) | Err(_)));
    let began = Instant::now();
    assert!(matches!(silent[39].read(&mut byte), Ok(0) | Err(_)));
    assert!(began.elapsed() < Duration::from_secs(50), "a silent client is let go");
}

#[test]
fn dropping_it_closes_the_port_and_its_clients() {
    let (endpoint, _) = endpoint(|| Ok(()));
    let address = endpoint.address();
    let mut waiting = connect(&endpoint);
    assert_eq!(get(&endpoint, "/healthz").0, 200);
    drop(endpoint);
    assert!(matches!(waiting.read(&mut [0]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_port_is_told_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Endpoint::start(address, Arc::new(Metrics::new(Info::default())), || Ok(())).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot serve metrics at {address}"));
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
}

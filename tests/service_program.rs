//! `cutout serve` as a program: what it says, how it ends, and that it runs for long.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cutout::client::{Client, ClientError, Options, Prompt, point};
use cutout::transport::Endpoint;
use cutout_protocol::{ErrorCode, ItemSet};
use cutout_tests::root;

/// A service that runs, and ends with the test.
struct Serving {
    program: Child,
    out: BufReader<ChildStdout>,
    endpoints: Vec<Endpoint>,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_cutout"))
            .arg("serve")
            .args(arguments)
            .env_remove("CUTOUT_TOKEN")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(program.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ways = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}: {}", told(&mut program)));
        let endpoints = ways.split(' ').filter_map(|way| way.parse().ok()).collect();
        Serving { program, out, endpoints }
    }

    fn signal(&self, name: &str) {
        let id = self.program.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits until it ends; its exit status and its log.
    fn end(mut self) -> (Option<i32>, String) {
        let patience = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < patience, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "standard output is for the one line");
        (status.code(), told(&mut self.program))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = (self.program.kill(), self.program.wait());
    }
}

fn told(program: &mut Child) -> String {
    let mut text = String::new();
    let _ = program.stderr.take().map(|mut log| log.read_to_string(&mut text));
    text
}

fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cutout")).arg("serve").args(arguments).output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn scene() -> String {
    format!("{}@5,loop", root().join("assets").display())
}

fn asked(place: u32) -> Prompt {
    let mut prompt = Prompt { wanted: ItemSet::BBOX | ItemSet::CONTOUR | ItemSet::RLE, ..Prompt::default() };
    prompt.points.extend([point(80.0 + (place % 40) as f32 * 20.0, 90.0 + (place % 27) as f32 * 20.0, true)]);
    prompt
}

#[test]
fn it_says_where_it_serves_and_ends_well_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        let serving = Serving::start(&["--tcp", "0", "--size", "96", "--source", &scene()]);
        let mut client = Client::connect(&serving.endpoints[0], Options::default()).unwrap();
        client.prompt(&asked(1)).unwrap();
        serving.signal(signal);
        let (status, log) = serving.end();
        assert_eq!(status, Some(0), "{log}");
        for said in ["frames come from", "clients come by tcp:127.0.0.1:", "connected", "stopped"] {
            assert!(log.contains(said), "{said:?} is not in\n{log}");
        }
        assert!(client.ping().is_err());
    }
}

#[test]
fn what_cannot_be_served_is_told_before_anything_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, said, expected) in [
        (vec!["--tcp", "0.0.0.0:0"], "--token-file", 2),
        (vec!["--tcp", taken.as_str()], "in use", 1),
        (vec!["--source", "/no/such/folder"], "/no/such/folder", 1),
        (vec!["--encode", "always"], "--source", 2),
        (vec!["--serial", ""], "/dev/ttyUSB0", 2),
        (vec!["--model", "no-such-model"], "no-such-model", 1),
        (vec!["--size", "big"], "--size", 1),
        (vec!["--mavlink", "udp:127.0.0.1:0"], "--source", 2),
        (vec!["--display", "nowhere"], "nowhere", 2),
        (vec!["--config", &file("a.toml", "tpc = ['7700']")], "tpc", 2),
        (vec!["--config", &file("b.toml", "ring = 'many'")], "b.toml", 2),
        (vec!["--config", "/no/such/file"], "/no/such/file", 2),
        (vec!["--token-file", &file("c", "short")], "16", 2),
    ] {
        let (status, told) = refused(&arguments);
        // 2: it was not understood; 1: it cannot be done.
        assert_eq!(status, Some(expected), "{arguments:?}: {told}");
        assert!(told.starts_with("error: ") && told.contains(said), "{arguments:?}: {told}");
    }
}

#[test]
fn a_file_has_the_words_of_the_flags() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("cutout.toml");
    let socket = folder.path().join("cutout.sock");
    let text = format!(
        "source = {:?}\nunix = [{:?}]\nsize = '96'\nring = 3\nmax-upload = 1000\nencode = 'always'\n",
        scene(),
        socket
    );
    std::fs::write(&settings, text).unwrap();
    let serving = Serving::start(&["--config", settings.to_str().unwrap(), "--ring", "5"]);
    assert_eq!(serving.endpoints, [Endpoint::Unix(socket.clone())]);
    let mut client = Client::connect(&serving.endpoints[0], Options::default()).unwrap();
    assert_eq!((client.caps().ring, client.caps().max_upload), (5, 1000));
    // Frames are encoded before anybody asks.
    let answer = client.prompt(&asked(1)).unwrap();
    assert!(!answer.flags.contains(cutout_protocol::AnswerFlags::ENCODED));
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
    assert!(!Path::new(&socket).exists(), "the socket's file is removed");
}

#[test]
fn metrics_and_health_are_served_where_they_are_asked_for() {
    let serving = Serving::start(&[
        "--tcp",
        "0",
        "--size",
        "96",
        "--source",
        &scene(),
        "--metrics",
        "127.0.0.1:0",
        "--log",
        "json",
    ]);
    let mut client = Client::connect(&serving.endpoints[0], Options::default()).unwrap();
    for place in 0..5 {
        client.prompt(&asked(place)).unwrap();
    }
    let late = client.prompt(&Prompt { deadline_ms: 1, ..asked(1) });
    assert!(matches!(late, Err(ClientError::Refused(why)) if why.code == ErrorCode::Deadline));
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert_eq!(status, Some(0));
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |text: &str| lines.iter().any(|line| line.to_string().contains(text));
    assert!(said("metrics are at http://127.0.0.1:") && said("stopped"), "{log}");
}

/// A program that runs for years must not grow.
#[test]
fn memory_stays_as_it_is_over_ten_thousand_prompts() {
    let serving = Serving::start(&["--tcp", "0", "--size", "96", "--source", &scene()]);
    let mut client = Client::connect(&serving.endpoints[0], Options::default()).unwrap();
    let mut ask = |count: u32| {
        for place in 0..count {
            client.prompt(&asked(place)).unwrap_or_else(|e| panic!("{e}"));
        }
        f64::from(client.status().unwrap().resident_kib)
    };
    let before = ask(8000);
    let after = ask(10_000);
    assert!((after / before - 1.0).abs() <= 0.01, "{before} KiB after warm-up, {after} KiB 10,000 prompts later");
}

//! `cutout prompt` as a stranger types it, against a service in memory that answers with rectangles.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cutout::photo::Photo;
use cutout::transport::{self, Endpoint};
use cutout_protocol::message::{Error, Prompt};
use cutout_protocol::{ErrorCode, crc32};
use cutout_runtime::{CocoRle, Run};
use cutout_tests::scene_path;
use serde_json::{Value, json};

#[path = "../firmware-host/src/client/tests/fake.rs"]
#[allow(dead_code, reason = "the client's own tests use all of it")]
mod fake;
#[path = "../firmware-host/src/client/tests/scene.rs"]
#[allow(dead_code, reason = "the client's own tests use all of it")]
mod scene;

use fake::{Fake, Served};
use scene::SIZE;

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn served(fake: &Fake) -> (Served, String) {
    let served = fake.at(&Endpoint::Tcp(local()));
    let Endpoint::Tcp(address) = served.local() else { unreachable!() };
    (served, address.to_string())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutout"));
    command.arg("prompt").args(arguments).env_remove("CUTOUT_TOKEN").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

#[test]
fn a_point_and_a_box_are_answered_in_words_and_as_json() {
    let (service, address) = served(&Fake::default());
    let said = text(&run(&["--tcp", &address, "--point", "320,240"]));
    assert!(said.starts_with("frame 12 (40 ms old): 200 pixels in 20x10 at 320,240\n"), "{said}");
    assert!(said.contains("predicted IoU 0.94, stability 0.97, int8") && said.contains("encode 30.0"), "{said}");

    let answer = json_of(&run(&["--tcp", &address, "--box", "60,50,10,20", "--frame", "9", "--json"]));
    assert_eq!(answer["bbox"], json!([10, 20, 50, 30]));
    assert_eq!(
        (&answer["frame"], &answer["area"], &answer["predicted_iou"]),
        (&json!(9), &json!(1500), &json!(0.9412))
    );
    let rle: CocoRle = serde_json::from_value(answer["mask"].clone()).unwrap();
    assert_eq!(rle.size, [SIZE.1, SIZE.0].map(u32::from));
    let runs: Vec<Run> = (20..50).map(|y| Run { y, x: 10, len: 50 }).collect();
    assert_eq!(rle.decode().unwrap().runs(), runs);
    let round_trip = answer["timings"]["round_trip_ms"].as_f64().unwrap();
    assert_eq!((round_trip * 1e3).round() / 1e3, round_trip);
    assert_eq!(answer["service"]["model"], "rectangles");
    assert!(round_trip > 0.0 && answer["contour"].is_null());
    service.end();
}

#[test]
fn every_kind_of_socket_leads_to_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    for (option, endpoint) in [
        ("--unix", Endpoint::Unix(folder.path().join("socket"))),
        ("--udp", Endpoint::Udp(local())),
        ("--ws", Endpoint::WebSocket(local())),
    ] {
        let service = fake.at(&endpoint);
        let place = service.local().to_string();
        let place = place.split_once(':').unwrap().1;
        let status = json_of(&run(&[option, place, "--status", "--json"]));
        assert_eq!((&status["temperature_c"], &status["newest"]), (&json!(41.5), &json!(12)), "{option}");
        let said = text(&run(&[option, place, "--status"]));
        for words in ["fake 1: rectangles in int8", "1 client,", "frames kept: oldest 9, newest 12;"] {
            assert!(said.contains(words), "{said}");
        }
        service.end();
    }
}

#[test]
fn the_answer_is_drawn_on_the_services_frame_or_on_the_photo_that_was_uploaded() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let photo = std::fs::read(scene_path()).unwrap();
    let fake = Fake { picture: Some(photo.clone()), ..Fake::default() };
    let (service, address) = served(&fake);
    let arguments = ["--tcp", &address, "--box", "100,80,400,300", "-o", out.to_str().unwrap()];
    let said = text(&run(&arguments));
    assert!(said.contains("frame-12.overlay.png"), "{said}");
    is_drawn(&out, "frame-12");

    let image = scene_path();
    let answer = json_of(&run(&[&arguments[..], &["--json", "--image", image.to_str().unwrap()]].concat()));
    assert_eq!(answer["frame"], 17);
    assert!(answer["mask_file"].as_str().unwrap().ends_with("scene.mask.png"));
    is_drawn(&out, "scene");
    let (begin, bytes) = fake.kept.lock().unwrap().uploads.drain().next().unwrap().1;
    assert_eq!((begin.bytes as usize, begin.crc), (photo.len(), crc32(&photo)));
    assert!(bytes == photo);
    service.end();
}

fn is_drawn(folder: &Path, stem: &str) {
    let mask = Photo::open(&folder.join(format!("{stem}.mask.png"))).unwrap();
    let size = (usize::from(SIZE.0), usize::from(SIZE.1));
    assert_eq!((mask.size().width, mask.size().height), size);
    for (index, pixel) in mask.pixels().chunks_exact(3).enumerate() {
        let (x, y) = (index % size.0, index / size.0);
        let inside = (100..400).contains(&x) && (80..300).contains(&y);
        assert_eq!(pixel[0], if inside { 255 } else { 0 }, "{x},{y}");
    }
    let overlay = Photo::open(&folder.join(format!("{stem}.overlay.png"))).unwrap();
    let plain = Photo::open(&scene_path()).unwrap();
    let changed = overlay.pixels().iter().zip(plain.pixels()).filter(|(a, b)| a != b).count();
    assert!(changed > plain.pixels().len() / 2, "{changed} bytes changed");
}

fn told(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty() && words.iter().all(|word| said.contains(word)), "{said}");
}

#[test]
fn a_token_is_taken_from_where_it_is_and_stays_unsaid() {
    let fake = Fake { token: "s3cret".into(), ..Fake::default() };
    let (service, address) = served(&fake);
    let asked = ["--tcp", &address, "--point", "1,2"];
    let with = |more: &[&str]| command(&[&asked[..], more].concat());
    told(&run(&asked), 4, &["UNAUTHORIZED", "CUTOUT_TOKEN", "--token-file"]);
    text(&with(&["--token", "s3cret"]).output().unwrap());
    text(&with(&[]).env("CUTOUT_TOKEN", "s3cret").output().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "s3cret\r\nand what else there is").unwrap();
    text(&with(&["--token-file", path]).env("CUTOUT_TOKEN", "another").output().unwrap());
    told(&with(&["--token-file", path, "--token", "s3cret"]).output().unwrap(), 2, &["cannot be used with"]);
    std::fs::write(&file, "\ns3cret").unwrap();
    told(&with(&["--token-file", path]).output().unwrap(), 1, &[path, "no token in its first line"]);
    told(&with(&["--token-file", "/no/such/file"]).output().unwrap(), 1, &["/no/such/file"]);
    let long = "long".repeat(20);
    let output = with(&[]).env("CUTOUT_TOKEN", &long).output().unwrap();
    told(&output, 2, &["CUTOUT_TOKEN", "80 bytes", "16 to 64"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&long));
    service.end();
}

#[test]
fn who_must_do_what_is_told_and_the_exit_status_tells_refusals_apart() {
    let fake = Fake::default();
    let (service, address) = served(&fake);
    let late =
        || Error { detail: 130, frame: 27, ..Error::new(ErrorCode::Deadline, Prompt::KIND, "it would take 130 ms") };
    for (frame, words) in [
        ("26", ", but frame 27 is encoded already: ask about that one with --frame 27\n"),
        ("27", ": give --deadline more\n"),
    ] {
        fake.errors.lock().unwrap().push_back(late());
        let output = run(&["--tcp", &address, "--point", "1,2", "--deadline", "50", "--frame", frame]);
        told(&output, 4, &[&format!("error: the service refuses Prompt: DEADLINE (it would take 130 ms){words}")]);
    }
    service.end();

    told(&run(&["--tcp", &address, "--point", "1,2"]), 1, &["cannot connect", &address, "cutout serve"]);
    told(&run(&["--serial", "/dev/no-such-port", "--point", "1,2"]), 1, &["/dev/no-such-port", "plugged in"]);
    told(&run(&["--tcp", "nowhere.invalid:7700", "--point", "1,2"]), 1, &["nowhere.invalid"]);
    let many: Vec<&str> = ["--point", "1,2"].repeat(17);
    for (wrong, words) in [
        (&["--point", "-1,2"][..], "-1 is no pixel"),
        (&["--point", "nan,2"], "NaN is no pixel"),
        (&["--box", "1,2,3"], "left, top"),
        (&["--tcp", "7700", "--udp", "7700"], "cannot be used with"),
        (&["--point", "1,2", "--interval", "5"], "--track"),
        (&["--point", "1,2", "--track", "--repeat", "3"], "cannot be used with"),
        (&["--tcp", "nowhere", "--point", "1,2"], "127.0.0.1:7700"),
        (&["--serial", "/dev/tty:x", "--point", "1,2"], "--serial: "),
        (&["--baud", "921600", "--point", "1,2"], "--serial DEVICE"),
        (&["--track"], "--track needs --point"),
        (&["--json"], "--json needs --point"),
        (&many, "at most 16 points"),
    ] {
        told(&run(wrong), 2, &[words]);
    }
}

#[test]
fn the_help_fits_a_terminal_of_80_columns() {
    let output = command(&["--help"]).env("COLUMNS", "80").output().unwrap();
    let help = text(&output);
    for line in help.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(help.contains("16 to 64 bytes") && !help.contains("s3cret"), "{help}");
    // What an example does stands below it.
    let examples = help.split_once("Examples:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let indents: Vec<usize> = examples.lines().map(|line| line.len() - line.trim_start().len()).collect();
    assert!(indents.iter().all(|indent| matches!(indent, 2 | 6)) && indents[0] == 2, "{examples}");
    assert!(indents.windows(2).all(|pair| pair != [2, 2]), "an example without a word on it:\n{examples}");
}

/// Says lines to a talk, and then that there are no more.
fn talk(address: &str, lines: &str) -> Output {
    let mut child = command(&["--tcp", address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_talk_is_read_from_the_input() {
    let (service, address) = served(&Fake::default());
    let output = talk(
        &address,
        "go away\nshow\np 480 320\nGO\nshow\nclear\nb 0 0 960 320\ngo 0 500\nrefine\nshow\nstatus\nquit\nnever read\n",
    );
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("ERR a number is wrong; type GO") && lines[1].starts_with("ERR nothing was answered"));
    assert!(said.contains("200 pixels in 20x10 at 480,320") && said.contains("307200 pixels in 960x320 at 0,0"));
    assert!(said.contains("41.5 degrees"), "{said}");
    // 64 by 42 pixels, two a character: the second picture is full above and empty below.
    let picture: Vec<&str> =
        lines.iter().copied().filter(|line| !line.is_empty() && line.chars().all(|c| !c.is_ascii())).collect();
    assert_eq!(picture.len(), 42, "{said}");
    assert_eq!(picture[21], "\u{2588}".repeat(64));
    assert_eq!(picture[41], "\u{b7}".repeat(64));
    service.end();
}

#[test]
fn a_line_that_fails_makes_the_status_of_a_piped_talk() {
    let fake = Fake::default();
    let (service, address) = served(&fake);
    let late =
        Error { detail: 130, frame: 27, ..Error::new(ErrorCode::Deadline, Prompt::KIND, "it would take 130 ms") };
    fake.errors.lock().unwrap().push_back(late);
    for (lines, words) in [
        ("P 480,320\nGO\nGO\n", "ERR the service refuses Prompt: DEADLINE (it would take 130 ms), but frame 27"),
        ("P -5 10\n", "ERR \"-5\" is no pixel of a frame"),
        ("P nan 10\n", "ERR \"nan\" is no pixel of a frame"),
    ] {
        let output = talk(&address, lines);
        assert_eq!(output.status.code(), Some(4), "{lines}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(words), "{said}");
    }
    for nothing in ["", "\n \n"] {
        told(&talk(&address, nothing), 2, &["nothing is asked for", "--point"]);
    }
    service.end();
}

#[test]
fn a_photo_that_nothing_is_asked_about_is_no_success() {
    let (service, address) = served(&Fake::default());
    let image = scene_path();
    let output = run(&["--tcp", &address, "--image", image.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("frame 17 is "));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is asked for"));
    service.end();
}

#[test]
fn a_track_in_a_talk_ends_with_the_next_line_or_the_input() {
    let fake = Fake::default();
    let (service, address) = served(&fake);
    let said = text(&talk(&address, "P 480 320\nTRACK 100\nSTOP\nGO\n"));
    assert!(said.contains("frame 12 (40 ms old): 200 pixels in 20x10 at 480,320"), "{said}");
    assert!(!said.contains("nothing is tracked"), "{said}");
    text(&talk(&address, "P 480 320\nTRACK 100\n"));
    let said = text(&talk(&address, "P 480 320\nTRACK 100\nQUIT\nGO\n"));
    // The track may have answered before it was ended; nothing was asked after it.
    assert!(!said.contains("predicted IoU"), "{said}");
    assert_eq!((fake.count("Track"), fake.count("Cancel"), fake.count("Prompt")), (3, 3, 1));

    // Somebody waits for answers, and stops then.
    let mut child = command(&["--tcp", &address]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"P 480 320\nTRACK\n").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for sequence in 1..=3 {
        assert!(lines.next().unwrap().unwrap().starts_with(&format!("#{sequence} ")));
    }
    input.write_all(b"STATUS\n").unwrap();
    assert!(lines.any(|line| line.unwrap().contains("41.5 degrees")));
    drop(input);
    assert!(child.wait().unwrap().success());
    service.end();
}

#[test]
fn many_answers_make_a_table() {
    let fake = Fake::default();
    let (service, address) = served(&fake);
    let said = text(&run(&["--tcp", &address, "--point", "1,2", "--repeat", "20"]));
    assert!(said.starts_with("20 answers of rectangles by tcp 127.0.0.1:"), "{said}");
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() == 2 + 7 + 2 && rows.iter().all(|row| row.matches('|').count() == 5), "{said}");
    assert!(rows.contains(&"| encode         |     30.00 |     30.00 |     30.00 |"), "{said}");

    let table = json_of(&run(&["--tcp", &address, "--point", "1,2", "--repeat", "7", "--json"]));
    assert_eq!((&table["answers"], &table["stages"][5]["p99_ms"]), (&json!(7), &json!(4.0)));
    assert!(table["bytes_received"]["p50"].as_u64().unwrap() > 60);
    assert_eq!(fake.count("Prompt"), 27);
    service.end();
}

#[test]
fn a_track_goes_on_until_ctrl_c_and_is_cancelled_then() {
    let fake = Fake::default();
    let (service, address) = served(&fake);
    let arguments = ["--tcp", &address, "--point", "5,6", "--track", "--interval", "20", "--json"];
    let mut child = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for sequence in 1..=3 {
        let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&answer["sequence"], &answer["lost"]), (&json!(sequence), &json!(false)));
        assert!(answer["bytes"]["received"].as_u64().unwrap() > 60 && answer["mask"]["counts"].is_string());
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    lines.for_each(|line| drop(line.unwrap()));
    assert!(child.wait().unwrap().success());
    assert_eq!(fake.count("Cancel"), 1);
    service.end();
}

#[test]
fn a_connection_that_is_lost_is_told_at_once_and_opened_anew() {
    let fake = Fake::default();
    // After Hello and Track the service drops the connection, once.
    *fake.drops_after.lock().unwrap() = Some(2);
    let (service, address) = served(&fake);
    let arguments = ["--tcp", &address, "--point", "5,6", "--track", "--interval", "20"];
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().starts_with("connection lost, trying again: "));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("200 pixels in 20x10 at 5,6"));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    lines.for_each(|line| drop(line.unwrap()));
    assert!(child.wait().unwrap().success());
    service.end();
}

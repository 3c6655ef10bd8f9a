//! What is written, byte for byte but for the time.

use std::sync::{Mutex, PoisonError};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(form: LogForm, level: LogLevel, secrets: &[&str], say: impl FnOnce()) -> String {
    let sink = Sink::default();
    let out = sink.clone();
    tracing::subscriber::with_default(subscriber(LogArgs { form, level }, secrets, move || out.clone()), say);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// Takes the time off, having looked at its form.
fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').unwrap();
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00T00:00:00.000000Z");
    rest
}

#[test]
fn people_get_a_line_per_event() {
    let text = logged(LogForm::Text, LogLevel::Info, &[], || {
        tracing::info!(peer = "tcp 127.0.0.1:50211", clients = 2, late = false, "a client comes");
        tracing::debug!("unseen");
        tracing::warn!(error = &io::Error::other("no luck") as &dyn std::error::Error, "tries again");
        tracing::error!(plain = "word", none = "", quote = "a\\\"b", "it ends");
    });
    let lines: Vec<_> = text.lines().map(without_time).collect();
    let expected = [
        r#"INFO  a client comes peer="tcp 127.0.0.1:50211" clients=2 late=false"#,
        r#"WARN  tries again error="no luck""#,
        r#"ERROR it ends plain=word none="" quote="a\\\"b""#,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn no_client_writes_lines_of_its_own_or_steers_the_terminal() {
    let evil = "x\n2026-01-01T00:00:00.000000Z ERROR forged\u{1b}[2J\u{9b}1m\u{202e}";
    for form in [LogForm::Text, LogForm::Json] {
        let text = logged(form, LogLevel::Info, &[], || {
            tracing::info!("{evil}");
            tracing::info!(name = evil, other = %evil, "comes");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        if form == LogForm::Text {
            assert!(text.lines().all(|line| line.contains("x\\n2026")), "{text}");
            assert!(text.lines().all(|line| !line.contains(['\u{9b}', '\u{202e}'])), "{text}");
        }
    }
}

#[test]
fn programs_get_json() {
    let text = logged(LogForm::Json, LogLevel::Debug, &[], || {
        let span = tracing::info_span!("client", peer = "unix");
        let _in = span.enter();
        tracing::debug!(bytes = 12_u64, part = 0.5, "a packet");
    });
    let value: serde_json::Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
    assert_eq!(value["level"], "DEBUG");
    assert_eq!(value["message"], "a packet");
    assert_eq!((&value["bytes"], &value["part"]), (&12.into(), &0.5.into()));
    assert_eq!(value["span"]["peer"], "unix");
    assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(value["target"].as_str().unwrap().ends_with("logs::tests"));
}

#[test]
fn secrets_never_reach_the_log() {
    let token = "s3\"cr\\et";
    for form in [LogForm::Text, LogForm::Json] {
        let text = logged(form, LogLevel::Trace, &["", token, "s3"], || {
            tracing::info!(token, "a client says TOKEN {token}");
            tracing::info!(?token, line = %format!("TOKEN {token}"), "{:?}", Some(token));
        });
        assert!(!text.contains("cr") && !text.contains("s3"), "{text}");
        assert!(text.matches(REDACTED).count() >= 5, "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}

#[test]
fn levels_let_through_what_they_say() {
    let all = || {
        tracing::error!("e");
        tracing::warn!("w");
        tracing::info!("i");
        tracing::debug!("d");
        tracing::trace!("t");
    };
    use LogLevel::{Debug, Error, Info, Off, Trace, Warn};
    for (lines, level) in [Off, Error, Warn, Info, Debug, Trace].into_iter().enumerate() {
        assert_eq!(logged(LogForm::Text, level, &[], all).lines().count(), lines, "{level:?}");
    }
}

/// Not a test of its own: the program that the test below runs.
#[test]
fn program() {
    if std::env::var_os("CUTOUT_TEST_LOG").is_none() {
        return;
    }
    start(LogArgs { form: LogForm::Json, level: LogLevel::Debug }, &["s3cret"]);
    start(LogArgs::default(), &[]);
    tracing::debug!("in detail");
    let crashed = std::thread::Builder::new().name("worker".into()).spawn(|| panic!("on s3cret purpose"));
    assert!(crashed.unwrap().join().is_err());
}

#[test]
fn a_whole_program_logs_to_standard_error_and_panics_are_in_it() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["service::logs::tests::program", "--exact", "--nocapture"]);
    let output = command.env("CUTOUT_TEST_LOG", "1").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["message"], "in detail");
    assert_eq!((&lines[1]["message"], &lines[1]["thread"]), (&"on *** purpose".into(), &"worker".into()));
    assert!(lines[1]["place"].as_str().unwrap().contains("tests.rs:"));
}

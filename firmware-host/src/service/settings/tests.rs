//! What settings mean, and which mean nothing.

use super::*;

fn settings(text: &str) -> Settings {
    toml::from_str(text).unwrap()
}

fn refused(text: &str) -> String {
    format!("{:#}", settings(text).plan(None).unwrap_err())
}

#[test]
fn alone_it_serves_this_machine_only() {
    let plan = Settings::default().plan(None).unwrap();
    assert_eq!(plan.endpoints, [Endpoint::Tcp(([127, 0, 0, 1], DEFAULT_PORT).into())]);
    assert!(plan.metrics.is_none() && plan.token.is_none() && !plan.encode_always);
}

#[test]
fn a_way_for_other_machines_asks_for_a_token() {
    let text = "tcp = ['7700', '0.0.0.0:7701']";
    assert!(refused(text).contains("tcp:0.0.0.0:7701 can be reached from other machines"));
    let token = || Some("0123456789abcdef".to_owned());
    assert_eq!(settings(text).plan(token()).unwrap().token, token());
    assert!(format!("{:#}", settings(text).plan(Some("short".into())).unwrap_err()).contains("5 bytes"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "fedcba9876543210\nmore\n").unwrap();
    let with_file = Settings { token_file: Some(file), ..settings(text) };
    assert_eq!(with_file.plan(token()).unwrap().token.as_deref(), Some("fedcba9876543210"));
}

#[test]
fn flags_go_before_the_file_and_unknown_words_are_refused() {
    let file = settings("tcp = ['1', '2']\nring = 3\nsource = 'frames'\nmax-clients = 5");
    let flags = Settings { tcp: vec!["9".into()], ring: Some(4), ..Settings::default() };
    let both = flags.or(file);
    assert_eq!((both.tcp.as_slice(), both.ring, both.max_clients), (&["9".to_owned()][..], Some(4), Some(5)));
    assert_eq!(both.source.as_deref(), Some("frames"));
    let words = settings("tcp = 7700\nudp = '1'\nws = ['2', 3]");
    assert_eq!(
        [words.tcp, words.udp, words.ws],
        [vec!["7700".to_owned()], vec!["1".into()], vec!["2".into(), "3".into()]]
    );
    let wrong = toml::from_str::<Settings>("tcp = true").unwrap_err().to_string();
    assert!(wrong.contains("write a text, a number, or a list"), "{wrong}");
    let wrong = toml::from_str::<Settings>("rings = 3").unwrap_err().to_string();
    assert!(wrong.contains("rings") && wrong.contains("ring"), "{wrong}");
}

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    settings: Settings,
}

#[test]
fn the_log_is_as_flags_or_the_file_say() {
    use clap::Parser;
    let flags = |args: &[&str]| Program::try_parse_from([&["p"], args].concat()).map(|program| program.settings);
    let both = flags(&["--log", "json"]).unwrap().or(settings("log = 'text'\nlog-level = 'debug'"));
    assert_eq!(both.logs(), LogArgs { form: LogForm::Json, level: LogLevel::Debug });
    assert_eq!(Settings::default().logs(), LogArgs { form: LogForm::Text, level: LogLevel::Info });
    let error = flags(&["--log-level", "loud"]).err().unwrap().to_string();
    assert!(error.contains("possible values: off, error, warn, info, debug, trace"), "{error}");
}

#[test]
fn what_makes_no_sense_is_told() {
    assert!(refused("encode = 'sometimes'").contains("'on-demand' or 'always'"));
    assert!(refused("encode = 'always'").contains("--source"));
    assert!(refused("threads = 9999").contains("256"));
    assert!(refused("allow-origin = ['foo']").contains("https://"));
    assert!(refused("max-clients = 0").contains("1 or more"));
    assert!(refused("ring = 0").contains("1 or more"));
    assert!(refused("tcp = ['nowhere']").contains("nowhere"));
}

//! A download is whole or not there, whatever the server does.

use std::path::Path;
use std::time::{Duration, Instant};

use cutout::download::{DownloadError, Downloader, Fetched, Request, Retry};
use cutout::progress::Progress;
use cutout_models::digest::sha256;

use crate::server::{Answer, Server, entries};

/// A file that no compression and no repetition makes look right by chance.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

struct Fixture {
    folder: tempfile::TempDir,
    wanted: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        Fixture { folder: tempfile::tempdir().unwrap(), wanted: content(1, 300_000) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn fetch(&self, server: &Server) -> Result<Fetched, DownloadError> {
        self.fetch_knowing(server, Some(self.wanted.len() as u64), Some(&sha256(&self.wanted)))
    }

    fn fetch_knowing(
        &self,
        server: &Server,
        bytes: Option<u64>,
        sha256: Option<&str>,
    ) -> Result<Fetched, DownloadError> {
        let retry = Retry { attempts: 3, first_pause: Duration::from_millis(1) };
        let downloader = Downloader::new(retry, Duration::from_millis(500));
        let (url, target) = (server.url("weights.pt"), self.path("weights.pt"));
        let request = Request { url: &url, target: &target, bytes, sha256 };
        downloader.fetch(&request, &Progress::silent())
    }

    fn assert_whole(&self) {
        assert_eq!(entries(self.folder.path()), ["weights.pt"]);
        assert_eq!(std::fs::read(self.path("weights.pt")).unwrap(), self.wanted);
    }

    fn assert_empty(&self) {
        assert_eq!(entries(self.folder.path()), [""; 0]);
    }

    fn good_server(&self) -> Server {
        let body = self.wanted.clone();
        Server::start(move |_, asked| Answer::good(asked, &body, "\"v1\""))
    }
}

#[test]
fn a_file_arrives_whole() {
    let f = Fixture::new();
    let server = f.good_server();
    let fetched = f.fetch(&server).unwrap();
    f.assert_whole();
    assert_eq!(fetched, Fetched { bytes: 300_000, sha256: sha256(&f.wanted), resumed_from: 0 });
    assert_eq!(server.asked().len(), 1);
    assert_eq!(server.asked()[0].path, "/weights.pt");
}

#[test]
fn neither_size_nor_hash_need_be_known() {
    let f = Fixture::new();
    let fetched = f.fetch_knowing(&f.good_server(), None, None).unwrap();
    f.assert_whole();
    assert_eq!(fetched.sha256, sha256(&f.wanted));
}

#[test]
fn a_cut_connection_is_taken_up_again_within_one_run() {
    let f = Fixture::new();
    let body = f.wanted.clone();
    let server = Server::start(move |number, asked| {
        let answer = Answer::good(asked, &body, "\"v1\"");
        if number < 2 { answer.cut_after(100_000) } else { answer }
    });
    f.fetch(&server).unwrap();
    f.assert_whole();
    let ranges: Vec<_> = server.asked().iter().map(|a| a.range).collect();
    assert_eq!(ranges, [None, Some(100_000), Some(200_000)]);
    assert_eq!(server.asked()[1].if_range.as_deref(), Some("\"v1\""));
}

#[test]
fn half_a_file_is_kept_as_a_part_and_a_later_run_goes_on_from_it() {
    let f = Fixture::new();
    let body = f.wanted.clone();
    // All but the first attempt give nothing at all.
    let broken = Server::start(move |number, asked| {
        Answer::good(asked, &body, "\"v1\"").cut_after(if number == 0 { 70_000 } else { 0 })
    });
    let error = f.fetch(&broken).unwrap_err();
    assert!(matches!(error, DownloadError::Connection { got: 70_000, .. }), "{error}");
    assert!(error.to_string().contains("goes on from there"), "{error}");
    assert_eq!(entries(f.folder.path()), ["weights.pt.part", "weights.pt.part.version"]);
    assert_eq!(std::fs::read(f.path("weights.pt.part")).unwrap(), f.wanted[..70_000]);

    let good = f.good_server();
    assert_eq!(f.fetch(&good).unwrap().resumed_from, 70_000);
    f.assert_whole();
    assert_eq!(good.asked()[0].range, Some(70_000));
}

#[test]
fn a_server_that_ignores_ranges_sends_all_and_is_believed() {
    let f = Fixture::new();
    std::fs::write(f.path("weights.pt.part"), &f.wanted[..70_000]).unwrap();
    let body = f.wanted.clone();
    let server = Server::start(move |_, _| Answer::whole(&body));
    f.fetch(&server).unwrap();
    f.assert_whole();
    assert_eq!(server.asked()[0].range, Some(70_000));
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_from_its_start() {
    let f = Fixture::new();
    std::fs::write(f.path("weights.pt.part"), &content(2, 300_000)[..70_000]).unwrap();
    std::fs::write(f.path("weights.pt.part.version"), "\"v0\"").unwrap();
    let server = f.good_server();
    f.fetch_knowing(&server, None, None).unwrap();
    f.assert_whole();
    assert_eq!(server.asked().len(), 1);
    assert_eq!(server.asked()[0].if_range.as_deref(), Some("\"v0\""));
}

#[test]
fn bytes_of_another_file_cost_one_more_try_and_no_error() {
    let f = Fixture::new();
    std::fs::write(f.path("weights.pt.part"), &content(2, 300_000)[..70_000]).unwrap();
    let server = f.good_server();
    f.fetch(&server).unwrap();
    f.assert_whole();
    let ranges: Vec<_> = server.asked().iter().map(|a| a.range).collect();
    assert_eq!(ranges, [Some(70_000), None]);
}

#[test]
fn a_whole_part_and_an_overlong_one_end_well() {
    let f = Fixture::new();
    std::fs::write(f.path("weights.pt.part"), &f.wanted).unwrap();
    let server = f.good_server();
    f.fetch(&server).unwrap();
    f.assert_whole();
    assert!(server.asked().is_empty());

    let f = Fixture::new();
    std::fs::write(f.path("weights.pt.part"), content(2, 300_001)).unwrap();
    f.fetch(&f.good_server()).unwrap();
    f.assert_whole();
}

#[test]
fn a_wrong_hash_is_told_with_both_hashes_and_leaves_nothing() {
    let f = Fixture::new();
    let other = content(2, 300_000);
    let (expected, actual) = (sha256(&f.wanted), sha256(&other));
    let server = Server::start(move |_, asked| Answer::good(asked, &other, "\"v1\""));
    let message = f.fetch(&server).unwrap_err().to_string();
    assert!(message.contains(&expected) && message.contains(&actual), "{message}");
    f.assert_empty();
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn another_size_is_refused_before_its_bytes_and_leaves_nothing() {
    let f = Fixture::new();
    let server = Server::start(|_, _| Answer::whole(&content(2, 1234)));
    let error = f.fetch(&server).unwrap_err();
    assert!(matches!(error, DownloadError::WrongSize { offered: 1234, expected: 300_000, .. }), "{error}");
    f.assert_empty();
}

#[test]
fn a_server_that_does_not_stop_is_stopped() {
    let f = Fixture::new();
    let endless = content(1, 900_000);
    let server = Server::start(move |_, _| Answer { headers: Vec::new(), ..Answer::whole(&endless) });
    let error = f.fetch(&server).unwrap_err();
    assert!(matches!(error, DownloadError::WrongSize { .. }), "{error}");
    f.assert_empty();
}

#[test]
fn a_missing_file_is_not_asked_for_twice() {
    for status in [403, 404] {
        let f = Fixture::new();
        let server = Server::start(move |_, _| Answer::status(status));
        let error = f.fetch(&server).unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(server.asked().len(), 1);
        f.assert_empty();
    }
}

#[test]
fn a_busy_server_is_asked_again_but_not_for_ever() {
    let f = Fixture::new();
    let body = f.wanted.clone();
    let server = Server::start(move |number, asked| match number {
        0 => Answer::status(503),
        1 => Answer::status(429),
        _ => Answer::good(asked, &body, "\"v1\""),
    });
    f.fetch(&server).unwrap();
    f.assert_whole();

    let f = Fixture::new();
    let server = Server::start(|_, _| Answer::status(500));
    assert!(matches!(f.fetch(&server), Err(DownloadError::Status { status: 500, .. })));
    assert_eq!(server.asked().len(), 3);
    f.assert_empty();
}

#[test]
fn a_wrong_range_is_not_appended() {
    let f = Fixture::new();
    std::fs::write(f.path("weights.pt.part"), &f.wanted[..70_000]).unwrap();
    let body = f.wanted.clone();
    let server = Server::start(move |number, asked| {
        let mut answer = Answer::good(asked, &body, "\"v1\"");
        if number == 0 {
            answer.headers.retain(|h| !h.starts_with("Content-Range"));
            answer = answer.with("Content-Range: bytes 60000-299999/300000");
        }
        answer
    });
    f.fetch(&server).unwrap();
    f.assert_whole();
}

#[test]
fn a_silent_server_counts_as_gone() {
    let f = Fixture::new();
    let body = f.wanted.clone();
    let server = Server::start(move |_, asked| Answer {
        stall: Duration::from_secs(20),
        ..Answer::good(asked, &body, "\"v1\"").cut_after(if asked.range.is_none() { 1000 } else { 0 })
    });
    let start = Instant::now();
    let error = f.fetch(&server).unwrap_err();
    assert!(matches!(error, DownloadError::Connection { got: 1000, .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    assert_eq!(std::fs::metadata(f.path("weights.pt.part")).unwrap().len(), 1000);
}

#[test]
fn no_server_at_all_is_an_error_without_debris() {
    let f = Fixture::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let downloader = Downloader::new(Retry { attempts: 2, first_pause: Duration::ZERO }, Duration::from_millis(500));
    let url = format!("http://{free}/weights.pt");
    let request = Request { url: &url, target: &f.path("weights.pt"), bytes: None, sha256: None };
    let error = downloader.fetch(&request, &Progress::silent()).unwrap_err();
    assert!(matches!(error, DownloadError::Connection { got: 0, .. }), "{error}");
    f.assert_empty();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    let f = Fixture::new();
    // Every write to this device fails as on a full disk.
    std::os::unix::fs::symlink(Path::new("/dev/full"), f.path("weights.pt.part")).unwrap();
    let error = f.fetch(&f.good_server()).unwrap_err();
    assert!(matches!(error, DownloadError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("full"), "{error}");
    f.assert_empty();
}

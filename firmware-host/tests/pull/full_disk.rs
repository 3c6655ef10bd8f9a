//! A disk that fills up in the middle, as the operating system tells it: a limit on the size of files, which a shell
//! sets for a process of its own.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use cutout::cache::Cache;
use cutout::download::{Downloader, Retry};
use cutout::progress::Progress;
use cutout::pull::{PullOptions, Puller};

use crate::models::{CHECKPOINT, known};
use crate::server::{Answer, Server, entries};

const FOLDER: &str = "CUTOUT_TEST_FOLDER";

/// Runs a program that cannot write files beyond about `kilobytes`.
fn limited(kilobytes: u64, program: &Path) -> Command {
    let mut shell = Command::new("sh");
    // The limit counts blocks of 512 bytes, in some shells of 1024. Without the trap, the system kills the process.
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kilobytes * 2)).arg(program);
    shell
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_download_that_fills_the_disk_leaves_nothing() {
    // The registry's own entry, so that the program itself is under test: the server sends junk of the right size.
    let server = Server::start(|_, _| Answer::whole(&vec![1; 40_728_226]));
    let cache = tempfile::tempdir().unwrap();
    let output = limited(500, Path::new(env!("CARGO_BIN_EXE_cutout")))
        .args(["models", "pull", "mobile_sam", "--mirror", &server.url("")])
        .env("CUTOUT_CACHE", cache.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is full"), "{}", stderr(&output));
    assert_eq!(entries(&cache.path().join("downloads")), [""; 0]);
    assert_eq!(entries(&cache.path().join("models")), [""; 0]);
}

#[test]
fn a_conversion_that_fills_the_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("checkpoint"), &*CHECKPOINT).unwrap();
    let output = limited(500, &std::env::current_exe().unwrap())
        .args(["--exact", "full_disk::child_converts_onto_a_full_disk", "--ignored"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", stderr(&output));
    assert_eq!(entries(&folder.path().join("cache/models")), [""; 0]);
    assert_eq!(entries(folder.path()), ["cache", "checkpoint"]);
}

#[test]
#[ignore = "runs as a child of the test above"]
fn child_converts_onto_a_full_disk() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let puller = Puller::with(
        Cache::at(folder.join("cache")),
        Downloader::new(Retry::default(), Duration::from_secs(1)),
        |_| None,
    );
    let options = PullOptions { from: Some(folder.join("checkpoint")), ..PullOptions::default() };
    // The child cannot make the checkpoint anew: it would not fit.
    let spec = known(&std::fs::read(folder.join("checkpoint")).unwrap());
    let error = puller.pull(&spec, &options, &Progress::silent()).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.contains("is full"), "{message}");
}

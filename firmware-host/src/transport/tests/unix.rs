//! Unix sockets, and the files that they leave or find.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::super::*;
use super::support::*;

#[test]
fn the_socket_is_for_owner_and_group_and_gone_at_the_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let echo = Echo::at(&Endpoint::Unix(path.clone()), &Options::default());
    let there = fs::metadata(&path).unwrap();
    assert!(there.file_type().is_socket());
    assert_eq!(there.permissions().mode() & 0o777, 0o660);
    let mut client = connect(&echo.local(), LONG).unwrap();
    assert!(client.peer.trusted);
    echoes(&mut client).unwrap();
    echo.end();
    assert!(!path.exists());
}

#[test]
fn what_a_crash_left_is_replaced_and_who_lives_is_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let echo = Echo::at(&Endpoint::Unix(path.clone()), &Options::default());
    let second = Echo::try_at(&Endpoint::Unix(path.clone()), &Options::default()).err().unwrap().to_string();
    assert!(second.contains(path.to_str().unwrap()) && second.contains("another program"), "{second}");
    echoes(&mut connect(&echo.local(), LONG).unwrap()).unwrap();
    echo.end();
}

#[test]
fn no_other_file_is_ever_removed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes");
    fs::write(&path, "dear").unwrap();
    let error = Echo::try_at(&Endpoint::Unix(path.clone()), &Options::default()).err().unwrap().to_string();
    assert!(error.contains("is no socket"), "{error}");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(Echo::try_at(&Endpoint::Unix(link), &Options::default()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear");

    let path = folder.path().join("socket");
    let echo = Echo::at(&Endpoint::Unix(path.clone()), &Options::default());
    fs::remove_file(&path).unwrap();
    fs::write(&path, "somebody's").unwrap();
    echo.end();
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
}

#[test]
fn paths_that_cannot_be_are_told() {
    let folder = TempDir::new().unwrap();
    for (path, word) in [(folder.path().join("missing/socket"), "folder"), (folder.path().join("x".repeat(120)), "")] {
        let error = Echo::try_at(&Endpoint::Unix(path.clone()), &Options::default()).err().unwrap().to_string();
        assert!(error.contains(word) && error.contains(path.to_str().unwrap()), "{error}");
    }
    let nobody = connect(&Endpoint::Unix(folder.path().join("nobody")), LONG).unwrap_err().to_string();
    assert!(nobody.contains("cutout serve"), "{nobody}");
}

//! Fetching one file over HTTP or HTTPS: resumed, checked, and complete or not there at all.

mod error;
mod part;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub use error::{DownloadError, is_disk_full};
use part::Part;
use ureq::http::{HeaderMap, StatusCode};

use crate::progress::Progress;

/// What to fetch, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Address, `http://` or `https://`.
    pub url: &'a str,
    /// Where the file will be. Until it is whole, its bytes are in `NAME.part` beside it.
    pub target: &'a Path,
    /// Its size in bytes, if known.
    pub bytes: Option<u64>,
    /// Its SHA-256 in lower-case hexadecimal, if known.
    pub sha256: Option<&'a str>,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Bytes that were there from an earlier, interrupted run.
    pub resumed_from: u64,
}

/// How often a broken connection is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Attempts without a single new byte before giving up.
    pub attempts: u32,
    /// Pause before the second attempt; it doubles with each further one, up to half a minute.
    pub first_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 4, first_pause: Duration::from_secs(1) }
    }
}

/// Fetches files.
pub struct Downloader {
    agent: ureq::Agent,
    retry: Retry,
}

impl Downloader {
    /// A downloader that gives a silent server `patience` before it counts as gone.
    pub fn new(retry: Retry, patience: Duration) -> Self {
        // Ranges and hashes are of the file's own bytes, so no transfer compression.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("cutout/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .build();
        Downloader { agent: config.new_agent(), retry }
    }

    /// Fetches a file, going on where an earlier run stopped.
    ///
    /// # Errors
    /// See [`DownloadError`]. After an error there is no file at the target. Bytes that a later run can go on from stay
    /// beside it as `NAME.part`; none stay after a wrong hash, a wrong size or a full disk.
    pub fn fetch(&self, request: &Request<'_>, progress: &Progress) -> Result<Fetched, DownloadError> {
        let mut part = Part::open(request.target)?;
        let resumed_from = part.length();
        let mut fetched = self.fill(request, &mut part, progress);
        if resumed_from > 0 && matches!(fetched, Err(DownloadError::WrongHash { .. })) {
            progress.note("the bytes kept from an earlier run do not belong to this file: starting again");
            fetched = part.restart(None).and_then(|()| self.fill(request, &mut part, progress));
        }
        match fetched {
            Ok(sha256) => {
                let bytes = part.length();
                part.finish()?;
                Ok(Fetched { bytes, sha256, resumed_from })
            }
            Err(e) => {
                if e.spoils_part() || part.length() == 0 {
                    part.discard();
                }
                Err(e)
            }
        }
    }

    /// Completes the part, trying again while that can help, and returns its hash.
    fn fill(&self, request: &Request<'_>, part: &mut Part, progress: &Progress) -> Result<String, DownloadError> {
        if request.bytes.is_some_and(|bytes| part.length() > bytes) {
            part.restart(None)?;
        }
        progress.expect(request.bytes);
        let mut failures = 0;
        let mut pause = self.retry.first_pause;
        // A part that is already whole only wants checking.
        while request.bytes != Some(part.length()) || part.length() == 0 {
            let before = part.length();
            let Err(error) = self.attempt(request, part, progress) else { break };
            if !error.is_transient() {
                return Err(error);
            }
            if part.length() > before {
                (failures, pause) = (0, self.retry.first_pause);
            }
            failures += 1;
            if failures >= self.retry.attempts {
                return Err(error);
            }
            let cause = std::error::Error::source(&error).map_or(String::new(), |e| format!(" ({e})"));
            progress.note(&format!("{error}{cause}: trying again"));
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(30));
        }
        let actual = part.sha256();
        match request.sha256 {
            Some(expected) if expected != actual => {
                Err(DownloadError::WrongHash { url: request.url.into(), actual, expected: expected.into() })
            }
            _ => Ok(actual),
        }
    }

    /// One request: appends what the server gives until the file is whole or the connection breaks.
    fn attempt(&self, request: &Request<'_>, part: &mut Part, progress: &Progress) -> Result<(), DownloadError> {
        let broke = |got, source: Box<dyn std::error::Error + Send + Sync>| DownloadError::Connection {
            url: request.url.into(),
            got,
            source,
        };
        let mut get = self.agent.get(request.url);
        if part.length() > 0 {
            get = get.header("Range", format!("bytes={}-", part.length()));
            if let Some(version) = part.version() {
                get = get.header("If-Range", version);
            }
        }
        let response = get.call().map_err(|e| broke(part.length(), e.into()))?;
        let headers = response.headers();
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((start, total)) if start == part.length() => total,
                _ => {
                    part.restart(None)?;
                    return Err(broke(0, "the server sent another range than asked for".into()));
                }
            },
            StatusCode::OK => {
                part.restart(version(headers).as_deref())?;
                header(headers, "content-length").and_then(|v| v.parse().ok())
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                part.restart(None)?;
                return Err(broke(0, "the server no longer has the range asked for".into()));
            }
            status => return Err(DownloadError::Status { url: request.url.into(), status: status.as_u16() }),
        };
        let wrong_size = |offered, expected| DownloadError::WrongSize { url: request.url.into(), offered, expected };
        if let (Some(offered), Some(expected)) = (total, request.bytes)
            && offered != expected
        {
            return Err(wrong_size(offered, expected));
        }
        let expected = request.bytes.or(total);
        progress.expect(expected);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress.at(part.length());
            let read = body.read(&mut buffer).map_err(|e| broke(part.length(), e.into()))?;
            if read == 0 {
                break;
            }
            part.append(&buffer[..read])?;
            if let Some(expected) = expected.filter(|e| part.length() > *e) {
                return Err(wrong_size(part.length(), expected));
            }
        }
        match expected {
            Some(expected) if part.length() < expected => {
                Err(broke(part.length(), format!("the connection ended before byte {expected}").into()))
            }
            _ => Ok(()),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// First byte and size of the whole file, from `Content-Range: bytes FIRST-LAST/TOTAL`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = header(headers, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

/// A validator fit for `If-Range`: a strong entity tag or else the date of the last change (RFC 9110, 13.1.5).
fn version(headers: &HeaderMap) -> Option<String> {
    header(headers, "etag")
        .filter(|tag| tag.starts_with('"'))
        .or_else(|| header(headers, "last-modified"))
        .map(str::to_owned)
}

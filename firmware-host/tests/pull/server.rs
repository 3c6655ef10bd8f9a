//! A web server that misbehaves on demand.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// First byte of `Range: bytes=FIRST-`.
    pub(crate) range: Option<usize>,
    pub(crate) if_range: Option<String>,
}

/// What the server answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body after which the connection is cut.
    pub(crate) cut: Option<usize>,
    /// Silence after the last byte, with the connection held open.
    pub(crate) stall: Duration,
}

impl Answer {
    /// The whole file.
    pub(crate) fn whole(body: &[u8]) -> Self {
        Answer {
            status: 200,
            headers: vec![format!("Content-Length: {}", body.len())],
            body: body.to_vec(),
            cut: None,
            stall: Duration::ZERO,
        }
    }

    /// Nothing but a status.
    pub(crate) fn status(status: u16) -> Self {
        Answer { status, ..Answer::whole(b"a page of apology") }
    }

    /// What a good server gives: the range asked for, if the file is still of the version that the client knows.
    pub(crate) fn good(asked: &Asked, body: &[u8], etag: &str) -> Self {
        let etag_header = format!("ETag: {etag}");
        let current = asked.if_range.as_deref().is_none_or(|known| known == etag);
        match asked.range.filter(|first| current && *first < body.len()) {
            Some(first) => {
                let range = format!("Content-Range: bytes {first}-{}/{}", body.len() - 1, body.len());
                let mut answer = Answer::whole(&body[first..]);
                answer.status = 206;
                answer.headers.extend([etag_header, range]);
                answer
            }
            None => Answer::whole(body).with(&etag_header),
        }
    }

    pub(crate) fn with(mut self, header: &str) -> Self {
        self.headers.push(header.into());
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }
}

/// A server on a port of its own.
pub(crate) struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers request after request as `answer` says, which is also told the request's number.
    pub(crate) fn start(answer: impl Fn(usize, &Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let Some(request) = read(&stream) else { continue };
                log.lock().unwrap().push(request.clone());
                let answer = answer(number, &request);
                std::thread::spawn(move || write(stream, &answer));
            }
        });
        Server { url, asked }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut asked = Asked { path: lines.next()?.split(' ').nth(1)?.into(), ..Asked::default() };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            "if-range" => asked.if_range = Some(value.into()),
            _ => {}
        }
    }
    Some(asked)
}

fn write(mut stream: TcpStream, answer: &Answer) {
    let headers = answer.headers.join("\r\n");
    let head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n{headers}\r\n\r\n", answer.status);
    let body = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
    // The client may hang up whenever it likes.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    std::thread::sleep(answer.stall);
}

/// Names in a folder, sorted.
pub(crate) fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

//! The server's half of the opening handshake (RFC 6455, section 4.2).

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::StatusCode;

use super::origin::Rule;
use crate::transport::stop::Stop;
use crate::transport::stream::{receive, send};
use crate::transport::wait::Deadline;

/// Longest head of a request, cookies included.
const MAX_HEAD: usize = 8192;

/// How long a client that is refused is listened to, so that it can read why.
const FAREWELL: (Duration, usize) = (Duration::from_millis(500), 64 << 10);

/// Reads the request and answers it, and gives what came behind the request. A refusal is told to the client first.
pub(super) fn answer(stream: &TcpStream, rule: &Rule, deadline: &Deadline, stop: &Stop) -> Result<Vec<u8>, String> {
    match consider(stream, rule, deadline, stop) {
        Ok((response, early)) => {
            send(stream, &response, deadline).map_err(|(_, error)| error.to_string())?;
            Ok(early)
        }
        Err((status, reason)) => {
            refuse(stream, status, &reason);
            Err(reason)
        }
    }
}

type Refusal = (StatusCode, String);

/// The answer to a request that may be granted.
fn consider(stream: &TcpStream, rule: &Rule, deadline: &Deadline, stop: &Stop) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let (mut head, end) = read_head(stream, MAX_HEAD, deadline, Some(stop))?;
    let early = head.split_off(end);
    let malformed = |error: tungstenite::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let Some((_, request)) = Request::try_parse(&head).map_err(malformed)? else {
        return Err((StatusCode::BAD_REQUEST, "this is no HTTP request".into()));
    };
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    if header("Upgrade").is_none() {
        let hint = "this port speaks WebSocket only: connect to it from a page or program, as ws://HOST:PORT";
        return Err((StatusCode::UPGRADE_REQUIRED, hint.into()));
    }
    let origin = header("Origin");
    if !rule.allows(origin, header("Host")) {
        let origin = origin.unwrap_or_default();
        let reason = format!("pages of {origin} may not connect; `--allow-origin {origin}` at the service lets them");
        return Err((StatusCode::FORBIDDEN, reason));
    }
    let response = create_response(&request).map_err(malformed)?;
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    Ok((bytes, early))
}

/// Reads up to the empty line, and says where what is behind it begins.
pub(super) fn read_head(
    stream: &TcpStream,
    most: usize,
    deadline: &Deadline,
    stop: Option<&Stop>,
) -> Result<(Vec<u8>, usize), Refusal> {
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    loop {
        if stop.is_some_and(Stop::is_set) {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "the service ends".into()));
        }
        if deadline.is_past() {
            return Err((StatusCode::REQUEST_TIMEOUT, "the handshake took too long".into()));
        }
        // Short waits, as the end of the service is looked for in between.
        let soon = Deadline::after(deadline.left().min(Duration::from_millis(100)));
        let came = receive(stream, &mut bytes, &soon).map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::UnexpectedEof => "the connection was closed before that".into(),
                _ => error.to_string(),
            };
            (StatusCode::BAD_REQUEST, reason)
        })?;
        // The empty line may lie across two reads.
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(bytes.get(..came).unwrap_or_default());
        let end = head.get(from..).and_then(|new| new.windows(4).position(|four| four == b"\r\n\r\n"));
        match end {
            Some(end) if from + end + 4 <= most => return Ok((head, from + end + 4)),
            None if head.len() <= most => {}
            _ => {
                return Err((
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    format!("more than {most} bytes of headers"),
                ));
            }
        }
    }
}

fn refuse(stream: &TcpStream, status: StatusCode, reason: &str) {
    // What a stranger wrote is not sent back but as harmless text.
    let text: String = reason.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(400).collect();
    let upgrade = if status == StatusCode::UPGRADE_REQUIRED { "Upgrade: websocket\r\n" } else { "" };
    let response = format!(
        "HTTP/1.1 {status}\r\n{upgrade}Connection: close\r\nContent-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\n\r\n{text}\n",
        text.len() + 1
    );
    let (patience, mut most) = FAREWELL;
    let deadline = Deadline::after(patience);
    if send(stream, response.as_bytes(), &deadline).is_err() || stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    // A socket that is closed with bytes unread resets the connection, and with it the answer on its way.
    let mut bytes = [0; 4096];
    while most > 0 && !deadline.is_past() {
        match receive(stream, &mut bytes, &deadline) {
            Ok(came) => most = most.saturating_sub(came),
            Err(_) => return,
        }
    }
}

//! The client's half of the opening handshake (RFC 6455, section 4.1).

use std::io;
use std::net::{SocketAddr, TcpStream};

use tungstenite::handshake::client::{Response, generate_key};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::http::StatusCode;

use super::upgrade::read_head;
use crate::transport::stream::{receive, send};
use crate::transport::wait::Deadline;

/// Longest head of an answer, and what is quoted of the text behind a refusal.
const MAX_HEAD: usize = 8192;
const MAX_REASON: usize = 400;

/// Why there is no WebSocket.
pub(super) enum Refusal {
    /// The connection broke, or nothing came in time.
    Io(io::Error),
    /// The server's own words.
    Said(String),
}

/// Asks for a WebSocket, and gives what came behind the answer.
pub(super) fn ask(stream: &TcpStream, address: SocketAddr, deadline: &Deadline) -> Result<Vec<u8>, Refusal> {
    let key = generate_key();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    send(stream, request.as_bytes(), deadline).map_err(|(_, error)| Refusal::Io(error))?;
    let (mut head, end) = read_head(stream, MAX_HEAD, deadline, None).map_err(|(status, reason)| match status {
        StatusCode::REQUEST_TIMEOUT => Refusal::Io(io::ErrorKind::TimedOut.into()),
        _ => Refusal::Said(reason),
    })?;
    let early = head.split_off(end);
    let Ok(Some((_, response))) = Response::try_parse(&head) else {
        return Err(Refusal::Said("what answers there does not speak HTTP".into()));
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::Said(format!("{}: {}", response.status(), reason(stream, early, deadline))));
    }
    let accept = response.headers().get("Sec-WebSocket-Accept");
    if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(Refusal::Said("its answer belongs to another question; is there a proxy between?".into()));
    }
    Ok(early)
}

/// The text behind a refusal, as far as it is fit to print.
fn reason(stream: &TcpStream, mut text: Vec<u8>, deadline: &Deadline) -> String {
    let mut bytes = [0; MAX_REASON];
    while text.len() < MAX_REASON && !deadline.is_past() {
        match receive(stream, &mut bytes, deadline) {
            Ok(came) => text.extend_from_slice(bytes.get(..came).unwrap_or_default()),
            Err(_) => break,
        }
    }
    let printable = |byte: &&u8| byte.is_ascii_graphic() || **byte == b' ';
    text.iter().filter(printable).take(MAX_REASON).map(|&byte| char::from(byte)).collect()
}
